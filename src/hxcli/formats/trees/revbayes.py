"""Tree logs of RevBayes: a table between tabs with one row an iteration, of which one column holds a Newick tree."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator

import numpy as np

from hxcli.errors import InputError
from hxcli.formats.source import Source
from hxcli.formats.source_extract import LeaveOut, left_out_before
from hxcli.formats.trees.scanner.byte_positions import positions
from hxcli.formats.trees.scanner.labels import Header
from hxcli.formats.trees.scanner.masking import Blanked
from hxcli.formats.trees.scanner.whole_statements import Wanted, unwanted_trees
from hxcli.formats.trees.statements import TreeStatement

# A header without brackets, and a row that has one behind a tab.
_LOG = re.compile(rb"(?:[ \t]*(?:#[^\r\n]*)?\r?\n)*([^\r\n()\[\];]*\t[^\r\n()\[\];]*)\r?\n([^\r\n(]*\t)\(")
# What is left of one row, and the next one up to its tree.
_BEGINS = re.compile(rb"[^\r\n(\[]*\r?\n[^\r\n(\[]*\t\(")


def is_tree_log(beginning: Source) -> bool:
    """Whether a text begins as a tree log does."""
    return _LOG.match(beginning.data) is not None


def tree_log_statements(
    parts: Callable[[LeaveOut | None], Iterator[Blanked]], beginning: Source, wanted: Wanted | None = None
) -> Generator[TreeStatement, None, int]:
    """The trees of a tree log, unread; each has the name that the first column gives its row. In the end their number.

    Args:
        parts: The text, each part of which ends behind a `;`, without the statements that it is told to leave out.
        beginning: What `is_tree_log` has found to be one.
        wanted: The trees that are; others may be given too. None for all.

    Raises:
        InputError: A row with another number of cells than the header, or two trees in one row.
    """
    found = _LOG.match(beginning.data)
    assert found is not None
    columns, before = found[1].count(b"\t") + 1, found[2].count(b"\t")
    skip = found.start(2)
    behind = columns - before - 1
    number = 0

    def leave_out(data: bytes) -> Iterable[tuple[int, int]]:
        # The first row has the header before it.
        return unwanted_trees(data, _BEGINS, number, wanted) if wanted is not None and number else ()

    for blanked in parts(None if wanted is None else leave_out):
        passed, here = number, 0
        text = blanked.blank.tobytes()
        start = skip
        for end in positions(blanked.blank, ord(";")).tolist():
            row = start if not number else _end_of_row(blanked, text, start, end, behind)
            here += 1
            number = passed + here + left_out_before(blanked.source, start)
            bracket = text.find(b"(", row, end)
            bracket = end if bracket < 0 else bracket
            if text.count(b"\t", row, bracket) != before:
                raise _ragged(blanked, text, row, bracket)
            cells = text[row:bracket].split(b"\t")
            tree = row + len(b"\t".join(cells[:before])) + 1
            if b"\n" in text[row:tree].strip(b"\r\n"):
                raise _ragged(blanked, text, row, bracket)
            name = cells[0].strip().decode("utf-8", "replace")
            yield TreeStatement(blanked, tree, end, Header(tree, name, f"tree {number}"), place=number - 1)
            start = end + 1
        skip, number = 0, passed + here + left_out_before(blanked.source, len(text))
        rest = text[start:]
        if rest.strip():
            stop = _end_of_row(blanked, text, start, len(text), behind)
            if text[stop:].strip():
                offset = stop + len(text[stop:]) - len(text[stop:].lstrip())
                raise blanked.source.error("a row without a tree and its ';'", "is the file cut short?", offset)
    return number


def _end_of_row(blanked: Blanked, text: bytes, start: int, end: int, behind: int) -> int:
    """Where the next row begins, behind the rest of the row whose tree ends at `start`."""
    newline = text.find(b"\n", start, end)
    rest = text[start : end if newline < 0 else newline]
    if rest.count(b"\t") != behind or (behind == 0 and rest.strip()):
        raise _ragged(blanked, text, start, start)
    return end if newline < 0 else newline + 1


def _ragged(blanked: Blanked, text: bytes, row: int, near: int) -> InputError:
    offset = (
        row + int(np.argmax(np.frombuffer(text[row : near + 1] or b" ", np.uint8) > ord(" "))) if near > row else row
    )
    found = "a row of the tree log that is not like the header"
    return blanked.source.error(found, "give every row the same cells, one of them a tree with its ';'", offset)
