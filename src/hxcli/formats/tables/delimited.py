"""Delimited text as a grid of cells: delimiter, quotes, comments and ragged rows, each row with its line.

The structure is found with numpy and checked first; polars then splits text that it cannot misread, as one long
column of rows * columns cells, so that a thousand rows of 20,000 columns cost what a million rows of twenty do. It
does so for some rows at a time, because the cells as text take several times the memory of the file.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from hxcli.errors import InputError, Note
from hxcli.formats.source import Source
from hxcli.formats.trees.scanner.byte_positions import Offsets, positions
from hxcli.text_columns import Texts

_DELIMITERS = {b"\t": "tab", b";": "semicolon", b",": "comma"}
_NEWLINE, _QUOTE, _TAB, _SPACE = b'\n"\t '
# Not a byte of any text that gets here, so that polars finds one cell on every line.
_NO_DELIMITER = "\x1f"
# Cells that are split at a time, and of those of one column that are cut out together.
_BLOCK, _CUT = 1 << 20, 1 << 16
_NO_FIRST_HEADER = "is the header of the first column left out? with R: write.table(..., col.names = NA)"


@dataclass(frozen=True, eq=False)
class Grid:
    """A table as text: C columns, R rows and a header above them.

    Attributes:
        text: Header and rows as they stand in the file, what lies between them left out.
        ends: ((R + 1) * C,) offset of the delimiter or line end behind every cell.
        width: C.
        stripped: Whether cells may have quotation marks or white space around them.
        lines: (R,) 1-based line that every row begins on.
        header_line: Line of the header.
        file: Path for messages.
        notes: What was passed over, a sentence each.
    """

    text: NDArray[np.uint8]
    ends: Offsets
    width: int
    stripped: bool
    lines: NDArray[np.intp]
    header_line: int
    file: str
    notes: tuple[str, ...]

    def header(self) -> tuple[pl.Series, bool]:
        """The column names, as `block` gives cells."""
        return self._cells(0, self.width)

    def blocks(self) -> Iterator[slice]:
        """The rows, so many at a time that their cells are best split together."""
        step = max(1, _BLOCK // self.width)
        return (slice(row, min(row + step, len(self.lines))) for row in range(0, len(self.lines), step))

    def block(self, rows: slice) -> tuple[pl.Series, bool]:
        """The cells of consecutive rows, "" where one is empty, and whether white space was stripped off any.

        Raises:
            InputError: Cells that polars tells apart in another way.
        """
        return self._cells((1 + rows.start) * self.width, (1 + rows.stop) * self.width)

    def column(self, index: int) -> Texts:
        """(R,) the cells of one column, white space stripped."""
        stops = self.ends[self.width + index :: self.width] + 1
        starts = self.ends[self.width + index - 1 :: self.width][: len(stops)] + 1
        texts: list[pl.Series] = []
        for first in range(0, len(stops), _CUT):
            piece = slice(first, first + _CUT)
            lengths = stops[piece] - starts[piece]
            ends = np.cumsum(lengths)
            where = np.repeat(starts[piece] - ends + lengths, lengths) + np.arange(ends[-1])
            texts.append(self._split(self.text[where], ends - 1)[0])
        return Texts(pl.concat(texts, rechunk=True))

    def cell(self, row: int, column: int) -> str:
        """One cell, white space stripped."""
        place = (row + 1) * self.width + column
        text = self.text[self.ends[place - 1] + 1 : self.ends[place]].tobytes().decode()
        return (text[1:-1].replace('""', '"') if text.startswith('"') else text).strip()

    def _cells(self, first: int, last: int) -> tuple[pl.Series, bool]:
        begin = int(self.ends[first - 1]) + 1 if first else 0
        ends = self.ends[first:last] - begin
        return self._split(self.text[begin : begin + int(ends[-1]) + 1].copy(), ends)

    def _split(self, text: NDArray[np.uint8], ends: Offsets) -> tuple[pl.Series, bool]:
        """The cells of a text that is overwritten, and whether white space was stripped."""
        text[ends] = _NEWLINE
        # A line in front, because empty ones at the beginning would be passed over.
        lines = io.BytesIO(b"-\n" + text.tobytes())
        found = pl.read_csv(lines, has_header=False, infer_schema=False, separator=_NO_DELIMITER, quote_char='"')
        cells = found.to_series().slice(1)
        if len(cells) != len(ends):
            advice = "quote cells that contain line ends"
            raise InputError("the rows could not be told apart", advice, file=self.file)
        filled = cells.fill_null("")
        if not self.stripped:
            return filled, False
        bare = filled.str.strip_chars()
        return bare, bool(bare.str.len_bytes().sum() != filled.str.len_bytes().sum())


def read_grid(source: Source) -> Grid:
    """Splits delimited text into rows and cells.

    The header is the first line that is neither blank nor a comment, and its delimiter is the table's. Lines
    that begin with `#` are comments above the header, and below it where they have another number of cells.

    Args:
        source: The text, with any line ends.

    Raises:
        InputError: Another kind of file, no header or no rows, one column, rows of another length than the header,
            quotation marks that do not pair.
    """
    text = _checked_text(source)
    start, skipped = _header_start(text)
    if start == len(text):
        raise source.error("the file holds no table", "expected a header line and one row for each tip")
    if re.match(rb'"?sep=', text[start : start + 5], re.IGNORECASE):
        raise source.error("a line for Excel, 'sep=', above the header", "delete that line", start)
    first_line = text.count(b"\n", 0, start) + 1
    body = text[start:] if text.endswith(b"\n") else text[start:] + b"\n"
    delimiter = _delimiter(body)
    if delimiter is None:
        body, delimiter = _tabs_for_white_space(body), b"\t"
    notes = [_counted(skipped, "comment line", "above the header")] if skipped else []
    return _split(body, delimiter, source.file, first_line, notes)


def _split(body: bytes, delimiter: bytes, file: str, first_line: int, notes: list[str]) -> Grid:
    array = np.frombuffer(body, np.uint8)
    ends = _cell_ends(array, delimiter, file, first_line)
    row_ends = np.flatnonzero(array[ends] == _NEWLINE)
    widths = np.diff(row_ends, prepend=-1)
    stops = ends[row_ends]
    starts = np.concatenate(([0], stops[:-1] + 1))
    width = int(widths[0])
    if width == 1:
        second = body[starts[1] : stops[1]] if len(widths) > 1 and widths[1] == 2 else b""
        raise _one_column(body[: int(stops[0])], second, file, first_line)
    lines = first_line + np.searchsorted(positions(array, _NEWLINE), starts)

    # A row of delimiters alone is what spreadsheets leave below a table.
    hollow = stops - starts == widths - 1
    keep = (widths == width) & ~hollow
    comments = 0
    for row in np.flatnonzero((widths != width) & ~hollow).tolist():
        content = body[starts[row] : stops[row]].strip()
        if content and not content.startswith(b"#"):
            raise _ragged(widths, keep, row, int(lines[row]), file, content)
        comments += bool(content)
    if comments:
        notes.append(_counted(comments, "comment line", "between the rows"))
    if emptied := int((hollow & (widths > 1)).sum()):
        notes.append(_counted(emptied, "row", "without any content"))

    if keep.sum() < 2:
        raise InputError("a header and no rows", "expected one row for each tip", file=file, line=int(lines[0]))
    if not keep.all():
        lengths = stops - starts + 1
        left_out = np.cumsum(np.where(keep, 0, lengths))
        array = array[np.repeat(keep, lengths)]
        ends = ends[np.repeat(keep, widths)] - np.repeat(left_out[keep], width)
    # Other white space is not ASCII.
    stripped = not body.isascii() or any(blank in body for blank in (b" ", b"\t", b"\v", b"\f", b'"'))
    return Grid(array, ends, width, stripped, lines[keep][1:], first_line, file, tuple(notes))


def _checked_text(source: Source) -> bytes:
    if not source.data:
        raise source.error("the file is empty", "expected a table with a header line")
    start = source.data[:2000].lstrip()
    kinds = {
        b"#nexus": "a NEXUS tree",
        b"(": "a tree",
        b"<": "HTML or XML",
        b"{": "JSON",
        b"[": "JSON, a tree or a log",
    }
    kinds[b">"] = "FASTA"
    for prefix, kind in kinds.items():
        if start[: len(prefix)].lower() == prefix:
            raise source.error(f"this is {kind}, not a table", "give the table as CSV, TSV or Parquet")
    if b"\r" not in source.data:
        return source.data
    return source.data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _header_start(text: bytes) -> tuple[int, int]:
    """Where the header begins, and how many comment lines stand above it."""
    position, comments, last = 0, 0, -1
    while position < len(text):
        stop = text.find(b"\n", position)
        stop = len(text) if stop < 0 else stop
        line = text[position:stop].strip()
        if line.startswith(b"#"):
            comments, last = comments + 1, position
        elif line:
            # `#OTU ID<tab>a` above `x<tab>1` is the header itself, written with a mark.
            return (last, comments - 1) if last >= 0 and _is_header(text, last, line) else (position, comments)
        position = stop + 1
    return (last, comments - 1) if last >= 0 and _delimiter(text[last:]) else (len(text), comments)


def _is_header(text: bytes, comment: int, row: bytes) -> bool:
    line = text[comment : text.find(b"\n", comment)]
    for delimiter in _DELIMITERS:
        cells = row.split(delimiter)
        if len(cells) > 1 and len(line.split(delimiter)) == len(cells):
            return any(re.fullmatch(rb"\s*[+-]?\d[\d.eE+-]*\s*", cell) for cell in cells[1:])
    return False


def _delimiter(body: bytes) -> bytes | None:
    """The delimiter of the header, or None where there is none outside quotation marks."""
    lines = [_unquoted(line) for line in body[:1_000_000].split(b"\n", 3)[:2]]
    counts = {delimiter: lines[0].count(delimiter) for delimiter in _DELIMITERS if delimiter in lines[0]}
    if not counts:
        return None
    below = lines[-1]
    return max(counts, key=lambda delimiter: (below.count(delimiter) == counts[delimiter], counts[delimiter]))


def _unquoted(line: bytes) -> bytes:
    return re.sub(rb'"[^"]*"?', b"", line)


def _tabs_for_white_space(body: bytes) -> bytes:
    """White-space columns, as R's write.table writes them, as columns between single tabs; line ends stay."""
    array = np.frombuffer(body, np.uint8).copy()
    blanks = positions(array, _SPACE, _TAB)
    quotes = positions(array, _QUOTE)
    blanks = blanks[np.searchsorted(quotes, blanks) % 2 == 0]
    if not blanks.size:
        return body
    first = np.diff(blanks, prepend=-2) != 1
    run_starts, run_stops = blanks[first], blanks[np.append(first[1:], True)]
    inner = (run_starts > 0) & (array[run_starts - 1] != _NEWLINE) & (array[run_stops + 1] != _NEWLINE)
    keep = np.ones(len(array), bool)
    keep[blanks] = False
    keep[run_starts[inner]] = True
    array[run_starts[inner]] = _TAB
    return array[keep].tobytes()


