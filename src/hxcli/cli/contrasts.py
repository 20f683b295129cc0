"""`hx contrasts`: standardised independent contrasts."""

from __future__ import annotations

from typing import Annotated

import typer

from hxcli.cli.analysis import AnalysisRequest
from hxcli.cli.command import command
from hxcli.cli.options import TraitsArgument, TreeArgument
from hxcli.cli.table_analysis import TableRunChoices


@command
def contrasts(
    tree: TreeArgument,
    traits: TraitsArgument,
    *,
    out_contrasts: Annotated[
        str | None,
        typer.Option("--out-contrasts", metavar="FILE", help="Table: .csv .tsv .parquet, also .gz; - streams CSV."),
    ] = None,
    run: TableRunChoices,
) -> AnalysisRequest:
    """Standardised independent contrasts of every node and trait.

    A node with two children has one contrast, the first child less the second; a polytomy has the sum of squares of its
    contrasts, which does not depend on how it is resolved. Tips without a value are passed over.

    \b
    Example:
      hx contrasts data/primates.nwk data/primates.csv --out-contrasts -
    """
    return run.request("contrasts", tree, traits, named={"contrasts table": out_contrasts})
