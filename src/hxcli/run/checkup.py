"""What a look at a tree file and a table found: figures, matches and obstacles, as JSON values and as a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from hxcli.close_names import counted, listed
from hxcli.errors import HxError
from hxcli.traits import MatchReport, TraitTable


@dataclass(frozen=True)
class TreeFacts:
    """One tree in figures.

    Attributes:
        tips: Number of tips.
        nodes: Number of nodes, tips and root included.
        total_edge_length: Sum of all edge lengths but the root's; missing ones count as 0.
        max_root_to_tip: Largest sum of edge lengths between root and tip, likewise.
        tip_names_sha1: SHA-1 of the tip names, sorted by code point and joined by line feeds, in UTF-8.
        rooted: What the file states, else whether the root has at most two children.
        rooted_stated: Whether the file states it.
        binary: Whether every node that has children has two.
        ultrametric: Whether all tips are equally far from the root, up to `ULTRAMETRIC_TOLERANCE` of the distance;
            None where lengths are missing.
        polytomies: Number of nodes with more than two children.
        one_child_nodes: Number of nodes with one child.
        missing_lengths, zero_lengths, negative_lengths: Numbers of such edges, the root's left out.
        depth: Number of edges between the root and the deepest node.
    """

    tips: int
    nodes: int
    total_edge_length: float
    max_root_to_tip: float
    tip_names_sha1: str
    rooted: bool
    rooted_stated: bool
    binary: bool
    ultrametric: bool | None
    polytomies: int
    one_child_nodes: int
    missing_lengths: int
    zero_lengths: int
    negative_lengths: int
    depth: int


@dataclass(frozen=True)
class ColumnFacts:
    """One trait column in figures.

    Attributes:
        n: Number of rows with a value.
        missing: Number of rows without one.
        min, max: Smallest and largest value.
    """

    n: int
    missing: int
    min: float
    max: float


@dataclass(frozen=True, eq=False, repr=False)
class Checkup:
    """What was found in the files.

    Attributes:
        file: Path of the tree file.
        format: Its format.
        trees: Number of trees in it.
        tree_names: Their names, "" for one without.
        tree: Figures of the tree that was looked at.
        table: The table; None without one, or where it was refused.
        columns: Trait -> figures, in the table's order.
        states: Trait of states, or column of text that could be one -> number of rows that name each state.
        match: How tips and rows met; None where that is not known.
        notes: What the user should know, a sentence each.
        needs: What the analyses ask for before they use these files, a sentence each.
        obstacle: The refusal that stands in the way of any analysis; None without one.
    """

    file: str
    format: str
    trees: int
    tree_names: tuple[str, ...]
    tree: TreeFacts
    table: TraitTable | None
    columns: dict[str, ColumnFacts]
    states: dict[str, dict[str, int]]
    match: MatchReport | None
    notes: tuple[str, ...]
    needs: tuple[str, ...]
    obstacle: HxError | None

    def __repr__(self) -> str:
        return "\n".join(_report_lines(self))

    def as_json(self) -> dict[str, Any]:
        """The figures as plain JSON values; `traits` only where a table was read."""
        found: dict[str, Any] = {
            "file": self.file,
            "format": self.format,
            "trees": self.trees,
            "tree_names": list(self.tree_names),
            "tree": asdict(self.tree),
        }
        if self.table is not None:
            found["traits"] = {
                "file": self.table.file,
                "rows": len(self.table.names),
                "columns": {name: asdict(facts) for name, facts in self.columns.items()},
                "text_columns": list(self.table.text_columns),
                "states": {name: dict(counts) for name, counts in self.states.items()},
            }
        if self.match is not None:
            report = self.match
            found["traits"] |= {
                "matched": report.exact + len(report.by_underscore) + len(report.by_unicode),
                "matched_exactly": report.exact,
                "matched_by_underscore": len(report.by_underscore),
                "matched_by_unicode": len(report.by_unicode),
                "tips_without_data": len(report.tips_without_data),
                "rows_without_tip": len(report.rows_without_tip),
            }
        found["ready"] = self.obstacle is None
        found["notes"], found["needs"] = list(self.notes), list(self.needs)
        if self.obstacle is not None:
            found["obstacle"] = str(self.obstacle)
        return found


def _report_lines(found: Checkup) -> list[str]:
    """The report for a person, a line each."""
    tree = found.tree
    trees = "1 tree" if found.trees == 1 else f"{found.trees} trees"
    polytomies = counted(tree.polytomies, "polytomy", "polytomies")
    shape = ["binary" if tree.binary else f"{polytomies}, {counted(tree.one_child_nodes, 'one-child node')}"]
    shape.append(("rooted" if tree.rooted else "unrooted") + ("" if tree.rooted_stated else " by its shape"))
    if tree.ultrametric is not None:
        shape.append("ultrametric" if tree.ultrametric else "not ultrametric")
    lines = [
        f"tree     {found.file}: {found.format}, {trees}",
        f"nodes    {counted(tree.tips, 'tip')}, {counted(tree.nodes, 'node')}, {counted(tree.depth, 'level')} deep",
        f"shape    {', '.join(shape)}",
        f"lengths  {tree.total_edge_length:.6g} in total, {tree.max_root_to_tip:.6g} to the farthest tip; "
        f"{tree.missing_lengths} missing, {tree.zero_lengths} zero, {tree.negative_lengths} negative",
    ]
    if found.trees > 1 and any(found.tree_names):
        lines.insert(1, f"trees    {listed(found.tree_names, 10)}")
    if found.table is not None:
        lines += table_lines(found.table, found.columns, found.match, tree.tips, found.states)
    lines += [f"note     {note}" for note in found.notes]
    lines += [f"needs    {need}" for need in found.needs]
    if found.obstacle is None:
        lines.append("ready" if not found.needs else "ready, with the options that are needed")
    return lines


def table_lines(
    table: TraitTable,
    columns: Mapping[str, ColumnFacts],
    report: MatchReport | None,
    tips: int,
    states: Mapping[str, Mapping[str, int]] = MappingProxyType({}),
) -> list[str]:
    """What a report says of a table, and of how its rows met so many tips."""
    lines = [f"table    {table.file}: {counted(len(table.names), 'row')}"]
    lines += [
        f"trait    {name}: {counted(facts.n, 'value')}, {facts.missing} missing, {facts.min:.6g} to {facts.max:.6g}"
        for name, facts in columns.items()
    ]
    taken = {column.name for column in table.states}
    for name, counts in states.items():
        said = ", ".join(f"{state} {count}" for state, count in counts.items())
        lines.append(f"states   {name}: {said}" + ("" if name in taken else f" (--column {name} takes it as states)"))
    lines += [f"text     {name}: left out" for name in table.text_columns if name not in states]
    if report is not None:
        ways = {"exactly": report.exact, "by underscore": len(report.by_underscore), "by NFC": len(report.by_unicode)}
        matched = ", ".join(f"{count} {way}" for way, count in ways.items() if count or way == "exactly")
        lines.append(
            f"match    {sum(ways.values())} of {counted(tips, 'tip')} ({matched}); "
            f"{counted(len(report.tips_without_data), 'tip')} without data, "
            f"{counted(len(report.rows_without_tip), 'row')} without a tip"
        )
    return lines
