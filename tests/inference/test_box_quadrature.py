"""Quadrature over one to three coordinates beside distributions that are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from hxcli.errors import ModelError
from hxcli.inference.box_quadrature import SPARING, integrate_box, places_at


def test_a_normal_in_one_and_a_ridge_in_two_coordinates_are_integrated() -> None:
    box = integrate_box(
        lambda w: norm.logpdf(w[:, 0], 3, 0.01) - 2.5, lambda w: w, [(-10, 10)], 1e-6, "no finite integral"
    )
    assert box.log_evidence == pytest.approx(-2.5, abs=1e-10)
    assert box.moments
    mean = box.weights @ box.axes[0]
    assert mean == pytest.approx(3, abs=1e-10)
    assert np.sqrt(box.weights @ (box.axes[0] - mean) ** 2) == pytest.approx(0.01, abs=1e-10)
    spread = np.array([[1.0, 0.95], [0.95, 1.0]])
    ridge: Any = multivariate_normal([1, -2], spread)
    box = integrate_box(lambda w: ridge.logpdf(w), lambda w: w, [(-9, 9), (-9, 9)], 1e-6, "a")
    assert box.error < 1e-6
    assert box.log_evidence == pytest.approx(0, abs=1e-9)
    values = np.exp(box.places)
    # Means of a lognormal pair, and of its product.
    assert box.weights.ravel() @ values[:, 0] == pytest.approx(np.exp(1.5), rel=1e-7)
    assert box.weights.ravel() @ values.prod(1) == pytest.approx(np.exp(-1 + (2 + 1.9) / 2), rel=1e-6)


def test_three_coordinates_are_integrated_and_drawn() -> None:
    spread = np.array([[1.0, 0.6, -0.3], [0.6, 0.8, 0.1], [-0.3, 0.1, 0.5]])
    tilted: Any = multivariate_normal([1, -2, 0.5], spread)
    box = integrate_box(lambda w: tilted.logpdf(w) - 4, lambda w: w, [(-9, 9)] * 3, 3e-4, "a", None, SPARING)
    assert box.error < 3e-4
    assert box.log_evidence == pytest.approx(-4, abs=1e-6)
    weights, places = box.weights.ravel(), box.places
    mean = weights @ places
    np.testing.assert_allclose(mean, [1, -2, 0.5], atol=1e-6)
    np.testing.assert_allclose((places - mean).T @ ((places - mean) * weights[:, None]), spread, atol=1e-6)
    np.testing.assert_allclose(box.quantiles(2, np.array([0.1, 0.5])), norm(0.5, 0.5**0.5).ppf([0.1, 0.5]), atol=1e-6)
    uniform = np.random.default_rng(1).uniform(size=(3, 1000))
    drawn = places_at(box, uniform)
    # The same numbers as quantiles of every coordinate given those before it.
    root = np.linalg.cholesky(spread)
    away = abs(drawn - [1, -2, 0.5] - norm.ppf(uniform).T @ root.T)
    assert np.quantile(away, 0.99) < 2e-3
    # Far out, where there is next to nothing, the points are far apart.
    assert away.max() < 0.2


def test_what_has_no_end_is_refused_or_has_no_moments() -> None:
    with pytest.raises(ModelError, match="no finite integral"):
        integrate_box(lambda w: 0 * w[:, 0], lambda w: w, [(-10, 10)], 1e-6, "no finite integral")
    # A half-Cauchy, over the logarithm.
    box = integrate_box(
        lambda w: w[:, 0] - np.logaddexp(0, 2 * w[:, 0]) + np.log(2 / np.pi), lambda w: w, [(-10, 10)], 1e-6, "a"
    )
    assert not box.moments
    assert box.log_evidence == pytest.approx(0, abs=1e-8)
