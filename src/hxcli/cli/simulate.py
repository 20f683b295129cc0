"""`hx simulate`: traits drawn under a model."""

from __future__ import annotations

from typing import Annotated

import typer

from hxcli.cli.analysis import AnalysisRequest, RunChoices
from hxcli.cli.command import command
from hxcli.cli.options import (
    GivenModelChoices,
    MachineChoices,
    OutputChoices,
    ReadingChoices,
    TalkChoices,
    TreeArgument,
    TreeReadingChoices,
)
from hxcli.cli.sample_options import SampleChoices
from hxcli.cli.table_analysis import TableOutputChoices


@command
def simulate(
    tree: TreeArgument,
    *,
    models: GivenModelChoices,
    number: Annotated[int, typer.Option("-n", "--number", min=1, metavar="N", help="How many draws.")] = 1,
    seed: Annotated[int, typer.Option("--seed", min=0, metavar="S", help="Of the random numbers.")] = 1,
    nodes: Annotated[bool, typer.Option("--nodes", help="Inner nodes too, not tips only.")] = False,
    fit_record: Annotated[
        str | None, typer.Option("--from", metavar="FILE", help="Take the parameters of a fit: the JSON of hx fit.")
    ] = None,
    covariance: Annotated[
        str | None,
        typer.Option("--covariance", metavar="FILE", help="Several traits together: a square table of their rates."),
    ] = None,
    states: Annotated[
        str | None,
        typer.Option("--states", metavar="A,B,...", help="Names of the states that a file's own Rates are of."),
    ] = None,
    out_simulation: Annotated[
        str | None, typer.Option("--out-simulation", metavar="FILE", help="Only the table: .csv .parquet.")
    ] = None,
    outputs: TableOutputChoices,
    reading: TreeReadingChoices,
    machine: MachineChoices,
    talk: TalkChoices,
) -> AnalysisRequest:
    """Draw traits under a model with given parameters.

    Writes PREFIX.csv, a row for every tip and a column for every draw, and PREFIX.json. Every parameter is given by
    --set, or all of them by --from.

    \b
    Example:
      hx simulate data/primates.nwk --model ou --set sigma2=1 --set alpha=0.5 --set theta=2 -n 100 -o results/simulated
    """
    run = RunChoices(
        OutputChoices(out=outputs.out, out_json=outputs.out_json),
        ReadingChoices(of_tree=reading),
        SampleChoices(),
        machine,
        talk,
    )
    return run.request(
        "simulate",
        tree,
        "",
        named={"simulation": out_simulation},
        side={
            **models.side_inputs(),
            "fitted": (fit_record, "hxcli.formats.fit_record:read_fit"),
            "covariance": (covariance, "hxcli.formats.tables.covariance:read_covariance"),
        },
        seed=seed,
        number=number,
        nodes=nodes,
        state_names=tuple(part.strip() for part in (states or "").split(",") if part.strip()),
        **models.fit_options(),
    )
