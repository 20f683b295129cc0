"""The search over few cells for what is true of many, on surfaces whose tops and profiles are known in closed form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.optimize
from scipy.special import chdtri

from hxcli.inference.grid_ends import profile_ends
from hxcli.inference.grid_search import maximise_on_grid
from hxcli.inference.searched import MovedCoordinates
from hxcli.models.bound_model import Coordinate

LEVEL = 0.95
DROP = float(chdtri(1, 1 - LEVEL)) / 2


class Ridge(MovedCoordinates):
    """Pull a and optimum t, of which the data tell the product only: g(a) - 2 (exp(a) t - 2)^2, moved on few cells."""

    cells = 200

    def __init__(self, g: Callable[[float], float], slope: Callable[[float], float], low: float = 0.0, off: float = 0):
        self._g, self._slope, self._low, self._off = g, slope, low, off
        self.coordinates = (
            Coordinate("pull", "pull", 0, low, np.inf, log=True, start=1.0),
            Coordinate("optimum", "optimum", 0, -np.inf, np.inf, log=False, start=0.5, spread=2.0),
        )

    def coarser(self) -> Ridge:
        return Ridge(self._g, self._slope, self._low, 0.05)

    def value(self, x: np.ndarray) -> float:
        return self.value_and_gradient(x)[0]

    def value_and_gradient(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        a, t = (float(each) for each in x)
        with np.errstate(all="ignore"):
            pull = float(np.exp(a))
            away = pull * t - 2
            value = self._g(a) - 2 * away**2 - self._off * np.cos(a + away)
            bent = self._off * np.sin(a + away)
            by_away = -4 * away + bent
            return value, np.array([self._slope(a) + bent + by_away * pull * t, by_away * pull])


def dome(a: Any) -> Any:
    return -0.05 * (a + 1) ** 2 - np.exp(2 * a) / 2


def dome_slope(a: float) -> float:
    return -0.1 * (a + 1) - np.exp(2 * a)


def shelf(a: float) -> float:
    """Falls by 1 to the left, and then no more."""
    return -(1 - np.exp(-(a**2) / 2)) - max(a, 0.0) ** 3


def shelf_slope(a: float) -> float:
    return -a * np.exp(-(a**2) / 2) - 3 * max(a, 0.0) ** 2


def far_optimum(g: Callable[[Any], Any], top: float, side: int) -> float:
    """The farthest optimum to one side that any pull allows, by looking at very many."""
    pulls = np.linspace(-12, 3, 200_001)
    room = g(pulls) - top + DROP
    there = room > 0
    return float(max(side * (2 + side * np.sqrt(room[there] / 2)) / np.exp(pulls[there])) * side)


def test_a_straight_search_finds_what_a_bent_ridge_allows() -> None:
    ridge = Ridge(dome, dome_slope)
    optimum = maximise_on_grid(ridge)
    best = scipy.optimize.brentq(dome_slope, -5, 3)
    assert optimum.converged
    assert optimum.agreeing == optimum.starts
    assert optimum.log_likelihood == pytest.approx(dome(best), abs=1e-7)
    np.testing.assert_allclose(optimum.x, [best, 2 / np.exp(best)], rtol=1e-3)
    found = profile_ends(ridge, optimum, LEVEL)
    fallen = [
        scipy.optimize.brentq(lambda a: dome(a) - dome(best) + DROP, *between) for between in ((-20, best), (best, 5))
    ]
    np.testing.assert_allclose(found[0], fallen, atol=1e-3)
    optima = [far_optimum(dome, dome(best), side) for side in (-1, 1)]
    assert optima[1] > 1000
    np.testing.assert_allclose(found[1], optima, rtol=1e-3)


def test_no_end_where_the_likelihood_falls_but_not_so_far() -> None:
    ridge = Ridge(shelf, shelf_slope)
    found = profile_ends(ridge, maximise_on_grid(ridge), LEVEL)
    assert np.isnan(found[0, 0])
    assert found[0, 1] == pytest.approx(scipy.optimize.brentq(lambda a: shelf(a) + DROP, 0, 5), abs=1e-3)
    # The less it pulls, the farther may its optimum be.
    assert np.isnan(found[1]).all() or np.isnan(found[1, 1])


def test_no_end_where_a_support_ends_first() -> None:
    ridge = Ridge(dome, dome_slope, low=np.exp(-4.0))
    found = profile_ends(ridge, maximise_on_grid(ridge), LEVEL)
    assert np.isnan(found[0, 0])
    assert found[0, 1] > 0
    # The end of the pull's support is one of the optimum's profile.
    top = dome(scipy.optimize.brentq(dome_slope, -5, 3))
    assert found[1, 1] == pytest.approx((2 + np.sqrt((dome(-4.0) - top + DROP) / 2)) * np.exp(4), rel=1e-3)


def test_a_top_at_the_end_of_a_support_is_named() -> None:
    ridge = Ridge(dome, dome_slope, low=1.0)
    optimum = maximise_on_grid(ridge)
    assert optimum.at_lower == ("pull",)
    assert optimum.at_upper == ()
    assert optimum.converged
    np.testing.assert_allclose(optimum.x, [0.0, 2.0], atol=1e-4)
    found = profile_ends(ridge, optimum, LEVEL)
    assert np.isnan(found[0, 0])
    assert found[0, 1] == pytest.approx(scipy.optimize.brentq(lambda a: dome(a) - dome(0.0) + DROP, 0, 5), abs=1e-3)
