"""What the commands have in common whose answer is tables: their options, and the request that performs the job."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Annotated, Any

import typer

from hxcli.cli.analysis import AnalysisRequest
from hxcli.cli.options import MachineChoices, ReadingChoices, TalkChoices
from hxcli.cli.sample_options import TableSampleChoices
from hxcli.cli.sample_products import sample_products


@dataclass(frozen=True)
class TableOutputChoices:
    """Where the results go."""

    out: Annotated[
        str | None,
        typer.Option(
            "--out", "-o", metavar="PREFIX", help="Begin the names of all files so. [default: TREE's name.COMMAND]"
        ),
    ] = None
    out_json: Annotated[str | None, typer.Option("--out-json", metavar="FILE", help="Run record; - streams it.")] = None


@dataclass(frozen=True)
class TableRunChoices:
    """The options of every analysis that makes tables."""

    outputs: TableOutputChoices
    reading: ReadingChoices
    machine: MachineChoices
    talk: TalkChoices

    def request(
        self,
        analysis: str,
        tree: str,
        traits: str,
        *,
        named: Mapping[str, str | None] = MappingProxyType({}),
        without: Collection[str] = (),
        with_texts: bool = False,
        sample: TableSampleChoices | None = None,
        seed: int | None = None,
        **analysis_options: Any,
    ) -> AnalysisRequest:
        """The run of `analysis` on two files.

        Args:
            analysis: A name in `hxcli.analyses.ANALYSES`, and of the command.
            tree, traits: The files.
            named: Kind -> path of the tables, None for one that is not named.
            without: Kinds of tables that nobody asked for.
            with_texts: Whether columns of text are of use.
            sample: Which trees of a sample; None for an analysis of one tree.
            seed: Handed to the analysis where random numbers are drawn.
            analysis_options: The analysis's own.
        """
        # Here and not above, because `hx --help` needs none of it.
        from hxcli.run.perform import Job
        from hxcli.run.products import choose_products

        over = (sample or TableSampleChoices()).whole()
        trees, table = over.files(tree, traits)
        named = {
            **named,
            "record": self.outputs.out_json,
            **({} if sample is None else {"trees table": over.out_trees}),
        }
        if over.all_trees:
            products = sample_products(
                analysis,
                (*trees, table),
                out=self.outputs.out,
                named=named,
                without=without,
                in_parts=over.shard is not None,
            )
        else:
            products = choose_products(
                analysis, (tree, traits), out=self.outputs.out, named=named, without=(*without, "trees table")
            )
        job = Job(
            analysis=analysis,
            inputs=replace(
                self.reading.input_options(trees[0], table), with_texts=with_texts, or_all_trees=sample is not None
            ),
            products=products,
            analysis_options=analysis_options if seed is None else {**analysis_options, "seed": seed},
            seed=seed,
            runtime=self.machine.runtime_options(),
            chunk_traits=self.machine.chunk_traits,
            command_line=("hx", *sys.argv[1:]),
            sample=over.sample_options(trees),
        )
        return AnalysisRequest(job, self.talk)