def _cell_ends(array: NDArray[np.uint8], delimiter: bytes, file: str, first_line: int) -> Offsets:
    """Offsets of the delimiters and line ends that stand outside quotation marks."""
    ends = positions(array, delimiter[0], _NEWLINE)
    quotes = positions(array, _QUOTE)
    if not quotes.size:
        return ends
    opening, closing = quotes[::2], quotes[1::2]
    # A cell begins with its quotation mark and ends with it; two in a row are one mark inside the cell.
    around = np.zeros(256, bool)
    around[[delimiter[0], _NEWLINE, _QUOTE]] = True
    begins = (opening == 0) | around[array[opening - 1]]
    finishes = around[array[np.minimum(closing + 1, len(array) - 1)]]
    wrong = np.sort(np.concatenate((opening[~begins], closing[~finishes])))
    if wrong.size or len(quotes) % 2:
        at = int(wrong[0]) if wrong.size else int(quotes[-1])
        found = "a quotation mark inside a cell" if wrong.size else "a quotation mark that is never closed"
        advice = 'quote the whole cell and double the mark: "say ""hi"""'
        line = first_line + int(np.count_nonzero(array[:at] == _NEWLINE))
        raise InputError(found, advice, file=file, line=line)
    return ends[np.searchsorted(quotes, ends) % 2 == 0]


