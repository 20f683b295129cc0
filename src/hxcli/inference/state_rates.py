"""Rates of discrete states by maximum likelihood: several starts in one batch, exact gradients, a certificate.

On large trees the searches begin on a tree of fewer of its tips; from the different tops that they find there, it goes
on with all tips.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from hxcli.errors import ModelError
from hxcli.inference.side_by_side import Evaluate, side_by_side
from hxcli.inference.state_objective import Objective, RateModel, RootPrior
from hxcli.models.file_rates import FileRates, StateModel
from hxcli.models.rate_patterns import RatePattern
from hxcli.models.searched_rates import SearchedRates
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.discrete.likelihood import StateTree
from hxcli.prebuilt.discrete.thinning import thinned

# What may be wrong with the best rates.
FLAGS = ("at_lower_bound", "at_upper_bound", "rates_not_identified", "optimum_not_certain")
# Starts beside the best equal rates, and how far (in natural logarithms) they are spread.
_STARTS, _SPREAD = 7, 1.5
# Nodes from which searches begin on fewer tips, and how many these are.
_LARGE, _FEWER = 5_000, 1_000
# How far below the best, and how far from each other, tops on fewer tips are followed; how many; how far they may start
# from equal rates, because a rate that is next to nothing for fewer tips has no slope from which to rise.
_BELOW, _APART, _MOST_TOPS, _REACH = 10.0, 0.5, 3, 4.0
_GRID = 16
# How far around where a file says that a search begins it looks first.
_LOOK = 7.0
# Slowest rate: changes expected on the whole tree. Fastest: changes expected on the shortest edge.
SLOWEST, _FASTEST = 1e-8, 50.0
# Searches that end this close to the best have found the same; and how steep a top may be, in log units.
_AGREE, _STEEP = 1e-3, 1e-3
_STEP = 1e-4
# Rates above which no matrix of second derivatives is made, and above which no steps are taken by it.
MOST_CURVED, _MOST_NEWTON = 60, 12
# Relative curvature below which the data do not say what a rate is.
_FLAT = 1e-6
# What a rate may cost in log likelihood to be said to be at an end of its support; its slope and curvature there.
_NOTHING, _LEVEL = 1e-9, 0.1
# A step that gains so little is the last; steps at a time.
_GAIN, _STEPS = 1e-11, 8


@dataclass(frozen=True, eq=False)
class RateFit:
    """The best rates, and how sure that is.

    Attributes:
        pattern, root: Model and prior of the root.
        values: (P,) rates.
        log_likelihood: At these.
        free: Places of the rates that were found, F of them; the others were given.
        low, high: Ends of the support.
        gradient: Largest slope in log units, of rates that are not at an end of their support.
        eigenvalues: Of minus the second derivatives in log units, ascending; empty where there are too many rates.
        covariance: (F, F) of the logarithms of the rates, nan for rates at an end.
        starts, agree: Number of searches, and of those that ended at the same height.
        flags: Codes.
        notes: What the user should know, a sentence each.
    """

    pattern: RateModel
    root: RootPrior
    values: FloatArray
    log_likelihood: float
    free: Any
    low: float
    high: float
    gradient: float
    eigenvalues: FloatArray
    covariance: FloatArray
    starts: int
    agree: int
    flags: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def rates(self) -> FloatArray:
        """(S, S) the rate matrix, or (N, S, S) where every edge has its own."""
        return self.pattern.rates(self.values[None])[0]

    def at_end(self, place: int) -> str:
        """`at_lower_bound`, `at_upper_bound` or nothing, for one of the P rates."""
        if place not in self.free:
            return ""
        value = self.values[place]
        return "at_lower_bound" if value <= self.low * 1.001 else "at_upper_bound" if value >= self.high / 1.001 else ""


def fit_rates(
    tree: StateTree,
    pattern: StateModel,
    root: RootPrior,
    held: Mapping[str, float] | None = None,
    start: FloatArray | None = None,
) -> RateFit:
    """Finds the rates with the highest likelihood.

    Args:
        tree: What was seen.
        pattern: The model, P rates.
        root: Prior of the root.
        held: Label of a transition -> its rate, which is not estimated, nor is any that is equal to it.
        start: (P,) rates (or a file's own parameters) near which the best ones are known to be; None to look
            everywhere.

    Raises:
        ModelError: What was seen is impossible.
        OptionError: `held` names no transition.
    """
    ends = _ends(tree)
    if isinstance(pattern, FileRates):
        searched = SearchedRates(pattern, *ends, held or {})
        objective = Objective(tree, searched, root, searched.held)
        return _fitted(objective, ends, None if start is None else searched.placed(start))
    return _fitted(Objective(tree, pattern, root, pattern.held(held or {})), ends, start)


def _fitted(objective: Objective, ends: tuple[float, float], start: FloatArray | None) -> RateFit:
    """The best rates, near `start` if it is there, (P,)."""
    tree, pattern, root = objective.tree, objective.pattern, objective.root
    free = objective.free
    if not len(free):
        height = float(objective.heights(np.zeros((1, 0)))[0])
        refuse_impossible(height)
        return RateFit(
            pattern, root, objective.held, height, free, *ends, 0.0, np.zeros(0), np.zeros((0, 0)), 0, 0, (), ()
        )
    if start is not None:
        middle: Any
        if isinstance(pattern, RatePattern):
            middle, starts = _starts(objective, ends)
        else:
            middle, starts = np.log(pattern.usual[free]), _starts_of_file(objective, pattern.usual[free], ends)
        # A rate that is next to nothing there may be more here, and has no slope from which to rise.
        nearby = np.clip(np.log(start[free]), middle - _REACH, middle + _REACH)
        places = [starts[0], np.clip(nearby, *np.log(ends))][: len(free)]
        count = len(places)
    elif not isinstance(pattern, RatePattern):
        places = _starts_of_file(objective, pattern.usual[free], ends)
        count = len(places)
    elif tree.size > _LARGE and len(free) > 1:
        fewer = Objective(thinned(tree, _FEWER), pattern, root, objective.held)
        usual, starts = _starts(fewer, ends)
        found = _climbed(fewer, starts, ends)
        places, count = _different(found, usual, ends), len(starts)
        agreeing = _agreeing(np.array([height for height, _ in found]))
    else:
        places = _starts(objective, ends)[1]
        count = len(places)
    found = _climbed(objective, places, ends)
    heights = np.array([height for height, _ in found])
    best = int(np.argmax(heights))
    refuse_impossible(heights[best])
    x, height, inside, curvature = _top(objective, found[best][1], heights[best], ends)
    agree = agreeing if count > len(places) else int((heights > height - _AGREE).sum())
    return _certified(objective, x, inside, curvature, ends, (count, agree))


def _agreeing(heights: FloatArray) -> int:
    return int((heights > heights.max() - _AGREE).sum())


def _ends(tree: StateTree) -> tuple[float, float]:
    """The support of every rate, in units of the tree."""
    lengths = tree.lengths
    positive = lengths[lengths > 0]
    if not len(positive):
        raise ModelError("no edge has any length: rates of change are not defined")
    return SLOWEST / float(positive.sum()), min(_FASTEST / float(positive.min()), 1e9 / float(positive.max()))


def _starts_of_file(objective: Objective, usual: FloatArray, ends: tuple[float, float]) -> list[FloatArray]:
    """Where a file says that a search begins, with all parameters moved together to where they are best, and around."""
    first = np.log(usual)
    tried = np.clip(first + np.concatenate([[0.0], np.linspace(-_LOOK, _LOOK, _GRID - 1)])[:, None], *np.log(ends))
    best = tried[int(np.argmax(objective.heights(tried)))]
    numbers = np.random.default_rng(1)
    around = [best + numbers.normal(0, _SPREAD, len(best)) for _ in range(_STARTS)]
    return [np.clip(start, *np.log(ends)) for start in (best, first, *around)]


def _starts(objective: Objective, ends: tuple[float, float]) -> tuple[float, list[FloatArray]]:
    """The logarithm of equal rates at their best, and places to begin at: these, and some around them."""
    count = len(objective.free)
    usual = 1 / float(objective.tree.lengths.sum())
    grid = np.log(usual) + np.log(10) * np.linspace(-0.5, min(np.log10(ends[1] / usual), 7), _GRID)
    heights = objective.heights(np.repeat(grid[:, None], count, 1))
    if not np.isfinite(heights).any():
        refuse_impossible(-np.inf)
    best = float(grid[int(np.nanargmax(np.where(np.isfinite(heights), heights, -np.inf)))])
    starts = [np.full(count, best)]
    if count > 1:
        numbers = np.random.default_rng(1)
        starts += [best + numbers.normal(0, _SPREAD, count) for _ in range(_STARTS)]
    return best, [np.clip(start, *np.log(ends)) for start in starts]


def _different(found: list[tuple[float, FloatArray]], usual: float, ends: tuple[float, float]) -> list[FloatArray]:
    """The places of tops that differ, the highest first, not too far from equal rates."""
    ordered = sorted(found, key=lambda each: -each[0])
    places: list[FloatArray] = []
    for height, x in ordered:
        place = np.clip(np.clip(x, usual - _REACH, usual + _REACH), *np.log(ends))
        near = any(abs(place - other).max() < _APART for other in places)
        if height > ordered[0][0] - _BELOW and not near and len(places) < _MOST_TOPS:
            places.append(place)
    return places


def refuse_impossible(height: float) -> None:
    if not np.isfinite(height):
        raise ModelError(
            "what was seen at the tips is impossible under the model (states at tips that it can never reach, or that "
            "no transition joins)"
        )


def _climbed(
    objective: Objective, starts: list[FloatArray], ends: tuple[float, float], close: bool = False
) -> list[tuple[float, FloatArray]]:
    """The height and place at the end of every search."""
    bounds = [tuple(np.log(ends))] * len(objective.free)
    # What is left to a search that ends early are steps by second derivatives.
    precision = {"ftol": 1e-13, "gtol": 1e-6} if close else {"ftol": 1e-9, "gtol": 1e-4}
    return side_by_side(objective, [partial(_climb, start=start, bounds=bounds, options=precision) for start in starts])


def _climb(evaluate: Evaluate, start: FloatArray, bounds: Any, options: dict[str, float]) -> tuple[float, FloatArray]:
    from scipy.optimize import minimize

    limits = {"maxiter": 500, "maxfun": 1000, "maxcor": 20}
    found = minimize(evaluate, start, jac=True, method="L-BFGS-B", bounds=bounds, options={**limits, **options})
    return -float(found.fun), np.asarray(found.x)


def _top(
    objective: Objective, x: FloatArray, height: float, ends: tuple[float, float]
) -> tuple[FloatArray, float, Any, FloatArray | None]:
    """Place and height of the top near where a search has ended, the coordinates inside their supports, the curvature.

    Newton steps as long as they go up, and a closer search where they do not.
    """
    curvature = None
    for again in (False, True):
        if again or len(x) > _MOST_NEWTON:
            height, x = max(_climbed(objective, [x], ends, close=True), key=lambda found: found[0])
        for _ in range(_STEPS):
            inside = _inside(x, ends)
            if len(x) > MOST_CURVED:
                return x, height, inside, None
            gradient, curvature = _local(objective, x, inside)
            level = inside[(abs(gradient) < _LEVEL) & (abs(np.diagonal(curvature)) < _LEVEL)]
            moved, found = _at_ends(objective, x, height, level, ends)
            if (moved != x).any():
                x, height = moved, found
                continue
            if len(x) > _MOST_NEWTON or not len(inside):
                return x, height, inside, curvature
            eigenvalues, vectors = np.linalg.eigh(curvature)
            steep = eigenvalues > _FLAT * max(eigenvalues[-1], 1.0)
            if eigenvalues[0] < -_FLAT * max(eigenvalues[-1], 1.0):
                break
            along = vectors[:, steep].T @ gradient
            step = np.zeros_like(x)
            step[inside] = -vectors[:, steep] @ (along / eigenvalues[steep])
            place = np.clip(x + step, *np.log(ends))
            if along @ (along / eigenvalues[steep]) / 2 < _GAIN * max(1.0, abs(height)) ** 0.5:
                # What the last step gains is lost in the rounding of the height.
                return place, height, inside, curvature
            found = float(objective.heights(place[None])[0])
            if not found > height or abs(step).max() > 1:
                break
            x, height = place, found
    inside = _inside(x, ends)
    return x, height, inside, _local(objective, x, inside)[1]


def _inside(x: FloatArray, ends: tuple[float, float]) -> Any:
    return np.flatnonzero((x > np.log(ends[0]) + 1e-3) & (x < np.log(ends[1]) - 1e-3))


def _at_ends(
    objective: Objective, x: FloatArray, height: float, level: Any, ends: tuple[float, float]
) -> tuple[FloatArray, float]:
    """The same with every rate that may as well be at an end of its support put there, of those at places `level`."""
    of_file = not isinstance(objective.pattern, RatePattern)
    if not of_file and (len(level) == len(x) > 1 or (len(level) and len(x) == 1)):
        # All rates may grow together without a change, once every edge forgets where it began.
        faster = x + (np.log(ends[1]) - x.max())
        found = float(objective.heights(faster[None])[0])
        if found >= height - _NOTHING:
            return faster, found
    if not len(level):
        return x, height
    for end in np.log(ends):
        moved = np.repeat(x[None], len(level), 0)
        moved[np.arange(len(level)), level] = end
        free = level[objective.heights(moved) >= height - _NOTHING]
        place = x.copy()
        place[free] = end
        if len(free) and (found := float(objective.heights(place[None])[0])) >= height - _NOTHING:
            x, height = place, found
    return x, height


def _local(objective: Objective, x: FloatArray, inside: Any) -> tuple[FloatArray, FloatArray]:
    """Slopes and second derivatives of minus the height by the coordinates `inside`, from exact gradients around x."""
    steps = np.zeros((len(inside), len(x)))
    steps[np.arange(len(inside)), inside] = _STEP
    _, gradients = objective(np.concatenate([x[None], x + steps, x - steps]))
    gradients = gradients[:, inside]
    ahead, behind = np.split(gradients[1:], 2)
    curvature = (ahead - behind) / (2 * _STEP)
    return gradients[0], (curvature + curvature.T) / 2


def _certified(
    objective: Objective,
    x: FloatArray,
    inside: Any,
    curvature: FloatArray | None,
    ends: tuple[float, float],
    starts: tuple[int, int],
) -> RateFit:
    low, high = ends
    eigenvalues, covariance = np.zeros(0), np.full((len(x), len(x)), np.nan)
    flags: list[str] = []
    if len(inside) and curvature is not None:
        eigenvalues, vectors = np.linalg.eigh(curvature)
        steep = eigenvalues > _FLAT * max(eigenvalues[-1], 1.0)
        inverse = (vectors[:, steep] / eigenvalues[steep]) @ vectors[:, steep].T
        covariance[np.ix_(inside, inside)] = inverse
        if not steep.all():
            flags.append("rates_not_identified")
    depths, gradients = objective(x[None])
    height = -float(depths[0])
    slope = float(abs(gradients[0][inside]).max(initial=0.0))
    if np.any(x <= np.log(low) + 1e-3):
        flags.append("at_lower_bound")
    if np.any(x >= np.log(high) - 1e-3):
        flags.append("at_upper_bound")
    if slope > _STEEP * max(1.0, abs(height)) ** 0.5:
        flags.append("optimum_not_certain")
    values = objective.values(x[None])[0]
    return RateFit(
        objective.pattern, objective.root, values, height, objective.free, low, high, slope, eigenvalues, covariance,
        *starts, tuple(flags), (),
    )  # fmt: skip
