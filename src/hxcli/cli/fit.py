"""`hx fit`: which model, and how sure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from hxcli.cli.analysis import AnalysisRequest, RunChoices
from hxcli.cli.command import command
from hxcli.cli.options import Estimator, HowSigma2, Level, ModelChoices, Tau2, TraitsArgument, TreeArgument
from hxcli.cli.state_options import StateModelChoices, StateReadingChoices


@dataclass(frozen=True)
class SimulationChoices:
    """What is found by simulation, beside the fits."""

    bootstrap: Annotated[
        int | None,
        typer.Option(
            "--bootstrap", min=1, metavar="B", help="Parametric bootstrap of every model against bm: B replicates."
        ),
    ] = None
    adequacy: Annotated[
        bool, typer.Option("--adequacy", help="Statistics that say whether each model fits at all, with p.")
    ] = False
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, metavar="S", help="Of the random numbers.")] = 0
    out_bootstrap: Annotated[
        str | None,
        typer.Option("--out-bootstrap", metavar="FILE", help="Only the bootstrap: .csv .tsv .parquet."),
    ] = None
    out_adequacy: Annotated[
        str | None,
        typer.Option("--out-adequacy", metavar="FILE", help="Only the adequacy: .csv .tsv .parquet."),
    ] = None

    def asked(self) -> dict[str, str]:
        """Kind of product -> option that asks for it."""
        wanted = {"bootstrap": self.bootstrap, "adequacy": self.adequacy}
        return {f"{name} table": f"--{name}" for name, value in wanted.items() if value}

    def named(self) -> dict[str, str | None]:
        """Kind of product -> its path, None where none is named."""
        return {"bootstrap table": self.out_bootstrap, "adequacy table": self.out_adequacy}

    def without(self) -> tuple[str, ...]:
        """Kinds of products that nobody asked for.

        Raises:
            BadParameter: A table is named of which nothing is wanted.
        """
        asked = self.asked()
        for kind, path in self.named().items():
            if path is not None and kind not in asked:
                name = kind.removesuffix(" table")
                raise typer.BadParameter(f"--out-{name} is the table of --{name} (give both)")
        return tuple(self.named().keys() - asked.keys())


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
    plot: Annotated[
        str | None,
        typer.Option(
            "--plot", metavar="FILE", help="Weights of the models and profiles of their likelihoods: .svg .pdf .png."
        ),
    ] = None,
    out_fits: Annotated[
        str | None,
        typer.Option("--out-fits", metavar="FILE", help="Only the comparison: .csv .tsv .parquet."),
    ] = None,
    out_params: Annotated[
        str | None, typer.Option("--out-params", metavar="FILE", help="Only the parameters: .csv .tsv .parquet.")
    ] = None,
    together: Annotated[
        bool,
        typer.Option("--together", help="Models of all traits together: bm, lambda, ou, files that return matrices."),
    ] = False,
    simulations: SimulationChoices,
    which: StateReadingChoices,
    states: StateModelChoices,
    run: RunChoices,
) -> AnalysisRequest:
    """Fit models to every trait and compare them by AICc.

    Models are compared by maximum likelihood. Writes PREFIX.fits.csv (the comparison), PREFIX.params.csv (parameters
    with profile likelihood intervals) and PREFIX.json (with a certificate of every optimum); --bootstrap writes
    PREFIX.bootstrap.csv, --adequacy PREFIX.adequacy.csv. Traits of states (columns of text that --column names, any
    that --discrete names) have models of their own: er, sym, ard, f81, ordered. --together compares models of all
    traits together, one likelihood of all cells each.

    \b
    Example:
      hx fit data/primates.nwk data/primates.csv -o results/primates
    """
    fitting = models.fit_options()
    without, asked = simulations.without(), simulations.asked()
    if together:
        beside = {"--plot": plot, "--estimator reml": estimator is Estimator.REML}
        _refuse_beside_together(
            models, {**beside, **dict.fromkeys(asked.values(), True), "--all-trees": run.sample.all_trees}
        )
        return run.request(
            "fit together",
            tree,
            traits,
            named={"fits table": out_fits, "parameter table": out_params},
            side={"edge_data": models.side_inputs()["edge_data"]},
            command="fit",
            level=level,
            tau2=tau2,
            intervals=intervals,
            **{name: fitting[name] for name in ("models", "held", "start", "edge_data") if name in fitting},
        )
    of_states = {
        **states.options(fitting["models"], fitting["held"], level),
        "intervals": intervals,
        "numbers_only": next(iter(asked.values()), ""),
    }
    of_states |= {name: fitting[name] for name in ("start",) if name in fitting}
    random: dict[str, Any] = {"bootstrap": simulations.bootstrap} if simulations.bootstrap else {}
    random |= {"adequacy": True} if simulations.adequacy else {}
    shown: dict[str, Any] = {"picture": True} if (plot, run.outputs.report) != (None, None) else {}
    return run.request(
        "fit",
        tree,
        traits,
        named={
            "fits table": out_fits,
            "parameter table": out_params,
            "comparison picture": plot,
            **simulations.named(),
        },
        without=without,
        asked=asked,
        side=models.side_inputs(),
        seed=simulations.seed if asked else None,
        estimator=estimator.name,
        level=level,
        tau2=tau2,
        intervals=intervals,
        states=(which, {**of_states, **shown}),
        **fitting,
        **random,
        **shown,
    )


def _refuse_beside_together(models: ModelChoices, asked: Mapping[str, Any]) -> None:
    """Raises where an option goes with traits by themselves only.

    Raises:
        BadParameter: It names the option.
    """
    given = {
        **asked,
        "--ou-root": models.ou_root,
        "--lambda-max": models.lambda_max,
        "--regimes": models.regimes,
    }
    instead = {
        "--all-trees": "take trees one by one with --tree-index",
        "--estimator reml": "they are compared by ml",
        "--regimes": "write what differs in --edge-data",
    }
    for option, value in given.items():
        if value:
            raise typer.BadParameter(
                f"{option} does not go with models of traits together ({instead.get(option, 'leave it out')})"
            )
