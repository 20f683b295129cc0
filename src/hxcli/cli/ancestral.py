"""`hx ancestral`: states of all ancestors under Brownian motion."""

from __future__ import annotations

from typing import Annotated

import typer

from hxcli.cli.analysis import AnalysisRequest, RunChoices
from hxcli.cli.command import command
from hxcli.cli.options import Plot, RateChoices, TraitsArgument, TreeArgument
from hxcli.cli.together import JointModelName, TogetherChoices


@command
def ancestral(
    tree: TreeArgument,
    traits: TraitsArgument,
    *,
    model: Annotated[
        JointModelName, typer.Option("--model", help="What happens along an edge; others than bm with --together.")
    ] = JointModelName.BM,
    together: TogetherChoices,
    rate: RateChoices,
    plot: Plot = None,
    run: RunChoices,
) -> AnalysisRequest:
    """States of all ancestors under Brownian motion.

    For every node and trait: the estimate given all tips, its standard error and its interval. Tips without a
    value are estimated too.

    \b
    Example:
      hx ancestral data/primates.nwk data/primates.csv -o results/primates
    """
    together.refuse_alone()
    if not together.together:
        if model is not JointModelName.BM:
            raise typer.BadParameter(f"--model {model.value} is for traits together (give --together)")
        return run.request("ancestral", tree, traits, named={"picture": plot}, **rate.analysis_options())
    return together.reading(run).request(
        "together",
        tree,
        traits,
        named={"picture": plot, **together.named()},
        without=together.without(),
        command="ancestral",
        model=model.value,
        **together.analysis_options(),
        **rate.analysis_options(),
    )
