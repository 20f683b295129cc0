"""Trait tables: CSV, TSV, semicolons, white-space columns and Parquet, told apart by content, never by extension."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hxcli.close_names import did_you_mean, listed
from hxcli.errors import InputError, Note
from hxcli.formats.source import Source
from hxcli.formats.tables.delimited import read_grid
from hxcli.formats.tables.numeric_columns import Columns, columns_of_grid
from hxcli.formats.tables.parquet import columns_of_parquet
from hxcli.formats.tables.state_columns import StateReading, state_columns
from hxcli.formats.trees.scanner.parse_floats import is_number
from hxcli.phylogeny import FloatArray
from hxcli.text_columns import Texts
from hxcli.traits import Cells, TraitTable

# How the note about columns of text begins.
LEFT_OUT = Note("left out, because no cell is a number")


def read_table(
    source: Source,
    *,
    id_column: str | None = None,
    columns: Sequence[str] = (),
    na: Sequence[str] = (),
    se_columns: Mapping[str, str] | None = None,
    text_only: bool = False,
    states: StateReading | None = None,
) -> tuple[TraitTable, tuple[str, ...]]:
    """Reads a trait table: tip names, numeric traits and their known standard errors.

    Without `columns` every numeric column is a trait: a column in which no cell is a number is left out with a
    note, one in which some cells are numbers and others are not is refused. A column `<trait>_se` beside a trait
    holds its known standard errors, unless `columns` names it.

    Args:
        source: The file, from `read_source(path, parquet=True)`.
        id_column: Header of the column with the tip names, None for the first column.
        columns: Headers of the trait columns, empty for all.
        na: Further texts that mark a missing value.
        se_columns: Trait -> header of its known standard errors; the key "" stands for the only trait.
        text_only: Accept a table without any numeric column; it then has no traits.
        states: Which columns are traits of states; None where none may be.

    Returns:
        The table, and what the user should know about how it was read, a sentence each.

    Raises:
        InputError: What is no table, or (`UnreadTable`) one that cannot be read in exactly one way; it names the line.
    """
    if source.data.startswith(b"PAR1"):
        cells = columns_of_parquet(source.data, source.file, na)
    else:
        cells = columns_of_grid(read_grid(source), na)
    try:
        return _table(cells, id_column, columns, na, se_columns or {}, text_only, states)
    except InputError as error:
        raise UnreadTable(error, _as_text(cells, id_column)) from error


class UnreadTable(InputError):
    """A table that is refused although its rows and columns could be told apart.

    Args:
        refusal: What is wrong with it.
        cells: The whole table.
    """

    def __init__(self, refusal: InputError, cells: Cells) -> None:
        super().__init__(refusal.found, refusal.advice, file=refusal.file, line=refusal.line, column=refusal.column)
        self.cells = cells


def _as_text(cells: Columns, id_column: str | None) -> Cells:
    chosen = (id_column or "").strip()
    return Cells(
        header=cells.header,
        id_index=cells.header.index(chosen) if id_column is not None and chosen in cells.header else 0,
        chosen=id_column is not None,
        column=cells.names,
        cell=cells.text,
        is_text=tuple((cells.has_wrong & ~cells.has_numbers).tolist()),
    )


def _table(
    cells: Columns,
    id_column: str | None,
    columns: Sequence[str],
    na: Sequence[str],
    se_columns: Mapping[str, str],
    text_only: bool,
    states: StateReading | None,
) -> tuple[TraitTable, tuple[str, ...]]:
    notes = list(cells.notes)
    named = _checked_header(cells, id_column, notes)
    id_index = 0 if id_column is None else named[id_column.strip()]
    _refuse_row_as_header(cells, id_index)
    of_states = state_columns(cells, named, id_index, columns, states) if states else ()
    taken = {index for column in of_states for index in column.columns}
    columns = [name for name in columns if named.get(name.strip()) not in taken]
    others = {name: index for name, index in named.items() if index not in taken}
    # Who names traits of states only has named all traits.
    only_states = bool(of_states) and not columns and states is not None and states.by_column
    given = [] if only_states else _trait_indices(cells, named if columns else others, id_index, columns, notes)
    errors = _error_indices(cells, named, id_index, given, bool(columns), se_columns)
    taken_errors = set(errors.values())
    traits = [index for index in given if columns or index not in taken_errors]
    if not traits and not text_only and not of_states:
        raise _no_traits(cells, id_index)
    shape = len(cells.lines), len(traits)
    # Where there are none, one zero stands for all, which takes no memory.
    standard_errors = np.zeros(shape) if errors else np.broadcast_to(0.0, shape)
    for position, trait in enumerate(traits):
        if trait in errors:
            standard_errors[:, position] = _standard_errors(cells, trait, errors[trait])
            notes.append(
                Note(f"known standard errors of {cells.header[trait]!r}: column {cells.header[errors[trait]]!r}")
            )
            continue
        beside = f"{cells.header[trait]}_se"
        if columns and named.get(beside) in traits:
            notes.append(
                Note(f"column {beside!r} is a trait, as asked, and not the standard errors of {cells.header[trait]!r}")
            )
    notes += _unused_marks(cells, id_index, na)
    used = {id_index, *traits, *errors.values(), *taken}
    left_out = [index for index in named.values() if index not in used and not cells.has_numbers[index]]
    text = tuple(cells.header[index] for index in left_out)
    if text and not columns and not only_states:
        said = " (--column NAME takes one as states)" if states else ""
        notes.append(f"{LEFT_OUT}: {listed(text)}{said}")
    table = TraitTable(
        names=_names(cells, id_index),
        traits=tuple(cells.header[index] for index in traits),
        values=_some_columns(cells.values, traits),
        standard_errors=standard_errors,
        text_columns=text,
        file=cells.file,
        lines=cells.lines,
        id_header=cells.header[id_index],
        error_columns=tuple(cells.header[errors[index]] if index in errors else "" for index in traits),
        cells=_as_text(cells, id_column),
        states=of_states,
    )
    return table, tuple(notes)


def _some_columns(values: FloatArray, columns: list[int]) -> FloatArray:
    """Those columns, without a copy where they stand side by side."""
    if columns and columns == list(range(columns[0], columns[0] + len(columns))):
        return values[:, columns[0] : columns[-1] + 1]
    return values[:, columns]


def _checked_header(cells: Columns, id_column: str | None, notes: list[str]) -> dict[str, int]:
    """Header -> column, without an unnamed first column that does not hold the names."""
    named: dict[str, int] = {}
    for index, name in enumerate(cells.header):
        if not name and index:
            raise cells.refusal(f"column {index + 1} has no name", _without_name(cells, index), header=True)
        if name in named:
            found = f"the header {name!r} stands twice (columns {named[name] + 1} and {index + 1})"
            two = ", such as mass_mean: the lines below belong to the header" if _has_levels(cells) else ""
            raise cells.refusal(found, f"give every column a name of its own{two}", header=True)
        named[name] = index
    if id_column is None:
        return named
    if id_column.strip() not in named:
        raise _unknown(cells, id_column, named)
    if id_column.strip() and "" in named:
        notes.append(Note("the first column was left out, because it has no name"))
        del named[""]
    return named


def _without_name(cells: Columns, index: int) -> str:
    """What to do about a column that has no header."""
    if len(cells.header) > 1 and cells.header[0] and not any(cells.header[1:]):
        return f"is {cells.header[0]!r} a title above the header? delete it and what else is above the header"
    return "it is empty: delete it" if cells.missing[:, index].all() else "give every column a header"


def _has_levels(cells: Columns) -> bool:
    """Whether the first row is words alone, as where pandas writes a header of several levels."""
    return len(cells.lines) > 1 and bool(cells.wrong[0, 1:].all()) and not cells.wrong[-1, 1:].all()


def _refuse_row_as_header(cells: Columns, id_index: int) -> None:
    """The header of a text file is no row of values; a Parquet file always has a header."""
    others = cells.header[:id_index] + cells.header[id_index + 1 :]
    if cells.header_line is not None and all(map(is_number, others)):
        advice = "is the header missing? add a line with column names"
        raise cells.refusal("the header holds numbers", advice, header=True)


def _unused_marks(cells: Columns, id_index: int, na: Sequence[str]) -> list[str]:
    used = np.asarray(np.delete(cells.marked, id_index, axis=1).any(axis=1))
    return [Note(f"--na {mark!r} matched no cell") for mark, found in zip(na, used.tolist(), strict=True) if not found]


def _names(cells: Columns, index: int) -> Texts:
    names = cells.names(index)
    if "" in names:
        row = names.tolist().index("")
        found = f"row {row + 1} has no name in column {cells.header[index]!r}"
        raise cells.refusal(found, "name the tip or delete the row", row=row)
    return names


def _trait_indices(
    cells: Columns, named: dict[str, int], id_index: int, columns: Sequence[str], notes: list[str]
) -> list[int]:
    if columns:
        return [_named_trait(cells, named, id_index, name) for name in dict.fromkeys(map(str.strip, columns))]
    traits = []
    for index in named.values():
        if index == id_index:
            continue
        numeric = bool(cells.has_numbers[index])
        if cells.has_wrong[index]:
            wrong = cells.wrong[:, index]
            # Of a column of text only what was plainly meant as a number is refused.
            doubtful = wrong if numeric or cells.all_written_otherwise(index) else cells.infinite(index)
            if doubtful.any():
                raise _no_number(cells, int(doubtful.argmax()), index, "or leave the column out: --column")
        if numeric:
            traits.append(index)
    return traits


def _named_trait(cells: Columns, named: dict[str, int], id_index: int, name: str) -> int:
    if name not in named:
        raise _unknown(cells, name, named)
    index = named[name]
    if index == id_index:
        raise cells.refusal(f"column {name!r} holds the tip names", "name another column", header=True)
    if cells.has_wrong[index]:
        raise _no_number(cells, int(cells.wrong[:, index].argmax()), index, "")
    if not cells.has_numbers[index]:
        raise cells.refusal(f"column {name!r} holds no value", "name another column", header=True)
    return index


def _error_indices(
    cells: Columns,
    named: dict[str, int],
    id_index: int,
    traits: list[int],
    chosen: bool,
    se_columns: Mapping[str, str],
) -> dict[int, int]:
    """Trait column -> column of its known standard errors."""
    errors = {}
    for trait in traits:
        beside = named.get(f"{cells.header[trait]}_se")
        # A column that the user names as a trait is one.
        free = beside is not None and beside != id_index and not (chosen and beside in traits)
        if beside is not None and free and (cells.has_numbers[beside] or cells.has_wrong[beside]):
            errors[trait] = beside
    taken = set(errors.values())
    plain = [trait for trait in traits if trait not in taken]
    for key, column in se_columns.items():
        if column.strip() not in named:
            raise _unknown(cells, column, named)
        index = named[column.strip()]
        candidates = [trait for trait in plain if trait != index]
        if named.get(key.strip()) == index if key else plain == [index]:
            found = f"column {column.strip()!r} is the trait itself, not its standard errors"
            raise cells.refusal(found, "name the column that holds the standard errors", header=True)
        if not key and len(candidates) != 1:
            found = f"--se-column {column} does not say which of {len(candidates)} traits it belongs to"
            raise cells.refusal(found, f"write --se-column TRAIT={column}", header=True)
        trait = candidates[0] if not key else named.get(key.strip(), -1)
        if trait not in candidates:
            found = f"standard errors are given for {key!r}, which is not a trait in use"
            names = [cells.header[trait] for trait in candidates]
            raise cells.refusal(found, did_you_mean(key, names) or f"traits: {listed(names)}", header=True)
        errors[trait] = index
    return errors


def _standard_errors(cells: Columns, trait: int, column: int) -> FloatArray:
    """(R,) the standard errors in `column`; 0 where the trait has no value."""
    needed = cells.numbers(trait)
    errors = np.where(needed, cells.values[:, column], 0.0)
    name = cells.header[column]
    if cells.has_wrong[column]:
        raise _no_number(cells, int(cells.wrong[:, column].argmax()), column, "")
    absent = needed & ~cells.numbers(column)
    if absent.any():
        row = int(absent.argmax())
        found = f"the standard error in column {name!r} is missing where {cells.header[trait]!r} has a value"
        raise cells.refusal(found, "give the standard error, or 0 for an exact value", row=row)
    if (errors < 0).any():
        row = int((errors < 0).argmax())
        raise cells.refusal(f"a negative standard error, {errors[row]:g}, in column {name!r}", row=row)
    return errors


def _no_number(cells: Columns, row: int, column: int, advice: str) -> InputError:
    text = cells.text(row, column)
    shown = text if len(text) <= 60 else text[:57] + "..."
    what = "is not a finite number" if cells.infinite(column)[row] else "is not a number"
    units = row == 0 and np.count_nonzero(cells.has_numbers) > 1 and bool(cells.wrong[0, cells.has_numbers].all())
    hint = "a row of units? delete it" if units else cells.hint(text)
    return cells.refusal(
        f"{shown!r} in column {cells.header[column]!r} {what}", "; ".join(filter(None, (hint, advice))), row=row
    )


def _no_traits(cells: Columns, id_index: int) -> InputError:
    rows, columns = np.nonzero(cells.wrong)
    others = columns != id_index
    if others.any():
        row, column = int(rows[others][0]), int(columns[others][0])
        name = cells.header[column]
        states = f"; --column {name} takes it as states" if name and not cells.has_numbers[column] else ""
        advice = f"no column holds numbers{states}; --id-column says which holds the names"
        return _no_number(cells, row, column, advice)
    return cells.refusal("no column of the table holds a number", "give at least one trait", header=True)


def _unknown(cells: Columns, name: str, named: Mapping[str, int]) -> InputError:
    known = [header for header in named if header]
    advice = did_you_mean(name, known) or f"columns: {listed(known, 10)}"
    return cells.refusal(f"there is no column {name!r}", advice, header=True)
