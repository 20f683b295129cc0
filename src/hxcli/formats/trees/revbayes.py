"""Tree logs of RevBayes: a table between tabs with one row an iteration, of which one column holds a Newick tree."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from hxcli.errors import InputError
from hxcli.formats.source import Source
from hxcli.formats.trees.scanner.byte_positions import positions
from hxcli.formats.trees.scanner.labels import Header
from hxcli.formats.trees.scanner.masking import Blanked
from hxcli.formats.trees.statements import TreeStatement

# A header without brackets, and a row that has one behind a tab.
_LOG = re.compile(rb"(?:[ \t]*(?:#[^\r\n]*)?\r?\n)*([^\r\n()\[\];]*\t[^\r\n()\[\];]*)\r?\n([^\r\n(]*\t)\(")


def is_tree_log(beginning: Source) -> bool:
    """Whether a text begins as a tree log does."""
    return _LOG.match(beginning.data) is not None


def tree_log_statements(parts: Iterator[Blanked], beginning: Source) -> Iterator[TreeStatement]:
    """The trees of a tree log, unread; each has the name that the first column gives its row.

    Args:
        parts: The text, each part of which ends behind a `;`.
        beginning: What `is_tree_log` has found to be one.

    Raises:
        InputError: A row with another number of cells than the header, or two trees in one row.
    """
    found = _LOG.match(beginning.data)
    assert found is not None
    columns, before = found[1].count(b"\t") + 1, found[2].count(b"\t")
    skip = found.start(2)
    behind = columns - before - 1
    number = 0
    for blanked in parts:
        text = blanked.blank.tobytes()
        start = skip
        for end in positions(blanked.blank, ord(";")).tolist():
            row = start if not number else _end_of_row(blanked, text, start, end, behind)
            number += 1
            bracket = text.find(b"(", row, end)
            bracket = end if bracket < 0 else bracket
            if text.count(b"\t", row, bracket) != before:
                raise _ragged(blanked, text, row, bracket)
            cells = text[row:bracket].split(b"\t")
            tree = row + len(b"\t".join(cells[:before])) + 1
            if b"\n" in text[row:tree].strip(b"\r\n"):
                raise _ragged(blanked, text, row, bracket)
            name = cells[0].strip().decode("utf-8", "replace")
            yield TreeStatement(blanked, tree, end, Header(tree, name, f"tree {number}"))
            start = end + 1
        skip = 0
        rest = text[start:]
        if rest.strip():
            stop = _end_of_row(blanked, text, start, len(text), behind)
            if text[stop:].strip():
                offset = stop + len(text[stop:]) - len(text[stop:].lstrip())
                raise blanked.source.error("a row without a tree and its ';'", "is the file cut short?", offset)


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
