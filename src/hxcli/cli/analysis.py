"""What the commands that run an analysis have in common: their options, and the request that performs the job."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hxcli.cli.options import MachineChoices, OutputChoices, ReadingChoices, TalkChoices
from hxcli.cli.sample_options import SampleChoices
from hxcli.cli.sample_products import sample_products
from hxcli.errors import OptionError

if TYPE_CHECKING:
    from hxcli.cli.state_options import StateReadingChoices
    from hxcli.run.perform import Job, Outcome
    from hxcli.run.side_inputs import SideInput


@dataclass(frozen=True)
class AnalysisRequest:
    """One run of an analysis.

    Attributes:
        job: What to do.
        talk: How much is said about it.
    """

    job: Job
    talk: TalkChoices

    def outcome(self, progress: Callable[[str], None] = lambda stage: None) -> Outcome:
        """Performs the job."""
        if self.job.sample is None:
            from hxcli.run.perform import perform
        else:
            from hxcli.run.many_trees import perform_sample as perform
        return perform(self.job, progress)

    def perform(self) -> None:
        """Performs the job and says on standard error what came out."""
        from hxcli.cli.progress import Progress
        from hxcli.cli.summary import show_outcome

        with Progress(wanted=not self.talk.quiet) as progress:
            outcome = self.outcome(progress)
        if not self.talk.quiet:
            show_outcome(outcome, verbose=self.talk.verbose)


@dataclass(frozen=True)
class RunChoices:
    """The options of every analysis: where results go, how inputs are read, where it is computed, what is said."""

    outputs: OutputChoices
    reading: ReadingChoices
    sample: SampleChoices
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
        asked: Mapping[str, str] = MappingProxyType({}),
        side: Mapping[str, tuple[str | None, str]] = MappingProxyType({}),
        seed: int | None = None,
        command: str = "",
        states: tuple[StateReadingChoices, Mapping[str, Any]] | None = None,
        looks: Mapping[str, Any] = MappingProxyType({}),
        **analysis_options: Any,
    ) -> AnalysisRequest:
        """The run of `analysis` on two files.

        Args:
            analysis: A name in `hxcli.analyses.ANALYSES`.
            tree, traits: The files.
            named: Kind -> path of the products that not all commands have, None for one that is not named.
            without: Kinds of products that nobody asked for.
            asked: Kind of product -> option that asks for what it holds.
            side: Option of the analysis -> path of a further file, None for none, and its reader.
            seed: Handed to the analysis where random numbers are drawn.
            command: Name of the command; "" for that of the analysis.
            states: How traits of states are read, and the analysis's options for them; None where it has none.
            looks: Kind of product -> how it is to look.
            analysis_options: The analysis's own.
        """
        # Here and not above, because `hx --help` needs none of it.
        from hxcli.analyses import ANALYSES
        from hxcli.run.perform import Job

        trees, table = self.sample.files(tree, traits)
        named = {**self.outputs.named(), **self.sample.named(), **named}
        of_samples = bool(ANALYSES[analysis].of_samples) and command in ("", analysis)
        inputs = replace(self.reading.input_options(trees[0], table), or_all_trees=of_samples)
        if states is not None:
            inputs = states[0].on(inputs)
        job = Job(
            analysis=analysis,
            inputs=inputs,
            products=self._products(analysis, command, (*trees, *([table] if table else [])), named, without, asked),
            analysis_options=analysis_options if seed is None else {**analysis_options, "seed": seed},
            state_options=states[1] if states else {},
            seed=seed,
            runtime=self.machine.runtime_options(),
            chunk_traits=self.machine.chunk_traits,
            choices={"table": "wide" if self.outputs.wide else "long", **looks},
            side_inputs=side_inputs_of(side),
            command_line=("hx", *sys.argv[1:]),
            sample=self.sample.sample_options(trees),
            command=command,
        )
        return AnalysisRequest(job, self.talk)

    def _products(
        self,
        analysis: str,
        command: str,
        inputs: tuple[str, ...],
        named: Mapping[str, str | None],
        without: Collection[str],
        asked_for: Mapping[str, str],
    ) -> dict[str, str]:
        from hxcli.analyses import ANALYSES
        from hxcli.findings import STATES
        from hxcli.run.products import choose_products

        out = self.outputs.out
        if not self.sample.all_trees:
            wide = {"table": "--wide"} if self.outputs.wide else {}
            return choose_products(
                command or analysis,
                inputs,
                analysis=analysis,
                out=out,
                named=named,
                without=without,
                asked={**asked_for, **wide},
            )
        if STATES not in ANALYSES[analysis].of_samples and self.outputs.report is not None:
            raise OptionError("--report does not go with --all-trees (leave one of them out)")
        return sample_products(
            analysis, inputs, out=out, named=named, without=without, in_parts=self.sample.shard is not None
        )


def side_inputs_of(side: Mapping[str, tuple[str | None, str]]) -> dict[str, SideInput]:
    """The side inputs that have a path, of option -> path and reader."""
    from hxcli.run.side_inputs import SideInput

    return {option: SideInput(path, reader) for option, (path, reader) in side.items() if path is not None}
