"""`hx posterior`: exact Gaussian posterior of all nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from hxcli.cli.analysis import analyse
from hxcli.cli.groups import with_groups
from hxcli.cli.options import (
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
    parse_non_negative,
    parse_number,
)


@dataclass(frozen=True)
class RootPrior:
    """Prior of the root's state: normal with `mean` and `variance`, or flat where both are None."""

    mean: float | None = None
    variance: float | None = None

    def __str__(self) -> str:
        return "flat" if self.variance is None else f"normal:{self.mean!r},{self.variance!r}"


def parse_root(text: str | RootPrior) -> RootPrior:
    """Reads `flat` or `normal:MEAN,VARIANCE`."""
    if isinstance(text, RootPrior) or text == "flat":
        return text if isinstance(text, RootPrior) else RootPrior()
    kind, _, numbers = text.partition(":")
    mean, comma, variance = numbers.partition(",")
    if kind != "normal" or not comma:
        raise typer.BadParameter(f"{text!r} is not a prior (write flat, or normal:MEAN,VARIANCE such as normal:0,100)")
    return RootPrior(parse_number(mean), parse_non_negative(variance))


@with_groups
def posterior(
    tree: TreeArgument,
    traits: TraitsArgument,
    *,
    sigma2: Annotated[
        float,
        typer.Option(
            "--sigma2",
            parser=parse_non_negative,
            metavar="V",
            help="Rate of Brownian motion, in squared trait units per unit edge length.",
        ),
    ],
    tau2: Tau2 = 0.0,
    root: Annotated[
        RootPrior,
        typer.Option(
            "--root", parser=parse_root, metavar="PRIOR", help="flat, or normal:MEAN,VARIANCE for the root's state."
        ),
    ] = RootPrior(),
    level: Level = 0.95,
    plot: Plot = None,
    outputs: OutputChoices,
    reading: TableChoices,
    lengths: LengthChoices,
    machine: MachineChoices,
    talk: TalkChoices,
) -> None:
    """Bayesian posterior of all nodes for given variances.

    Exact: no sampling. The interval is the region of highest posterior density.

    \b
    Example:
      hx posterior data/primates.nwk data/primates.csv --sigma2 0.02 --root normal:7,4
    """
    analyse(
        "posterior",
        tree,
        traits,
        reading,
        lengths,
        outputs,
        machine,
        talk,
        named={"picture": plot},
        sigma2=sigma2,
        tau2=tau2,
        root_mean=root.mean,
        root_variance=root.variance,
        level=level,
    )
