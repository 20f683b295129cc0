"""Priors of covariances: correlations by LKJ, and every trait's standard deviation by itself."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hxcli.errors import OptionError
from hxcli.inference.priors import Prior, parse_prior
from hxcli.phylogeny import FloatArray

# Forms of the priors of standard deviations: without a bound, so that a sampler meets no wall.
_FORMS = ("halfnormal", "halfcauchy", "lognormal", "invgamma")
# A default standard deviation of this many of the data's own.
_WIDE = 5.0
# Of correlations: every correlation matrix is as probable as any other.
_UNIFORM = 1.0
# What priors are called: of the deviations, and of the correlations.
_RATE, _WITHIN = ("sigma", "correlation"), ("tau", "within_correlation")


@dataclass(frozen=True)
class CovariancePrior:
    """A distribution over covariance matrices of D traits.

    Attributes:
        concentration: Of the LKJ distribution of the correlations (Lewandowski, Kurowicka and Joe 2009, J. Multivar.
            Anal. 100:1989), whose density is the determinant to the power of this less 1.
        deviations: (D,) the priors of the square roots of the variances.
    """

    concentration: float
    deviations: tuple[Prior, ...]

    def log_density(self, factor: Any, xp: Any = np) -> Any:
        """Log density of a matrix's lower triangle, up to a constant.

        Args:
            factor: (D, D) lower triangular; the matrix is its product with its transpose.
            xp: numpy, or jax.numpy while tracing.
        """
        log_deviations = xp.log((factor**2).sum(1)) / 2
        log_det = 2 * (xp.log(xp.diagonal(factor)).sum() - log_deviations.sum())
        # The variances and covariances are the deviations squared and multiplied: D factors of each deviation.
        total = (self.concentration - 1) * log_det - (len(self.deviations) + 1) * log_deviations.sum()
        for trait, prior in enumerate(self.deviations):
            total = total + prior.log_density(log_deviations[trait], xp)
        return total


@dataclass(frozen=True)
class JointPriors:
    """The priors of traits together, in the users' units.

    Attributes:
        rate: Of the evolutionary covariance.
        within: Of that within species; None without one.
        scaled_to_data: Names of those that nobody gave.
        shape: Name and prior of the model's shape parameter; None without one.
    """

    rate: CovariancePrior
    within: CovariancePrior | None
    scaled_to_data: tuple[str, ...]
    shape: tuple[str, Prior] | None = None

    def in_words(self, traits: Sequence[str]) -> str:
        """`priors: correlation lkj(1), sigma(mass) halfnormal(0.46), ...`."""
        return "priors: " + ", ".join(f"{name} {text}" for name, text in self.written(traits).items())

    def written(self, traits: Sequence[str]) -> dict[str, str]:
        """Name -> prior, as `--prior` takes them."""
        found = {}
        for names, prior in ((_RATE, self.rate), (_WITHIN, self.within)):
            if prior is not None:
                found[names[1]] = f"lkj({prior.concentration:g})"
                found |= {f"{names[0]}({t})": str(p) for t, p in zip(traits, prior.deviations, strict=True)}
        if self.shape is not None:
            found[self.shape[0]] = str(self.shape[1])
        return found


def joint_priors(
    given: Mapping[str, str],
    traits: Sequence[str],
    spreads: FloatArray,
    height: float,
    phenotypic: bool,
    shape: tuple[str, Prior] | None = None,
) -> JointPriors:
    """The priors that a user gave, and for the rest wide ones around the data's scale.

    Args:
        given: `sigma`, `sigma(TRAIT)`, `correlation`, and within species `tau`, `tau(TRAIT)`, `within_correlation`,
            each with its prior in words.
        traits: (D,) names.
        spreads: (D,) standard deviations of the observed values.
        height: Mean distance between root and tips.
        phenotypic: Whether there is a covariance within species.
        shape: Name and prior, given or not, of the model's shape parameter; None without one.

    Raises:
        OptionError: A name or a prior that is none of these.
    """
    kinds = (_RATE, _WITHIN) if phenotypic else (_RATE,)
    known = {name for kind in kinds for name in kind} | {f"{kind[0]}({trait})" for kind in kinds for trait in traits}
    own = [] if shape is None else [shape[0]]
    for name, text in given.items():
        if name not in known.union(own):
            shown = ", ".join([*(f"{kind[0]}, {kind[0]}(TRAIT), {kind[1]}" for kind in kinds), *own])
            raise OptionError(f"--prior {name}={text}: traits together have no such prior (they have {shown})")
    scaled: list[str] = []

    def prior_of(kind: tuple[str, str], scale: FloatArray) -> CovariancePrior:
        name, correlation = kind
        deviations = []
        for trait, spread in zip(traits, scale, strict=True):
            text = given.get(f"{name}({trait})", given.get(name))
            if text is None:
                scaled.append(f"{name}({trait})")
            deviations.append(_deviation(text) if text else Prior("halfnormal", (float(f"{_WIDE * spread:.4g}"),)))
        return CovariancePrior(_concentration(given.get(correlation)), tuple(deviations))

    rate = prior_of(_RATE, spreads / np.sqrt(height))
    return JointPriors(rate, prior_of(_WITHIN, spreads) if phenotypic else None, tuple(scaled), shape)


def _deviation(text: str) -> Prior:
    prior = parse_prior(text)
    if prior.form not in _FORMS:
        raise OptionError(f"{text!r}: a standard deviation of traits together has no bounds (use {', '.join(_FORMS)})")
    return prior


def _concentration(text: str | None) -> float:
    if text is None:
        return _UNIFORM
    found = re.fullmatch(r"\s*lkj\s*\(\s*(\d+\.?\d*|\.\d+)\s*\)\s*", text)
    if found is None or not 0 < float(found[1]) <= 1e6:
        raise OptionError(f"{text!r} is no prior of correlations (write lkj(1), or a larger number to draw them to 0)")
    return float(found[1])
