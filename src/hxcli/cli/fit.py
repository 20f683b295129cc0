"""`hx fit`: which model, and how sure."""

from __future__ import annotations

from typing import Annotated

import typer

from hxcli.cli.analysis import AnalysisRequest, RunChoices
from hxcli.cli.command import command
from hxcli.cli.options import Estimator, HowSigma2, Level, ModelChoices, Tau2, TraitsArgument, TreeArgument
from hxcli.cli.state_options import StateModelChoices, StateReadingChoices


@command
def fit(
    tree: TreeArgument,
    traits: TraitsArgument,
    *,
    models: ModelChoices,
    estimator: HowSigma2 = Estimator.ML,
    level: Level = 0.95,
    tau2: Tau2 = 0.0,
    intervals: Annotated[
        bool, typer.Option("--intervals/--no-intervals", help="Profile likelihood intervals of all parameters.")
    ] = True,
    out_fits: Annotated[
        str | None,
        typer.Option("--out-fits", metavar="FILE", help="Only the comparison: .csv .tsv .parquet."),
    ] = None,
    out_params: Annotated[
        str | None, typer.Option("--out-params", metavar="FILE", help="Only the parameters: .csv .tsv .parquet.")
    ] = None,
    which: StateReadingChoices,
    states: StateModelChoices,
    run: RunChoices,
) -> AnalysisRequest:
    """Fit models to every trait and compare them by AICc.

    Models are compared by maximum likelihood. Writes PREFIX.fits.csv (the comparison), PREFIX.params.csv (parameters
    with profile likelihood intervals) and PREFIX.json (with a certificate of every optimum). Traits of states (columns
    of text that --column names, any that --discrete names) have models of their own: er, sym, ard, f81, ordered.

    \b
    Example:
      hx fit data/primates.nwk data/primates.csv -o results/primates
    """
    fitting = models.fit_options()
    of_states = {**states.options(fitting["models"], fitting["held"], level), "intervals": intervals}
    return run.request(
        "fit",
        tree,
        traits,
        named={"fits table": out_fits, "parameter table": out_params},
        side=models.side_inputs(),
        estimator=estimator.name,
        level=level,
        tau2=tau2,
        intervals=intervals,
        states=(which, of_states),
        **fitting,
    )
