"""Draws of parameters from densities whose integral and means are known."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hxcli.inference.fitted_mixture import Budget
from hxcli.inference.no_u_turn import unhealthy
from hxcli.inference.parameter_chains import ParameterChains, sample_parameters

LOG_2PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class Known:
    """A density of two parameters, whose coordinates are their logarithms.

    Attributes:
        log_density: Of places (2, ...), by numpy or jax.numpy.
        log_integral: Logarithm of its integral.
        mean: (2,) of the coordinates.
        deviation: (2,) likewise.
    """

    log_density: Callable[[Any, Any], Any]
    log_integral: float
    mean: tuple[float, float]
    deviation: tuple[float, float]
    names = ("one", "other")
    starts = ((-10.0, 10.0), (-10.0, 10.0))

    def __call__(self, w: Any) -> Any:
        return self.log_density(w.T, np)

    def depths(self, w: Any) -> Any:
        slopes = [(self(w + step) - self(w - step)) / 2e-6 for step in 1e-6 * np.eye(2)]
        return -self(w), -np.stack(slopes, 1)

    def reported(self, w: Any) -> Any:
        return np.exp(w)

    def traced(self, top: Any) -> Callable[[Any], Any]:
        assert np.isfinite(self.log_density(top, np))
        return lambda w: self.log_density(w, jnp)


def two_hills(w: Any, xp: Any) -> Any:
    far, near = (w[0] - 3) ** 2 + (w[1] + 2) ** 2, ((w[0] + 2) ** 2 + w[1] ** 2) / 0.25
    return xp.logaddexp(math.log(0.3) - far / 2, math.log(0.7 / 0.25) - near / 2) - LOG_2PI + math.log(7.0)


def bent(w: Any, xp: Any) -> Any:
    del xp
    return -(w[0] ** 2) / 8 - math.log(2) - 2 * (w[1] - w[0] ** 2 / 4) ** 2 - math.log(0.5) - LOG_2PI + 100.0


def heavy(w: Any, xp: Any) -> Any:
    """A bivariate t distribution of five degrees of freedom, half as wide along the second axis, times e^-3."""
    return -3.5 * xp.log1p((w[0] ** 2 + 4 * w[1] ** 2) / 5) + math.log(2) - LOG_2PI - 3.0


def ring(w: Any, xp: Any) -> Any:
    """Too narrow for few draws."""
    return -(((xp.hypot(w[0], w[1]) - 3) / 0.005) ** 2)


KNOWN = {
    "two hills": Known(two_hills, math.log(7.0), (-0.5, -0.6), (math.sqrt(0.475 + 5.25), math.sqrt(0.475 + 0.84))),
    "bent": Known(bent, 100.0, (0.0, 1.0), (2.0, 1.5)),
    "heavy": Known(heavy, -3.0, (0.0, 0.0), (math.sqrt(5 / 3), math.sqrt(5 / 12))),
}


def check(density: Known, found: ParameterChains) -> None:
    """Means and deviations within their errors."""
    assert found.places.shape == (4, 1000, 2)
    assert list(found.diagnostics) == ["one", "other"]
    assert not unhealthy(found.divergences, found.diagnostics)
    for axis, figures in enumerate(found.diagnostics.values()):
        own = found.places[..., axis]
        error = density.deviation[axis] / math.sqrt(min(figures["ess_bulk"], figures["ess_tail"]))
        assert abs(own.mean() - density.mean[axis]) < 5 * error
        assert own.std() == pytest.approx(density.deviation[axis], rel=0.25)


@pytest.mark.parametrize("name", KNOWN)
def test_draws_and_evidence_are_those_of_the_density(name: str) -> None:
    density = KNOWN[name]
    found = sample_parameters(density, 4, 1000, [0, 1], "it")
    assert found.details["method"] == "independence"
    assert found.evidence_error < 0.03
    assert abs(found.log_evidence - density.log_integral) < 5 * found.evidence_error
    check(density, found)


class Counted(Known):
    """Notes how many places are asked for at a time."""

    asked: ClassVar[list[int]] = []

    def __call__(self, w: Any) -> Any:
        self.asked.append(len(w))
        return super().__call__(w)

    def depths(self, w: Any) -> Any:
        return Known(self.log_density, 0, (0, 0), (1, 1)).depths(w)


def test_a_small_budget_takes_few_places_and_no_more() -> None:
    Counted.asked.clear()
    density = Counted(*vars(KNOWN["two hills"]).values())
    found = sample_parameters(density, 4, 500, [0, 1], "it", "independence", Budget(300, 6, 0.5, 1.0, 1, 4))
    *of_rounds, last = Counted.asked
    assert set(of_rounds) == {300}
    assert 1 <= len(of_rounds) <= 6
    assert last == 2000 * found.details["proposals_per_draw"] <= 8000
    assert abs(found.log_evidence - math.log(7.0)) < 5 * found.evidence_error


def test_more_effort_goes_on_from_the_first_fit_and_says_what_it_found() -> None:
    Counted.asked.clear()
    density = Counted(ring, 0.0, (0, 0), (1, 1))
    found = sample_parameters(density, 4, 1000, [0, 1], "it", "independence", Budget(100, 2, 0.5, 1.5, 2, 2))
    # Two rounds of the usual effort and two of more, each with the draws of its chains.
    assert Counted.asked[:-1] == [100, 100, 8000, 400, 400]
    assert found.details["method"] == "independence"
    assert unhealthy(0, found.diagnostics)


@pytest.mark.slow
def test_the_other_sampler_agrees() -> None:
    density = KNOWN["heavy"]
    with jax.enable_x64(True):
        found = sample_parameters(density, 4, 1000, [0, 1], "it", "nuts")
    assert found.details["method"] == "nuts"
    assert math.isnan(found.log_evidence)
    check(density, found)
