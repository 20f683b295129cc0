"""One formula under one model by generalised least squares: coefficients, likelihood, residuals, predictions."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hxcli.analyses.regress.formula import Design
from hxcli.inference.akaike import Akaike
from hxcli.inference.likelihood_columns import Framed, TraitLikelihood
from hxcli.inference.maximum_likelihood import maximise
from hxcli.inference.optimum_certificate import Optimum
from hxcli.inference.profile_intervals import profile_intervals
from hxcli.inference.quantity import Interval, Quantity
from hxcli.models.bound_model import BoundModel
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.units import location_and_scale, units_of
from hxcli.traits import Observations

# Numbers of coefficients that programs are compiled for.
_WIDTHS = (2, 4, 6, 8, 12, 16, 24, 32, 48, 64)


@dataclass(frozen=True)
class Setting:
    """What all regressions on one tree share.

    Attributes:
        bound: The model on the tree.
        on: The tree's edges on the device.
        nodes: (M,) the tip of every row.
        errors: (M,) known standard errors of the response.
        restricted: REML, or ML.
        held: Shape parameters that are given.
        level: Probability of the intervals.
        width: Columns of every design, zeros among them: those of the largest, so that all share one program.
    """

    bound: BoundModel
    on: Framed
    nodes: NDArray[np.intp]
    errors: FloatArray
    restricted: bool
    held: Mapping[str, float]
    level: float
    width: int


def width_for(terms: int) -> int:
    """The width of designs of up to so many terms."""
    return next((width for width in _WIDTHS if width >= terms), terms)


def constant_part(design: Design) -> FloatArray | None:
    """(P,) the combination of a design's columns that is 1 in every row; None where there is none."""
    rows = design.matrix[design.used | design.predicted]
    if "Intercept" in design.terms:
        return np.eye(len(design.terms))[design.terms.index("Intercept")]
    if not rows.size:
        return None
    found = np.linalg.lstsq(rows, np.ones(len(rows)), rcond=None)[0]
    return np.asarray(found, float) if np.allclose(rows @ found, 1, rtol=0, atol=1e-12) else None


def centres(design: Design) -> FloatArray:
    """(P,) a number near the mean of every column, of few digits; 0 without an intercept to make up for it."""
    used = design.matrix[design.used]
    if "Intercept" not in design.terms or not len(used):
        return np.zeros(len(design.terms))
    found, _ = location_and_scale(used)
    return np.where(np.array(design.terms) == "Intercept", 0.0, found)


