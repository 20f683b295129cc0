"""Diffusions on a grid as models: an Ornstein-Uhlenbeck process written as an `Sde` is the one written as Gaussian."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.interpolate
import scipy.linalg

from hxcli.analyses.fit.fitted import quantities_of
from hxcli.engine.topology import from_parents
from hxcli.errors import HxError
from hxcli.inference.edge_kinds import edge_kinds
from hxcli.inference.grid_ends import profile_ends
from hxcli.inference.grid_likelihood import GridLikelihood
from hxcli.inference.grid_search import maximise_on_grid
from hxcli.inference.likelihood_columns import TraitLikelihood, framed
from hxcli.inference.maximum_likelihood import maximise
from hxcli.inference.profile_intervals import profile_intervals
from hxcli.model import Sde, param
from hxcli.models import named_model
from hxcli.models.edge_fields import EdgeFields, edge_fields, trait_fields
from hxcli.phylogeny import Phylogeny
from hxcli.prebuilt.grid_densities import density_figures, extrapolated_figures
from hxcli.text_columns import Texts
from hxcli.traits import Observations

OU = """
import jax.numpy as jnp
from hxcli.model import Gaussian, Sde, log_normal, normal

def sigma2():
    return log_normal("sigma2", median=1, sd=1)

def theta():
    return normal("theta", mean=0, sd=2)

def alpha():
    return log_normal("alpha", median=0.7, sd=1)

def linear(edge):
    pull = alpha()
    decay = jnp.exp(-pull * edge.length)
    return Gaussian(decay, theta() * (1 - decay), sigma2() * (1 - decay**2) / (2 * pull))

def sde(edge):
    pull, optimum = alpha(), theta()
    return Sde(lambda x: pull * (optimum - x), jnp.sqrt(sigma2()))

def root(tree):
    return Gaussian(mean=theta(), variance=0.3)
"""


@pytest.fixture(scope="module")
def case():
    random = np.random.default_rng(3)
    parents = np.array([0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8])
    topology = from_parents(parents)
    lengths = np.where(topology.is_root, 0.0, random.uniform(0.2, 1.0, topology.size))
    tips = np.flatnonzero(topology.is_leaf)
    labels = tuple(f"t{i}" if topology.is_leaf[i] else "" for i in range(topology.size))
    phylogeny = Phylogeny(topology, lengths, Texts(labels), Texts(("",) * topology.size))
    values = random.normal(0.3, 0.8, (len(tips), 1))
    return edge_fields(phylogeny), Observations(tips, values, np.zeros_like(values), ("x",))


def on_grid(model, case, **options) -> GridLikelihood:
    fields, observations = case
    columns = trait_fields(fields.columns, observations.values[:, 0])
    return GridLikelihood(model.on(EdgeFields(fields.phylogeny, columns)), observations, 0, **options)


def in_two_ways(case, tmp_path, text: str = OU) -> tuple[TraitLikelihood, GridLikelihood]:
    """One process as a Gaussian and as a diffusion on the grid."""
    path = tmp_path / "ou.py"
    path.write_text(text)
    fields, observations = case
    gaussian = TraitLikelihood(
        named_model(f"{path}:linear").on(fields),
        framed(fields.columns, fields.phylogeny),
        observations,
        0,
        restricted=False,
    )
    return gaussian, on_grid(named_model(f"{path}:sde"), case, cells=160)


def agree_in_states(exact, grid: GridLikelihood, x: np.ndarray, inner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Asserts that the nodes' states are those of another engine; (N,) means and standard deviations."""
    fine, coarse = (grid.densities(x, cells) for cells in (160, 80))
    halves = [density_figures(each.chances, each.states, each.walls, 0.95) for each in (fine, coarse)]
    found = extrapolated_figures(*halves, fine.walls)
    means, sd = exact[0], np.sqrt(exact[1])
    np.testing.assert_allclose(found.estimate[inner], means[inner], atol=1e-4)
    np.testing.assert_allclose(found.standard_error[inner], sd[inner], atol=1e-4)
    np.testing.assert_allclose(found.upper[inner], (means + 1.959963984540054 * sd)[inner], atol=1e-3)
    return means, sd


