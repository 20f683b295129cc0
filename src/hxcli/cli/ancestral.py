"""`hx ancestral`: states of all ancestors under Brownian motion."""

from __future__ import annotations

from hxcli.cli.analysis import AnalysisRequest, RunChoices
from hxcli.cli.command import command
from hxcli.cli.options import Plot, RateChoices, TraitsArgument, TreeArgument


@command
def ancestral(
    tree: TreeArgument, traits: TraitsArgument, *, rate: RateChoices, plot: Plot = None, run: RunChoices
) -> AnalysisRequest:
    """States of all ancestors under Brownian motion.

    For every node and trait: the estimate given all tips, its standard error and its interval. Tips without a
    value are estimated too.

    \b
    Example:
      hx ancestral data/primates.nwk data/primates.csv -o results/primates
    """
    return run.request("ancestral", tree, traits, named={"picture": plot}, **rate.analysis_options())
