"""The statements of a Newick text that may be longer than memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import chain

from hxcli.errors import Note
from hxcli.formats.source_extract import LeaveOut, left_out_before
from hxcli.formats.trees.newick import bare_tip_error, refuse_other_text
from hxcli.formats.trees.scanner.byte_positions import positions
from hxcli.formats.trees.scanner.labels import Header
from hxcli.formats.trees.scanner.masking import Blanked
from hxcli.formats.trees.scanner.whole_statements import Wanted, unwanted_trees
from hxcli.formats.trees.statements import TreeStatement

# Bytes of a tree that are looked at first.
_GLANCE = 100
_OPEN = ord("(")
# A tree, behind any comments.
_BEGINS = re.compile(rb"(?:\s|\[[^\[\]]*\])*\(")


def newick_statements(
    parts: Callable[[LeaveOut | None], Iterator[Blanked]], warnings: dict[str, None], wanted: Wanted | None = None
) -> Generator[TreeStatement, None, int]:
    """The trees of a Newick text, unread; in the end their number, with those left out.

    Args:
        parts: The text, each part of which ends behind a `;`, without the statements that it is told to leave out.
        warnings: Told what a reader of the file should know.
        wanted: The trees that are; others may be given too. None for all.

    Raises:
        InputError: No tree file, or a tip without brackets that is not alone.
    """
    number = 0
    bare: TreeStatement | None = None

    def leave_out(data: bytes) -> Iterable[tuple[int, int]]:
        return () if wanted is None else unwanted_trees(data, _BEGINS, number, wanted)

    for blanked in parts(None if wanted is None else leave_out):
        if not number and blanked.blank.tobytes().strip(b"; \t\r\n"):
            refuse_other_text(blanked)
        passed, here, start = number, 0, 0
        ends = positions(blanked.blank, ord(";")).tolist()
        for end in chain(ends, [len(blanked.blank)]):
            terminated = end < len(blanked.blank)
            # A glance saves looking at the whole of every tree; an empty statement is no tree.
            if any(blanked.blank[start:till].tobytes().strip() for till in (min(end, start + _GLANCE), end)):
                here += 1
                number = passed + here + left_out_before(blanked.source, start)
                if not terminated:
                    warnings[Note("the last ';' is missing: was the file cut short?")] = None
                header = Header(start, tree=f"tree {number}")
                statement = TreeStatement(blanked, start, end, header, terminated=terminated, place=number - 1)
                if not _BEGINS.match(blanked.source.data, start, end):
                    bare = bare or _bare(statement)
                if bare is not None and number > 1:
                    _refuse(bare)
                yield statement
            start = end + 1
        number = passed + here + left_out_before(blanked.source, len(blanked.blank))
    return number


def _bare(statement: TreeStatement) -> TreeStatement | None:
    """The statement, if there is no bracket in it."""
    return None if (statement.blanked.blank[statement.start : statement.end] == _OPEN).any() else statement


def _refuse(bare: TreeStatement) -> None:
    """Refuses what stands beside a tree."""
    tree = bare.read()
    if tree is not None:
        raise bare_tip_error(bare.blanked, tree, bare.start)