def test_a_process_written_in_two_ways(case, tmp_path) -> None:
    gaussian, grid = in_two_ways(case, tmp_path)
    assert [each.name for each in grid.coordinates] == ["alpha", "theta", "sigma2"]
    order = [[each.name for each in gaussian.coordinates].index(each.name) for each in grid.coordinates]
    x = np.array([0.0, 0.2, -0.2])
    back = np.empty(3)
    back[order] = x
    wanted, slopes = gaussian.value_and_gradient(back)
    value, gradient = grid.value_and_gradient(x)
    assert value == pytest.approx(wanted, abs=1e-4)
    stated = grid.grid_error(x)
    assert abs(value - wanted) < 2 * stated
    assert stated < 1e-4
    np.testing.assert_allclose(gradient, slopes[order], atol=1e-3)
    agree_in_states(gaussian.states(back), grid, x, ~case[0].phylogeny.topology.is_leaf)


@pytest.mark.slow
def test_a_process_written_in_two_ways_has_one_maximum_and_one_interval(case, tmp_path) -> None:
    gaussian, grid = in_two_ways(case, tmp_path)
    optimum = maximise_on_grid(grid)
    assert optimum.converged
    best = maximise(gaussian)
    assert optimum.log_likelihood == pytest.approx(best.log_likelihood, abs=1e-3)
    # Profile intervals of both, by different ways.
    ends = profile_ends(grid, optimum, 0.9)
    exact = profile_intervals(gaussian, best, quantities_of(gaussian), 0.9)
    for each, around in zip(grid.coordinates, ends, strict=True):
        wanted_ends = [end if not np.isnan(end) else np.nan for end in exact[each.name]]
        np.testing.assert_allclose(each.from_search(around), wanted_ends, rtol=5e-3, atol=5e-3)


@pytest.mark.slow
def test_cells_too_wide_for_a_diffusion_never_make_it_likely(case, tmp_path) -> None:
    path = tmp_path / "ou.py"
    path.write_text(OU)
    grid = on_grid(named_model(f"{path}:sde"), case, cells=60)
    places = {each.name: number for number, each in enumerate(grid.coordinates)}
    x = np.zeros(3)
    x[places["alpha"]], x[places["theta"]] = np.log(0.7), 0.3
    best = grid.value(x)
    # The exact log likelihoods are far lower: at these rates an edge's change is a fraction of a cell.
    for sigma2 in (0.1, 0.03, 0.01, 0.003):
        x[places["sigma2"]] = np.log(sigma2)
        value, gradient = grid.value_and_gradient(x)
        assert value < best - 20
        step = 1e-5 * np.eye(3)[places["sigma2"]]
        slope = (grid.value(x + step) - grid.value(x - step)) / 2e-5
        assert gradient[places["sigma2"]] == pytest.approx(slope, rel=1e-5)


BETWEEN = """
from hxcli.model import Gaussian, Sde, param
def walls(edge):
    return Sde(0.0, param("s", start=0.9), low=-1.5, high=2.5)
def wells(edge):
    return Sde(lambda x: 2 * x - 2 * x**3, param("s", start=0.9), low=-2.5, high=2.5)
def root():
    return Gaussian(mean=0.3, variance=0.0)
"""


def by_cosines(states: np.ndarray, sigma: float, time: float) -> np.ndarray:
    """(n, n) density of being at a state, given another one, of Brownian motion between -1.5 and 2.5."""
    waves = np.arange(400)
    shapes = np.cos(waves * np.pi * (states[:, None] + 1.5) / 4) * np.sqrt(np.where(waves == 0, 1, 2) / 4)
    return (shapes * np.exp(-((sigma * waves * np.pi / 4) ** 2) / 2 * time)) @ shapes.T


