"""Reconstruction: what a run found for every node, and how each figure was obtained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from statistics import NormalDist
from typing import Any

from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.traits import Observations


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
        observations: What was observed, of these D traits.
        estimates: (N, D) estimated states, in the trait's unit.
        standard_errors: (N, D) their standard errors; nan where there is none.
        level: Probability of the interval, such as 0.95.
        interval: `CI` (confidence interval) or `HPD` (highest posterior density).
        parameters: Trait -> name -> figure: `sigma2`, `tau2`, `log_likelihood`, `root`, ...
        tips_used: (D,) number of tips with an observation of the trait.
        columns: Further (N, D) columns of the table by name, such as `n_effective`.
        tables: Further tables by kind of product, each as column name -> values of one length.
        details: Trait -> what else the run record says of it, as JSON values.
        method: What was computed, in words for the summary and the run record.
        warnings: What the user should know, a sentence each.
        given_ends: Both (N, D), lower and upper ends of the equal-tailed interval; None for normal ones, which are made
            of the estimates and standard errors when they are asked for.
    """

    phylogeny: Phylogeny
    traits: tuple[str, ...]
    observations: Observations
    estimates: FloatArray
    standard_errors: FloatArray
    level: float
    interval: str
    parameters: Mapping[str, Mapping[str, Parameter]]
    tips_used: tuple[int, ...]
    method: str
    columns: Mapping[str, FloatArray] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    details: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    given_ends: tuple[FloatArray, FloatArray] | None = None

    @cached_property
    def observed(self) -> FloatArray:
        """(N, D) the observed value (mean of replicates); nan at internal nodes and missing tips."""
        return self.observations.means(0, len(self.estimates))

    def equal_tailed(self, nodes: slice) -> tuple[FloatArray, FloatArray]:
        """Lower and upper ends of the equal-tailed interval at some nodes, (n, D); nan where there is none."""
        if self.given_ends is not None:
            return self.given_ends[0][nodes], self.given_ends[1][nodes]
        # The lower tail, which keeps its digits where 1 + level would round to 2.
        half = -NormalDist().inv_cdf((1 - self.level) / 2) * self.standard_errors[nodes]
        return self.estimates[nodes] - half, self.estimates[nodes] + half

    @cached_property
    def lower(self) -> FloatArray:
        """(N, D) lower ends of the equal-tailed intervals; `equal_tailed` does not keep them."""
        return self.equal_tailed(slice(None))[0]

    @cached_property
    def upper(self) -> FloatArray:
        """(N, D) upper ends of the equal-tailed intervals."""
        return self.equal_tailed(slice(None))[1]

    def named(self, nodes: slice) -> tuple[FloatArray, FloatArray]:
        """Both (n, D): the ends of the interval that `interval` names, `HPD` if the posterior has it of its own."""
        if self.interval == "HPD" and "hpd_lower" in self.columns:
            return self.columns["hpd_lower"][nodes], self.columns["hpd_upper"][nodes]
        return self.equal_tailed(nodes)

    @property
    def ends(self) -> tuple[FloatArray, FloatArray]:
        """Both (N, D): `named` at all nodes."""
        if self.interval == "HPD" and "hpd_lower" in self.columns:
            return self.columns["hpd_lower"], self.columns["hpd_upper"]
        return self.lower, self.upper
