"""Posterior of rates of states beside a dense grid with all combinations of states, and beside its own priors."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import expon, lognorm

from hxcli.analyses.ancestral_states import StateOptions
from hxcli.analyses.posterior.rate_posterior import RatesFound, integrated_rates, sampled_rates
from hxcli.analyses.posterior.solution import PROBABILITIES
from hxcli.analyses.posterior.state_posterior import posterior_states
from hxcli.analyses.posterior.state_question import RateOptions, RateQuestion, ask_rates, method_for
from hxcli.engine.topology import from_parents
from hxcli.errors import Doubt, ModelError, OptionError
from hxcli.models.rate_patterns import rate_pattern
from hxcli.phylogeny import Phylogeny
from hxcli.prebuilt.discrete.likelihood import StateTree
from hxcli.prebuilt.tip_states import seen_states
from hxcli.text_columns import Texts
from hxcli.traits import Observations, StateColumn
from tests.prebuilt.every_state import enumerate_states

# (D:3,(C:2,(B:1,A:0.5):1):1).
PARENTS = np.array([0, 0, 0, 2, 2, 4, 4])
LENGTHS = np.array([0.0, 3.0, 1.0, 2.0, 1.0, 1.0, 0.5])
NAMES = ("", "D", "", "C", "", "B", "A")


def tree_of(order: Any = range(7)) -> Phylogeny:
    """The tree with its nodes moved."""
    order = np.asarray(order)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    labels = Texts([NAMES[i] for i in order])
    return Phylogeny(from_parents(place[PARENTS[order]]), LENGTHS[order], labels, Texts.blank(7))


def seen_on(tree: Phylogeny, texts: dict[str, str]) -> Observations:
    """Rows in the order of the texts."""
    names = tree.labels.tolist()
    nodes = np.array([names.index(name) for name in texts])
    column = StateColumn("diet", Texts(list(texts.values())))
    none = np.zeros((len(nodes), 0))
    return Observations(nodes, none, none, (), states=(column,))


# The same with all siblings in another order.
TURNED = [0, 2, 1, 4, 3, 6, 5]
TEXTS = {"D": "a", "C": "a|b", "B": "b", "A": "a"}


def question(
    model: str, texts: dict[str, str] = TEXTS, wanted: RateOptions | None = None, **options: Any
) -> RateQuestion:
    tree = tree_of()
    observations = seen_on(tree, texts)
    chosen = StateOptions(model, **options)
    seen = seen_states(tree, observations.nodes, observations.states[0], chosen.states)
    return ask_rates(tree, seen, chosen, wanted or RateOptions())


def nothing_seen(asked: RateQuestion) -> RateQuestion:
    """The same question with tips that say nothing."""
    tree = asked.density.tree
    return replace(asked, density=replace(asked.density, tree=StateTree(tree.topology, tree.lengths, tree.seen**0)))


def on_a_grid(asked: RateQuestion, points: int, root: Any) -> tuple[Any, Any, float]:
    """Means of the free rates, probabilities of nodes, and the log evidence, over a grid of logarithms of rates."""
    density = asked.density
    # As far as the squares of lognormal rates count.
    axes = [np.linspace(low - 8, high + 8, points) for low, high in (prior.start() for prior in density.priors)]
    places = np.stack([each.ravel() for each in np.meshgrid(*axes, indexing="ij")], 1)
    values = np.exp(places)
    prior = sum(
        lognorm(each.prior.numbers[1], scale=math.exp(each.prior.numbers[0])).logpdf(values[:, i]) + places[:, i]
        for i, each in enumerate(density.priors)
    )
    lengths = np.nan_to_num(LENGTHS)
    seen = asked.seen.likelihoods
    weights, nodes = np.empty(len(places)), np.empty((len(places), *seen.shape))
    for number, row in enumerate(values):
        found = enumerate_states(PARENTS, lengths, density.pattern.rates(row[None])[0], seen, root)
        weights[number] = np.exp(prior[number]) * found.likelihood
        nodes[number] = found.marginals
    area = np.prod([axis[1] - axis[0] for axis in axes])
    evidence = math.log(weights.sum() * area)
    weights /= weights.sum()
    return weights @ values, np.einsum("k,kns->ns", weights, nodes), evidence


def test_one_unknown_rate_is_that_of_a_dense_grid() -> None:
    asked = question("er")
    assert method_for(asked, RateOptions(), "er") == "quadrature"
    found = integrated_rates(asked, RateOptions(), 0.95, [0, 0])
    mean, nodes, evidence = on_a_grid(asked, 145, np.array([0.5, 0.5]))
    assert found.mean[0] == pytest.approx(mean[0], rel=1e-8)
    np.testing.assert_allclose(found.probabilities, nodes, atol=1e-9)
    assert found.log_evidence == pytest.approx(evidence, abs=1e-8)
    assert found.details["error_bound"] < 1e-6
    # Ten changes on a tree with edges of 8.5 in all.
    assert asked.density.priors[0].text == f"lognormal({math.log(10 / 8.5):.4g},2)"


@pytest.mark.slow
@pytest.mark.parametrize(("model", "kind"), [("ard", "flat"), ("f81", "given")])
def test_two_unknown_rates_are_those_of_a_dense_grid(model: str, kind: Any) -> None:
    shares = {"a": 0.3, "b": 0.7} if kind == "given" else None
    asked = question(model, root_prior=kind, root_shares=shares)
    found = integrated_rates(asked, RateOptions(), 0.95, [0, 0])
    mean, nodes, evidence = on_a_grid(asked, 73, np.array([0.3, 0.7] if shares else [0.5, 0.5]))
    np.testing.assert_allclose(found.mean, mean, rtol=1e-5)
    np.testing.assert_allclose(found.probabilities, nodes, atol=1e-7)
    assert found.log_evidence == pytest.approx(evidence, abs=1e-6)


def test_without_anything_seen_the_posterior_is_the_prior() -> None:
    asked = nothing_seen(question("er", wanted=RateOptions({"q": "exponential(0.4)"})))
    found = integrated_rates(asked, RateOptions(draws=4000), 0.9, [3, 4])
    assert found.mean[0] == pytest.approx(0.4, rel=1e-6)
    assert found.log_evidence == pytest.approx(0, abs=1e-8)
    np.testing.assert_allclose(found.probabilities, 0.5, atol=1e-9)
    figures = found.figures[0]
    assert figures is not None
    assert figures.deviation == pytest.approx(0.4, rel=1e-6)
    np.testing.assert_allclose(figures.quantiles, expon(scale=0.4).ppf(PROBABILITIES), rtol=1e-5)
    assert found.draws is not None
    rates, states = found.draws
    assert abs(rates[:, 0].mean() - 0.4) < 4 * 0.4 / math.sqrt(4000)
    assert abs(states.mean(0) - 0.5).max() < 4 * 0.5 / math.sqrt(4000)


def test_draws_agree_with_probabilities_and_with_what_was_seen() -> None:
    asked = question("er")
    found = integrated_rates(asked, RateOptions(draws=4000), 0.95, [0, 1])
    assert found.draws is not None
    states = found.draws[1]
    shares = np.stack([(states == state).mean(0) for state in range(2)], 1)
    assert abs(shares - found.probabilities).max() < 4 * 0.5 / math.sqrt(4000)
    assert (states[:, 1] == 0).all()
    assert (states[:, 5] == 1).all()
    again = integrated_rates(asked, RateOptions(draws=10), 0.95, [0, 1]).draws
    assert again is not None
    np.testing.assert_array_equal(again[1], states[:10])


def test_the_order_of_rows_tips_and_children_changes_nothing() -> None:
    tables = []
    for order, texts in ((range(7), TEXTS), (TURNED, dict(reversed(TEXTS.items())))):
        tree = tree_of(order)
        found = posterior_states(tree, seen_on(tree, texts), None, models=["er"], draws=20, seed=5)
        place = np.argsort(np.asarray(order))
        states = found.tables["draws"]["states"][0].numbers[:, place]
        tables.append(
            (found.tables["parameter table"], found.of_states[0].probabilities[place].tolist(), states.tolist())
        )
    assert tables[0] == tables[1]


def test_options_that_do_not_fit_are_refused() -> None:
    for options, said in (
        ({"priors": {"q(a,c)": "lognormal(0,1)"}}, r"--prior q\(a,c\): --model er has no such rate"),
        ({"priors": {"q": "lognormal(0,1)"}, "of_numbers": ["--loo"]}, "--loo is for traits of numbers"),
        ({"models": ["ard"], "method": "quadrature", "states": ("a", "b", "c")}, "takes two unknown rates"),
        ({"held": {"q(a,b)": 1.0}, "method": "nuts"}, "nothing is left to sample"),
        ({"held": {"q(a,b)": 1.0}, "priors": {"q(a,b)": "exponential(1)"}}, "given by --set, so it has no prior"),
        (
            {"priors": {"q(a,b)": "exponential(1)", "q(b,a)": "exponential(2)"}},
            r"--prior q\(b,a\): --model er has this rate elsewhere too",
        ),
        ({"method": "nuts", "draws": 9000}, "more than the sampler makes"),
        ({"draws": 10**10}, "too many to keep"),
    ):
        tree = tree_of()
        with pytest.raises(OptionError, match=said):
            posterior_states(tree, seen_on(tree, TEXTS), None, **options)
    never = {"n.csv": (("a", "b"), (("0", "0"), ("0", "0")))}
    with pytest.raises(ModelError, match="impossible under the model"):
        posterior_states(tree_of(), seen_on(tree_of(), TEXTS), None, models=["n.csv"], tables=never)


def test_given_rates_leave_the_nodes_alone_to_be_found() -> None:
    tree = tree_of()
    found = posterior_states(tree, seen_on(tree, TEXTS), None, held={"q(a,b)": 0.3}).of_states[0]
    rates = rate_pattern("er", ("a", "b")).rates(np.array([[0.3]]))[0]
    seen = seen_states(tree, seen_on(tree, TEXTS).nodes, seen_on(tree, TEXTS).states[0]).likelihoods
    twin = enumerate_states(PARENTS, np.nan_to_num(LENGTHS), rates, seen, [0.5, 0.5])
    np.testing.assert_allclose(found.probabilities, twin.marginals, atol=1e-12)
    assert found.log_likelihood == pytest.approx(math.log(twin.likelihood), abs=1e-12)


def sampled(asked: RateQuestion, **options: Any) -> RatesFound:
    return sampled_rates(asked, RateOptions(**options), 0.95, [1, 2])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["", "nuts"])
@pytest.mark.parametrize("options", [{}, {"root_prior": "stationary"}, {"root_prior": "fitzjohn"}])
def test_samples_agree_with_the_quadrature(options: Any, method: str) -> None:
    asked = question("ard", **options)
    exact, chains = integrated_rates(asked, RateOptions(), 0.95, [0, 0]), sampled(asked, samples=600, method=method)
    assert chains.details["method"] == (method or "independence")
    if not method:
        assert abs(chains.log_evidence - exact.log_evidence) < 5 * chains.details["log_evidence_error"]
    for place, (one, other) in enumerate(zip(exact.figures, chains.figures, strict=True)):
        assert one is not None
        assert other is not None
        errors = one.deviation / math.sqrt(min(other.diagnostics["ess_bulk"], other.diagnostics["ess_tail"]))
        assert abs(np.log(other.quantiles[3] / one.quantiles[3])) < 0.15, place
        assert abs(other.mean - one.mean) < 6 * errors
    assert abs(chains.probabilities - exact.probabilities).max() < 0.03


@pytest.mark.slow
def test_three_sampled_rates_are_those_of_a_dense_grid() -> None:
    asked = question("sym", {"D": "c", "C": "a|b", "B": "b", "A": "a"})
    assert method_for(asked, RateOptions(), "sym") == "sampling"
    found = sampled(asked, samples=2000)
    mean, nodes, evidence = on_a_grid(asked, 15, np.full(3, 1 / 3))
    assert found.details["method"] == "independence"
    assert found.log_evidence == pytest.approx(evidence, abs=5 * found.details["log_evidence_error"])
    assert found.details["log_evidence_error"] < 0.02
    for one, of_grid in zip(found.figures, mean, strict=True):
        assert one is not None
        assert abs(one.mean - of_grid) < 5 * one.deviation / math.sqrt(one.diagnostics["ess_bulk"])
    assert abs(found.probabilities - nodes).max() < 0.03


@pytest.mark.slow
def test_hidden_classes_are_told_apart_by_their_speed_and_priors_come_back() -> None:
    asked = nothing_seen(question("er", hidden=2, wanted=RateOptions({"q": "lognormal(-1,0.7)"})))
    assert asked.exchangeable
    found = sampled(asked, samples=1000, draws=50)
    labels = asked.density.pattern.labels
    slow, fast = labels.index("q(a.1,b.1)"), labels.index("q(a.2,b.2)")
    # The smaller and the larger of two draws of the prior.
    pairs = np.sort(np.exp(np.random.default_rng(0).normal(-1, 0.7, (100_000, 2))), 1)
    np.testing.assert_allclose(found.mean[[slow, fast]], pairs.mean(0), rtol=0.08)
    assert not any(isinstance(note, Doubt) for note in found.notes)
    assert found.draws is not None
    assert found.draws[1].max() == 3


@pytest.mark.slow
def test_a_sampler_that_is_not_to_be_trusted_says_so_first() -> None:
    options: Any = {"models": ["ard"], "method": "nuts", "chains": 2, "samples": 100, "seed": 3}
    found, again = (
        posterior_states(tree, seen_on(tree, TEXTS), None, **options) for tree in (tree_of(), tree_of(TURNED))
    )
    assert found.tables == again.tables
    doubt = next(note for note in found.warnings if isinstance(note, Doubt))
    assert doubt.startswith("trait 'diet': the sampler has not converged: ")
    assert "effective sample size of q(a,b) is" in doubt
