"""Sets of the parameters of a density with their weights: the one that is given, or those that integrate over it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from hxcli.analyses.posterior.question import Options
from hxcli.analyses.posterior.solution import Figures
from hxcli.close_names import listed
from hxcli.engine.topology import BoolArray
from hxcli.errors import Doubt, ModelError, Note, OptionError
from hxcli.inference.box_quadrature import DEEP, SPARING, Box, integrate_box, places_at
from hxcli.inference.fitted_mixture import USUAL, Budget
from hxcli.inference.no_u_turn import diagnose, unhealthy
from hxcli.inference.parameter_chains import ParameterDensity, sample_parameters
from hxcli.inference.parameter_priors import ParameterPrior
from hxcli.models.recorded import entries
from hxcli.phylogeny import FloatArray

# Unknown parameters that are integrated out rather than sampled, and where a density takes microseconds.
MOST_INTEGRATED, MOST_OF_FAST = 2, 3
# Largest error wanted of the quadrature, in double and single precision, and weight of all of its points together that
# do not count at the nodes.
_TOLERANCE, _ROUGH_TOLERANCE, _NEGLIGIBLE = 1e-5, 1e-3, 1e-8
# The same of three parameters, and the error above which they are sampled.
_TOLERANCE_OF_THREE, _NEGLIGIBLE_OF_THREE, MOST_ERROR = 3e-4, 1e-6, 3e-3
# Draws that stand for all others at the nodes, and how far apart they are taken to be, in standard deviations.
_MOST_COMPONENTS, _SMOOTHED = 512, 0.25
# Weight of places at which a flat unknown is not determined above which there is no posterior; points a side and
# random ones at which a sampled density is looked at for such places, how far below the top they are harmless, and
# how far above the others nothing can be sampled.
_LOST, _LINE, _SPRAY, _FALLEN, _BEYOND = 1e-3, 65, 512, 6.0, 100.0
# How far along a parameter without a prior a density has to have fallen off, in its spreads.
_FAR = 1e4


class WeighedDensity(ParameterDensity, Protocol):
    """A posterior density of F parameters, flat unknowns of the mean integrated out.

    Attributes:
        priors: Of the parameters.
        single: M, how many numbers of single edges are behind them.
        middle: (F + M,) the middle of the priors.
    """

    @property
    def priors(self) -> Sequence[ParameterPrior]: ...

    @property
    def single(self) -> int: ...

    @property
    def middle(self) -> FloatArray: ...

    def values(self, w: FloatArray) -> FloatArray:
        """(K, F + M) the parameters at K places w, (K, F + M), and the numbers of single edges."""

    def edge_values(self, values: FloatArray) -> dict[str, FloatArray]:
        """Name -> (K, N, ...) what every edge has at K sets of `values`; nothing without numbers of single edges."""

    def sizes(self, w: FloatArray) -> FloatArray:
        """(K, F) what grows as the logarithms of the parameters do."""

    def heights(self, w: FloatArray) -> tuple[FloatArray, BoolArray]:
        """The log posterior densities, (K,), and where a flat unknown of the mean is hardly determined at all, (K,)."""


class Weighed(NamedTuple):
    """Sets of F parameters and their weights.

    Attributes:
        places: (M, F) coordinates of the density.
        weights: (M,) that add up to 1.
        coarse: (M,) others that should give the same.
        error: How far apart these are.
        spacing: Of a grid, its step in standard deviations; of draws, what they are to be smoothed by.
        figures: Of the parameters.
        log_evidence: Log density of the observations; nan where it was not computed.
        details: For the run record.
        box: All points of a quadrature; None where there was none.
        draws: (C, S, F) of a sampler; None where there was none.
        edges: Name -> (C * S, N) draws of what every edge has, nan above the root; empty where edges have nothing.
        notes: What the user should know.
    """

    places: FloatArray
    weights: FloatArray
    coarse: FloatArray
    error: float
    spacing: float
    figures: Mapping[str, Figures]
    log_evidence: float
    details: Mapping[str, Any]
    box: Box | None = None
    draws: FloatArray | None = None
    edges: Mapping[str, FloatArray] = {}
    notes: tuple[Note, ...] = ()


def drawn_places(weighed: Weighed, count: int, seed: list[int]) -> FloatArray:
    """(K, F) draws of the coordinates."""
    if weighed.draws is not None:
        places = weighed.draws.reshape(-1, weighed.draws.shape[2])
        return places[spaced(places, count)]
    if weighed.box is None:
        return np.repeat(weighed.places, count, 0)
    wanted = max(2, len(weighed.box.axes)), count
    return places_at(weighed.box, np.random.default_rng([*seed, 3]).uniform(size=wanted))


def spaced(draws: FloatArray, count: int) -> NDArray[np.intp]:
    """(K,) which of the draws of a sampler are taken, at equal distances."""
    return np.linspace(0, len(draws) - 1, count).round().astype(np.intp)


def endless_in_words(what: str, flat: Sequence[str], advice: Sequence[str], names: Sequence[str]) -> str:
    """What to say of a posterior that has no finite integral.

    Args:
        what: Whose it is.
        flat: Names of the unknowns without a proper prior.
        advice: What to give, of these.
        names: Of the free parameters.
    """
    if not flat:
        advice = [f"--prior '{name}=PRIOR' that falls off on both sides" for name in names[:1]]
    priors = f"flat {listed(flat)} and the other" if flat else "these"
    return (
        f"{what}: with {priors} priors the posterior has no finite integral: the less the tips say of its parameters, "
        f"the more room those have (give {' or '.join(advice)})"
    )


def method_for(count: int, method: str, edges: int = 0, most: int = MOST_INTEGRATED) -> str:
    """`given`, `quadrature` or `sampling`, of so many unknown parameters, and numbers of single edges.

    At most `most` unknown parameters are integrated out.
    """
    if edges:
        return "sampling"
    if not count:
        return "given"
    return "sampling" if method == "nuts" or count > most else "quadrature"


def weighed_parameters(
    density: WeighedDensity,
    options: Options,
    seed: list[int],
    endless: str,
    budget: Budget = USUAL,
    most: int = MOST_INTEGRATED,
) -> Weighed:
    """The posterior of the parameters by the method that so many of them take.

    Args:
        density: Of F parameters.
        options: What the user wants.
        seed: Of the random numbers.
        endless: What to say where there is no finite integral.
        budget: How often a sampler may compute the density.
        most: Of parameters that are integrated: `MOST_INTEGRATED` or `MOST_OF_FAST`.

    Raises:
        ModelError: There is none.
        HxError: NumPyro is needed, and is not installed.
    """
    how = method_for(len(density.priors), options.method, density.single, most)
    if how == "given":
        found = _given(density)
    else:
        integrated = _settled(density, seed, endless) if how == "quadrature" else None
        found = integrated or _sampled(density, options, seed, endless, budget)
    _, loose = density.heights(found.places)
    if found.weights[loose].sum() > _LOST:
        raise _no_integral(endless)
    return found


def _no_integral(endless: str) -> ModelError:
    return ModelError(endless)


def _given(density: WeighedDensity) -> Weighed:
    nothing, one = np.zeros((1, 0)), np.ones(1)
    return Weighed(nothing, one, one, 0.0, 0.0, {}, float(density(nothing)[0]), {"method": "given parameters"})


def _settled(density: WeighedDensity, seed: list[int], endless: str) -> Weighed | None:
    """The integral; None of three parameters whose integral has not settled, so that they are better sampled.

    Raises:
        ModelError: There is no finite integral.
    """
    if len(density.priors) <= MOST_INTEGRATED:
        return _integrated(density, endless)
    try:
        found = _integrated(density, endless)
    except ModelError:
        # So few points a side may not see where it falls off; the sampler looks for itself.
        return None
    if found.error > MOST_ERROR:
        return None
    _refuse_endless(density, found.places[np.argsort(-found.weights)[:_SPRAY]], seed, endless)
    return found


def _integrated(density: WeighedDensity, endless: str) -> Weighed:
    of_three = len(density.priors) > MOST_INTEGRATED
    tolerance, negligible = (_TOLERANCE_OF_THREE, _NEGLIGIBLE_OF_THREE) if of_three else (_TOLERANCE, _NEGLIGIBLE)
    if jnp.result_type(float) != jnp.float64:
        tolerance = max(tolerance, _ROUGH_TOLERANCE)
    depths = SPARING if of_three else DEEP
    box = integrate_box(density, density.sizes, density.starts, tolerance, endless, None, depths)
    places, weights = box.places, box.weights.ravel()
    order = np.argsort(-weights, kind="stable")
    kept = np.sort(order[: np.searchsorted(np.cumsum(weights[order]), 1 - negligible) + 1])
    values = density.values(places)
    figures = {
        name: Figures.of_box(box, axis, values[:, axis], density.priors[axis])
        for axis, name in enumerate(density.names)
    }
    notes = () if box.moments else (Note("with these priors the parameters have no finite mean and variance: empty"),)
    details = {"method": "quadrature", "grid": [len(axis) for axis in box.axes]}
    fine, coarse = weights[kept], box.coarse.ravel()[kept]
    spread = np.sqrt(weights @ (places - weights @ places) ** 2)
    spacing = float(max((axis[1] - axis[0]) / own for axis, own in zip(box.axes, spread, strict=True)))
    fine, coarse = fine / fine.sum(), coarse / coarse.sum()
    return Weighed(places[kept], fine, coarse, box.error, spacing, figures, box.log_evidence, details, box, notes=notes)


def _sampled(density: WeighedDensity, options: Options, seed: list[int], endless: str, budget: Budget) -> Weighed:
    if options.draws > options.chains * options.samples:
        raise OptionError(f"--draws {options.draws} is more than the sampler makes (give more --samples)")
    single = density.single
    asked = "--model with " + ("parameters of every edge" if single else "several unknown parameters")
    method = "nuts" if options.method == "nuts" or single else ""
    heights, loose = density.heights(_over_range(density, density.middle, seed))
    if (heights[loose] > heights[~loose].max(initial=-np.inf) + _BEYOND).any():
        # Before anything is sampled.
        raise _no_integral(endless)
    begin = [density.middle] if single else None
    found = sample_parameters(
        density, options.chains, options.samples, seed, asked, method, budget, starts=begin, single=single
    )
    _refuse_endless(density, found.spaced(_SPRAY), seed, endless)
    drawn = density.values(found.places.reshape(-1, found.places.shape[2]))
    edges = _of_edges(density, drawn)
    diagnostics = {**found.diagnostics, **_worst(edges, found.places.shape[:2])}
    figures = {
        name: Figures.of_draws(drawn[:, axis], found.diagnostics[name]) for axis, name in enumerate(density.names)
    }
    places = found.spaced(_MOST_COMPONENTS)
    even = np.full(len(places), 1 / len(places))
    notes: tuple[Note, ...] = ()
    if wrong := unhealthy(found.divergences, diagnostics):
        advice = "give more --samples, narrower --prior, or hold parameters with --set"
        notes = (Doubt(f"the sampler has not converged: {wrong} ({advice})"),)
    details = {
        **found.details,
        "chains": options.chains,
        "samples_per_chain": options.samples,
        "diagnostics": diagnostics,
        "components": len(places),
    }
    log_evidence = found.log_evidence
    return Weighed(places, even, even, 0.0, _SMOOTHED, figures, log_evidence, details, None, found.places, edges, notes)


def _of_edges(density: WeighedDensity, drawn: FloatArray) -> dict[str, FloatArray]:
    """Name -> (K, N) what every edge has at K draws of all values; of an array every entry by itself."""
    found: dict[str, FloatArray] = {}
    for name, values in density.edge_values(drawn).items():
        found |= {each: own.T for each, own in entries(name, np.moveaxis(values, 0, -1), 1).items()}
    return found


def _worst(edges: Mapping[str, FloatArray], shape: tuple[int, ...]) -> dict[str, dict[str, float]]:
    """For every parameter of edges the worst figure that an edge has, of so many chains and draws."""
    found = {}
    for name, draws in edges.items():
        figures = [diagnose(own.reshape(shape)) for own in draws.T[1:]]
        worst = {key: min(each[key] for each in figures) for key in ("ess_bulk", "ess_tail")}
        found[f"{name} (the worst edge)"] = {"rhat": max(each["rhat"] for each in figures), **worst}
    return found


def _over_range(density: WeighedDensity, place: FloatArray, seed: list[int]) -> FloatArray:
    """(K, F + M) places all over the range of the priors: on lines through one, and anywhere; single edges as there."""
    low, high = np.array(density.starts).reshape(-1, 2).T
    count = len(low)
    lines, spray = (np.repeat(place[None], rows, 0) for rows in (count * _LINE, _SPRAY))
    for axis in range(count):
        lines[axis * _LINE : (axis + 1) * _LINE, axis] = np.linspace(low[axis], high[axis], _LINE)
    spray[:, :count] = np.random.default_rng([*seed, 4]).uniform(low, high, (_SPRAY, count))
    return np.concatenate([lines, spray])


def _refuse_endless(density: WeighedDensity, drawn: FloatArray, seed: list[int], endless: str) -> None:
    """Raises where a density has mass at places at which it means nothing, or does not fall off.

    A sampler that began elsewhere would not see it.
    """
    heights = density(drawn)
    best = drawn[int(np.argmax(heights))]
    found, loose = density.heights(_over_range(density, best, seed))
    flat = [axis for axis, prior in enumerate(density.priors) if prior.flat]
    far = np.repeat(best[None], 2 * len(flat), 0)
    for number, axis in enumerate(flat):
        far[2 * number : 2 * number + 2, axis] = -_FAR, _FAR
    outside = np.concatenate([found[loose], density(far) if flat else []])
    if (outside > heights.max() - _FALLEN).any():
        raise _no_integral(endless)
