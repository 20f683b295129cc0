"""The options of pairs of nodes that are told together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer


@dataclass(frozen=True)
class PairChoices:
    """Pairs of nodes that are told together."""

    pairs: Annotated[
        str | None,
        typer.Option(
            "--pairs",
            metavar="FILE",
            help="Table of pairs of nodes, named or by two tips each: difference, correlation, which is above.",
        ),
    ] = None
    out_pairs: Annotated[
        str | None,
        typer.Option(
            "--out-pairs", metavar="FILE", help="What is told: .csv .tsv .parquet. [default: PREFIX.pairs.csv]"
        ),
    ] = None

    def __post_init__(self) -> None:
        """Refuses a place for what nobody asks for."""
        if self.out_pairs is not None and self.pairs is None:
            raise typer.BadParameter("--out-pairs is the table of --pairs (give both)")

    def side_inputs(self) -> dict[str, tuple[str | None, str]]:
        """The table of pairs, if there is one."""
        return {"pairs": (self.pairs, "hxcli.formats.tables.pairs:read_pairs")}

    def without(self) -> list[str]:
        """The kind of product that nobody asked for."""
        return ["pairs table"] if self.pairs is None else []

    def asked(self) -> dict[str, str]:
        """The kind of product that was asked for, and the option that did."""
        return {} if self.pairs is None else {"pairs table": "--pairs"}
