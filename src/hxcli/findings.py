"""Findings: what an analysis gives, as far as writers, record and summary need to know."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hxcli.close_names import counted
from hxcli.phylogeny import Phylogeny

# What of findings a kind of product is made of, where that is not one of their tables: the states of all nodes.
STATES = "states"


class Findings(ABC):
    """The base of what analyses give.

    Attributes:
        phylogeny: The tree.
        traits: (D,) trait names.
        method: What was computed, in words for the summary and the run record.
        tables: Tables by kind of product, each as column name -> values of one length.
        tips_used: (D,) number of tips with an observation of the trait.
        warnings: What the user should know, a sentence each.
    """

    phylogeny: Phylogeny
    traits: tuple[str, ...]
    tips_used: tuple[int, ...]
    method: str
    tables: Mapping[str, Mapping[str, Any]]
    warnings: tuple[str, ...]

    def headline(self) -> str:
        """What was computed, on how large a tree."""
        phylogeny = self.phylogeny
        return f"{self.method}; {counted(len(phylogeny.tips), 'tip')}, {counted(phylogeny.topology.size, 'node')}"

    @abstractmethod
    def summary(self, most: int) -> list[tuple[str, ...]]:
        """A header and rows for a person, of the first `most` traits."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What the run record says of all traits together, as JSON values."""

    @abstractmethod
    def trait_facts(self, trait: int) -> dict[str, Any]:
        """What the run record says of one trait, as JSON values."""


@dataclass(frozen=True, eq=False)
class TableFindings(Findings):
    """Findings that are tables and figures, without states of nodes.

    Attributes:
        header: First row of the summary.
        rows: (trait, row) pairs, the others.
        about_all: What the run record says of all traits together.
        about_traits: (D,) what it says of each.
    """

    phylogeny: Phylogeny
    traits: tuple[str, ...]
    tips_used: tuple[int, ...]
    method: str
    tables: Mapping[str, Mapping[str, Any]]
    header: tuple[str, ...]
    rows: Sequence[tuple[str, tuple[str, ...]]]
    about_all: Mapping[str, Any] = field(default_factory=dict)
    about_traits: Sequence[Mapping[str, Any]] = ()
    warnings: tuple[str, ...] = ()

    def summary(self, most: int) -> list[tuple[str, ...]]:
        """A header and the rows of the first `most` traits."""
        shown = set(self.traits[:most])
        return [self.header, *(row for trait, row in self.rows if trait in shown)]

    def facts(self) -> dict[str, Any]:
        """What the run record says of all traits together."""
        return dict(plain(self.about_all))

    def trait_facts(self, trait: int) -> dict[str, Any]:
        """What the run record says of one trait."""
        return dict(plain(self.about_traits[trait])) if self.about_traits else {}


def number(value: float) -> float | None:
    """A JSON number; None for what JSON cannot say."""
    return float(value) if math.isfinite(value) else None


def plain(value: Any) -> Any:
    """Mappings, sequences and numbers as JSON has them."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return number(value) if isinstance(value, float) else value
