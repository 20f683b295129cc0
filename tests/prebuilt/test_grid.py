"""The grid engine against dense algebra: matrix exponentials of the same walk, and exact Gaussian answers."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from scipy import stats

from hxcli.engine.topology import Topology, from_parents
from hxcli.engine.tree import Tree
from hxcli.model import Gaussian, Sde
from hxcli.prebuilt.grid import log_at_root, swept_down, swept_up
from hxcli.prebuilt.grid_densities import density_figures, shortest_intervals
from hxcli.prebuilt.grid_generator import make_cells, make_generator
from hxcli.prebuilt.grid_observations import root_weights, seen
from hxcli.prebuilt.grid_transition import backwards, forwards, make_transition, make_transitions

CELLS = 64
TOPOLOGY = from_parents([0, 0, 0, 1, 1, 2, 2, 2, 4, 4])
LENGTHS = np.array([0.0, 0.5, 0.2, 0.7, 0.3, 0.6, 0.0, 1.1, 0.4, 2.0])
VALUES = np.array([0, 0, 0, 0.3, 0, -0.4, 0.2, 1.1, -0.9, np.nan])
ERRORS = np.array([0, 0, 0, 0, 0, 0, 0, 0.3, 0.05, 0])


class Observed(NamedTuple):
    topology: Topology
    lengths: Any
    values: Any
    errors: Any

    def tree(self, cells: int) -> Tree:
        leaf = self.topology.is_leaf & ~np.isnan(self.values)
        exact = leaf & (self.errors == 0)
        soft = leaf & (self.errors > 0)
        precision = np.where(soft, 1 / np.where(soft, self.errors, 1) ** 2, 0.0)
        fields = {
            "length": self.lengths,
            "known": exact.astype(float),
            "mean": np.where(leaf, self.values, 0.0),
            "precision": precision,
            "constant": np.where(soft, np.log(np.where(soft, precision, 1) / (2 * np.pi)) / 2, 0.0),
            "inner": ~self.topology.is_leaf,
        }
        return Tree.on_frame(self.topology, fields, cells)


CASE = Observed(TOPOLOGY, LENGTHS, VALUES, ERRORS)


def pieces(case: Observed, sde: Sde, low: float, high: float, cells: int) -> Any:
    tree, grid = case.tree(cells), make_cells(low, high, cells, sde.axis)
    own = seen(tree, {}, lambda kind: sde, grid)
    group = jnp.zeros(len(own.time), int)
    ready = Tree.from_data(tree.topology, {"time": own.time, "group": group, "inner": tree["inner"]})
    return ready, grid, jax.tree.map(lambda each: each[None], make_generator(sde, grid)), own


def dense_generator(generator: Any) -> Any:
    out = generator.up + generator.down + generator.lost
    return np.diag(-out) + np.diag(generator.up[:-1], 1) + np.diag(generator.down[1:], -1)


@pytest.mark.parametrize("ends", ["reflecting", "absorbing"])
def test_the_action_of_the_exponential(ends: str) -> None:
    cells = make_cells(-2.0, 2.0, CELLS, "linear")
    sde = Sde(lambda x: 3.0 * (x - x**3), lambda x: 0.5 + x**2, ends=ends)
    generator = make_generator(sde, cells)
    transition = make_transition(generator, 3.0)
    dense = dense_generator(generator)
    values = np.random.default_rng(1).random(CELLS)
    both = jax.jit(lambda time: (backwards(transition, time, values), forwards(transition, time, values)))
    for time in (0.0, 1e-4, 0.013, 0.7, 3.0):
        exact = scipy.linalg.expm(time * dense)
        back, forth = both(time)
        np.testing.assert_allclose(back, exact @ values, rtol=1e-11)
        np.testing.assert_allclose(forth, values @ exact, rtol=1e-11)
    assert (dense.sum(1) < -1e-9).any() == (ends == "absorbing")


def test_small_chances_keep_their_digits() -> None:
    """A drift so strong that an eigendecomposition would lose everything in its rounding."""
    cells = make_cells(-1.0, 1.0, CELLS, "linear")
    generator = make_generator(Sde(8.0, 0.3), cells)
    transition = make_transition(generator, 1.0)
    start = backwards(transition, 0.5, jnp.eye(CELLS)[0])
    with np.errstate(all="ignore"):
        exact = np.abs(scipy.linalg.expm(0.5 * dense_generator(generator))[:, 0])
    assert start[0] < 1e-20
    assert np.all(np.asarray(start) >= 0)
    assert np.all(np.diff(np.log(np.asarray(start) + 1e-320)) <= 1e-9)
    np.testing.assert_allclose(start[0], exact[0], rtol=1e-6)


def by_brute_force(case: Observed, generator: Any, own: Any, root: Any) -> tuple[float, Any]:
    """The log likelihood and all densities by dense exponentials and plain recursion over a few nodes."""
    size, dense = case.topology.size, dense_generator(jax.tree.map(lambda each: each[0], generator))
    step = [scipy.linalg.expm(float(t) * dense) for t in own.time[:size]]
    below = [np.array(own.likelihood[i]) for i in range(size)]
    over = [None] * size
    for i in range(size - 1, 0, -1):
        over[i] = np.maximum(step[i] @ below[i], 1e-300)
        below[case.topology.parents[i]] = below[case.topology.parents[i]] * over[i]
    density = [root * below[0]] + [None] * (size - 1)
    for i in range(1, size):
        density[i] = (density[case.topology.parents[i]] / over[i]) @ step[i] * below[i]
    log = np.log(density[0].sum()) + float(own.log_scale.sum())
    return log, np.array([each / each.sum() for each in density])


def test_both_sweeps_are_the_dense_ones() -> None:
    sde = Sde(lambda x: 2 * (x - x**3), 0.6)

    @jax.jit
    def swept(noise: Any) -> Any:
        ready, cells, generator, own = pieces(CASE, Sde(sde.drift, noise), -2.5, 2.5, CELLS)
        root = root_weights(Gaussian(mean=0.2, variance=0.09), cells, "linear")
        transition = make_transitions(generator, own.time.max())
        tips = ready.update(likelihood=(CELLS,), log_scale=()).set(likelihood=own.likelihood, log_scale=own.log_scale)
        density = swept_down(swept_up(tips, transition), transition, root).density
        logs = [log_at_root(ready, generator, own.likelihood, own.log_scale, at) for at in (root, None)]
        return generator, own, root, density, logs

    generator, own, root, density, (found, best) = jax.tree.map(np.asarray, swept(0.6))
    log, densities = by_brute_force(CASE, generator, own, root)
    assert float(found) == pytest.approx(log, abs=1e-9)
    np.testing.assert_allclose(density[: TOPOLOGY.size], densities, atol=1e-10)
    assert best > found


def ou(params: Any) -> Sde:
    return Sde(lambda x: params["alpha"] * (params["theta"] - x), jnp.sqrt(params["sigma2"]))


def log_likelihood(params: Any, case: Observed, cells: int, low: Any = -5.0, high: Any = 5.0) -> Any:
    ready, grid, generator, own = pieces(case, ou(params), low, high, cells)
    root = root_weights(Gaussian(mean=params["theta"], variance=params["sigma2"] / params["alpha"] / 2), grid, "linear")
    return log_at_root(ready, generator, own.likelihood, own.log_scale, root)


PARAMS = {"alpha": 0.8, "sigma2": 0.9, "theta": 0.2}


def dense_ou(case: Observed, params: dict[str, float]) -> tuple[float, Any, Any]:
    """Log likelihood, means and variances of all nodes under a stationary Ornstein-Uhlenbeck process."""
    size, parents = case.topology.size, case.topology.parents
    stationary = params["sigma2"] / params["alpha"] / 2
    covariance = np.full((size, size), 0.0)
    covariance[0, 0] = stationary
    for i in range(1, size):
        decay = np.exp(-params["alpha"] * case.lengths[i])
        covariance[i, :i] = covariance[:i, i] = decay * covariance[parents[i], :i]
        covariance[i, i] = stationary
    there = np.flatnonzero(case.topology.is_leaf & ~np.isnan(case.values))
    among = covariance[np.ix_(there, there)] + np.diag(case.errors[there] ** 2)
    away = case.values[there] - params["theta"]
    gain = np.linalg.solve(among, covariance[there]).T
    log = stats.multivariate_normal(np.zeros(len(there)), among).logpdf(away)
    variance = np.diag(covariance) - np.einsum("ij,ji->i", gain, covariance[there])
    return log, params["theta"] + gain @ away, np.maximum(variance, 0)


def test_it_nears_the_exact_process_as_the_square_of_the_width() -> None:
    exact, mean, variance = dense_ou(CASE, PARAMS)
    cells = 128

    @jax.jit
    def both(params: Any) -> Any:
        ready, grid, generator, own = pieces(CASE, ou(params), -4, 4.5, cells)
        transition = make_transitions(generator, own.time.max())
        root = root_weights(Gaussian(mean=0.2, variance=0.9 / 1.6), grid, "linear")
        tips = ready.update(likelihood=(cells,), log_scale=()).set(likelihood=own.likelihood, log_scale=own.log_scale)
        density = swept_down(swept_up(tips, transition), transition, root).density
        return log_at_root(ready, generator, own.likelihood, own.log_scale, root), density, grid.x

    log, density, states = (np.asarray(each) for each in both(PARAMS))
    width = 8.5 / cells
    assert abs(log - exact) < width**2
    found = density_figures(density[: TOPOLOGY.size], states, np.linspace(-4, 4.5, cells + 1), 0.95)
    # A node joined to an exact value by an edge of no length has no variance: its density is one cell.
    free = np.flatnonzero((~TOPOLOGY.is_leaf | np.isnan(VALUES)) & (variance > 1e-9))
    np.testing.assert_allclose(found.estimate[free], mean[free], atol=0.3 * width**2)
    np.testing.assert_allclose(found.standard_error[free], np.sqrt(variance[free]), atol=width**2)
    np.testing.assert_allclose(found.upper[free], mean[free] + 1.96 * np.sqrt(variance[free]), atol=0.02)
    assert set(found.modes[free]) == {1}


def test_gradients_are_those_of_the_same_function() -> None:
    """Of every parameter, and of the ends of the range; forward over reverse too."""
    compiled = jax.jit(jax.value_and_grad(lambda p: log_likelihood(p, CASE, CELLS, p["low"], p["high"])))
    point = {**PARAMS, "low": -4.0, "high": 4.5}
    _, slopes = compiled(point)
    for name in point:
        step = 1e-5
        sides = [compiled({**point, name: point[name] + side * step})[0] for side in (-1, 1)]
        assert float(slopes[name]) == pytest.approx(float(sides[1] - sides[0]) / (2 * step), rel=1e-5, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("axis", ["log", "sqrt"])
def test_other_axes_are_the_same_process(axis: str) -> None:
    """A positive process in cells even in x, and even in a coordinate of it."""
    values = np.array([0, 0, 0, 1.3, 0, 2.4, 1.2, 3.1, 0.9, 1.7])
    case = Observed(TOPOLOGY, LENGTHS, values, np.zeros(10))
    found = []
    for kind, cells in (("linear", 512), (axis, 256)):
        sde = Sde(lambda x: 0.5 * (1.5 - x), lambda x: 0.5 * x, axis=kind)
        ready, _, generator, own = pieces(case, sde, 0.15, 12.0, cells)
        found.append(float(log_at_root(ready, generator, own.likelihood, own.log_scale, None)))
    assert found[0] == pytest.approx(found[1], abs=0.02)


def test_modes_are_counted() -> None:
    states = np.linspace(-4, 4, 81)
    walls = np.linspace(-4.05, 4.05, 82)
    one, two = stats.norm.pdf(states), stats.norm.pdf(states, -2, 0.5) + stats.norm.pdf(states, 2, 0.5)
    rows = np.stack([one, two, np.exp(states)])
    rows /= rows.sum(1, keepdims=True)
    found = density_figures(rows, states, walls, 0.9)
    assert found.modes.tolist() == [1, 2, 1]
    assert found.upper[0] == pytest.approx(1.6449, abs=1e-2)


def test_shortest_intervals_have_ends_that_are_equally_dense() -> None:
    walls = np.linspace(0, 40, 401)
    one, other = stats.gamma(3), stats.gamma(2, scale=3)
    chances = np.stack([np.diff(each.cdf(walls)) for each in (one, other)])
    lower, upper = shortest_intervals(chances, walls, 0.9)
    for low, high, each in zip(lower, upper, (one, other), strict=True):
        assert each.pdf(low) == pytest.approx(each.pdf(high), rel=2e-2)
        assert each.cdf(high) - each.cdf(low) == pytest.approx(0.9, abs=1e-4)
    # A density that falls has its interval at the wall.
    falling = np.diff(stats.gamma(1).cdf(walls))[None]
    lower, upper = shortest_intervals(falling / falling.sum(), walls, 0.9)
    assert lower[0] == pytest.approx(0, abs=1e-6)
    assert upper[0] == pytest.approx(stats.gamma(1).ppf(0.9), abs=1e-2)
