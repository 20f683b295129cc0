"""`hx regress`: one trait on others."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer

from hxcli.cli.analysis import AnalysisRequest
from hxcli.cli.command import command
from hxcli.cli.options import Estimator, Level, TraitsArgument, TreeArgument, parse_settings
from hxcli.cli.sample_options import TableSampleChoices
from hxcli.cli.table_analysis import TableRunChoices


class Family(StrEnum):
    """What kind of response it is."""

    GAUSSIAN = "gaussian"
    BINOMIAL = "binomial"


@dataclass(frozen=True)
class RegressionTables:
    """Where the tables go."""

    out_coefficients: Annotated[
        str | None,
        typer.Option("--out-coefficients", metavar="FILE", help="Coefficients: .csv .tsv .parquet; - streams CSV."),
    ] = None
    out_regression: Annotated[
        str | None, typer.Option("--out-regression", metavar="FILE", help="The whole in one row; likewise.")
    ] = None
    out_residuals: Annotated[
        str | None,
        typer.Option("--out-residuals", metavar="FILE", help="Residuals, leverage, predictions by tip; likewise."),
    ] = None
    out_comparison: Annotated[
        str | None, typer.Option("--out-comparison", metavar="FILE", help="What --against gives; likewise.")
    ] = None

    def named(self) -> dict[str, str | None]:
        """Kind of product -> its path, None where none is named."""
        return {
            "coefficients table": self.out_coefficients,
            "regression table": self.out_regression,
            "residuals table": self.out_residuals,
            "comparison table": self.out_comparison,
        }


@command
def regress(
    tree: TreeArgument,
    traits: TraitsArgument,
    formula: Annotated[str, typer.Argument(metavar="FORMULA", help="Such as 'y ~ x + C(diet)'.")],
    *,
    family: Annotated[
        Family, typer.Option("--family", help="Of the response: numbers, or 0 and 1 (logistic regression).")
    ] = Family.GAUSSIAN,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="NAME",
            help="Of the residuals: bm lambda ou eb acdc kappa delta white. [default: bm]",
        ),
    ] = None,
    ou_root: Annotated[
        str | None, typer.Option("--ou-root", metavar="NAME", help="Root of an ou: theta, stationary. [default: theta]")
    ] = None,
    estimator: Annotated[
        Estimator, typer.Option("--estimator", help="Of shape parameters and sigma2.", case_sensitive=False)
    ] = Estimator.ML,
    against: Annotated[
        list[str] | None,
        typer.Option("--against", metavar="FORMULA", help="Smaller formula to compare with; repeatable."),
    ] = None,
    held: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Hold a shape parameter; repeatable."),
    ] = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Intervals by profile likelihood, not given the shape parameters.")
    ] = False,
    level: Level = 0.95,
    plot: Annotated[
        str | None,
        typer.Option("--plot", metavar="FILE", help="Picture of the rows and the line with its band: .svg .pdf .png."),
    ] = None,
    tables: RegressionTables,
    sample: TableSampleChoices,
    run: TableRunChoices,
) -> AnalysisRequest:
    """Regression of one trait on others, related as the tips are.

    Numbers and texts of the table may stand in the formula: y ~ x, log(y) ~ log(x) + diet, y ~ x * C(year), y ~ poly(x,
    2). Tips without a response are predicted.

    \b
    Example:
      hx regress data/primates.nwk data/primates.csv 'ln_brain_volume ~ ln_body_mass' --model lambda
    """
    if run.reading.column:
        raise typer.BadParameter("--column: the formula names the columns (leave it out)")
    if tables.out_comparison is not None and not against:
        raise typer.BadParameter("--out-comparison is the table of --against (give both)")
    sample, tree, traits, formula = sample.with_last(tree, traits, formula)
    return run.request(
        "regress",
        tree,
        traits,
        named={**tables.named(), "regression picture": plot},
        without=() if against else ("comparison table",),
        with_texts=True,
        sample=sample,
        formula=formula,
        family=family.value,
        against=tuple(against or ()),
        model=model,
        ou_root=ou_root,
        estimator=estimator.name,
        level=level,
        profile=profile,
        held=parse_settings(held),
    )
