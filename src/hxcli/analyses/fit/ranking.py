"""Models in the order of their corrected information criterion, and the tables, rows and records that show it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np

from hxcli.phylogeny import FloatArray

HEADER = ("trait", "model", "log likelihood", "k", "AICc", "difference", "weight", "parameters", "flags")

# What criteria of equal models differ by, as a share of them.
_ROUNDING = 1e-12


class Compared(Protocol):
    """One or all traits under one model."""

    @property
    def trait(self) -> str:
        """Name of the trait, or of all."""

    @property
    def name(self) -> str:
        """Of the model."""

    @property
    def n(self) -> int:
        """Number of values that the criterion is corrected for."""

    @property
    def k(self) -> int:
        """Number of estimated parameters."""

    @property
    def estimator(self) -> str:
        """`ML` or `REML`."""

    @property
    def log_likelihood(self) -> float:
        """In the units of the files."""

    @property
    def aic(self) -> float:
        """Akaike's information criterion."""

    @property
    def aicc(self) -> float:
        """The same corrected for few values."""

    @property
    def converged(self) -> bool:
        """Whether the optimum is certain."""

    @property
    def flags(self) -> tuple[str, ...]:
        """What to know of the fit, as codes."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Reported name -> estimate, with its value, its interval and how it was found."""

    @property
    def of_file(self) -> Mapping[str, Any]:
        """What the record says of a user's file."""

    def certificate(self) -> dict[str, Any]:
        """How the optimum was found, as JSON values."""


M = TypeVar("M", bound=Compared)
# For every trait its models with difference and weight, the best first.
Ranked: TypeAlias = Sequence[Sequence[tuple[Compared, float, float]]]


def weights_of(fitted: Sequence[Compared]) -> tuple[FloatArray, FloatArray]:
    """Both (M,): differences of the corrected criterion from the best, and Akaike weights.

    Burnham and Anderson (2002, Model Selection and Multimodel Inference). A model whose criterion is infinite or that
    has no likelihood has the weight 0.
    """
    aicc = np.array([each.aicc if math.isfinite(each.aicc) else np.inf for each in fitted])
    best = aicc.min(initial=np.inf)
    if not np.isfinite(best):
        return np.full(len(aicc), np.nan), np.zeros(len(aicc))
    delta = aicc - best
    # Else models that are one model stand in the order of their last digits.
    delta[delta <= _ROUNDING * max(abs(best), 1.0)] = 0.0
    weights = np.exp(-delta / 2)
    return delta, weights / weights.sum()


def ranked(fitted: Sequence[M]) -> list[tuple[M, float, float]]:
    """Models with difference and weight, the best first; ties in the order of their names."""
    delta, weights = weights_of(fitted)
    order = sorted(range(len(fitted)), key=lambda i: (np.inf if math.isnan(delta[i]) else delta[i], fitted[i].name))
    return [(fitted[i], float(delta[i]), float(weights[i])) for i in order]


def fits_table(ordered: Ranked) -> dict[str, list[Any]]:
    """The columns of PREFIX.fits.csv."""
    rows = [row for each in ordered for row in each]
    return {
        "trait": [each.trait for each, _, _ in rows],
        "model": [each.name for each, _, _ in rows],
        "n": [each.n for each, _, _ in rows],
        "k": [each.k for each, _, _ in rows],
        "log_likelihood": [each.log_likelihood for each, _, _ in rows],
        "aic": [each.aic for each, _, _ in rows],
        "aicc": [each.aicc for each, _, _ in rows],
        "delta_aicc": [delta for _, delta, _ in rows],
        "weight": [weight for _, _, weight in rows],
        "converged": [each.converged for each, _, _ in rows],
        "flags": [";".join(each.flags) for each, _, _ in rows],
    }


def parameter_table(ordered: Ranked) -> dict[str, list[Any]]:
    """The columns of PREFIX.params.csv."""
    rows = [
        (each.trait, each.name, name, *estimate)
        for traits in ordered
        for each, _, _ in traits
        for name, estimate in each.parameters.items()
    ]
    names = ("trait", "model", "parameter", "value", "lower", "upper", "how")
    return {name: [row[number] for row in rows] for number, name in enumerate(names)}


def summary_row(each: Compared, delta: float, weight: float) -> tuple[str, ...]:
    """The row of one model, under `HEADER`."""
    parameters = ", ".join(f"{name} {estimate.value:.4g}" for name, estimate in each.parameters.items())
    figures = (f"{each.log_likelihood:.6g}", str(each.k), f"{each.aicc:.6g}", f"{delta:.4g}", f"{weight:.3f}")
    return (each.trait, each.name, *figures, parameters, ";".join(each.flags))


def about(each: Compared, delta: float, weight: float) -> Mapping[str, Any]:
    """What the run record says of one model."""
    return {
        "model": each.name,
        "n": each.n,
        "k": each.k,
        "estimator": each.estimator,
        "log_likelihood": each.log_likelihood,
        "aic": each.aic,
        "aicc": each.aicc,
        "delta_aicc": delta,
        "weight": weight,
        "flags": list(each.flags),
        "certificate": each.certificate(),
        "parameters": {
            name: {"value": estimate.value, "lower": estimate.lower, "upper": estimate.upper, "how": estimate.how}
            for name, estimate in each.parameters.items()
        },
        **each.of_file,
    }
