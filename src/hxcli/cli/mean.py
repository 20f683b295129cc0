"""`hx mean`: the phylogenetic mean of every clade."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from hxcli.cli.analysis import analyse
from hxcli.cli.groups import with_groups
from hxcli.cli.options import (
    Estimator,
    HowSigma2,
    LengthChoices,
    Level,
    MachineChoices,
    OutputChoices,
    TableChoices,
    TalkChoices,
    Tau2,
    TraitsArgument,
    TreeArgument,
)


class Weights(StrEnum):
    """How the children of a node are weighted."""

    PRUNING = "pruning"
    LOCAL = "local"


@with_groups
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
    level: Level = 0.95,
    estimator: HowSigma2 = Estimator.REML,
    tau2: Tau2 = 0.0,
    outputs: OutputChoices,
    reading: TableChoices,
    lengths: LengthChoices,
    machine: MachineChoices,
    talk: TalkChoices,
) -> None:
    """Phylogenetic mean at the root and of every clade.

    The estimate at a node uses the tips below it only; at the root it is the generalised least squares mean.

    \b
    Example:
      hx mean data/primates.nwk data/primates.csv --out-table -
    """
    analyse(
        "mean",
        tree,
        traits,
        reading,
        lengths,
        outputs,
        machine,
        talk,
        weights=weights.value,
        level=level,
        estimator=estimator.name,
        tau2=tau2,
    )
