"""Reconstruction: what a run found for every node, and how each figure was obtained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from statistics import NormalDist
from typing import Any

from hxcli.findings import Findings, number, plain
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
class NodeDensities:
    """The densities of the states of N nodes, on a grid of k cells.

    Attributes:
        states: (k,) middles of the cells, in the trait's unit.
        density: (N, k) chance per unit of the trait; nan for a node whose value is known.
    """

    states: FloatArray
    density: FloatArray


@dataclass(frozen=True, eq=False)
class Reconstruction(Findings):
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
        densities: Trait -> whole densities of all nodes, of traits whose model has a grid.
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
    densities: Mapping[str, NodeDensities] = field(default_factory=dict)

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

    def headline(self) -> str:
        """What was computed, on how large a tree, with which intervals (none where they are nan)."""
        said = super().headline()
        if any(upper == upper for upper in self.named(slice(0, 1))[1][0]):
            said += f"; {self.level:.15g} {self.interval} in brackets"
        return said

    def summary(self, most: int) -> list[tuple[str, ...]]:
        """A header and one row per trait: root with interval, the parameters, tips used and missing.

        How a parameter was obtained stands in its header where it is the same for all traits.
        """
        shown = self.traits[:most]
        parameters = [self.parameters[trait] for trait in shown]
        # The root has a column of its own, with its interval.
        names = [name for name in dict.fromkeys(chain(*parameters)) if not name.startswith("root")]
        names = [name for name in names if any(_tells(figures.get(name)) for figures in parameters)]
        hows = {name: {figures[name].how for figures in parameters if name in figures} for name in names}
        titles = [_title(name, hows[name]) for name in names]
        rows: list[tuple[str, ...]] = [("trait", "root", *titles, "tips", "missing")]
        for column, (trait, figures) in enumerate(zip(shown, parameters, strict=True)):
            used = self.tips_used[column]
            missing = len(self.phylogeny.tips) - used
            cells = [_figure(figures.get(name), with_how=len(hows[name]) > 1) for name in names]
            rows.append((trait, self._root(column), *cells, str(used), str(missing)))
        return rows

    def facts(self) -> dict[str, Any]:
        """What the run record says of all traits together."""
        return {"interval": {"kind": self.interval, "level": self.level}}

    def trait_facts(self, trait: int) -> dict[str, Any]:
        """What the run record says of one trait: the root, the parameters, details."""
        name = self.traits[trait]
        lower, upper = (float(end[0, trait]) for end in self.equal_tailed(slice(0, 1)))
        shortest = [key for key in ("hpd_lower", "hpd_upper") if key in self.columns]
        return {
            "root": {
                "estimate": number(self.estimates[0, trait]),
                "se": number(self.standard_errors[0, trait]),
                "lower": number(lower),
                "upper": number(upper),
                **{key: number(self.columns[key][0, trait]) for key in shortest},
            },
            "parameters": {
                key: {"value": number(parameter.value), "how": parameter.how}
                for key, parameter in self.parameters[name].items()
            },
            **plain(dict(self.details.get(name, {}))),
        }

    def _root(self, column: int) -> str:
        estimate = self.estimates[0, column]
        lower, upper = (ends[0, column] for ends in self.named(slice(0, 1)))
        return f"{estimate:.6g}" if lower != lower else f"{estimate:.6g} [{lower:.6g}, {upper:.6g}]"


def _tells(parameter: Parameter | None) -> bool:
    """False for an observation variance that nobody asked for."""
    return parameter is not None and (parameter.value != 0 or parameter.how != "given")


def _title(name: str, hows: set[str]) -> str:
    words = name.replace("_", " ")
    if len(hows) > 1:
        return words
    (how,) = hows
    return how if set(words.split()) <= set(how.replace(",", "").split()) else f"{words} ({how})"


def _figure(parameter: Parameter | None, *, with_how: bool) -> str:
    if parameter is None:
        return ""
    return f"{parameter.value:.6g} ({parameter.how})" if with_how else f"{parameter.value:.6g}"
