"""A small calibration, and that the tests of uniformity reject a posterior that is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.calibration.calibrate import DRAWS, Calibrated, calibrate, write
from tests.calibration.double_well import calibrate_double_well
from tests.calibration.states import calibrate_states


@pytest.mark.slow
def test_the_posterior_is_calibrated(tmp_path: Path) -> None:
    results = calibrate(30, seed=1)
    assert [one.name for one in results[:3]] == ["sigma2", "tau2", "root"]
    assert len(results) == 6
    for one in results:
        assert one.sound(bins=6), (one.name, one.p_value(6))
    write(results, tmp_path)
    assert len((tmp_path / "ranks.csv").read_text().splitlines()) == 1 + 6 * 20


@pytest.mark.slow
def test_five_hundred_simulations_are_calibrated() -> None:
    assert all(one.sound() for one in calibrate(500, seed=0))


@pytest.mark.slow
def test_a_double_well_is_calibrated_in_two_hundred_simulations() -> None:
    for one in calibrate_double_well(200, seed=1):
        assert one.sound(bins=10), (one.name, one.p_value(10))


@pytest.mark.slow
@pytest.mark.parametrize(("model", "shape"), [("ou", "alpha"), ("eb", "rate_change")])
def test_posteriors_under_models_are_calibrated(model: str, shape: str) -> None:
    results = calibrate(20, 2, model)
    assert results[-1].name == shape
    for one in results:
        assert one.sound(bins=4), (one.name, one.p_value(4))


@pytest.mark.slow
@pytest.mark.parametrize(("model", "names", "simulations"), [("er", "ab", 100), ("ard", "ab", 60), ("sym", "abc", 60)])
def test_posteriors_of_rates_of_states_are_calibrated(model: str, names: str, simulations: int) -> None:
    for one in calibrate_states(simulations, 1, model, tuple(names)):
        assert one.sound(bins=5), (one.name, one.p_value(5))


@pytest.mark.slow
def test_the_posterior_of_a_file_whose_rates_differ_from_edge_to_edge_is_calibrated(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "import jax.numpy as jnp\nfrom hxcli.model import Rates, normal\ndef model(edge):\n"
        "    rate = 0.3 * jnp.exp(normal('change', sd=1) * edge.end)\n"
        "    return Rates(rate * jnp.array([[-1.0, 1.0], [2.0, -2.0]]))\n"
    )
    for one in calibrate_states(100, 1, str(tmp_path / "own.py")):
        assert one.sound(bins=5), (one.name, one.p_value(5))


def test_a_wrong_posterior_is_rejected() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(size=500)
    for mean, sd in ((0.3, 1.0), (0.0, 0.8), (0.0, 1.3)):
        ranks = (rng.normal(mean, sd, (500, DRAWS)) < true[:, None]).sum(1)
        assert not Calibrated("wrong", ranks).sound()
    assert Calibrated("right", (rng.normal(size=(500, DRAWS)) < true[:, None]).sum(1)).sound()
