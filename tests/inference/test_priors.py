"""Priors: what is read and refused, densities against numerical integrals, coordinates against slopes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hxcli.errors import OptionError
from hxcli.inference.priors import default_prior, parse_prior

ALL = ["lognormal(-1,0.7)", "halfnormal(2)", "halfcauchy(0.3)", "invgamma(2,3)", "uniform(0,4)", "uniform(0.5,3)"]
# Log densities of the value 1.5, worked out by hand from the textbook formulas.
AT_ONE_AND_A_HALF = {
    "lognormal(-1,0.7)": -((math.log(1.5) + 1) ** 2) / (2 * 0.49) - math.log(1.5 * 0.7 * math.sqrt(2 * math.pi)),
    "halfnormal(2)": math.log(2 / (2 * math.sqrt(2 * math.pi))) - 1.5**2 / 8,
    "halfcauchy(0.3)": math.log(2 / (math.pi * 0.3 * (1 + 25))),
    "invgamma(2,3)": math.log(9) - 3 * math.log(1.5) - 2,
    "uniform(0,4)": math.log(0.25),
    "uniform(0.5,3)": math.log(0.4),
}


@pytest.mark.parametrize("text", ALL)
def test_the_density_is_that_of_the_logarithm(text: str) -> None:
    log_value = math.log(1.5)
    found = parse_prior(text).log_density(np.array(log_value))
    assert found == pytest.approx(AT_ONE_AND_A_HALF[text] + log_value, rel=1e-13)


@pytest.mark.parametrize("text", ALL)
@pytest.mark.parametrize("log_unit", [0.0, 30.0])
def test_the_density_integrates_to_one_in_any_unit(text: str, log_unit: float) -> None:
    prior = parse_prior(text).in_unit(log_unit)
    w = np.linspace(-80, 80, 320_001)
    at = prior.coordinate(w if prior.bounded else w - log_unit)
    assert np.exp(prior.log_density(at.log_value) + at.log_slope).sum() * (w[1] - w[0]) == pytest.approx(1, rel=1e-6)
    moved = prior.log_density(np.array(0.4 - log_unit))
    assert moved == pytest.approx(parse_prior(text).log_density(np.array(0.4)), rel=1e-12)


@pytest.mark.parametrize("text", ALL)
def test_the_slope_of_the_coordinate(text: str) -> None:
    prior, step = parse_prior(text), 1e-6
    w = np.array([-3.0, 0.0, 2.5])
    risen = prior.coordinate(w + step).log_value - prior.coordinate(w - step).log_value
    np.testing.assert_allclose(np.exp(prior.coordinate(w).log_slope), risen / (2 * step), rtol=1e-6)


@pytest.mark.parametrize("text", ALL)
def test_what_is_printed_reads_back(text: str) -> None:
    assert str(parse_prior(text)) == text
    assert parse_prior(f"  {text.replace(',', ' , ')} ") == parse_prior(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gamma(1,2)", "is not a prior"),
        ("lognormal", "is not a prior"),
        ("lognormal(1,2", "is not a prior"),
        ("lognormal(0,nan)", "is not a prior"),
        ("lognormal(0,1);import os", "is not a prior"),
        ("", "is not a prior"),
        ("lognormal(1)", r"has 1 number \(write lognormal\(m,s\)\)"),
        ("halfnormal(1,2)", r"has 2 numbers \(write halfnormal\(s\)\)"),
        ("lognormal(0,0)", "standard deviation of the logarithm"),
        ("lognormal(1e9,1)", "out of range"),
        ("halfcauchy(-1)", "must be above 0"),
        ("halfnormal(1e400)", "must be above 0"),
        ("invgamma(0,1)", "must be above 0"),
        ("uniform(3,1)", "rising"),
        ("uniform(-1,1)", "rising"),
        ("uniform(0,1e300)", r"below 1e\+150"),
    ],
)
def test_what_is_no_prior_is_refused(text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        parse_prior(text)


def test_the_default_is_short_and_wide() -> None:
    prior = default_prior(math.log(0.0123456789))
    assert str(prior) == "lognormal(-4.394,2)"
    assert str(parse_prior(str(prior))) == str(prior)
