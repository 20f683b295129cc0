"""The posterior of one trait's rates and of its nodes: integrated, sampled, or exact where all rates are given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hxcli.analyses.posterior.solution import PROBABILITIES, Figures
from hxcli.analyses.posterior.state_question import RateOptions, RateQuestion
from hxcli.errors import Doubt, Note
from hxcli.inference.box_quadrature import Box, integrate_box, places_at
from hxcli.inference.marginal_density import Marginals
from hxcli.phylogeny import FloatArray, canonical_order

# Largest error wanted, and what the user is told of.
_TOLERANCE, _TOLD = 1e-6, 1e-4
# Points of the integral with less do not count at the nodes.
_NOTHING = 1e-14
# Draws that stand for all others at the nodes.
_MOST_COMPONENTS = 512


class RatesFound(NamedTuple):
    """What is known of one trait.

    Attributes:
        probabilities: (N, S) of every state of the model at every node, in the tree's own order.
        figures: (P,) of the rates; None for one that is given.
        ends: (P, 2) equal-tailed intervals; nan for a rate that is given.
        mean: (P,) posterior means of the rates.
        log_evidence: Log probability of what was seen, rates integrated out; nan where it was not computed.
        details: For the run record.
        notes: What the user should know, a sentence each.
        draws: (K, P) rates and (K, N) states of the model, if asked for.
    """

    probabilities: FloatArray
    figures: tuple[Figures | None, ...]
    ends: FloatArray
    mean: FloatArray
    log_evidence: float
    details: Mapping[str, Any]
    notes: tuple[Note, ...] = ()
    draws: tuple[FloatArray, NDArray[np.int16]] | None = None


def posterior_at_given(question: RateQuestion, wanted: RateOptions, seed: list[int]) -> RatesFound:
    """The posterior of the nodes where all rates are given."""
    density = question.density
    values = density.held[None]
    probabilities = density.marginals(values, np.ones((1, 1)))[0]
    draws = None
    if wanted.draws:
        draws = _draws(question, np.repeat(values, wanted.draws, 0), seed)
    none = np.full((len(density.held), 2), np.nan)
    height = float(density(np.zeros((1, 0)))[0])
    return RatesFound(
        question.on_tree(probabilities), (None,) * len(none), none, density.held, height, {"method": "given rates"},
        draws=draws,
    )  # fmt: skip


def integrated_rates(question: RateQuestion, wanted: RateOptions, level: float, seed: list[int]) -> RatesFound:
    """The posterior by quadrature over one or two unknown rates, or parameters of a file.

    Raises:
        ModelError: The posterior has no finite integral.
    """
    density = question.density
    box = integrate_box(density, density.sizes, density.starts, _TOLERANCE, question.endless)
    places, weights = box.places, box.weights.ravel()
    kept = np.flatnonzero(weights > _NOTHING)
    both = np.stack([weights, box.coarse.ravel()])[:, kept]
    both /= both.sum(1, keepdims=True)
    averaged = density.marginals(density.values(places[kept]), both)
    error = max(box.error, float(abs(averaged[0] - averaged[1]).max()))
    values = density.values(places)
    mean = density.held.copy()
    mean[density.free] = weights @ values[:, density.free] if box.moments else np.nan
    figures: list[Figures | None] = [None] * len(mean)
    ends = np.full((len(mean), 2), np.nan)
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    for axis, place in enumerate(density.free):
        spread = np.sqrt(weights @ (values[:, place] - mean[place]) ** 2) if box.moments else np.nan
        found = _quantiles(question, box, axis, np.concatenate([PROBABILITIES, tails]))
        figures[place] = Figures(float(mean[place]), float(spread), found[:-2])
        ends[place] = found[-2:]
    notes: list[Note] = []
    if error > _TOLD:
        notes.append(
            Doubt(
                f"the quadrature over the {question.unknown}s has not settled: its two finest grids differ by "
                f"{error:.1g}"
            )
        )
    if not box.moments:
        notes.append(
            Note(f"with these priors the {question.unknown}s have no finite mean and variance: these are empty")
        )
    draws = None
    if wanted.draws:
        draws = _draws(question, _drawn_rates(question, box, wanted.draws, seed), seed)
    details = {
        "method": "quadrature",
        "error_bound": error,
        "grid": [len(axis) for axis in box.axes],
        "log_evidence": box.log_evidence,
    }
    return RatesFound(
        question.on_tree(averaged[0]), tuple(figures), ends, mean, box.log_evidence, details, tuple(notes), draws
    )


def sampled_rates(question: RateQuestion, wanted: RateOptions, level: float, seed: list[int]) -> RatesFound:
    """The posterior by the independence sampler, or by the no-U-turn sampler.

    Raises:
        HxError: NumPyro is not installed.
    """
    # Here, because nothing else needs NumPyro's company.
    from hxcli.inference.no_u_turn import unhealthy
    from hxcli.inference.parameter_chains import sample_parameters
    from hxcli.inference.state_chains import SampledRates

    density, rates = question.density, SampledRates(question.density, question.exchangeable)
    asked = f"--model with several unknown {question.unknown}s"
    found = sample_parameters(rates, wanted.chains, wanted.samples, seed, asked, wanted.method)
    values = rates.values(found.places.reshape(-1, len(density.free)))
    components = rates.values(found.spaced(_MOST_COMPONENTS))
    count = len(components)
    # All, and those of every chain, between which they may differ by chance only.
    weights = np.zeros((1 + wanted.chains, count))
    weights[0] = 1
    for chain, part in enumerate(np.array_split(np.arange(count), wanted.chains)):
        weights[1 + chain, part] = 1
    weights /= weights.sum(1, keepdims=True)
    averaged = density.marginals(components, weights)
    spread = float(averaged[1:].std(0, ddof=1).max() / np.sqrt(wanted.chains)) if wanted.chains > 1 else float("nan")
    mean = values.mean(0)
    figures: list[Figures | None] = [None] * len(mean)
    ends = np.full((len(mean), 2), np.nan)
    for place in density.free:
        own, label = values[:, place], density.pattern.labels[place]
        figures[place] = Figures.of_draws(own, found.diagnostics[label])
        ends[place] = np.quantile(own, [(1 - level) / 2, (1 + level) / 2])
    wrong = unhealthy(found.divergences, found.diagnostics)
    advice = f"give more --samples, a model of fewer {question.unknown}s, narrower --prior, or hold some with --set"
    draws = _draws(question, rates.values(found.spaced(wanted.draws)), seed) if wanted.draws else None
    details = {
        **found.details,
        "chains": wanted.chains,
        "samples_per_chain": wanted.samples,
        "diagnostics": found.diagnostics,
        "components": count,
        "probability_error": spread,
        **({"hidden_classes": "by the sum of their rates, the slowest first"} if question.exchangeable else {}),
    }
    return RatesFound(
        question.on_tree(averaged[0]), tuple(figures), ends, mean, found.log_evidence, details,
        (Doubt(f"the sampler has not converged: {wrong} ({advice})"),) if wrong else (), draws,
    )  # fmt: skip


def _quantiles(question: RateQuestion, box: Box, axis: int, probabilities: FloatArray) -> FloatArray:
    """Quantiles of the free rate of one axis."""
    others = tuple(other for other in range(len(box.axes)) if other != axis)
    marginal = Marginals(box.axes[axis], box.weights.sum(others)[None])
    return _rate(question, axis, marginal.quantiles(probabilities[None])[0])


def _rate(question: RateQuestion, axis: int, w: FloatArray) -> FloatArray:
    return np.asarray(question.density.priors[axis].value(w), float)


def _drawn_rates(question: RateQuestion, box: Box, count: int, seed: list[int]) -> FloatArray:
    """(K, P) independent draws: of the first coordinate from its density, of the second from its given the first."""
    places = places_at(box, np.random.default_rng(seed).uniform(size=(2, count)))
    values = np.broadcast_to(question.density.held, (count, len(question.density.held))).copy()
    for axis, place in enumerate(question.density.free):
        values[:, place] = _rate(question, axis, places[:, axis])
    return values


def _draws(question: RateQuestion, values: FloatArray, seed: list[int]) -> tuple[FloatArray, NDArray[np.int16]]:
    """The rates, and all nodes at each of them; a node's random numbers are those of its place among the names."""
    density, size = question.density, question.phylogeny.topology.size
    chances = np.empty((len(values), size))
    # Node by node, so that a draw's numbers do not depend on how many draws there are.
    random = np.random.default_rng([*seed, 1])
    chances[:, canonical_order(question.phylogeny)] = random.random((len(values), size))
    states = density.draws(values, chances)
    return values, np.ascontiguousarray(question.on_tree(states.T).T)
