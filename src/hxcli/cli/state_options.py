"""The options of traits of states: how they are read and modelled."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from hxcli.run.inputs import InputOptions

_ROOT_PRIORS = ("flat", "stationary", "fitzjohn")


@dataclass(frozen=True)
class StateReadingChoices:
    """Which columns are traits of states."""

    discrete: Annotated[
        list[str] | None,
        typer.Option("--discrete", metavar="NAME", help="Column whose cells are states, numbers too; repeatable."),
    ] = None
    state_columns: Annotated[
        list[str] | None,
        typer.Option(
            "--state-columns", metavar="TRAIT=A,B,...", help="Columns with the probabilities of a trait's states."
        ),
    ] = None

    @property
    def given(self) -> bool:
        """Whether one of them was given."""
        return bool(self.discrete or self.state_columns)

    def on(self, inputs: InputOptions) -> InputOptions:
        """The reading options with these among them."""
        from dataclasses import replace

        return replace(
            inputs,
            with_states=True,
            discrete=tuple(self.discrete or ()),
            state_columns=tuple(_named_list("--state-columns", text) for text in self.state_columns or ()),
        )


@dataclass(frozen=True)
class StateModelChoices:
    """How traits of states are modelled."""

    states: Annotated[
        str | None,
        typer.Option("--states", metavar="A,B,...", help="All states in order. [default: those that tips have]"),
    ] = None
    root_prior: Annotated[
        str,
        typer.Option(
            "--root-prior", metavar="KIND", help="Of the root's state: flat, stationary, fitzjohn or a table's file."
        ),
    ] = "flat"
    hidden: Annotated[
        int, typer.Option("--hidden", min=1, max=8, metavar="N", help="Hidden classes of rates of change.")
    ] = 1

    def options(self, models: Sequence[str], held: Mapping[str, float], level: float) -> dict[str, Any]:
        """The same choices as the analyses take them; reads the files that are named."""
        from hxcli.models.rate_patterns import PATTERNS, is_state_model

        tables, shares, kind = {}, None, self.root_prior
        for name in models:
            if is_state_model(name) and name not in PATTERNS:
                from hxcli.formats.tables.rate_tables import read_rate_table

                tables[name] = read_rate_table(name)
        if kind not in _ROOT_PRIORS:
            if not re.search(r"[./\\]", kind):
                raise typer.BadParameter(f"--root-prior {kind}: use {', '.join(_ROOT_PRIORS)}, or a table's file")
            from hxcli.formats.tables.rate_tables import read_root_prior

            shares, kind = read_root_prior(kind), "given"
        return {
            "models": tuple(models),
            "tables": tables,
            "hidden": self.hidden,
            "root_prior": kind,
            "root_shares": shares,
            "states": tuple(part.strip() for part in (self.states or "").split(",") if part.strip()),
            "held": dict(held),
            "level": level,
        }


def _named_list(option: str, text: str) -> tuple[str, tuple[str, ...]]:
    name, equals, rest = text.partition("=")
    parts = tuple(part.strip() for part in rest.split(",") if part.strip())
    if not equals or not name.strip() or not parts:
        raise typer.BadParameter(f"{option} {text}: write TRAIT=A,B for its columns")
    return name.strip(), parts
