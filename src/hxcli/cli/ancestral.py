"""`hx ancestral`: states of all ancestors under Brownian motion."""

from __future__ import annotations

from hxcli.cli.analysis import analyse
from hxcli.cli.groups import with_groups
from hxcli.cli.options import (
    Estimator,
    HowSigma2,
    LengthChoices,
    Level,
    MachineChoices,
    OutputChoices,
    Plot,
    TableChoices,
    TalkChoices,
    Tau2,
    TraitsArgument,
    TreeArgument,
)


@with_groups
def ancestral(
    tree: TreeArgument,
    traits: TraitsArgument,
    *,
    level: Level = 0.95,
    estimator: HowSigma2 = Estimator.REML,
    tau2: Tau2 = 0.0,
    plot: Plot = None,
    outputs: OutputChoices,
    reading: TableChoices,
    lengths: LengthChoices,
    machine: MachineChoices,
    talk: TalkChoices,
) -> None:
    """States of all ancestors under Brownian motion.

    For every node and trait: the estimate given all tips, its standard error and its interval. Tips without a
    value are estimated too.

    \b
    Example:
      hx ancestral data/primates.nwk data/primates.csv -o results/primates
    """
    analyse(
        "ancestral",
        tree,
        traits,
        reading,
        lengths,
        outputs,
        machine,
        talk,
        named={"picture": plot},
        level=level,
        estimator=estimator.name,
        tau2=tau2,
    )