def by_small_steps(states: np.ndarray, sigma: float, time: float) -> np.ndarray:
    """The same of the double well, by the exponential of plain central differences."""
    width = states[1] - states[0]
    drift = 2 * states - 2 * states**3
    up, down = (sigma**2 / (2 * width**2) + side * drift / (2 * width) for side in (1, -1))
    generator = np.diag(up[:-1], 1) + np.diag(down[1:], -1)
    np.fill_diagonal(generator, -generator.sum(1))
    return scipy.linalg.expm(time * generator) / width


@pytest.mark.parametrize(
    ("name", "exact", "low", "high"),
    [
        ("walls", by_cosines, -1.5, 2.5),
        pytest.param("wells", by_small_steps, -2.5, 2.5, marks=pytest.mark.slow),
    ],
)
def test_it_is_the_process_worked_out_in_another_way(tmp_path, name, exact, low, high) -> None:
    path = tmp_path / "between.py"
    path.write_text(BETWEEN)
    topology = from_parents([0, 0, 0, 1, 1])
    lengths, values = np.array([0.0, 0.6, 1.3, 0.5, 0.9]), np.array([1.2, -0.4, 0.7])
    labels = Texts(("", "", "a", "b", "c"))
    tree = edge_fields(Phylogeny(topology, lengths, labels, Texts(("",) * 5)))
    observed = Observations(np.array([2, 3, 4]), values[:, None], np.zeros((3, 1)), ("x",))
    grid = on_grid(named_model(f"{path}:{name}"), (tree, observed), cells=160)
    # States, the values and the root's among them, in the middles of cells of the other grid.
    number = 800
    width = (high - low) / number
    states = low + (np.arange(number) + 0.5) * width

    def between(rows: np.ndarray, at: float) -> np.ndarray:
        return np.asarray(scipy.interpolate.CubicSpline(states, rows, axis=-1)(at))

    steps = {node: exact(states, 0.9, lengths[node]) for node in range(1, 5)}
    below = between(steps[3], values[1]) * between(steps[4], values[2])
    likelihood = (steps[1] @ below) * width * between(steps[2], values[0])
    assert grid.value(grid.start) == pytest.approx(np.log(between(likelihood, 0.3)), abs=2e-4)


