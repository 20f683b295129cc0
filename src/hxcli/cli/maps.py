"""`hx maps`: stochastic maps of a trait of states."""

from __future__ import annotations

from typing import Annotated

import typer

from hxcli.cli.analysis import AnalysisRequest, RunChoices
from hxcli.cli.command import command
from hxcli.cli.options import Level, TraitsArgument, TreeArgument, parse_settings
from hxcli.cli.state_options import StateModelChoices, StateReadingChoices


@command
def maps(
    tree: TreeArgument,
    traits: TraitsArgument,
    *,
    count: Annotated[int, typer.Option("-n", "--maps", min=1, metavar="N", help="Number of maps.")] = 100,
    seed: Annotated[int, typer.Option("--seed", min=0, metavar="N", help="Seed of the random numbers.")] = 1,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model", metavar="NAME", help="er (the default), sym, ard, f81, ordered or the file of a table."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="'q(a,b)=X'", help="Hold a rate; repeatable."),
    ] = None,
    level: Level = 0.95,
    out_maps: Annotated[
        str | None, typer.Option("--out-maps", metavar="FILE", help="Only the maps: SIMMAP Newick, .nwk.")
    ] = None,
    out_expected: Annotated[
        str | None, typer.Option("--out-expected", metavar="FILE", help="Only times and changes: .csv .tsv .parquet.")
    ] = None,
    out_params: Annotated[
        str | None, typer.Option("--out-params", metavar="FILE", help="Only the rates: .csv .tsv .parquet.")
    ] = None,
    which: StateReadingChoices,
    states: StateModelChoices,
    run: RunChoices,
) -> AnalysisRequest:
    """Stochastic maps: histories of a trait of states along the tree, drawn given all tips.

    Rates are those of highest likelihood. Writes PREFIX.maps.nwk (SIMMAP Newick, a map a line), PREFIX.expected.csv
    (time in every state and changes of every kind: mean and standard deviation over the maps, and exact expectation),
    PREFIX.params.csv and PREFIX.json.

    \b
    Example:
      hx maps data/primates.nwk data/primates_activity.csv --column activity -n 100 -o results/primates
    """
    return run.request(
        "maps",
        tree,
        traits,
        named={"maps": out_maps, "expected table": out_expected, "parameter table": out_params},
        seed=seed,
        states=(
            which,
            {**states.options(model or ("er",), parse_settings(settings), level), "count": count, "seed": seed},
        ),
    )
