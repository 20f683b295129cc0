"""The options of predictions of every observed tip by all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

_KIND = "leave-one-out table"


@dataclass(frozen=True)
class LeftOutChoices:
    """Whether every observed tip is predicted from all others, and where that goes."""

    loo: Annotated[
        bool,
        typer.Option("--loo", help="Predict every observed tip from all others, and list those that do not fit."),
    ] = False
    out_loo: Annotated[
        str | None,
        typer.Option("--out-loo", metavar="FILE", help="Table of --loo: .csv .tsv .parquet. [default: PREFIX.loo.csv]"),
    ] = None

    def __post_init__(self) -> None:
        """Refuses a place for what nobody asks for."""
        if self.out_loo is not None and not self.loo:
            raise typer.BadParameter("--out-loo is the table of --loo (give both)")

    def named(self) -> dict[str, str | None]:
        """Kind of product -> its path, None where none is named."""
        return {_KIND: self.out_loo}

    def without(self) -> list[str]:
        """The kind of product that nobody asked for."""
        return [] if self.loo else [_KIND]

    def asked(self) -> dict[str, str]:
        """The kind of product that was asked for, and the option that did."""
        return {_KIND: "--loo"} if self.loo else {}
