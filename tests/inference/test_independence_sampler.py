"""The independence sampler on densities whose integral and moments are known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from hxcli.inference.fitted_mixture import Mixture, beginning, efficiency, fitted_mixture
from hxcli.inference.independence_sampler import Independent, sample_independently
from hxcli.inference.no_u_turn import diagnose, unhealthy

# Two hills, one of them long and thin; what the integral is.
SHARES, CENTRES, INTEGRAL = (0.3, 0.7), ([-2.0, 0.0, 1.0], [3.0, 1.0, -1.0]), 7.0
COVARIANCES = (np.diag([0.2, 1.0, 0.1]), np.array([[4.0, 1.9, 0.0], [1.9, 1.0, 0.0], [0.0, 0.0, 0.3]]))


def hills(w: Any) -> Any:
    parts = [
        math.log(share) + multivariate_normal(centre, covariance).logpdf(w)
        for share, centre, covariance in zip(SHARES, CENTRES, COVARIANCES, strict=True)
    ]
    return logsumexp(parts, axis=0) + math.log(INTEGRAL)


def sampled(seed: int = 0) -> Independent:
    random = np.random.default_rng(seed)
    # From one of the hills alone.
    start = np.array([CENTRES[1]])
    fit = fitted_mixture(hills, beginning(start, COVARIANCES[1], (np.zeros(3), np.full(3, 5.0))), random)
    return sample_independently(hills, fit, 4, 1000, random)


def test_draws_have_the_moments_and_the_integral_of_the_density() -> None:
    found = sampled()
    assert found.places.shape == (4, 1000, 3)
    assert abs(found.log_evidence - math.log(INTEGRAL)) < 5 * found.evidence_error
    assert found.evidence_error < 0.02
    mean = np.average(CENTRES, 0, SHARES)
    apart = np.array(CENTRES) - mean
    variance = np.average([np.diag(each) for each in COVARIANCES] + apart**2, 0, SHARES)
    for axis in range(3):
        figures = diagnose(found.places[..., axis])
        assert not unhealthy(0, {"it": figures})
        error = math.sqrt(variance[axis] / figures["ess_bulk"])
        assert abs(found.places[..., axis].mean() - mean[axis]) < 5 * error
        assert found.places[..., axis].var() == pytest.approx(variance[axis], rel=0.15)
    assert (found.places[..., 0] < 0.2).mean() == pytest.approx(0.3, abs=0.1)


def test_the_same_seed_gives_the_same_draws() -> None:
    one, other = sampled(4), sampled(4)
    np.testing.assert_array_equal(one.places, other.places)
    assert one.log_evidence == other.log_evidence
    assert (sampled(5).places != one.places).any()


def test_proposals_that_hardly_fit_show_in_the_diagnostics() -> None:
    centre = np.full(3, 9.0)
    far = beginning(centre[None], np.eye(3), (centre, np.ones(3)))._replace(efficiency=0.5)
    found = sample_independently(hills, far, 4, 1000, np.random.default_rng(0))
    assert found.efficiency < 0.01
    assert unhealthy(0, {"it": diagnose(found.places[..., 0])})


def test_a_mixture_integrates_to_one() -> None:
    mixture = Mixture(np.array([0.4, 0.6]), np.array([[0.0], [3.0]]), np.array([[[1.0]], [[0.5]]]))
    grid = np.linspace(-2000, 2000, 400_001)
    assert np.exp(mixture.log_density(grid[:, None])).sum() * (grid[1] - grid[0]) == pytest.approx(1, abs=1e-6)
    drawn = mixture.draw(np.random.default_rng(0), 20_000)
    assert drawn.mean() == pytest.approx(1.8, abs=0.05)
    assert efficiency(np.zeros(7)) == pytest.approx(1)
