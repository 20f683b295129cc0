"""What the commands that run an analysis have in common: build the job, perform it, say what came out."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hxcli.cli.options import LengthChoices, MachineChoices, OutputChoices, TableChoices, TalkChoices

if TYPE_CHECKING:
    from hxcli.run.perform import Job


def analyse(
    analysis: str,
    tree: str,
    traits: str,
    reading: TableChoices,
    lengths: LengthChoices,
    outputs: OutputChoices,
    machine: MachineChoices,
    talk: TalkChoices,
    *,
    named: Mapping[str, str | None] = MappingProxyType({}),
    without: Collection[str] = (),
    seed: int | None = None,
    **analysis_options: Any,
) -> None:
    """Runs the analysis `analysis` on two files.

    `named` holds the paths of the products that not all commands have, by kind; `without` the kinds that nobody
    asked for; `seed` is handed to the analysis where random numbers are drawn.
    """
    # Here and not above, because `hx --help` needs none of it.
    from hxcli.run.perform import Job
    from hxcli.run.products import choose_products

    job = Job(
        analysis=analysis,
        inputs=reading.input_options(tree, traits, lengths.missing_lengths, lengths.negative_lengths),
        products=choose_products(
            analysis, (tree, traits), out=outputs.out, named={**outputs.named(), **named}, without=without
        ),
        analysis_options=analysis_options if seed is None else {**analysis_options, "seed": seed},
        seed=seed,
        runtime=machine.runtime_options(),
        chunk_traits=machine.chunk_traits,
        choices={"table": "wide" if outputs.wide else "long"},
        command_line=("hx", *sys.argv[1:]),
    )
    perform_and_tell(job, talk)


def perform_and_tell(job: Job, talk: TalkChoices) -> None:
    """Performs the job and says on standard error what came out."""
    from hxcli.cli.progress import Progress
    from hxcli.cli.summary import show_outcome
    from hxcli.run.perform import perform

    with Progress(wanted=not talk.quiet) as progress:
        outcome = perform(job, progress)
    if not talk.quiet:
        show_outcome(outcome, verbose=talk.verbose)