# First lines of the files that annotate a tree in iTOL.
_OF_ITOL = re.compile(rb"(?:DATASET|TREE|POPUP)_[A-Z_]+|LABELS|COLLAPSE|PRUNE|SPACING|METADATA")


def _one_column(header: bytes, second: bytes, file: str, line: int) -> InputError:
    """What to say of a header of one cell, and of the row below it if that has two."""
    shown = _shortened(header)
    if re.search(rb"\s[-+.]?\d\S*$", second):
        found = f"the header has one cell, {shown!r}, where the rows have 2"
        return InputError(found, _NO_FIRST_HEADER, file=file, line=line)
    if _OF_ITOL.fullmatch(header.strip()):
        advice = "take the lines below DATA, with a header above them, such as species,value"
        return InputError(f"this is a dataset of iTOL, {shown!r}, not a table", advice, file=file, line=line)
    odd = next((mark for mark in "|:" if mark in shown), "")
    found = f"only one column: unknown delimiter '{odd}' in {shown!r}" if odd else f"only one column, {shown!r}"
    advice = "expected tip names and at least one trait, between commas, tabs or semicolons; each with a header"
    return InputError(found, advice, file=file, line=line)


def _ragged(
    widths: NDArray[np.intp], keep: NDArray[np.bool_], row: int, line: int, file: str, content: bytes
) -> InputError:
    width = int(widths[0])
    found = f"{_cells(int(widths[row]))} where the header has {width}: {_shortened(content)!r}"
    advice = "give every row the same number of cells; quote cells that contain the delimiter"
    # Only the header is then as wide as the header.
    if keep.sum() == 1 and widths[row] == width + 1:
        advice = _NO_FIRST_HEADER
    return InputError(found, advice, file=file, line=line)


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"


def _shortened(content: bytes, limit: int = 60) -> str:
    text = content.decode(errors="replace").strip()
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _counted(count: int, noun: str, rest: str) -> str:
    return Note(f"{count} {noun}{'' if count == 1 else 's'} {rest} {'was' if count == 1 else 'were'} skipped")
