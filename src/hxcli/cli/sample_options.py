"""The options of a run over many trees."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from hxcli.cli.home_paths import expanded
from hxcli.cli.options import parse_non_negative
from hxcli.errors import OptionError

if TYPE_CHECKING:
    from hxcli.run.sample_options import SampleOptions


class MissingTips(StrEnum):
    """What to do where trees differ in their tips."""

    PRUNE = "prune"
    KEEP = "keep"


def parse_shard(text: str) -> str:
    """`3/16`: the third of sixteen parts."""
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", str(text))
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise typer.BadParameter(f"{text!r} is not a part (write 1/4, 2/4, 3/4 and 4/4 for four parts)")
    return str(text)


# Options of more than one command, each said once.
AllTrees = Annotated[
    bool, typer.Option("--all-trees", help="Use all trees of the file and pool them on a summary tree.")
]
BurnIn = Annotated[
    float | None,
    typer.Option(
        "--burn-in",
        parser=parse_non_negative,
        metavar="B",
        help="Trees to leave out at the beginning of every file: below 1 a share, else a number.",
    ),
]
Thin = Annotated[int | None, typer.Option("--thin", min=1, metavar="K", help="Of the rest keep every K-th tree.")]
TipsThatDiffer = Annotated[
    MissingTips | None,
    typer.Option(
        "--missing-tips",
        help="Trees that differ in their tips: prune to those of all, or keep each as it is. [default: refuse]",
    ),
]
Shard = Annotated[
    str | None,
    typer.Option(
        "--shard", parser=parse_shard, metavar="K/N", help="Only the K-th of N parts of the trees, for hx merge."
    ),
]
OutTrees = Annotated[
    str | None,
    typer.Option("--out-trees", metavar="FILE", help="Table of every tree's parameters: .csv .tsv .parquet."),
]

MoreFiles = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[...]",
        help="With --all-trees: the second file may be more trees, and so may these; the table comes last "
        "(and behind it a formula).",
        show_default=False,
    ),
]
Distributed = Annotated[
    bool,
    typer.Option("--distributed", help="Share the trees with the other processes of JAX's distributed runtime."),
]


@dataclass(frozen=True)
class SampleFileChoices:
    """Which trees of which files are used."""

    more: MoreFiles = None
    all_trees: AllTrees = False
    burn_in: BurnIn = None
    thin: Thin = None
    missing_tips: TipsThatDiffer = None

    def files(self, tree: str, traits: str) -> tuple[tuple[str, ...], str]:
        """The tree files, and the table, which comes last; "" for none.

        Raises:
            OptionError: Options or files that only many trees have, without `--all-trees`.
        """
        if self.all_trees:
            files = [tree, *([traits] if traits else []), *(self.more or [])]
            return (tuple(files[:-1]), files[-1]) if len(files) > 1 else (tuple(files), "")
        if self.more:
            given_files = len(self.more) + 2
            raise OptionError(
                f"{given_files} files, where a tree and a table are expected"
                " (several tree files need --all-trees; join tables into one)"
            )
        for option, given in self.asked().items():
            if given:
                raise OptionError(f"{option} is about many trees (give --all-trees too)")
        return (tree,), traits

    def asked(self) -> dict[str, bool]:
        """Options that are about many trees, and whether they are given."""
        return {
            "--burn-in": self.burn_in is not None,
            "--thin": self.thin is not None,
            "--missing-tips": self.missing_tips is not None,
        }

    def sample_options(self, files: tuple[str, ...]) -> SampleOptions | None:
        """The same choices as the library takes them; None for a run on one tree."""
        if not self.all_trees:
            return None
        from hxcli.run.sample_options import SampleOptions

        return SampleOptions(
            files=files,
            burn_in=self.burn_in or 0.0,
            thin=self.thin or 1,
            missing_tips=None if self.missing_tips is None else self.missing_tips.value,
        )


@dataclass(frozen=True)
class SampleChoices(SampleFileChoices):
    """Which trees of a sample are used, and how they are pooled."""

    summary_tree: Annotated[
        str | None,
        typer.Option(
            "--summary-tree",
            metavar="TREE",
            help="Tree to tell the results on: first, mcc (highest clade credibility) or a file. [default: first]",
        ),
    ] = None
    shard: Shard = None
    distributed: Distributed = False
    out_trees: OutTrees = None
    out_ages: Annotated[
        str | None,
        typer.Option("--out-ages", metavar="FILE", help="Table of node ages over the trees: .csv .tsv .parquet."),
    ] = None

    def named(self) -> dict[str, str | None]:
        """Kind of product -> its path, None where none is named."""
        return {"trees table": self.out_trees, "node ages": self.out_ages}

    def asked(self) -> dict[str, bool]:
        """Options that are about many trees, and whether they are given."""
        return {
            **super().asked(),
            "--summary-tree": self.summary_tree is not None,
            "--shard": self.shard is not None,
            "--distributed": self.distributed,
            "--out-trees": self.out_trees is not None,
            "--out-ages": self.out_ages is not None,
        }

    def sample_options(self, files: tuple[str, ...]) -> SampleOptions | None:
        """The same choices as the library takes them; None for a run on one tree."""
        options = super().sample_options(files)
        if options is None:
            return None
        shard = None
        if self.shard is not None:
            number, of = map(int, self.shard.split("/"))
            shard = (number, of)
        summary_tree = self.summary_tree or "first"
        return replace(options, summary_tree=summary_tree, shard=shard, distributed=self.distributed)


@dataclass(frozen=True)
class TableSampleChoices:
    """Which trees of which files are used, by analyses whose answer is tables."""

    more: MoreFiles = None
    all_trees: AllTrees = False
    burn_in: BurnIn = None
    thin: Thin = None
    missing_tips: TipsThatDiffer = None
    shard: Shard = None
    distributed: Distributed = False
    out_trees: OutTrees = None

    def whole(self) -> SampleChoices:
        """The same choices among those of analyses with states of nodes."""
        return SampleChoices(**{name: getattr(self, name) for name in self.__dataclass_fields__})

    def with_last(self, tree: str, traits: str, last: str) -> tuple[TableSampleChoices, str, str, str]:
        """The choices, tree, table and last word of a command line on which a word comes after all files.

        Args:
            tree, traits, last: Its first three words; where there are many trees, the others are in `more`.
        """
        if not (self.all_trees and self.more):
            return self, tree, traits, last
        files = [tree, traits, last, *self.more]
        first, second, *more = map(expanded, files[:-1])
        return replace(self, more=more), first, second, files[-1]
