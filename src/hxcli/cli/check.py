"""`hx check`: what the files hold, and whether an analysis could use them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from hxcli.cli.command import command
from hxcli.cli.options import OptionalTraitsArgument, ReadingChoices, TalkChoices, TreeArgument
from hxcli.close_names import counted, listed

if TYPE_CHECKING:
    from hxcli.run.checking import Checkup
    from hxcli.run.inputs import InputOptions


@dataclass(frozen=True)
class CheckRequest:
    """One look at the files.

    Attributes:
        inputs: Which files, and how they are read.
        json: Where the report goes as JSON; None to say it to a person.
        quiet: Whether nothing is said.
    """

    inputs: InputOptions
    json: str | None
    quiet: bool

    def perform(self) -> None:
        """Looks, and reports.

        Raises:
            HxError: What stands in the way of an analysis; it is in the report too.
        """
        from hxcli.run.checking import check as check_files

        found = check_files(self.inputs)
        if self.json is not None:
            from hxcli.formats.atomic_write import write_whole
            from hxcli.formats.json_record import write_record
            from hxcli.run.products import choose_products

            files = tuple(file for file in (self.inputs.tree, self.inputs.traits) if file)
            choose_products("check", files, named={"record": self.json})
            write_whole(self.json, lambda stream: write_record(stream, found.as_json()))
        elif not self.quiet:
            print("\n".join(report_lines(found)), file=sys.stderr)
        if found.obstacle is not None:
            raise found.obstacle


@command
def check(
    tree: TreeArgument,
    traits: OptionalTraitsArgument = "",
    *,
    json: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write the report as JSON; - streams it.")
    ] = None,
    reading: ReadingChoices,
    talk: TalkChoices,
) -> CheckRequest:
    """Read, validate and match; say what an analysis would use. Nothing is computed.

    Exits with 0 where an analysis could use the files, with 2 where it could not.

    \b
    Example:
      hx check data/primates.nwk data/primates.csv
    """
    return CheckRequest(reading.input_options(tree, traits), json, talk.quiet)


def report_lines(found: Checkup) -> list[str]:
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
        lines += _table_lines(found)
    lines += [f"note     {note}" for note in found.notes]
    lines += [f"needs    {need}" for need in found.needs]
    if found.obstacle is None:
        lines.append("ready" if not found.needs else "ready, with the options that are needed")
    return lines


def _table_lines(found: Checkup) -> list[str]:
    assert found.table is not None
    lines = [f"table    {found.table.file}: {counted(len(found.table.names), 'row')}"]
    lines += [
        f"trait    {name}: {counted(facts.n, 'value')}, {facts.missing} missing, {facts.min:.6g} to {facts.max:.6g}"
        for name, facts in found.columns.items()
    ]
    lines += [f"text     {name}: left out" for name in found.table.text_columns]
    if (report := found.match) is not None:
        ways = {"exactly": report.exact, "by underscore": len(report.by_underscore), "by NFC": len(report.by_unicode)}
        matched = ", ".join(f"{count} {way}" for way, count in ways.items() if count or way == "exactly")
        lines.append(
            f"match    {sum(ways.values())} of {counted(found.tree.tips, 'tip')} ({matched}); "
            f"{counted(len(report.tips_without_data), 'tip')} without data, "
            f"{counted(len(report.rows_without_tip), 'row')} without a tip"
        )
    return lines
