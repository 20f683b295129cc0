"""What the commands that run an analysis have in common: their options, and the request that performs the job."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hxcli.cli.options import MachineChoices, OutputChoices, ReadingChoices, TalkChoices

if TYPE_CHECKING:
    from hxcli.run.perform import Job


@dataclass(frozen=True)
class AnalysisRequest:
    """One run of an analysis.

    Attributes:
        job: What to do.
        talk: How much is said about it.
    """

    job: Job
    talk: TalkChoices

    def perform(self) -> None:
        """Performs the job and says on standard error what came out."""
        from hxcli.cli.progress import Progress
        from hxcli.cli.summary import show_outcome
        from hxcli.run.perform import perform

        with Progress(wanted=not self.talk.quiet) as progress:
            outcome = perform(self.job, progress)
        if not self.talk.quiet:
            show_outcome(outcome, verbose=self.talk.verbose)


@dataclass(frozen=True)
class RunChoices:
    """The options of every analysis: where results go, how inputs are read, where it is computed, what is said."""

    outputs: OutputChoices
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
        seed: int | None = None,
        command: str = "",
        **analysis_options: Any,
    ) -> AnalysisRequest:
        """The run of `analysis` on two files.

        Args:
            analysis: A name in `hxcli.analyses.ANALYSES`.
            tree, traits: The files.
            named: Kind -> path of the products that not all commands have, None for one that is not named.
            without: Kinds of products that nobody asked for.
            seed: Handed to the analysis where random numbers are drawn.
            command: Name of the command; "" for that of the analysis.
            analysis_options: The analysis's own.
        """
        # Here and not above, because `hx --help` needs none of it.
        from hxcli.run.perform import Job
        from hxcli.run.products import choose_products

        outputs = self.outputs
        job = Job(
            analysis=analysis,
            inputs=self.reading.input_options(tree, traits),
            products=choose_products(
                command or analysis,
                (tree, traits),
                analysis=analysis,
                out=outputs.out,
                named={**outputs.named(), **named},
                without=without,
            ),
            analysis_options=analysis_options if seed is None else {**analysis_options, "seed": seed},
            seed=seed,
            runtime=self.machine.runtime_options(),
            chunk_traits=self.machine.chunk_traits,
            choices={"table": "wide" if outputs.wide else "long"},
            command_line=("hx", *sys.argv[1:]),
            command=command,
        )
        return AnalysisRequest(job, self.talk)
