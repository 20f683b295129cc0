"""What is left of a part of a text when some of its statements are cut out: positions stay those in the whole text."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from hxcli.formats.source import Source, SourcePart

# (start, end) of every statement of a text that is to be cut out, ascending.
LeaveOut = Callable[[bytes], Iterable[tuple[int, int]]]


@dataclass(frozen=True, eq=False)
class SourceExtract(SourcePart):
    """A part of a text without some of its statements.

    Attributes:
        pieces: (C + 1,) offsets at which what is left goes on behind something that is cut out, ascending; 0 in front.
        places: (C + 1,) number of line ends in the whole text before each, and of characters before it on its line.
        statements_before: (C + 1,) how many statements are cut out before it.
    """

    pieces: Sequence[int] = (0,)
    places: Sequence[tuple[int, int]] = ((0, 0),)
    statements_before: Sequence[int] = (0,)

    def line_column(self, offset: int) -> tuple[int, int]:
        """1-based line and column, in the whole text, of a byte offset into what is left."""
        piece = bisect_right(self.pieces, offset) - 1
        start = self.pieces[piece]
        return SourcePart(self.file, self.data[start:], "", self.is_ascii, *self.places[piece]).line_column(
            offset - start
        )


def without(part: SourcePart, spans: Iterable[tuple[int, int]]) -> SourcePart:
    """The part without some of its statements, each given by where it begins and ends."""
    # start, end, number of statements; those that touch become one.
    joined: list[list[int]] = []
    for start, end in spans:
        if joined and joined[-1][1] == start:
            joined[-1][1] = end
            joined[-1][2] += 1
        else:
            joined.append([start, end, 1])
    if not joined:
        return part
    place, at, size = (part.lines_before, part.columns_before), 0, 0
    kept, pieces, places, statements = [], [0], [place], [0]
    for start, end, count in joined:
        kept.append(part.data[at:start])
        line, column = SourcePart(part.file, part.data[at:end], "", part.is_ascii, *place).line_column(end - at)
        place, at, size = (line - 1, column - 1), end, size + start - at
        pieces.append(size)
        places.append(place)
        statements.append(statements[-1] + count)
    data = b"".join([*kept, part.data[at:]])
    before = (part.lines_before, part.columns_before)
    return SourceExtract(part.file, data, "", data.isascii(), *before, pieces, places, statements)


def left_out_before(source: Source, offset: int) -> int:
    """How many statements are cut out of a text in front of an offset into what is left."""
    if not isinstance(source, SourceExtract):
        return 0
    return source.statements_before[bisect_right(source.pieces, offset) - 1]
