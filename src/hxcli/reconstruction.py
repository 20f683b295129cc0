"""Reconstruction: what a run found for every node, and how each figure was obtained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hxcli.phylogeny import FloatArray, Phylogeny


@dataclass(frozen=True)
class Parameter:
    """One figure of a fitted model for one trait.

    Attributes:
        value: The figure; nan where the data do not determine it.
        how: How it was obtained: `REML`, `ML`, `given`, ...
    """

    value: float
    how: str


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """States of all N nodes for D traits on one phylogeny.

    Attributes:
        phylogeny: The tree.
        traits: (D,) trait names.
        observed: (N, D) the observed value (mean of replicates); nan at internal nodes and missing tips.
        estimates: (N, D) estimated states, in the trait's unit.
        standard_errors: (N, D) their standard errors; nan where there is none.
        lower, upper: (N, D) ends of the interval; nan where there is none.
        level: Probability of the interval, such as 0.95.
        interval: `CI` (confidence interval) or `HPD` (highest posterior density).
        parameters: Trait -> name -> figure: `sigma2`, `tau2`, `log_likelihood`, `root`, ...
        tips_used: (D,) number of tips with an observation of the trait.
        columns: Further (N, D) columns of the table by name, such as `n_effective`.
        tables: Further tables by kind of product, each as column name -> values of one length.
        details: Trait -> what else the run record says of it, as JSON values.
        method: What was computed, in words for the summary and the run record.
        warnings: What the user should know, a sentence each.
    """

    phylogeny: Phylogeny
    traits: tuple[str, ...]
    observed: FloatArray
    estimates: FloatArray
    standard_errors: FloatArray
    lower: FloatArray
    upper: FloatArray
    level: float
    interval: str
    parameters: Mapping[str, Mapping[str, Parameter]]
    tips_used: tuple[int, ...]
    method: str
    columns: Mapping[str, FloatArray] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    details: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def ends(self) -> tuple[FloatArray, FloatArray]:
        """Both (N, D): the ends of the interval that `interval` names, `HPD` if the posterior has it of its own."""
        if self.interval == "HPD" and "hpd_lower" in self.columns:
            return self.columns["hpd_lower"], self.columns["hpd_upper"]
        return self.lower, self.upper
