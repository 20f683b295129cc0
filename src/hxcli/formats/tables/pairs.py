"""Tables of pairs of nodes: two columns of names, or four of tips, two for the common ancestor of each."""

from __future__ import annotations

from hxcli.errors import InputError
from hxcli.formats.source import Source
from hxcli.formats.tables.delimited import read_grid
from hxcli.formats.trees.node_identifiers import node_names
from hxcli.node_pairs import PairTable
from hxcli.painting import RegimeRow


def read_pairs(source: Source) -> PairTable:
    """Reads a table of pairs; the names of its columns are of no meaning, their order is.

    Raises:
        InputError: Neither two nor four columns, or an empty cell.
    """
    grid = read_grid(source)
    header = tuple(str(name) for name in grid.header()[0].to_list())
    if grid.width not in (2, 4):
        raise InputError(
            f"a table of pairs has 2 columns, names of nodes, or 4, two tips for each node; here are {grid.width}",
            "write node_a,node_b or tip_a1,tip_a2,tip_b1,tip_b2",
            file=grid.file,
            line=grid.header_line,
        )
    rows = []
    for number, line in enumerate(grid.lines.tolist()):
        cells = [grid.cell(number, column) for column in range(grid.width)]
        if "" in cells:
            raise InputError(f"column {header[cells.index('')]!r} is empty", "name a node", file=grid.file, line=line)
        half = grid.width // 2
        first, second = (_row(side, line) for side in (cells[:half], cells[half:]))
        rows.append((first, second))
    return PairTable(grid.file, header, grid.header_line, tuple(rows), node_names)


def _row(cells: list[str], line: int) -> RegimeRow:
    if len(cells) == 1:
        return RegimeRow(cells[0], "", "", "", 1.0, line)
    return RegimeRow("", cells[0], cells[1], "", 1.0, line)
