"""Posterior of the parameters of a file that returns Rates: beside built-in models, and beside a dense grid."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hxcli.analyses.ancestral_states import StateOptions
from hxcli.analyses.posterior.rate_posterior import RatesFound, integrated_rates, sampled_rates
from hxcli.analyses.posterior.state_posterior import posterior_states
from hxcli.analyses.posterior.state_question import RateOptions, RateQuestion, ask_rates, method_for
from hxcli.errors import Doubt, InputError, ModelError, OptionError
from hxcli.inference import state_density
from hxcli.prebuilt.tip_states import seen_states
from tests.analyses.test_state_posterior import LENGTHS, PARENTS, TEXTS, seen_on, tree_of
from tests.prebuilt.every_state import enumerate_states

# Distances of the nodes from the root.
ENDS = np.array([0.0, 3.0, 1.0, 3.0, 2.0, 3.0, 2.5])
HEAD = "import jax.numpy as jnp\nfrom hxcli.model import Rates, fixed, log_normal, normal, param, uniform\n"
# Both rates of two states.
ARD = """
def model(edge):
    up = log_normal("up", median=0.3, sd=1)
    down = log_normal("down", median=0.8, sd=1.5)
    return Rates(jnp.array([[-up, up], [down, -down]]))
"""
# Rates that change along the tree.
BY_EDGE = """
def model(edge):
    slow = log_normal("slow", median=0.3, sd=1)
    change = normal("change", sd=0.7)
    power = fixed("power", 1.0)
    rate = slow * jnp.exp(change * edge.end**power)
    return Rates(rate * jnp.array([[-1.0, 1.0], [2.0, -2.0]]))
"""
# Three parameters of all kinds.
THREE = """
def model(edge):
    up = log_normal("up", median=0.3, sd=1, high=2.0)
    ratio = uniform("ratio", low=0.2, high=5.0)
    change = normal("change", sd=0.7)
    rate = jnp.exp(change * edge.is_tip)
    return Rates(rate * jnp.array([[-up, up], [ratio * up, -ratio * up]]))
