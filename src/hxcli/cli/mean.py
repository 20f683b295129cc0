"""`hx mean`: the phylogenetic mean of every clade."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

import typer

from hxcli.cli.analysis import AnalysisRequest, RunChoices
from hxcli.cli.command import command
from hxcli.cli.options import Estimator, RateChoices, Tau2, TraitsArgument, TreeArgument, parse_probability


class Weights(StrEnum):
    """How the children of a node are weighted."""

    PRUNING = "pruning"
    LOCAL = "local"


@dataclass(frozen=True)
class MeanChoices:
    """How the rate and the intervals are found, as in `RateChoices`; None where nothing is said of it."""

    level: Annotated[
        float | None,
        typer.Option(
            "--level", parser=parse_probability, metavar="P", help="Probability of the intervals. [default: 0.95]"
        ),
    ] = None
    estimator: Annotated[
        Estimator | None,
        typer.Option("--estimator", help="How sigma2 is estimated. [default: reml]", case_sensitive=False),
    ] = None
    tau2: Tau2 = 0.0

    def analysis_options(self, weights: Weights) -> dict[str, Any]:
        """The choices as the analysis takes them.

        Raises:
            BadParameter: One that does not go with these weights.
        """
        if weights is Weights.LOCAL:
            for option, given in (("--level", self.level), ("--estimator", self.estimator)):
                if given is not None:
                    raise typer.BadParameter(f"{option}: --weights local has no rate and no intervals (leave it out)")
        return RateChoices(
            0.95 if self.level is None else self.level, self.estimator or Estimator.REML, self.tau2
        ).analysis_options()


@command
def mean(
    tree: TreeArgument,
    traits: TraitsArgument,
    *,
    weights: Annotated[
        Weights,
        typer.Option(
            "--weights", help="pruning: Felsenstein's, the Brownian estimate; local: children by 1/edge length alone."
        ),
    ] = Weights.PRUNING,
    rate: MeanChoices,
    run: RunChoices,
) -> AnalysisRequest:
    """Phylogenetic mean at the root and of every clade.

    The estimate at a node uses the tips below it only; at the root it is the generalised least squares mean.

    \b
    Example:
      hx mean data/primates.nwk data/primates.csv --out-table -
    """
    return run.request("mean", tree, traits, weights=weights.value, **rate.analysis_options(weights))
