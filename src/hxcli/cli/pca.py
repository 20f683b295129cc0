"""`hx pca`: phylogenetic principal components."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from hxcli.cli.analysis import AnalysisRequest
from hxcli.cli.command import command
from hxcli.cli.options import Estimator, HowSigma2, Tau2, TraitsArgument, TreeArgument
from hxcli.cli.table_analysis import TableRunChoices


class PcaModel(StrEnum):
    """What happens along an edge."""

    BM = "bm"
    LAMBDA = "lambda"


@command
def pca(
    tree: TreeArgument,
    traits: TraitsArgument,
    *,
    model: Annotated[
        PcaModel, typer.Option("--model", help="Brownian motion, or with one lambda for all traits.")
    ] = PcaModel.BM,
    correlation: Annotated[
        bool, typer.Option("--correlation", help="Components of the correlation, where traits have different units.")
    ] = False,
    estimator: HowSigma2 = Estimator.REML,
    tau2: Tau2 = 0.0,
    plot: Annotated[
        str | None,
        typer.Option(
            "--plot", metavar="FILE", help="Biplot and phylomorphospace of the first two components: .svg .pdf .png."
        ),
    ] = None,
    out_scores: Annotated[
        str | None,
        typer.Option("--out-scores", metavar="FILE", help="Only the scores of the tips: .csv .tsv .parquet."),
    ] = None,
    out_ancestors: Annotated[
        str | None,
        typer.Option("--out-ancestors", metavar="FILE", help="Only those of the ancestors: .csv .tsv .parquet."),
    ] = None,
    out_loadings: Annotated[
        str | None, typer.Option("--out-loadings", metavar="FILE", help="Only the loadings: .csv .tsv .parquet.")
    ] = None,
    out_explained: Annotated[
        str | None,
        typer.Option("--out-explained", metavar="FILE", help="Only the explained variance: .csv .tsv .parquet."),
    ] = None,
    run: TableRunChoices,
) -> AnalysisRequest:
    """Phylogenetic principal components of the traits.

    Scores of tips (PREFIX.scores.csv) and ancestors (PREFIX.ancestors.csv), loadings and explained variance. Cells
    may be missing: they are estimated from relatives and from the other traits.

    \b
    Example:
      hx pca data/primates.nwk data/primates.csv --correlation -o results/primates
    """
    return run.request(
        "pca",
        tree,
        traits,
        named={
            "ordination picture": plot,
            "scores table": out_scores,
            "ancestors table": out_ancestors,
            "loadings table": out_loadings,
            "explained table": out_explained,
        },
        model=model.value,
        correlation=correlation,
        estimator=estimator.name,
        tau2=tau2,
    )