class Regression(Akaike):
    """A fitted regression; P coefficients, n rows with a response.

    Attributes:
        design: Of the formula.
        likelihood, optimum: In the unit of computation.
        beta, covariance: (P,) coefficients, and (P, P) their covariance, in the units of the table.
        n, freedom: Number of rows, and of degrees of freedom n - P.
        k: Number of estimated parameters: coefficients, sigma2, shape parameters.
        sigma2: By maximum likelihood, rss / n; by REML rss / (n - P).
        log_likelihood: Plain, or restricted.
        rss: Weighted sum of squared residuals at sigma2 = 1.
    """

    def __init__(self, setting: Setting, design: Design, x: FloatArray | None = None) -> None:
        """Fits the regression.

        Args:
            setting: Of the tree.
            design: Of the formula.
            x: Shape parameters as a search has them; None to search for them.
        """
        self.setting, self.design = setting, design
        used = design.used
        # A constant that lies far from 0 would use up the digits of all else.
        constant = constant_part(design)
        self._centre = centres(design)
        size = np.abs(design.matrix[used] - self._centre).max(0, initial=0.0)
        # Powers of two change no digit.
        self._column_scale = np.ldexp(1.0, np.frexp(np.where(size > 0, size, 1.0))[1])
        terms = len(design.terms)
        width = setting.width
        matrix = np.zeros((setting.bound.fields.phylogeny.topology.size, width))
        rows = used | design.predicted
        matrix[setting.nodes[rows], :terms] = (design.matrix[rows] - self._centre) / self._column_scale
        self._matrix = matrix
        seen = Observations(
            setting.nodes[used], design.values[used, None], setting.errors[used, None], (design.response,)
        )
        units = dataclasses.replace(units_of(setting.bound.fields.phylogeny, seen), length=1.0)
        units.refuse_extreme()
        if constant is None:
            # The design cannot follow where the values go.
            units = dataclasses.replace(units, location=np.zeros(1))
        self._scale, self._location = float(units.scale[0]), float(units.location[0])
        self.likelihood = TraitLikelihood(
            setting.bound,
            setting.on,
            units.observations(seen),
            0,
            restricted=setting.restricted,
            held=setting.held,
            design=matrix,
            terms=(*design.terms, *(f"_{number}" for number in range(width - terms))),
        )
        self.optimum: Optimum | None = maximise(self.likelihood) if x is None else None
        self.x = self.optimum.x if self.optimum is not None else np.asarray(x, float)
        figures = self.optimum.figures if self.optimum is not None else self.likelihood.at(self.x[None])
        self._figures = figures
        back = self._scale / self._column_scale
        self.n = int(used.sum())
        self.freedom = self.n - terms
        # y - location = (X - centre) b is y = X (b + constant (location - centre b)), where X constant = 1.
        self._constant = np.zeros(terms) if constant is None else constant
        self._centred = figures.beta[0, :terms] * back
        self.beta = self._centred + self._constant * (self._location - self._centre @ self._centred)
        self.rss = float(figures.rss[0]) * self._scale**2
        spread = self.rss / max(self.freedom, 1) / self._scale**2 if self.likelihood.profiled else 1.0
        if self.likelihood.profiled and self.freedom < 1:
            spread = math.nan
        self._spread = spread
        back_again = np.eye(terms) - np.outer(self._constant, self._centre)
        covariance = figures.covariance[0, :terms, :terms] * back[:, None] * back * spread
        self.covariance = back_again @ covariance @ back_again.T
        size_of = float(figures.size[0])
        self.log_likelihood = float(figures.log_likelihood[0]) - size_of * math.log(self._scale)
        if setting.restricted:
            self.log_likelihood -= float(np.log(self._column_scale).sum())
        self.k = terms + len(self.likelihood.coordinates) + self.likelihood.profiled
        self.parameters = self.likelihood.parameters(self.x)
        first = setting.bound.rates[0]
        if self.likelihood.profiled:
            self.sigma2 = self.rss / size_of if size_of > 0 else math.nan
        else:
            self.sigma2 = self.parameters.pop(first, math.nan) * self._scale**2
        for name in setting.bound.rates:
            self.parameters.pop(name, None)

    @property
    def fitted(self) -> FloatArray:
        """(M,) mean of the response by the formula alone; nan where a predictor is missing."""
        found: FloatArray = (self.design.matrix - self._centre) @ self._centred + self._location
        return found

    def leverage(self) -> FloatArray:
        """(M,) diagonal of the hat matrix X (X' V^-1 X)^-1 X' V^-1; nan in rows that are not used."""
        weights = self.likelihood.weights(self.x)
        found = np.full(len(self.setting.nodes), np.nan)
        nodes = self.setting.nodes[self.design.used]
        covariance = self._figures.covariance[0]
        found[self.design.used] = np.einsum("ip,pq,iq->i", self._matrix[nodes], covariance, weights[nodes])
        return found

    def predictions(self) -> tuple[FloatArray, FloatArray]:
        """(M,) predicted responses and their standard errors for rows without one, relatives taken into account."""
        mean, variance, _ = self.likelihood.states(self.x)
        rows = self.design.predicted
        nodes = self.setting.nodes[rows]
        rate = float(self._figures.rate[0])
        spread = variance[nodes] / rate * self._spread if rate > 0 else 0 * variance[nodes]
        found = np.full((2, len(self.setting.nodes)), np.nan)
        found[:, rows] = mean[nodes] * self._scale + self._location, np.sqrt(spread) * self._scale
        return found[0], found[1]

    def profiles(self, coefficients: bool) -> dict[str, Interval]:
        """Profile intervals of the shape parameters, and of the coefficients if they are wanted, by name."""
        assert self.optimum is not None
        coordinates = [each for each in self.likelihood.coordinates if not each.is_rate]
        order = {each.name: i for i, each in enumerate(self.likelihood.coordinates)}
        none = np.zeros(len(order))
        back = self._scale / self._column_scale
        mixes = np.zeros((len(back), self.setting.width))
        mixes[:, : len(back)] = (np.eye(len(back)) - np.outer(self._constant, self._centre)) * back
        quantities = [
            Quantity(term, number, none, shift=self._constant[number] * self._location, mix=mixes[number])
            for number, term in enumerate(self.design.terms if coefficients else ())
        ]
        quantities += [
            Quantity(each.name, -1, np.eye(len(order))[order[each.name]], plain=not each.log) for each in coordinates
        ]
        return profile_intervals(self.likelihood, self.optimum, quantities, self.setting.level)

    def certificate(self) -> dict[str, Any]:
        """How the shape parameters were found, as JSON values."""
        assert self.optimum is not None
        return self.optimum.certificate.as_json()
