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
            seed: Handed to the analysis where random numbers are drawn.
            analysis_options: The analysis's own.
        """
        # Here and not above, because `hx --help` needs none of it.
        from hxcli.run.perform import Job
        from hxcli.run.products import choose_products

        job = Job(
            analysis=analysis,
            inputs=replace(self.reading.input_options(tree, traits), with_texts=with_texts),
            products=choose_products(
                analysis,
                (tree, traits),
                out=self.outputs.out,
                named={**named, "record": self.outputs.out_json},
                without=without,
            ),
            analysis_options=analysis_options if seed is None else {**analysis_options, "seed": seed},
            seed=seed,
            runtime=self.machine.runtime_options(),
            chunk_traits=self.machine.chunk_traits,
            command_line=("hx", *sys.argv[1:]),
        )
        return AnalysisRequest(job, self.talk)
