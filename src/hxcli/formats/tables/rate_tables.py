"""Small tables about states: a model's table of rates, and a prior of the root."""

from __future__ import annotations

import csv

from hxcli.close_names import counted
from hxcli.errors import InputError
from hxcli.formats.source import read_source
from hxcli.formats.trees.scanner.parse_floats import is_number

RateTable = tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]


def read_rate_table(path: str) -> RateTable:
    """The states and the cells, as text, of a square table whose header and first column are the states.

    Lines above it that begin with `# `, as `hx models show er` writes them, are remarks.

    Raises:
        InputError: The file is no such table.
    """
    rows, first = _rows(path)
    states = tuple(rows[0][1:])
    if len(states) < 2 or len(set(states)) != len(states) or "" in states:
        raise InputError("the header does not name two or more different states", "write ,a,b", file=path, line=first)
    named = {row[0]: (number, row) for number, row in enumerate(rows[1:], first + 1)}
    if len(named) != len(rows) - 1 or set(named) != set(states):
        raise InputError("the first column does not name the states of the header", "one row for each", file=path)
    cells = []
    for state in states:
        number, row = named[state]
        if len(row) != len(states) + 1:
            found = f"{counted(len(row) - 1, 'cell')} for {len(states)} states"
            raise InputError(found, "one cell for every state of the header", file=path, line=number)
        cells.append(tuple(row[1:]))
    return states, tuple(cells)


def read_root_prior(path: str) -> dict[str, float]:
    """State -> share, from a table `state,probability`.

    Raises:
        InputError: The file is no such table.
    """
    rows, first = _rows(path)
    if rows[0] != ["state", "probability"]:
        raise InputError(f"the header is {','.join(rows[0])}", "write state,probability", file=path, line=first)
    shares: dict[str, float] = {}
    for number, row in enumerate(rows[1:], first + 1):
        if len(row) != 2 or not is_number(row[1]) or row[0] in shares:
            raise InputError(f"{','.join(row)!r} is no state with its share", "write a,0.7", file=path, line=number)
        shares[row[0]] = float(row[1])
    return shares


def _rows(path: str) -> tuple[list[list[str]], int]:
    """The rows below the remarks, and the line of the first."""
    lines = read_source(path).data.decode("utf-8-sig").splitlines()
    remarks = next((place for place, line in enumerate(lines) if not line.startswith("# ")), 0)
    lines = lines[remarks:]
    first = lines[0] if lines else ""
    delimiter = max(",\t;", key=first.count)
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter) if any(row)]
    if len(rows) < 2 or len(rows[0]) < 2:
        raise InputError("the file is no table with a header and rows", "see hx ancestral --help", file=path)
    return rows, remarks + 1
