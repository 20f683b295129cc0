"""`hx signal`: how much alike relatives are."""

from __future__ import annotations

from typing import Annotated

import typer

from hxcli.cli.analysis import AnalysisRequest
from hxcli.cli.command import command
from hxcli.cli.options import Level, TraitsArgument, TreeArgument
from hxcli.cli.sample_options import TableSampleChoices
from hxcli.cli.table_analysis import TableRunChoices


@command
def signal(
    tree: TreeArgument,
    traits: TraitsArgument,
    *,
    permutations: Annotated[
        int,
        typer.Option("--permutations", min=1, metavar="N", help="Permutations, and simulations, of every trait."),
    ] = 9999,
    level: Level = 0.95,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, metavar="S", help="Of the random numbers.")] = 0,
    out_signal: Annotated[
        str | None,
        typer.Option("--out-signal", metavar="FILE", help="Table: .csv .tsv .parquet, also .gz; - streams CSV."),
    ] = None,
    sample: TableSampleChoices,
    run: TableRunChoices,
) -> AnalysisRequest:
    """Phylogenetic signal of every trait: Blomberg's K and Pagel's lambda.

    K is 1 where traits differ as Brownian motion makes them differ, near 0 where relatives are alike no more than
    others. Known standard errors are taken into account.

    \b
    Example:
      hx signal data/primates.nwk data/primates.csv --out-signal -
    """
    return run.request(
        "signal",
        tree,
        traits,
        named={"signal table": out_signal},
        sample=sample,
        permutations=permutations,
        level=level,
        seed=seed,
    )
