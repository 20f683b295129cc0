"""`hx maps`: stochastic maps of a trait of states."""

from __future__ import annotations

from typing import Annotated

import typer

from hxcli.cli.analysis import AnalysisRequest, RunChoices
from hxcli.cli.command import command
from hxcli.cli.options import Level, TraitsArgument, TreeArgument, parse_settings
from hxcli.cli.state_options import StateModelChoices, StateReadingChoices
from hxcli.pictures.options import MapPicture, PictureChoices, PictureLayout


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
    out_first: Annotated[
        str | None, typer.Option("--out-first", metavar="FILE", help="Only the first times: .csv .tsv .parquet.")
    ] = None,
    plot: Annotated[
        str | None,
        typer.Option("--plot", metavar="FILE", help="Picture of the states along the edges: .svg .pdf .png."),
    ] = None,
    plot_state: Annotated[
        str | None,
        typer.Option(
            "--plot-state",
            metavar="NAME",
            help="Draw the probability of this state. [default: the most probable state everywhere]",
        ),
    ] = None,
    layout: Annotated[
        PictureLayout | None,
        typer.Option("--layout", help="How the tree of the picture lies. [default: rectangular]"),
    ] = None,
    which: StateReadingChoices,
    states: StateModelChoices,
    run: RunChoices,
) -> AnalysisRequest:
    """Stochastic maps: histories of a trait of states along the tree, drawn given all tips.

    Rates are those of highest likelihood. Writes PREFIX.maps.nwk (SIMMAP Newick, a map a line), PREFIX.expected.csv
    (time in every state and changes of every kind: mean and standard deviation over the maps, and exact ones),
    PREFIX.first.csv (since when maps have a state), PREFIX.params.csv and PREFIX.json.

    \b
    Example:
      hx maps data/primates.nwk data/primates_activity.csv --column activity -n 100 -o results/primates
    """
    for option, given in (("--plot-state", plot_state), ("--layout", layout)):
        if given is not None and plot is None:
            raise typer.BadParameter(f"{option} says how --plot looks (give both)")
    picture = PictureChoices(layout=layout or PictureLayout.RECTANGULAR)
    return run.request(
        "maps",
        tree,
        traits,
        named={
            "maps": out_maps,
            "expected table": out_expected,
            "first times table": out_first,
            "parameter table": out_params,
            "maps picture": plot,
        },
        looks={"maps picture": MapPicture(picture, plot_state)},
        seed=seed,
        states=(
            which,
            {**states.options(model or ("er",), parse_settings(settings), level), "count": count, "seed": seed},
        ),
    )
