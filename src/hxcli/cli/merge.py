"""`hx merge`: the whole of the parts that `--shard` has made."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from hxcli.cli.command import command
from hxcli.cli.options import OutputChoices, Plot, TalkChoices
from hxcli.errors import OptionError

if TYPE_CHECKING:
    from hxcli.run.merging import MergeJob


@dataclass(frozen=True)
class MergeRequest:
    """One merge.

    Attributes:
        job: What to do.
        talk: How much is said about it.
    """

    job: MergeJob
    talk: TalkChoices

    def perform(self) -> None:
        """Merges and says on standard error what came out."""
        from hxcli.cli.progress import Progress
        from hxcli.cli.summary import show_outcome
        from hxcli.run.merging import merge as merge_parts

        with Progress(wanted=not self.talk.quiet) as progress:
            outcome = merge_parts(self.job, progress)
        if not self.talk.quiet:
            show_outcome(outcome, verbose=self.talk.verbose)


@command
def merge(
    parts: Annotated[
        list[str], typer.Argument(metavar="PARTS...", help="Prefixes of all parts (or their files PREFIX.part).")
    ],
    *,
    plot: Plot = None,
    out_trees: Annotated[
        str | None,
        typer.Option("--out-trees", metavar="FILE", help="Table of every tree's parameters: .csv .tsv .parquet."),
    ] = None,
    out_ages: Annotated[
        str | None,
        typer.Option("--out-ages", metavar="FILE", help="Table of node ages over the trees: .csv .tsv .parquet."),
    ] = None,
    outputs: OutputChoices,
    talk: TalkChoices,
) -> MergeRequest:
    """Make the results of a whole sample of trees out of its parts.

    The table, the trees table and the tree are those that one run without --shard gives, byte for byte, in whatever
    order the parts are named. Missing and foreign parts are refused.

    \b
    Example:
      hx ancestral data/sample.trees data/primates.csv --all-trees --shard 1/2 -o parts/1
      hx ancestral data/sample.trees data/primates.csv --all-trees --shard 2/2 -o parts/2
      hx merge parts/1 parts/2 -o results/primates
    """
    from hxcli.run.merging import MergeJob

    if outputs.out is None and not any(outputs.named().values()):
        raise OptionError("-o PREFIX is needed: where the whole is to go")
    named = {**outputs.named(), "picture": plot, "trees table": out_trees, "node ages": out_ages}
    job = MergeJob(
        parts=tuple(parts),
        out=outputs.out,
        named=named,
        choices={"table": "wide" if outputs.wide else "long"},
        command_line=("hx", *sys.argv[1:]),
    )
    return MergeRequest(job, talk)
