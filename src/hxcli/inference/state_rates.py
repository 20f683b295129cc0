"""Rates of discrete states by maximum likelihood: several starts in one batch, exact gradients, a certificate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from scipy.optimize import brentq, minimize
from scipy.stats import chi2

from hxcli.errors import ModelError, OptionError
from hxcli.inference.side_by_side import Evaluate, side_by_side
from hxcli.models.rate_patterns import RatePattern
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.discrete.likelihood import StateTree, log_likelihood_slopes
from hxcli.prebuilt.discrete.transitions import stationary

# Starts beside the best equal rates, and how far (in natural logarithms) they are spread.
_STARTS, _SPREAD = 7, 1.5
# Numbers of nodes times rates from which fewer starts are tried.
_LARGE = 200_000
_GRID = 16
# Slowest rate: changes expected on the whole tree. Fastest: changes expected on the shortest edge.
_SLOWEST, _FASTEST = 1e-8, 50.0
# Searches that end this close to the best have found the same; and how steep a top may be, in log units.
_AGREE, _STEEP = 1e-4, 1e-3
_STEP = 1e-4
# Rates above which no matrix of second derivatives is made.
_MOST_CURVED = 60
# Relative curvature below which the data do not say what a rate is.
_FLAT = 1e-6
# Stands for minus the logarithm of 0, with which a search cannot go on.
_IMPOSSIBLE = 1e300
# What a rate may cost in log likelihood to be said to be at an end of its support.
_NOTHING = 1e-9

RootKind = Literal["flat", "stationary", "fitzjohn", "given"]


@dataclass(frozen=True, eq=False)
class RootPrior:
    """What is believed of the root's state before anything is seen; it enters once.

    Attributes:
        kind: `flat`, `stationary` (the distribution that the rates keep), `fitzjohn` (in proportion to the root's
            likelihood; FitzJohn et al. 2009, Syst. Biol. 58:595) or `given`.
        shares: (S,) for `given`.
    """

    kind: RootKind
    shares: FloatArray | None = None

    def columns(self, rates: FloatArray) -> FloatArray | None:
        """(K, S) priors for K rate matrices; None where the likelihood makes it."""
        count, states = rates.shape[:2]
        if self.kind == "fitzjohn":
            return None
        if self.kind == "stationary":
            return np.stack([stationary(matrix) for matrix in rates])
        shares = np.full(states, 1 / states) if self.shares is None else self.shares
        return np.broadcast_to(shares, (count, states)).copy()

    def slopes(self, rates: FloatArray, shares: FloatArray | None, by_root: FloatArray) -> FloatArray:
        """(K, S, S) what the root's prior adds to the derivatives by the rates, from those by the prior, (K, S)."""
        if self.kind != "stationary" or shares is None:
            return np.zeros_like(rates)
        # A change dQ moves the stationary p by p dQ (1 p - Q)^-1 (Meyer 1975, SIAM Rev. 17:443).
        moved = shares[:, None, :] - rates
        try:
            inverse = np.linalg.inv(moved)
        except np.linalg.LinAlgError:
            # Several distributions are kept, and which one the rates go to is not defined.
            inverse = np.linalg.pinv(moved)
        return shares[:, :, None] * np.einsum("kij,kj->ki", inverse, by_root)[:, None, :]