"""


def question(
    here: Path, text: str, wanted: RateOptions | None = None, texts: dict[str, str] = TEXTS, **options: Any
) -> RateQuestion:
    (here / "own.py").write_text(HEAD + text)
    tree = tree_of()
    observations = seen_on(tree, texts)
    chosen = StateOptions(str(here / "own.py"), **options)
    seen = seen_states(tree, observations.nodes, observations.states[0], chosen.states)
    return ask_rates(tree, seen, chosen, wanted or RateOptions())


def solved(asked: RateQuestion, **wanted: Any) -> RatesFound:
    return integrated_rates(asked, RateOptions(**wanted), 0.95, [0, 0])


def test_rates_that_are_written_out_give_what_the_built_in_model_gives(tmp_path: Path) -> None:
    own = solved(question(tmp_path, ARD))
    priors = {"q(a,b)": f"lognormal({math.log(0.3)!r},1)", "q(b,a)": f"lognormal({math.log(0.8)!r},1.5)"}
    tree = tree_of()
    seen = seen_states(tree, seen_on(tree, TEXTS).nodes, seen_on(tree, TEXTS).states[0], ())
    built_in = solved(ask_rates(tree, seen, StateOptions("ard"), RateOptions(priors)))
    assert own.log_evidence == pytest.approx(built_in.log_evidence, abs=1e-6)
    np.testing.assert_allclose(own.mean, built_in.mean, rtol=1e-6)
    np.testing.assert_allclose(own.ends, built_in.ends, rtol=1e-6)
    np.testing.assert_allclose(own.probabilities, built_in.probabilities, atol=1e-6)
    for mine, other in zip(own.figures, built_in.figures, strict=True):
        assert mine is not None
        assert other is not None
        np.testing.assert_allclose(mine.quantiles, other.quantiles, rtol=1e-6)


def on_a_grid(asked: RateQuestion, points: int) -> tuple[Any, Any, float]:
    """Means of the parameters, probabilities of nodes and log evidence, summed over unit normal variables by hand."""
    density = asked.density
    axis = np.linspace(-6, 6, points)
    places = np.stack([each.ravel() for each in np.meshgrid(*[axis] * len(density.priors), indexing="ij")], 1)
    prior = np.exp(-(places**2).sum(1) / 2) / (2 * np.pi) ** (places.shape[1] / 2)
    values = density.values(places)
    lengths = np.nan_to_num(LENGTHS)
    seen = asked.seen.likelihoods
    weights, nodes = np.empty(len(places)), np.empty((len(places), *seen.shape))
    for number, of_edges in enumerate(density.pattern.rates(values)):
        rates = asked.on_tree(of_edges) if of_edges.ndim == 3 else of_edges
        found = enumerate_states(PARENTS, lengths, rates, seen, np.array([0.5, 0.5]))
        weights[number] = prior[number] * found.likelihood
        nodes[number] = found.marginals
    evidence = math.log(weights.sum() * (axis[1] - axis[0]) ** places.shape[1])
    weights /= weights.sum()
    return weights @ values, np.einsum("k,kns->ns", weights, nodes), evidence


@pytest.mark.slow
def test_rates_that_differ_from_edge_to_edge_are_those_of_a_dense_grid(tmp_path: Path) -> None:
    asked = question(tmp_path, BY_EDGE)
    values = asked.density.values(np.array([[0.5, -1.0]]))[0]
    assert dict(zip(asked.density.pattern.labels, values, strict=True)) == pytest.approx(
        {"slow": 0.3 * math.exp(0.5), "change": -0.7, "power": 1.0}
    )
    speeds = values[0] * np.exp(values[1] * ENDS)
    of_edges = asked.on_tree(asked.density.pattern.rates(values[None])[0])[1:, 0, 1]
    np.testing.assert_allclose(of_edges, speeds[1:], rtol=1e-12)
    found = solved(asked)
    mean, nodes, evidence = on_a_grid(asked, 33)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found.probabilities, nodes, atol=1e-7)
    assert found.log_evidence == pytest.approx(evidence, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["", "nuts"])
@pytest.mark.parametrize("text", [ARD, BY_EDGE])
def test_samples_agree_with_the_quadrature(tmp_path: Path, text: str, method: str) -> None:
    asked = question(tmp_path, text)
    exact = solved(asked)
    chains = sampled_rates(asked, RateOptions(samples=600, method=method), 0.95, [1, 2])
    assert chains.details["method"] == (method or "independence")
    if not method:
        assert abs(chains.log_evidence - exact.log_evidence) < 5 * chains.details["log_evidence_error"]
    for one, other in zip(exact.figures, chains.figures, strict=True):
        assert (one is None) == (other is None)
        if one is None or other is None:
            continue
        errors = one.deviation / math.sqrt(min(other.diagnostics["ess_bulk"], other.diagnostics["ess_tail"]))
        assert abs(other.mean - one.mean) < 6 * errors
    assert abs(chains.probabilities - exact.probabilities).max() < 0.03


@pytest.mark.slow
def test_three_sampled_parameters_are_those_of_a_dense_grid(tmp_path: Path) -> None:
    asked = question(tmp_path, THREE)
    assert method_for(asked, RateOptions(), "own.py") == "sampling"
    found = sampled_rates(asked, RateOptions(samples=2000), 0.95, [1, 2])
    mean, nodes, evidence = on_a_grid(asked, 11)
    assert found.details["method"] == "independence"
    assert found.log_evidence == pytest.approx(evidence, abs=5 * found.details["log_evidence_error"] + 1e-3)
    for one, of_grid in zip(found.figures, mean, strict=True):
        assert one is not None
        assert abs(one.mean - of_grid) < 5 * one.deviation / math.sqrt(one.diagnostics["ess_bulk"]) + 1e-3
    assert abs(found.probabilities - nodes).max() < 0.03


def test_a_parameter_may_be_held_and_priors_replaced(tmp_path: Path) -> None:
    wanted = RateOptions({"change": "normal(0.5,0.2)"})
    asked = question(tmp_path, BY_EDGE, wanted, held={"slow": 0.25, "power": 2.0})
    assert asked.density.names == ["change"]
    assert [prior.text for prior in asked.density.priors] == ["normal(0.5,0.2)"]
    found = solved(asked)
    assert found.mean[[0, 2]].tolist() == [0.25, 2.0]
    axis = np.linspace(-1, 2, 61)
    prior = np.exp(-(((axis - 0.5) / 0.2) ** 2) / 2) / (0.2 * math.sqrt(2 * math.pi))
    matrix, weights = np.array([[-1.0, 1.0], [2.0, -2.0]]), np.empty(len(axis))
    for number, change in enumerate(axis):
        rates = 0.25 * np.exp(change * ENDS**2)[:, None, None] * matrix
        one = enumerate_states(PARENTS, np.nan_to_num(LENGTHS), rates, asked.seen.likelihoods, np.array([0.5, 0.5]))
        weights[number] = prior[number] * one.likelihood
    assert found.log_evidence == pytest.approx(math.log(weights.sum() * (axis[1] - axis[0])), abs=1e-8)
    assert found.mean[1] == pytest.approx(weights @ axis / weights.sum(), rel=1e-7)


@pytest.mark.slow
def test_draws_agree_with_the_posterior_and_rates_in_pieces_with_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = solved(question(tmp_path, BY_EDGE), draws=3000)
    assert found.draws is not None
    values, states = found.draws
    for place, figures in enumerate(found.figures[:2]):
        assert figures is not None
        assert abs(values[:, place].mean() - figures.mean) < 5 * figures.deviation / math.sqrt(3000)
    shares = np.stack([(states == state).mean(0) for state in range(2)], 1)
    assert abs(shares - found.probabilities).max() < 4 * 0.5 / math.sqrt(3000)
    # Rates of fifty sets of parameters at a time.
    monkeypatch.setattr(state_density, "_MOST_NUMBERS", 50 * 7 * 4)
    again = solved(question(tmp_path, BY_EDGE), draws=200)
    np.testing.assert_allclose(again.probabilities, found.probabilities, atol=1e-12)
    assert again.log_evidence == pytest.approx(found.log_evidence, abs=1e-10)


ONE = "def model(edge):\n    x = {}\n    return Rates({} * jnp.array([[-1.0, 1.0], [1.0, -1.0]]))\n"
LOG_NORMAL = 'log_normal("x", median=0.3)'


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        (ONE.format('param("x", low=0.0)', "x"), {}, r"own\.py: line 4: the parameter 'x' has no prior and one end"),
        (ONE.format(LOG_NORMAL, "x"), {"priors": {"y": "normal(0,1)"}}, r"--prior y: model own has no such parameter"),
        (ONE.format(LOG_NORMAL, "x"), {"priors": {"q": "lognormal(0,1)"}}, r"--prior q: .* \(it has 'x'\)"),
        (ONE.format(LOG_NORMAL, "x"), {"priors": {"x": "normal(0,1,2)"}}, "normal"),
        (ONE.format(LOG_NORMAL, "x"), {"priors": {"x": "exponential(1)"}, "held": {"x": 1.0}}, "given by --set"),
        (ONE.format('fixed("x", 1.0)', "x"), {"priors": {"x": "exponential(1)"}}, "fixed in the file"),
        (ONE.format(LOG_NORMAL, "x"), {"held": {"x": -1.0}}, "outside its support, 0 to inf"),
        (ONE.format(LOG_NORMAL, "x"), {"held": {"x": 1.0}, "method": "nuts"}, "all parameters are given"),
        (THREE, {"method": "quadrature"}, "takes two unknown parameters, and --model .* has 3 parameters here"),
        (
            ONE.format('normal("x", mean=1)', "x"),
            {"priors": {"x": "normal(-2,1)"}},
            r"own\.py: line 5: Q has a rate that is below 0 or no number in the middle of the priors \(x=-2\)",
        ),
        (
            ONE.format('param("x")', "jnp.exp(x)"),
            {},
            r"the posterior of the parameters has no finite integral .*--prior 'x=PRIOR' that falls off on both sides",
        ),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, text: str, options: Any, said: str) -> None:
    (tmp_path / "own.py").write_text(HEAD + text)
    tree = tree_of()
    with pytest.raises((InputError, ModelError, OptionError), match=said):
        posterior_states(tree, seen_on(tree, TEXTS), None, models=[str(tmp_path / "own.py")], **options)


@pytest.mark.slow
def test_parameters_whose_rates_are_none_count_as_impossible_and_are_told_of(tmp_path: Path) -> None:
    tree = tree_of()
    (tmp_path / "own.py").write_text(HEAD + ONE.format('normal("x", mean=1, sd=2)', "x"))
    found = posterior_states(tree, seen_on(tree, TEXTS), None, models=[str(tmp_path / "own.py")])
    assert any("such parameters count as impossible" in note for note in found.warnings)
    axis = np.linspace(0, 15, 6001)[1:]
    prior = np.exp(-(((axis - 1) / 2) ** 2) / 2)
    seen = seen_states(tree, seen_on(tree, TEXTS).nodes, seen_on(tree, TEXTS).states[0], ()).likelihoods
    heights = np.array([_two_states(x, seen) for x in axis]) * prior
    mean = heights @ axis / heights.sum()
    assert found.tables["parameter table"]["mean"][0] == pytest.approx(mean, rel=0.02)


def _with(here: Path, text: str) -> Any:
    (here / "own.py").write_text(HEAD + text)
    return posterior_states(tree_of(), seen_on(tree_of(), TEXTS), None, models=[str(here / "own.py")])


def _two_states(rate: float, seen: Any) -> float:
    """The likelihood of equal rates, by pruning by hand."""
    same = (1 + np.exp(-2 * rate * np.nan_to_num(LENGTHS))) / 2
    partial = seen.copy()
    for node in range(len(PARENTS) - 1, 0, -1):
        matrix = np.array([[same[node], 1 - same[node]], [1 - same[node], same[node]]])
        partial[PARENTS[node]] = partial[PARENTS[node]] * (matrix @ partial[node])
    return float(partial[0].mean())


@pytest.mark.parametrize("steep", ["", "2 * "])
def test_a_flat_prior_along_which_the_likelihood_has_no_end_is_refused(tmp_path: Path, steep: str) -> None:
    # Where rates are so high that they are no numbers, the likelihood ends, which is nothing of the model's.
    text = THREE.replace('normal("change", sd=0.7)', 'param("change")').replace("(change", f"({steep}change")
    with pytest.raises(ModelError, match="no finite integral"):
        _with(tmp_path, text)


def test_notes_are_not_doubts(tmp_path: Path) -> None:
    found = _with(tmp_path, ARD)
    assert not any(isinstance(note, Doubt) or "impossible" in note for note in found.warnings)
    assert found.of_states[0].facts["file"]["text"] == HEAD + ARD
    assert found.method == "posterior of states given all tips, parameters integrated out by quadrature, flat root"
