"""What fits of models owe to each other on any tree, and how often their intervals hold the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hxcli.analyses.fit.drawing import drawn
from hxcli.analyses.fit.fitted import FittedModel, Fitter
from hxcli.analyses.fit.options import FitOptions
from hxcli.models import named_model
from hxcli.models.edge_fields import edge_fields
from hxcli.painting import RegimeRow, RegimeTable
from hxcli.phylogeny import Phylogeny
from hxcli.traits import Observations
from tests.analyses.test_fit import ULTRAMETRIC, at, observed, painted_tree, tree


def random_text(seed: int, tips: int, *, ultrametric: bool) -> str:
    """A tree of some tips, with edges of length 0 among its inner ones where its tips differ in height."""
    random = np.random.default_rng(seed)
    parts = [(f"t{number}", 0.0) for number in range(tips)]
    now = 0.0
    while len(parts) > 1:
        now += random.exponential()
        first, second = (parts.pop(int(random.integers(len(parts)))) for _ in range(2))
        if ultrametric:
            lengths = [now - since for _, since in (first, second)]
        else:
            # No tip at no distance from another.
            lengths = [random.exponential() * (random.random() > 0.2 or name[0] == "t") for name, _ in (first, second)]
        parts.append((f"({first[0]}:{lengths[0]!r},{second[0]}:{lengths[1]!r})", now))
    return parts[0][0] + ";"


def fitted(phylogeny: Phylogeny, seen: Observations, name: str, **held: float) -> FittedModel:
    fitter = Fitter(edge_fields(phylogeny), seen, FitOptions(intervals=False, held=held))
    return fitter.fit(named_model(name), 0)


def stretched(phylogeny: Phylogeny, factor: float) -> Phylogeny:
    return Phylogeny(phylogeny.topology, phylogeny.edge_lengths * factor, phylogeny.labels, phylogeny.support)


SEEDS = st.integers(0, 10_000)


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, share=st.floats(0.02, 5))
def test_on_ultrametric_trees(seed: int, share: float) -> None:
    phylogeny = tree(random_text(seed, 9, ultrametric=True))
    seen = observed(phylogeny, missing=1, seed=seed)
    alpha = share / float(phylogeny.root_distances.max())
    pulled = fitted(phylogeny, seen, "ou", alpha=alpha)
    rising = fitted(phylogeny, seen, "acdc", rate_change=2 * alpha)
    assert pulled.log_likelihood == pytest.approx(rising.log_likelihood, abs=1e-9)
    white = fitted(phylogeny, seen, "white")
    assert fitted(phylogeny, seen, "lambda", **{"lambda": 0.0}).log_likelihood == pytest.approx(
        white.log_likelihood, abs=1e-9
    )


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, factor=st.floats(0.01, 100), times=st.floats(0.01, 100))
def test_units_of_edges_and_of_the_trait(seed: int, factor: float, times: float) -> None:
    phylogeny = tree(random_text(seed, 9, ultrametric=False))
    seen = observed(phylogeny, missing=0, seed=seed)
    for name in ("bm", "ou"):
        one = fitted(phylogeny, seen, name)
        longer = fitted(stretched(phylogeny, factor), seen, name)
        assert longer.log_likelihood == pytest.approx(one.log_likelihood, abs=1e-7)
        larger = fitted(phylogeny, replace(seen, values=seen.values * times), name)
        assert larger.log_likelihood == pytest.approx(one.log_likelihood - one.n * np.log(times), abs=1e-7)
        if name == "bm":
            assert at(longer)["sigma2"] * factor == pytest.approx(at(one)["sigma2"], rel=1e-9)
            assert at(larger)["sigma2"] == pytest.approx(at(one)["sigma2"] * times**2, rel=1e-9)


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(seed=SEEDS, share=st.floats(0.1, 5))
def test_one_regime_in_two_names(seed: int, share: float) -> None:
    """Equal optima are ou, equal strengths and rates beside them too."""
    phylogeny = tree(ULTRAMETRIC)
    seen = observed(phylogeny, missing=0, seed=seed)
    alpha = share / float(phylogeny.root_distances.max())
    rows = (RegimeRow("", "", "", "a", 1.0, 2), RegimeRow("", "A", "E", "b", 0.5, 3))
    painted = painted_tree(phylogeny, RegimeTable("regimes", rows))
    one = fitted(phylogeny, seen, "ou", alpha=alpha)
    theta, sigma2 = at(one)["theta"], at(one)["sigma2"]
    means = {"theta(a)": theta, "theta(b)": theta}
    options = FitOptions(intervals=False, held={"alpha": alpha, **means})
    fields = edge_fields(painted)
    two = Fitter(fields, painted.observations(seen), options).fit(named_model("oum"), 0)
    assert two.log_likelihood == pytest.approx(one.log_likelihood, abs=1e-9)
    every = {**means, "alpha(a)": alpha, "alpha(b)": alpha, "sigma2(a)": sigma2, "sigma2(b)": sigma2}
    three = Fitter(fields, painted.observations(seen), FitOptions(intervals=False, held=every)).fit(
        named_model("oumva"), 0
    )
    assert three.log_likelihood == pytest.approx(one.log_likelihood, abs=1e-8)


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Of 200 traits drawn under bm and under kappa, within three binomial errors and what 60 tips leave of chi2."""
    phylogeny = tree(random_text(3, 60, ultrametric=True))
    seen = observed(phylogeny, missing=0, seed=5)
    count, level = 200, 0.95
    for name, values in (("bm", {"sigma2": 1.0, "root": 10.0}), ("kappa", {"sigma2": 1.0, "root": 10.0, "kappa": 0.6})):
        truth = fitted(phylogeny, seen, name, **values)
        # With a rate that is given it is no profile: all values are held, and traits are drawn at them.
        traits = drawn(truth, count, 7)
        inside = dict.fromkeys(values, 0)
        for place in range(count):
            drawn_values = traits.means[seen.nodes, place] * truth.units.scale[0] + truth.units.location[0]
            again = replace(seen, values=drawn_values[:, None])
            found = Fitter(edge_fields(phylogeny), again, FitOptions(level=level)).fit(named_model(name), 0)
            for parameter, true in values.items():
                estimate = found.parameters[parameter]
                low = -np.inf if np.isnan(estimate.lower) else estimate.lower
                high = np.inf if np.isnan(estimate.upper) else estimate.upper
                inside[parameter] += low <= true <= high
        allowed = 3 * np.sqrt(level * (1 - level) / count)
        for parameter, hits in inside.items():
            assert abs(hits / count - level) < allowed, (name, parameter, hits / count)