@dataclass(frozen=True, eq=False)
class Objective:
    """The log likelihood as a function of the logarithms of the free rates.

    Attributes:
        tree: What was seen.
        pattern: The model, P rates.
        root: Prior of the root.
        held: (P,) rates that are given; nan for free ones.
    """

    tree: StateTree
    pattern: RatePattern
    root: RootPrior
    held: FloatArray

    @property
    def free(self) -> Any:
        """Places of the free rates, F of them."""
        return np.flatnonzero(np.isnan(self.held))

    def values(self, x: FloatArray) -> FloatArray:
        """(K, P) rates at K places x, (K, F)."""
        values = np.broadcast_to(self.held, (len(x), len(self.held))).copy()
        values[:, self.free] = np.exp(x)
        return values

    def heights(self, x: FloatArray) -> FloatArray:
        """(K,) log likelihoods; -inf where what was seen is impossible."""
        # By the program for gradients: compiling another one takes longer than they do.
        heights = -self(x)[0]
        return np.where(heights <= -_IMPOSSIBLE, -np.inf, heights)

    def __call__(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Minus the log likelihoods (K,) and their gradients (K, F)."""
        values = self.values(x)
        rates = self.pattern.rates(values)
        shares = self.root.columns(rates)
        found = log_likelihood_slopes(self.tree, rates, shares)
        by_rates = found.by_rates + self.root.slopes(rates, shares, found.by_root)
        gradients = self.pattern.slopes(by_rates) * values
        heights = found.log_likelihood
        wrong = ~np.isfinite(heights)
        return np.where(wrong, _IMPOSSIBLE, -heights), np.where(wrong[:, None], 0.0, -gradients[:, self.free])


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

    pattern: RatePattern
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
        """(S, S) the rate matrix."""
        return self.pattern.rates(self.values[None])[0]

    def at_end(self, place: int) -> str:
        """`at_lower_bound`, `at_upper_bound` or nothing, for one of the P rates."""
        if place not in self.free:
            return ""
        value = self.values[place]
        return "at_lower_bound" if value <= self.low * 1.001 else "at_upper_bound" if value >= self.high / 1.001 else ""


def fit_rates(
    tree: StateTree,
    pattern: RatePattern,
    root: RootPrior,
    held: Mapping[str, float] | None = None,
) -> RateFit:
    """Finds the rates with the highest likelihood.

    Args:
        tree: What was seen.
        pattern: The model.
        root: Prior of the root.
        held: Label of a transition -> its rate, which is not estimated, nor is any that is equal to it.

    Raises:
        ModelError: What was seen is impossible.
        OptionError: `held` names no transition.
    """
    objective = Objective(tree, pattern, root, _held(pattern, held or {}))
    low, high = _ends(tree)
    free = objective.free
    if not len(free):
        height = float(objective.heights(np.zeros((1, 0)))[0])
        _refuse_impossible(height)
        nothing = np.zeros(0)
        return RateFit(
            pattern, root, objective.held, height, free, low, high, 0.0, nothing, np.zeros((0, 0)), 0, 0, (), ()
        )
    starts = _starts(objective, low, high)
    bounds = [(np.log(low), np.log(high))] * len(free)
    ends = side_by_side(objective, [partial(_climb, start=start, bounds=bounds) for start in starts])
    heights = np.array([-end[0] for end in ends])
    x = ends[int(np.argmax(heights))][1]
    return _certified(objective, x, float(heights.max()), (low, high), heights)


def _held(pattern: RatePattern, held: Mapping[str, float]) -> FloatArray:
    values = np.full(pattern.count, np.nan)
    places = dict(pattern.transitions)
    for label, value in held.items():
        if label not in places:
            raise OptionError(f"--set {label}: the model has no such rate (it has {', '.join(list(places)[:12])})")
        if not 0 <= value < np.inf:
            raise OptionError(f"--set {label}={value:g}: a rate is not negative")
        values[places[label]] = value
    return values


def _ends(tree: StateTree) -> tuple[float, float]:
    """The support of every rate, in units of the tree."""
    lengths = np.asarray(tree.tree["length"])[: tree.size]
    positive = lengths[lengths > 0]
    if not len(positive):
        raise ModelError("no edge has any length: rates of change are not defined")
    return _SLOWEST / float(positive.sum()), min(_FASTEST / float(positive.min()), 1e9 / float(positive.max()))


def _starts(objective: Objective, low: float, high: float) -> list[FloatArray]:
    """Equal rates at their best, and places around them."""
    count = len(objective.free)
    lengths = np.asarray(objective.tree.tree["length"])
    usual = 1 / float(lengths.sum())
    grid = np.log(usual) + np.log(10) * np.linspace(-0.5, min(np.log10(high / usual), 7), _GRID)
    heights = objective.heights(np.repeat(grid[:, None], count, 1))
    if not np.isfinite(heights).any():
        _refuse_impossible(-np.inf)
    best = grid[int(np.nanargmax(np.where(np.isfinite(heights), heights, -np.inf)))]
    starts = [np.full(count, best)]
    if count > 1:
        numbers = np.random.default_rng(1)
        large = objective.tree.size * count > _LARGE
        for _ in range(2 if large else _STARTS):
            starts.append(best + numbers.normal(0, _SPREAD, count))
    return [np.clip(start, np.log(low), np.log(high)) for start in starts]


def _refuse_impossible(height: float) -> None:
    if not np.isfinite(height):
        raise ModelError(
            "what was seen at the tips is impossible under the model (states at tips that it can never reach, or that "
            "no transition joins)"
        )


def _climb(evaluate: Evaluate, start: FloatArray, bounds: Any) -> tuple[float, FloatArray]:
    """The height (minus the log likelihood) and place at the end of one search."""
    options = {"maxiter": 500, "maxfun": 1000, "ftol": 1e-13, "gtol": 1e-6, "maxcor": 20}
    found = minimize(evaluate, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return float(found.fun), np.asarray(found.x)


def _certified(
    objective: Objective, x: FloatArray, height: float, ends: tuple[float, float], heights: FloatArray
) -> RateFit:
    low, high = ends
    _refuse_impossible(height)
    x, height = _at_ends(objective, x, height, ends)
    inside = np.flatnonzero((x > np.log(low) + 1e-3) & (x < np.log(high) - 1e-3))
    x, height = _polished(objective, x, height, inside, ends)
    eigenvalues, covariance = np.zeros(0), np.full((len(x), len(x)), np.nan)
    _, gradients = objective(x[None])
    slope = float(abs(gradients[0][inside]).max(initial=0.0))
    flags: list[str] = []
    if len(inside) and len(x) <= _MOST_CURVED:
        curvature = _curvature(objective, x, inside)
        eigenvalues, vectors = np.linalg.eigh(curvature)
        steep = eigenvalues > _FLAT * max(eigenvalues[-1], 1.0)
        inverse = (vectors[:, steep] / eigenvalues[steep]) @ vectors[:, steep].T
        covariance[np.ix_(inside, inside)] = inverse
        if not steep.all():
            flags.append("rates_not_identified")
    values = objective.values(x[None])[0]
    agree = int((heights > height - _AGREE).sum())
    if np.any(x <= np.log(low) + 1e-3):
        flags.append("at_lower_bound")
    if np.any(x >= np.log(high) - 1e-3):
        flags.append("at_upper_bound")
    if slope > _STEEP * max(1.0, abs(height)) ** 0.5:
        flags.append("optimum_not_certain")
    return RateFit(
        objective.pattern, objective.root, values, height, objective.free, low, high, slope, eigenvalues, covariance,
        len(heights), agree, tuple(flags), (),
    )  # fmt: skip


def _at_ends(objective: Objective, x: FloatArray, height: float, ends: tuple[float, float]) -> tuple[FloatArray, float]:
    """The same with every rate that may as well be at an end of its support put there."""
    # All rates may grow together without a change, once every edge forgets where it began.
    faster = x + (np.log(ends[1]) - x.max())
    if len(x) > 1 and float(objective.heights(faster[None])[0]) >= height - _NOTHING:
        return faster, height
    for end in np.log(ends):
        moved = np.where(np.eye(len(x), dtype=bool), end, x)
        heights = objective.heights(moved)
        free = heights >= height - _NOTHING
        place = np.where(free, end, x)
        found = float(objective.heights(place[None])[0])
        if free.any() and found >= height - _NOTHING:
            x, height = place, found
    return x, height


def _polished(
    objective: Objective, x: FloatArray, height: float, inside: Any, ends: tuple[float, float]
) -> tuple[FloatArray, float]:
    """A Newton step at a time from where the search has ended, as long as it goes up."""
    if not 0 < len(inside) <= 12:
        return x, height
    for _ in range(3):
        _, gradients = objective(x[None])
        gradient = gradients[0][inside]
        if abs(gradient).max() < 1e-7:
            break
        curvature = _curvature(objective, x, inside)
        eigenvalues, vectors = np.linalg.eigh(curvature)
        if eigenvalues[0] <= _FLAT * max(eigenvalues[-1], 1.0):
            break
        step = np.zeros_like(x)
        step[inside] = -vectors @ ((vectors.T @ gradient) / eigenvalues)
        place = np.clip(x + step, np.log(ends[0]), np.log(ends[1]))
        found = float(objective.heights(place[None])[0])
        if not found >= height or abs(step).max() > 0.5:
            break
        x, height = place, found
    return x, height


def _curvature(objective: Objective, x: FloatArray, inside: Any) -> FloatArray:
    """Minus the second derivatives by the coordinates `inside`, from exact gradients on both sides."""
    steps = np.zeros((len(inside), len(x)))
    steps[np.arange(len(inside)), inside] = _STEP
    _, gradients = objective(np.concatenate([x + steps, x - steps]))
    ahead, behind = np.split(gradients[:, inside], 2)
    curvature = (ahead - behind) / (2 * _STEP)
    return (curvature + curvature.T) / 2


def profile_intervals(tree: StateTree, fit: RateFit, level: float) -> FloatArray:
    """(P, 2) ends of profile likelihood intervals of the rates; nan for one that is never reached or was given.

    All ends are looked for side by side: a bracket that doubles, then Brent's method on the logarithm of the rate, all
    other rates at their best for each.
    """
    held = fit.values.copy()
    held[fit.free] = np.nan
    objective = Objective(tree, fit.pattern, fit.root, held)
    drop = float(chi2.ppf(level, 1)) / 2
    best = np.log(fit.values[fit.free])
    searches, places = [], []
    for number, place in enumerate(fit.free):
        spread = fit.covariance[number, number] if len(fit.covariance) else np.nan
        step = float(np.clip(np.sqrt(2 * drop * spread), 0.05, 3.0)) if np.isfinite(spread) else 1.0
        for side in (-1, 1):
            searches.append(
                partial(
                    _profile_end,
                    best=best,
                    number=number,
                    step=side * step,
                    target=-fit.log_likelihood + drop,
                    ends=(np.log(fit.low), np.log(fit.high)),
                )
            )
            places.append((place, (side + 1) // 2))
    intervals = np.full((len(fit.values), 2), np.nan)
    for where, end in zip(places, side_by_side(objective, searches), strict=True):
        intervals[where] = end
    return intervals


def _profile_end(
    evaluate: Evaluate, best: FloatArray, number: int, step: float, target: float, ends: tuple[float, float]
) -> float:
    """Where the profile of one rate has fallen by `target`; nan if nowhere within the support."""
    others = np.delete(np.arange(len(best)), number)
    held = best[others].copy()
    bounds = [ends] * len(others)

    def gap(value: float) -> float:
        def along(y: FloatArray) -> tuple[float, FloatArray]:
            x = np.empty(len(best))
            x[number], x[others] = value, y
            height, gradient = evaluate(x)
            return height, gradient[others]

        if not len(others):
            return evaluate(np.array([value]))[0] - target
        options = {"maxiter": 100, "ftol": 1e-10, "gtol": 1e-5}
        found = minimize(along, held, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        held[:] = found.x
        return float(found.fun) - target

    inner, outer = float(best[number]), float(best[number])
    while True:
        outer = inner + step
        stop = not ends[0] < outer < ends[1]
        outer = float(np.clip(outer, *ends))
        if gap(outer) >= 0:
            break
        if stop:
            return float("nan")
        inner, step = outer, 2 * step
    if inner == outer:
        return float("nan")
    found: Callable[..., Any] = brentq
    start = gap(inner)
    if start >= 0:
        return float("nan")
    return float(np.exp(found(gap, inner, outer, xtol=1e-7, rtol=1e-10)))
