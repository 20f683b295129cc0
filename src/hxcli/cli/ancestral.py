"""`hx ancestral`: states of all ancestors, of traits of numbers and of traits of states."""

from __future__ import annotations

from typing import Annotated

import typer

from hxcli.cli.analysis import AnalysisRequest, RunChoices
from hxcli.cli.command import command
from hxcli.cli.left_out_options import LeftOutChoices
from hxcli.cli.options import Density, ModelChoices, Plot, RateChoices, TraitsArgument, TreeArgument
from hxcli.cli.pair_options import PairChoices
from hxcli.cli.state_options import StateModelChoices, StateReadingChoices
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
    pair: PairChoices,
    left_out: LeftOutChoices,
    plot: Plot = None,
    joint: Annotated[
        bool, typer.Option("--joint", help="Also the most probable states of all nodes together.")
    ] = False,
    mppa: Annotated[
        bool, typer.Option("--mppa", help="Also the set of states that approximates a node's probabilities best.")
    ] = False,
    density: Density = None,
    out_params: Annotated[
        str | None,
        typer.Option(
            "--out-params",
            metavar="FILE",
            help="Table of the rates of states, or of the parameters of a file's model of traits together; - streams "
            "CSV.",
        ),
    ] = None,
    which: StateReadingChoices,
    states: StateModelChoices,
    run: RunChoices,
) -> AnalysisRequest:
    """States of all ancestors, under Brownian motion or another model.

    For every node and trait of numbers: the estimate given all tips, its standard error and its interval. Tips without
    a value are estimated too. --model ou, ... takes another model (hx models lists them), with parameters by REML or
    ML; --model average weighs several by AICc. For traits of states (columns of text that --column names, any that
    --discrete names): the probability of every state given all tips; --model er, sym, ard, f81, ordered or a table.

    \b
    Example:
      hx ancestral data/primates.nwk data/primates.csv -o results/primates
    """
    together.refuse_alone()
    if together.together:
        asked = {"--pairs": pair.pairs, "--loo": left_out.loo}
        if (own := together.file_options(models, asked)) is not None:
            return run.request(
                "together under a file",
                tree,
                traits,
                named={"picture": plot, "parameter table": out_params},
                side={"edge_data": models.side_inputs()["edge_data"]},
                command="ancestral",
                level=rate.level,
                tau2=rate.tau2,
                **own,
            )
        return together.reading(run).request(
            "together",
            tree,
            traits,
            named={"picture": plot, "pairs table": pair.out_pairs, **left_out.named(), **together.named()},
            without=[*pair.without(), *left_out.without(), *together.without()],
            asked={**pair.asked(), **left_out.asked()},
            side=pair.side_inputs(),
            command="ancestral",
            loo=left_out.loo,
            **together.analysis_options(models),
            **rate.analysis_options(),
        )
    fitting = models.fit_options(several=AVERAGE)
    options = {**states.options(fitting["models"], fitting["held"], rate.level), "joint": joint, "sets": mppa}
    options |= {"pairs": pair.pairs is not None, "loo": left_out.loo}
    options |= {name: fitting[name] for name in ("start",) if name in fitting}
    return run.request(
        "ancestral",
        tree,
        traits,
        named={
            "picture": plot,
            "parameter table": out_params,
            "pairs table": pair.out_pairs,
            **left_out.named(),
            "density table": density,
        },
        without=[*pair.without(), *left_out.without()],
        asked={**pair.asked(), **left_out.asked()},
        side={**models.side_inputs(), **pair.side_inputs()},
        states=(which, options),
        loo=left_out.loo,
        **rate.analysis_options(),
        **fitting,
    )
