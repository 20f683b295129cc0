"""The sampler against the quadrature, and that it does not look healthy when it is not."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from hxcli.analyses.posterior.posterior import posterior
from hxcli.errors import HxError, OptionError
from hxcli.inference.nuts import Sampled, diagnose
from tests.analyses.test_quadrature import WIDE, binary

pytest.importorskip("numpyro")


def compared(samples: int, least: int, **options: object) -> None:
    """Runs both methods on the case of the notebook, and compares parameters that are not given and all nodes."""
    tree, observations = binary()
    exact = posterior(tree, observations, **options, root_state=0.0)
    found = posterior(tree, observations, **options, root_state=0.0, method="nuts", samples=samples, seed=1, loo=True)
    record = found.details["x0"]["posterior"]
    assert (record["chains"], record["samples_per_chain"], record["divergences"]) == (4, samples, 0)
    assert found.warnings == ()
    one, other = exact.tables["parameter table"], found.tables["parameter table"]
    for i, name in enumerate(("sigma2", "tau2")):
        if name in options:
            assert np.isnan(other["rhat"][i])
            assert other["mean"][i] == pytest.approx(options[name])
            continue
        assert other["rhat"][i] < 1.01
        assert min(other["ess_bulk"][i], other["ess_tail"][i]) > least
        error = one["sd"][i] / np.sqrt(other["ess_bulk"][i])
        assert abs(other["mean"][i] - one["mean"][i]) < 4 * error
        for probability in (0.05, 0.25, 0.5, 0.75, 0.95):
            # A quantile's standard error: that of the share below it, over the density there.
            quantile = f"q{probability:g}"
            width = (one["q0.975"][i] - one["q0.025"][i]) / np.sqrt(other["ess_tail"][i])
            assert abs(other[quantile][i] - one[quantile][i]) < 4 * width
    # Some hundred draws stand for all at the nodes.
    error = exact.standard_errors[:, 0] / np.sqrt(200)
    assert (abs(found.estimates[:, 0] - exact.estimates[:, 0]) <= 4 * error + 1e-9).all()
    assert len(found.tables["leave-one-out table"]["node"]) == 16


# Slow: NumPyro has some two hundred programs compiled for it.
@pytest.mark.slow
def test_the_case_of_the_notebook_agrees_with_the_quadrature() -> None:
    compared(4_000, 10_000, **WIDE)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"prior_sigma2": "uniform(0,3)", "prior_tau2": "halfnormal(1)"},
        {"prior_sigma2": "lognormal(0,2)", "tau2": 0.25},
        {"sigma2": 1.0, "prior_tau2": "invgamma(2,1)"},
    ],
)
def test_it_agrees_with_other_priors_and_with_one_parameter_given(options: dict[str, object]) -> None:
    compared(1_000, 1_000, **options)


def test_what_is_not_healthy_is_said() -> None:
    rng = np.random.default_rng(0)
    apart = np.exp(rng.normal(size=(4, 500)) + np.arange(4)[:, None])
    figures = diagnose(apart)
    assert figures["rhat"] > 1.1
    said = Sampled(apart, apart, 3, {"sigma2": figures}).complaints()
    assert "3 divergent transitions" in said[0]
    assert "R-hat of sigma2" in said[0]
    assert "effective sample size of sigma2" in said[0]
    good = diagnose(np.exp(rng.normal(size=(4, 1_000))))
    assert good["rhat"] < 1.01
    assert good["ess_bulk"] > 2_000
    assert Sampled(apart, apart, 0, {"sigma2": good}).complaints() == ()


def test_options_that_leave_nothing_to_sample_are_refused() -> None:
    tree, observations = binary()
    with pytest.raises(OptionError, match="nothing is left to sample"):
        posterior(tree, observations, sigma2=1.0, tau2=0.0, method="nuts")
    with pytest.raises(OptionError, match="more than the sampler makes"):
        posterior(tree, observations, method="nuts", draws=4_001)


def test_numpyro_is_imported_only_where_it_is_asked_for_and_missed_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import sys, hxcli.analyses.posterior.posterior; sys.exit('numpyro' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    tree, observations = binary()
    monkeypatch.setitem(sys.modules, "numpyro", None)
    with pytest.raises(HxError, match=r"needs NumPyro, which is not installed \(pip install 'hxcli\[mcmc\]'\)"):
        posterior(tree, observations, method="nuts")
