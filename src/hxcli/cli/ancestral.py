"""`hx ancestral`: states of all ancestors under Brownian motion."""

from __future__ import annotations

from hxcli.cli.analysis import AnalysisRequest, RunChoices
from hxcli.cli.command import command
from hxcli.cli.options import ModelChoices, Plot, RateChoices, TraitsArgument, TreeArgument
from hxcli.cli.together import TogetherChoices

# What stands for several models, weighed.
AVERAGE = "average"


@command
def ancestral(
    tree: TreeArgument,
    traits: TraitsArgument,
    *,
    together: TogetherChoices,
    rate: RateChoices,
    models: ModelChoices,
    plot: Plot = None,
    run: RunChoices,
) -> AnalysisRequest:
    """States of all ancestors, under Brownian motion or another model.

    For every node and trait: the estimate given all tips, its standard error and its interval. Tips without a
    value are estimated too. --model ou, ... takes another model (hx models lists them), with parameters by REML or ML;
    --model average weighs several by AICc.

    \b
    Example:
      hx ancestral data/primates.nwk data/primates.csv -o results/primates
    """
    together.refuse_alone()
    if together.together:
        return together.reading(run).request(
            "together",
            tree,
            traits,
            named={"picture": plot, **together.named()},
            without=together.without(),
            command="ancestral",
            **together.analysis_options(models),
            **rate.analysis_options(),
        )
    return run.request(
        "ancestral",
        tree,
        traits,
        named={"picture": plot},
        side=models.side_inputs(),
        **rate.analysis_options(),
        **models.fit_options(several=AVERAGE),
    )
