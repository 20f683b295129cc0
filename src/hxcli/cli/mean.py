"""`hx mean`: the phylogenetic mean of every clade."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from hxcli.cli.analysis import AnalysisRequest, RunChoices
from hxcli.cli.command import command
from hxcli.cli.options import RateChoices, TraitsArgument, TreeArgument


class Weights(StrEnum):
    """How the children of a node are weighted."""

    PRUNING = "pruning"
    LOCAL = "local"


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
    rate: RateChoices,
    run: RunChoices,
) -> AnalysisRequest:
    """Phylogenetic mean at the root and of every clade.

    The estimate at a node uses the tips below it only; at the root it is the generalised least squares mean.

    \b
    Example:
      hx mean data/primates.nwk data/primates.csv --out-table -
    """
    return run.request("mean", tree, traits, weights=weights.value, **rate.analysis_options())
