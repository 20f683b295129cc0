"""Matching: which row of a table belongs to which tip of a tree, and what is told of those that have none."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hxcli.close_names import counted, listed
from hxcli.errors import InputError, Note
from hxcli.phylogeny import Phylogeny
from hxcli.run.name_columns import (
    better_column,
    called,
    name_key,
    refuse_row_numbers,
    shell_word,
    two_columns_of_names,
)
from hxcli.run.name_hints import NameHints, beside_another_row, comment_note, inner_node_note, inner_nodes_among
from hxcli.run.table_shapes import refuse_long, transposed
from hxcli.text_columns import Texts
from hxcli.traits import Cells, MatchReport, Observations, TraitTable


def match(
    phylogeny: Phylogeny,
    table: TraitTable,
    *,
    strict: bool = False,
    replicates: bool = False,
    texts: Collection[str] | None = None,
) -> tuple[Observations, MatchReport, tuple[str, ...]]:
    """Places the rows of a table on the tips of a tree.

    Names meet exactly; those left then with `_` read as a space, then in Unicode's composed form (NFC), then with
    both, each time only where one name of the table and one of the tree are equal. O(tips + rows).

    Args:
        phylogeny: The tree.
        table: The table.
        strict: Refuse tips without a row and rows without a tip.
        replicates: Accept several rows for one tip, each an observation of its own.
        texts: Marks of missing values in columns of text, which are placed too; None to leave them out.

    Returns:
        The observations, how the names met, and what the user should know, a sentence each.

    Raises:
        InputError: No row has a tip, a tip has several rows without `replicates`, two columns could hold the names,
            the table is long or transposed, the header names a tip that has no row, or `strict` was not met.
    """
    tip_names = phylogeny.tip_names
    if table.cells is not None:
        refuse_row_numbers(table.cells, tip_names, table.file)
    placed = table.names.places_among(tip_names)
    exact = int(np.count_nonzero(np.bincount(placed[placed >= 0], minlength=len(tip_names))))

    by_underscore, by_unicode = _loose_pairs(tip_names, table.names, placed)
    pairs = dict((*by_underscore, *by_unicode))
    if pairs:
        tip_of = {tip: place for place, tip in enumerate(tip_names)}
        rows = np.flatnonzero(placed < 0)
        placed[rows] = [tip_of.get(pairs.get(row, ""), -1) for row in table.names[rows]]
    with_tip = placed >= 0
    if not with_tip.any():
        raise _no_overlap(phylogeny, table)
    counts = np.bincount(placed[with_tip], minlength=len(tip_names))
    if counts.max() > 1 and table.cells is not None:
        refuse_long(table.cells, table.file)
    if not replicates and counts.max() > 1:
        raise _repeated(tip_names, table, placed, counts)
    report = MatchReport(
        exact=exact,
        by_underscore=by_underscore,
        by_unicode=by_unicode,
        tips_without_data=tuple(tip_names[np.flatnonzero(counts == 0)]),
        rows_without_tip=tuple(table.names[np.flatnonzero(~with_tip)]),
    )
    _refuse_tip_as_header(report, table)
    notes, unmet = _match_notes(report, len(tip_names), table), _unmet_notes(report, phylogeny, table)
    if strict and unmet:
        raise InputError("; ".join(unmet), "correct the names, or leave --strict out", file=table.file)
    notes += unmet
    rows = np.flatnonzero(with_tip)
    # Stable, so that replicates keep the order of the file.
    rows = rows[np.argsort(placed[rows], kind="stable")]
    values = table.values[rows]
    observations = Observations(
        nodes=phylogeny.tips[placed[rows]],
        values=values,
        standard_errors=table.standard_errors[rows]
        if table.standard_errors.any()
        else np.broadcast_to(0.0, values.shape),
        traits=table.traits,
        texts={} if texts is None or table.cells is None else _texts(table.cells, rows, texts),
        states=tuple(column.rows(rows) for column in table.states),
    )
    return observations, report, notes


def _texts(cells: Cells, rows: NDArray[np.intp], missing: Collection[str]) -> dict[str, NDArray[Any]]:
    """Header -> the cells of those rows, of the columns in which no cell is a number."""
    found = {}
    for index, header in enumerate(cells.header):
        if cells.is_text[index] and index != cells.id_index and header:
            texts = (text.strip() for text in cells.column(index)[rows])
            found[header] = np.array(["" if text in missing else text for text in texts], object)
    return found


# Names of a table that are looked at where none is a tip.
_LOOKED_AT = 5
Pairs = tuple[tuple[str, str], ...]


def _loose_pairs(tips: Texts, rows: Texts, placed: NDArray[np.intp]) -> tuple[Pairs, Pairs]:
    """(row name, tip name) pairs among the names that did not meet exactly: by underscore, by Unicode form."""
    open_rows = list(dict.fromkeys(rows[np.flatnonzero(placed < 0)]))
    if not open_rows:
        return (), ()
    taken = np.zeros(len(tips), bool)
    taken[placed[placed >= 0]] = True
    open_tips = tips[np.flatnonzero(~taken)].tolist()
    by_underscore = _pairs(open_rows, open_tips, _spaced)
    by_unicode: Pairs = ()
    found = by_underscore
    for key in (_composed, _spaced_and_composed):
        if all(map(str.isascii, open_rows)) and all(map(str.isascii, open_tips)):
            break
        open_rows, open_tips = (
            _without(open_rows, (row for row, _ in found)),
            _without(open_tips, (t for _, t in found)),
        )
        found = _pairs(open_rows, open_tips, key)
        by_unicode += found
    return by_underscore, by_unicode


def _pairs(rows: list[str], tips: list[str], key: Callable[[str], str]) -> Pairs:
    """(row, tip) of equal key where the key occurs once among the rows and once among the tips."""
    if not rows or not tips:
        return ()
    row_keys, tip_keys = [key(row) for row in rows], [key(tip) for tip in tips]
    row_counts, tip_counts = Counter(row_keys), Counter(tip_keys)
    tip_of = dict(zip(tip_keys, tips, strict=True))
    return tuple(
        (row, tip_of[name])
        for row, name in zip(rows, row_keys, strict=True)
        if tip_counts.get(name) == 1 and row_counts[name] == 1
    )


def _without(names: list[str], others: Iterable[str]) -> list[str]:
    gone = set(others)
    return [name for name in names if name not in gone] if gone else names


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _composed(name: str) -> str:
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _spaced_and_composed(name: str) -> str:
    return _composed(_spaced(name))


def _match_notes(report: MatchReport, tips: int, table: TraitTable) -> tuple[str, ...]:
    notes = []
    for pairs, how in (
        (report.by_underscore, "once `_` is read as a space"),
        (report.by_unicode, "in Unicode form NFC"),
    ):
        if pairs:
            row, tip = pairs[0]
            notes.append(Note(f"{counted(len(pairs), 'name')} matched only {how}, such as {row!r} and {tip!r}"))
    return tuple(notes)


def _unmet_notes(report: MatchReport, phylogeny: Phylogeny, table: TraitTable) -> tuple[str, ...]:
    """A sentence on the tips without a row, one on the rows without a tip, and why that may be."""
    notes: list[str] = []
    tips, without_data = len(phylogeny.tips), report.tips_without_data
    if without_data:
        of_all = f"{len(without_data)} of {counted(tips, 'tip')}"
        notes.append(Note(f"{of_all} without a row in the table: {listed(without_data)}"))
    inner = inner_nodes_among(phylogeny, report.rows_without_tip)
    if inner:
        notes.append(inner_node_note(inner))
    gone = set(inner)
    without_tip = [name for name in report.rows_without_tip if name not in gone]
    if without_tip:
        shown = Note(f"{counted(len(without_tip), 'row')} without a tip in the tree: {listed(without_tip)}")
        hints = NameHints(without_data).hints(without_tip)
        hints += [hint for name in without_tip[:5] if (hint := beside_another_row(name, table.names))]
        better = better_column(table.cells, phylogeny.tip_names, tips - len(without_data)) if table.cells else None
        if better is not None:
            hints.append(
                f"{called(better[0])} holds more of the tips, {better[1]} (--id-column {shell_word(better[0])})"
            )
        notes.append(f"{shown}; {', '.join(hints)}" if hints else shown)
        if comment := comment_note(phylogeny, without_data):
            notes.append(comment)
    return tuple(notes)


def _refuse_tip_as_header(report: MatchReport, table: TraitTable) -> None:
    header = _spaced_and_composed(table.id_header)
    if header in map(_spaced_and_composed, report.tips_without_data):
        found = f"the column of tip names has the header {table.id_header!r}, which is a tip that has no row"
        raise InputError(found, "is the header missing? add a line with column names", file=table.file)


def _no_overlap(phylogeny: Phylogeny, table: TraitTable) -> InputError:
    if table.cells is not None and (shape := other_reading(phylogeny, table.cells, table.file)) is not None:
        return shape
    tips = phylogeny.tip_names
    rows, others = listed(table.names.tolist(), 3), listed(tips.tolist(), 3)
    found = f"no name of the table is a tip: the table has {rows}, the tree {others}"
    names = table.names[:_LOOKED_AT].tolist()
    if inner := inner_nodes_among(phylogeny, names):
        return InputError(found, inner_node_note(inner), file=table.file)
    hints = NameHints(tips)
    meant = next(((name, tip) for name in names if (tip := hints.tip_for(name)) is not None), None)
    hint = f"is {meant[0]!r} the tip {meant[1]!r}? " if meant else ""
    if comment := comment_note(phylogeny, tips.tolist()):
        return InputError(found, comment, file=table.file)
    return InputError(found, hint + "--id-column names the column of tip names", file=table.file)


def other_reading(phylogeny: Phylogeny, cells: Cells, file: str) -> InputError | None:
    """What to say of a table whose column of names has no tip: that it is transposed, or which column has them.

    None where its names are tips, or where no other column, no two columns and no header are.
    """
    tips = phylogeny.tip_names
    known = {name_key(tip) for tip in tips}
    if any(name_key(name) in known for name in cells.column(cells.id_index)):
        return None
    if headers := transposed(cells, tips):
        found = f"no row is named like a tip, but {counted(len(headers), 'column')}: {listed(headers, 3)}"
        return InputError(found, "transpose the table: one row for each tip, one column for each trait", file=file)
    if (better := better_column(cells, tips, 0)) is not None:
        first = called(cells.header[cells.id_index])
        found = f"{first} holds no name of a tip, but column {better[0]!r} does"
        return InputError(found, f"give --id-column {shell_word(better[0])}", file=file)
    if (both := two_columns_of_names(cells, tips)) is not None:
        found = f"the names of the tips stand in two columns, {both[0]} and {both[1]}"
        return InputError(found, f"join them into one column in front, as in {both[2]!r}", file=file)
    return None


def _repeated(tips: Texts, table: TraitTable, placed: NDArray[np.intp], counts: NDArray[np.intp]) -> InputError:
    repeated = np.flatnonzero(counts > 1)
    first = np.flatnonzero(placed == repeated[0])
    names = tips[repeated[:6]].tolist()
    where = ""
    if table.lines is not None:
        where = " on lines " + ", ".join(str(line) for line in table.lines[first[:5]].tolist())
    found = f"{len(first)} rows for {names[0]!r}{where}"
    if len(repeated) > 1:
        found += f"; {counted(len(repeated) - 1, 'further name')} repeated: {listed(names[1:6])}"
    return InputError(found, "keep one row for each tip, or give --replicates", file=table.file)
