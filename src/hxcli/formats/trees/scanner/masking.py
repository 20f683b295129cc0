"""Takes comments and quoted labels out of the way, so that what is left has no context.

In the blanked text every comment is white space and every byte of a quoted label is `QUOTED`, a byte that no
checked text contains: whatever still looks like a bracket, a comma or a semicolon is one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hxcli.errors import InputError
from hxcli.formats.source import Source
from hxcli.formats.trees.scanner.byte_positions import Bytes, Offsets, offset_type, positions
from hxcli.text_columns import MANY, Texts

if TYPE_CHECKING:
    import polars as pl

QUOTED = 1
# Bytes. Longer than any name: what follows a quote or a comma that is missing.
LONGEST_LABEL = 1_000_000
OPEN, CLOSE, QUOTE = ord("["), ord("]"), ord("'")
_NORMAL, _COMMENT, _LABEL = range(3)
# Events handled as Python integers at a time: bounds the memory of a text made of brackets.
_EVENTS = 1 << 18
# Texts cut out together: what is made of them stays in the processor's cache. A few are cut out one by one.
_TEXTS, _FEW = 1 << 13, 1000
# Not a character of any checked text, so that polars finds one cell on every line.
_NO_SEPARATOR = "\x1f"


class UnclosedError(InputError):
    """A comment or a quoted label that is open where the text ends: more of the text may close it."""


@dataclass(frozen=True, eq=False)
class Blanked:
    """A text and its twin without comments and quotes.

    Attributes:
        source: The text.
        blank: (n,) the twin; offsets are those of the text.
        comment_starts: Offsets of the outermost `[`, ascending.
        comment_ends: Offsets just behind the matching `]`.
        quote_starts: Offsets of the quotes that open labels, ascending.
    """

    source: Source
    blank: Bytes
    comment_starts: Offsets
    comment_ends: Offsets
    quote_starts: Offsets

    @cached_property
    def text(self) -> str | None:
        """The text as str where it is ASCII, so that offsets hold; None otherwise."""
        return self.source.text if self.source.is_ascii else None

    def slice(self, start: int, end: int) -> str:
        """The text between two offsets, as it stands in the file."""
        return self.source.data[start:end].decode("utf-8")

    def label(self, start: int, end: int) -> str:
        """The label between two offsets, without its quotes."""
        return self.labels(np.array([start]), np.array([end]))[0]

    def slices(self, starts: Offsets, ends: Offsets) -> list[str]:
        """The text between pairs of offsets, as it stands in the file."""
        pairs = zip(starts.tolist(), ends.tolist(), strict=True)
        if self.text is not None:
            text = self.text
            return [text[start:end] for start, end in pairs]
        data = self.source.data
        return [data[start:end].decode("utf-8") for start, end in pairs]

    def lines(self, starts: Offsets, ends: Offsets) -> bytes:
        """The text between pairs of offsets, a line end behind each; of comments and quoted labels their blanks."""
        if len(starts) < _FEW:
            data = self.blank.data
            return b"".join([bytes(data[a:b]) + b"\n" for a, b in zip(starts.tolist(), ends.tolist(), strict=True)])
        some = (slice(first, first + _TEXTS) for first in range(0, len(starts), _TEXTS))
        return b"".join([_lines(self.blank, starts[part], ends[part]) for part in some])

    def texts(self, starts: Offsets, ends: Offsets) -> Texts:
        """As `labels`; of many without quotes no Python string is made."""
        if len(starts) < MANY or len(self.quote_starts):
            return Texts(self.labels(starts, ends))
        self._refuse_long(starts, ends)
        return Texts(text_column(self.lines(starts, ends)))

    def labels(self, starts: Offsets, ends: Offsets) -> list[str]:
        """The labels between pairs of offsets, which ascend, without their quotes.

        Raises:
            InputError: Text right behind or before a quoted label, a line break inside one, a label longer than
                `LONGEST_LABEL`.
        """
        self._refuse_long(starts, ends)
        if len(self.quote_starts) and len(starts):
            # Only the quotes among these labels: a file of many trees must not look at all of them for each.
            quotes = self.quote_starts[slice(*np.searchsorted(self.quote_starts, (starts[0], ends[-1])))]
            label = np.searchsorted(starts, quotes, side="right") - 1
            inside = (quotes > starts[label]) & (quotes < ends[label])
            if inside.any():
                offset = int(quotes[inside.argmax()])
                raise self.source.error("a quote inside a label", "quote the whole name", offset)
        glued = (self.blank[starts] == QUOTED) & (self.blank[ends - 1] != QUOTED)
        if glued.any():
            raise self._glued(int(starts[glued.argmax()]), int(ends[glued.argmax()]))
        quoted = self.blank[starts] == QUOTED
        found = self.slices(starts + quoted, ends - quoted)
        for i in np.flatnonzero(quoted).tolist():
            if "'" in found[i]:
                found[i] = found[i].replace("''", "'")
            if "\n" in found[i] or "\r" in found[i]:
                raise self.source.error("line break inside a quoted name", "join the lines", int(starts[i]))
        return found

    def check_labels(self, starts: Offsets, ends: Offsets) -> None:
        """Refuses labels that `labels` refuses, without making any that is plain."""
        self._refuse_long(starts, ends)
        if len(self.quote_starts):
            quoted = np.searchsorted(self.quote_starts, starts) < np.searchsorted(self.quote_starts, ends)
            self.labels(starts[quoted], ends[quoted])

    def _refuse_long(self, starts: Offsets, ends: Offsets) -> None:
        if len(starts) and (ends - starts).max() > LONGEST_LABEL:
            first = int(starts[(ends - starts).argmax()])
            size = int((ends - starts).max())
            raise self.source.error(f"a name of {size} bytes", "is a quote, a comma or a bracket missing?", first)

    def _glued(self, start: int, end: int) -> InputError:
        behind = start + int((self.blank[start:end] != QUOTED).argmax())
        label, text = self.slice(start + 1, behind - 1), self.slice(behind, end)
        found = f"unexpected text {shorten(text)} after label {shorten(label)}"
        return self.source.error(found, "put the whole name inside the quotes", behind)


def text_column(lines: bytes) -> pl.Series:
    """(n,) the texts that stand one a line, as UTF-8."""
    import polars as pl

    # A line in front, because polars would drop a byte order mark from the beginning.
    table = pl.read_csv(b"-\n" + lines, has_header=False, infer_schema=False, separator=_NO_SEPARATOR, quote_char=None)
    return table.to_series().slice(1)


def _lines(blank: Bytes, starts: Offsets, ends: Offsets) -> bytes:
    # One byte behind every text is taken too, to become the line end.
    lengths = ends - starts + 1
    begins = np.cumsum(lengths, dtype=np.int64) - lengths
    where = np.repeat(starts - begins, lengths)
    where += np.arange(len(where))
    part = blank.take(where, mode="clip")
    part[begins + lengths - 1] = ord("\n")
    return part.tobytes()


def shorten(text: str, limit: int = 40) -> str:
    """A piece of the file for a message: in quotes, cut to a readable length."""
    return f"'{text}'" if len(text) <= limit else f"'{text[:limit]}...'"


def blank_out(source: Source, label_breaks: bytes = b"") -> Blanked:
    """Blanks comments (nested ones too) and quoted labels.

    A quote opens a quoted label only where a label can begin: after white space, one of `( ) , : ;`, a comment or
    one of `label_breaks`. Anywhere else an apostrophe is an apostrophe.

    Raises:
        InputError: A comment or a quoted label that is never closed, a `]` without `[`.
    """
    data = np.frombuffer(source.data, np.uint8)
    events = positions(data, OPEN, CLOSE, QUOTE) if any(c in source.data for c in (b"[", b"]", b"'")) else _none(data)
    if not len(events):
        return Blanked(source, data, events, events, events)
    if b"'" in source.data:
        comments, quotes = _walk(source, data, events, label_breaks)
    else:
        comments, quotes = _match_brackets(source, data, events), (events[:0], events[:0])
    blank = data.copy()
    _fill(blank, *comments, ord(" "))
    if len(quotes[0]):
        blank[_covered(len(blank), *quotes)] = QUOTED
    return Blanked(source, blank, *comments, quotes[0])


def label_openers(label_breaks: bytes = b"") -> NDArray[np.bool_]:
    """(256,) the bytes behind which a quote opens a quoted label, given what else than white space does of itself."""
    opens_label = np.zeros(256, bool)
    opens_label[list(b" \t\n\v\f\r(),:;]" + label_breaks)] = True
    return opens_label


def _none(data: Bytes) -> Offsets:
    return np.zeros(0, offset_type(len(data)))


def _covered(size: int, starts: Offsets, ends: Offsets) -> NDArray[np.bool_]:
    """(size,) true inside the spans, which do not overlap."""
    steps = np.zeros(size + 1, np.int8)
    steps[starts] += 1
    # Starts differ among themselves and so do ends, hence plain indexing counts every step, even where a span
    # begins at the end of another.
    steps[ends] -= 1
    return np.cumsum(steps[:-1], dtype=np.int8).view(bool)


def _fill(blank: Bytes, starts: Offsets, ends: Offsets, value: int) -> None:
    if len(starts) < 1000:
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            blank[start:end] = value
    else:
        blank[_covered(len(blank), starts, ends)] = value


def _match_brackets(source: Source, data: Bytes, events: Offsets) -> tuple[Offsets, Offsets]:
    """Spans of the outermost comments of a text without quotes."""
    steps = np.where(data[events] == OPEN, 1, -1).astype(np.int8)
    depth = np.cumsum(steps, dtype=np.int32)
    if depth.min() < 0:
        raise _stray(source, int(events[(depth < 0).argmax()]))
    starts = events[(depth == 1) & (steps == 1)]
    ends = events[(depth == 0) & (steps == -1)] + 1
    if len(starts) > len(ends):
        raise _unclosed_comment(source, int(starts[-1]))
    return starts, ends


def _walk(
    source: Source, data: Bytes, events: Offsets, label_breaks: bytes
) -> tuple[tuple[Offsets, Offsets], tuple[Offsets, Offsets]]:
    """Spans of comments and of quoted labels, by one walk over brackets and quotes."""
    opens_label = label_openers(label_breaks)
    kind = events.dtype
    comments: list[NDArray[np.signedinteger]] = []
    quotes: list[NDArray[np.signedinteger]] = []
    comment_bounds: list[int] = []
    quote_bounds: list[int] = []
    state, depth, start, closing = _NORMAL, 0, 0, -1
    for chunk in _chunks(events):
        codes = data[chunk]
        literal = (codes == QUOTE) & ~opens_label[data[np.maximum(chunk, 1) - 1]] & (chunk > 0)
        for position, code, is_literal in zip(chunk.tolist(), codes.tolist(), literal.tolist(), strict=True):
            if closing >= 0:
                if code == QUOTE and position == closing + 1:
                    # A doubled quote stands for one and does not close.
                    closing = -1
                    continue
                quote_bounds += (start, closing + 1)
                state, closing = _NORMAL, -1
            if state == _NORMAL:
                if code == OPEN:
                    state, depth, start = _COMMENT, 1, position
                elif code == CLOSE:
                    raise _stray(source, position)
                elif not is_literal:
                    state, start = _LABEL, position
            elif state == _COMMENT:
                depth += (code == OPEN) - (code == CLOSE)
                if depth == 0:
                    comment_bounds += (start, position + 1)
                    state = _NORMAL
            elif code == QUOTE:
                closing = position
        comments.append(np.array(comment_bounds, kind))
        quotes.append(np.array(quote_bounds, kind))
        comment_bounds.clear()
        quote_bounds.clear()
    if closing >= 0:
        quotes.append(np.array((start, closing + 1), kind))
    elif state == _LABEL:
        advice = "add the closing ', or double an apostrophe that belongs to the name"
        raise _unclosed(source, "quote ' never closed", advice, start)
    elif state == _COMMENT:
        raise _unclosed_comment(source, start)
    all_comments, all_quotes = np.concatenate(comments), np.concatenate(quotes)
    return (all_comments[::2], all_comments[1::2]), (all_quotes[::2], all_quotes[1::2])


def _chunks(events: Offsets) -> Iterator[Offsets]:
    for begin in range(0, len(events), _EVENTS):
        yield events[begin : begin + _EVENTS]


def _stray(source: Source, offset: int) -> InputError:
    return source.error("unexpected ']': no comment is open", "remove it, or quote the label that contains it", offset)


def _unclosed_comment(source: Source, offset: int) -> UnclosedError:
    return _unclosed(source, "comment '[' never closed", "add the ']'", offset)


def _unclosed(source: Source, found: str, advice: str, offset: int) -> UnclosedError:
    line, column = source.line_column(offset)
    return UnclosedError(found, advice, file=source.file, line=line, column=column)