@pytest.mark.slow
def test_noise_of_a_file_is_that_of_known_errors(case, tmp_path) -> None:
    fields, observations = case
    path = tmp_path / "noisy.py"
    path.write_text(OU + "def noise(tip):\n    return 0.3 + 0 * tip.length\n")
    noisy = on_grid(named_model(f"{path}:sde"), case, cells=64)
    (tmp_path / "plain.py").write_text(OU)
    errors = Observations(
        observations.nodes, observations.values, np.full_like(observations.values, np.sqrt(0.3)), ("x",)
    )
    plain = on_grid(named_model(f"{tmp_path / 'plain.py'}:sde"), (fields, errors), cells=64)
    x = plain.start
    assert noisy.value(x) == pytest.approx(plain.value(x), abs=1e-9)
    np.testing.assert_allclose(noisy.value_and_gradient(x)[1], plain.value_and_gradient(x)[1], atol=1e-9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def model(edge):\n    return Sde(lambda x: x, 1.0, high=9 + edge.start)\n", "ends hang on edge.start"),
        ("def model(edge):\n    return Sde(lambda x: x, 1.0 * edge.is_tip)\n", "a drift and no diffusion"),
        ("def model(edge):\n    return Sde(lambda x: x, 1.0, axis='cube')\n", "axis 'cube'"),
        ("def model(edge):\n    return Sde(0.0, 1.0, axis='log')\n", "is of a positive trait"),
        (
            "def model(edge):\n    return Sde(lambda x: x / 0, 1.0)\n",
            "no number|ZeroDivision",
        ),
    ],
)
def test_what_a_grid_cannot_do_is_refused(case, tmp_path, text: str, message: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text("from hxcli.model import Sde\n" + text)
    with pytest.raises(HxError, match=message):
        on_grid(named_model(str(path)), case, cells=32)


REGIMES = """
import jax.numpy as jnp
from hxcli.model import Gaussian, Sde, log_normal, normal

def alpha():
    return log_normal("alpha", median=0.7, sd=1)

def theta(edge):
    return normal("theta", mean=0, sd=2, shape=(3,))[edge.diet]

def sigma2(edge):
    return edge.rate * log_normal("sigma2", median=1, sd=1, shape=(2,))[jnp.minimum(edge.diet, 1)]

def linear(edge):
    pull = alpha() * edge.rate
    decay = jnp.exp(-pull * edge.length)
    return Gaussian(decay, theta(edge) * (1 - decay), sigma2(edge) * (1 - decay**2) / (2 * pull))

def drift(x, edge):
    return alpha() * edge.rate * (theta(edge) - x)

def sde(edge):
    return Sde(drift, jnp.sqrt(sigma2(edge)))

def root(tree):
    return Gaussian(mean=0.1, variance=0.3)
"""


@pytest.mark.parametrize("clock", [pytest.param("one rate", marks=pytest.mark.slow), "a rate an edge"])
def test_a_process_that_differs_from_edge_to_edge_written_in_two_ways(case, tmp_path, clock) -> None:
    """Optima and noise by regime; and a clock by which every edge is walked at a speed of its own."""
    random, size = np.random.default_rng(5), case[0].phylogeny.topology.size
    rate = random.uniform(0.5, 2.0, size) if clock == "a rate an edge" else np.full(size, 1.5)
    columns = {**case[0].columns, "diet": random.integers(0, 3, size), "rate": rate}
    edges = EdgeFields(case[0].phylogeny, columns)
    gaussian, grid = in_two_ways((edges, case[1]), tmp_path, REGIMES)
    order = [[each.name for each in gaussian.coordinates].index(each.name) for each in grid.coordinates]
    x = random.normal(0, 0.15, len(order))
    back = np.empty(len(order))
    back[order] = x
    wanted, slopes = gaussian.value_and_gradient(back)
    value, gradient = grid.value_and_gradient(x)
    assert abs(value - wanted) < 1e-4
    assert grid.grid_error(x) < 1e-4
    np.testing.assert_allclose(gradient, slopes[order], atol=1e-3)
    inner = ~case[0].phylogeny.topology.is_leaf
    means, sd = agree_in_states(gaussian.states(back), grid, x, inner)
    draws = grid.drawn(x, random.random((400, size)), random.random((400, size)))
    assert (abs(draws.mean(0) - means)[inner] < 4.5 * sd[inner] / 20).all()
    np.testing.assert_allclose(draws.std(0)[inner], sd[inner], rtol=0.16)


def test_what_edges_have_in_common(case) -> None:
    """Kinds are told apart by what a diffusion hangs on, and groups by more than a factor."""
    size = case[0].phylogeny.topology.size
    columns = {**case[0].columns, "diet": np.arange(size) % 3, "rate": np.linspace(1, 2, size)}
    states, sets = np.linspace(-1.0, 1.0, 5), [{"a": np.asarray(value)} for value in (0.0, 0.7)]

    def kinds(function):
        found = edge_kinds(function, sets, columns, states)
        return len(found.group), len(found.first)

    def alpha():
        return param("a")

    assert kinds(lambda edge: Sde(lambda x: -alpha() * x, 1.0 / edge.tree_height)) == (1, 1)
    assert kinds(lambda edge: Sde(0.0 * edge.diet, 1.0)) == (3, 1)
    assert kinds(lambda edge: Sde(lambda x: edge.rate * -alpha() * x, edge.rate**0.5)) == (size - 1, 1)
    # One optimum at the usual values and three elsewhere.
    assert kinds(lambda edge: Sde(lambda x: alpha() * edge.diet - x, 1.0)) == (3, 3)
    assert kinds(lambda edge: Sde(lambda x: -x, 1.0 + edge.rate)) == (size - 1, size - 1)
