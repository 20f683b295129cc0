"""The options of traits together, shared by the commands that have `--together`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

import typer

from hxcli.cli.analysis import RunChoices
from hxcli.cli.options import ModelChoices
from hxcli.models import is_model_file

# What may happen along an edge, for all traits alike.
JOINT_MODELS = ("bm", "lambda", "ou")
# The options of models that one in a file has.
_OF_FILES = ("held", "start", "edge_data")


@dataclass(frozen=True)
class TogetherChoices:
    """Traits together instead of each alone."""

    together: Annotated[
        bool,
        typer.Option("--together", help="Traits evolve together: their covariance, and states from the other traits."),
    ] = False
    phenotypic: Annotated[
        bool,
        typer.Option(
            "--phenotypic", help="With --together: rows of one tip vary around it, with a covariance that is estimated."
        ),
    ] = False
    out_covariance: Annotated[
        str | None,
        typer.Option(
            "--out-covariance",
            metavar="FILE",
            help="Covariances of --together: .csv .tsv .parquet. [default: PREFIX.covariance.csv]",
        ),
    ] = None
    out_within: Annotated[
        str | None,
        typer.Option(
            "--out-within", metavar="FILE", help="Those within species, of --phenotypic. [default: PREFIX.within.csv]"
        ),
    ] = None

    def refuse_alone(self) -> None:
        """Raises where an option needs `--together`.

        Raises:
            typer.BadParameter: It names the option.
        """
        given = {
            "--phenotypic": self.phenotypic,
            "--out-covariance": self.out_covariance,
            "--out-within": self.out_within,
        }
        for option, value in given.items():
            if value and not self.together:
                raise typer.BadParameter(f"{option} is for traits together (give --together, or leave it out)")
        if self.out_within and not self.phenotypic:
            raise typer.BadParameter("--out-within is the table of --phenotypic (give both)")

    def named(self) -> dict[str, str | None]:
        """Kind of product -> its path, None where none is named."""
        return {"covariance table": self.out_covariance, "within table": self.out_within}

    def without(self) -> list[str]:
        """Kinds of products that nobody asked for."""
        return [] if self.phenotypic else ["within table"]

    def reading(self, run: RunChoices) -> RunChoices:
        """The run with its table read as `--phenotypic` needs it: rows of one name are replicates."""
        return replace(run, reading=replace(run.reading, replicates=True)) if self.phenotypic else run

    def file_options(self, models: ModelChoices, asked: Mapping[str, Any]) -> dict[str, Any] | None:
        """The choices of a model in a user's file, as the analysis takes them; None where the model is none.

        Args:
            models: Which models.
            asked: Further options of the command -> what was asked for, which goes with no file.

        Raises:
            typer.BadParameter: Several models, or an option that goes with no file.
        """
        names = models.model or []
        if not any(is_model_file(name) for name in names):
            return None
        if len(names) > 1:
            raise typer.BadParameter(f"--model {' and '.join(names)}: traits together take one model")
        given = {
            "--phenotypic": self.phenotypic,
            "--out-covariance": self.out_covariance,
            "--ou-root": models.ou_root,
            "--lambda-max": models.lambda_max,
            "--regimes": models.regimes,
            **asked,
        }
        for option, value in given.items():
            if value:
                instead = {
                    "--phenotypic": "write noise(tip) in it",
                    "--prior-tau2": "write noise(tip) in it",
                    "--regimes": "write what differs in --edge-data",
                    "--root": "write root() in it",
                }
                raise typer.BadParameter(
                    f"{option} does not go with --together --model {names[0]} ({instead.get(option, 'leave it out')})"
                )
        fitting = models.fit_options()
        return {"model": names[0], **{name: fitting[name] for name in _OF_FILES if name in fitting}}

    def analysis_options(self, models: ModelChoices) -> dict[str, Any]:
        """The same choices as the analyses take them, with the one model that holds for all traits.

        Raises:
            typer.BadParameter: Another model, several, or an option that only traits by themselves have.
        """
        names = models.model or ["bm"]
        if len(names) > 1 or names[0] not in JOINT_MODELS:
            found = " and ".join(names)
            raise typer.BadParameter(f"--model {found}: traits together take one of {', '.join(JOINT_MODELS)}")
        given = {
            "--set": models.settings,
            "--start": models.starts,
            "--edge-data": models.edge_data,
            "--ou-root": models.ou_root,
            "--lambda-max": models.lambda_max,
            "--regimes": models.regimes,
        }
        for option, value in given.items():
            if value:
                raise typer.BadParameter(f"{option} is for traits by themselves (leave it or --together out)")
        return {"phenotypic": self.phenotypic, "model": names[0]}
