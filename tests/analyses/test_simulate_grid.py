"""Draws under diffusions: their moments are the exact ones, on long, short and zero edges, between walls, on axes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hxcli.analyses.simulate import simulate
from hxcli.engine.topology import from_parents
from hxcli.errors import HxError
from hxcli.phylogeny import Phylogeny
from hxcli.text_columns import Texts
from hxcli.traits import Observations

PARENTS = np.array([0, 0, 0, 1, 1, 2, 2])
LENGTHS = np.array([0.0, 0.7, 1e-5, 0.3, 0.004, 2.0, 0.0])
OU = """
import jax.numpy as jnp
from hxcli.model import Gaussian, Sde, param
def model(edge):
    a, t, s = param("alpha", low=0), param("theta"), param("sigma2", low=0)
    return Sde(lambda x: a * (t - x), jnp.sqrt(s))
def root():
    return Gaussian(mean=param("m"), variance=0.25)
"""
NOTHING = Observations(np.zeros(0, np.intp), np.zeros((0, 1)), np.zeros((0, 1)), ("x",))


def tree(names: tuple[str, ...] = ("a", "b", "c", "d")) -> Phylogeny:
    return Phylogeny(from_parents(PARENTS), LENGTHS, Texts(("", "", "", *names)), Texts(("",) * 7))


def drawn(model: str, count: int = 6000, **held: float) -> np.ndarray:
    found = simulate(tree(), NOTHING, models=(model,), held=held, number=count, seed=4, nodes=True)
    return np.asarray(found.tables["simulation"]["values"])


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("models") / "ou.py"
    file.write_text(OU)
    return str(file)


def test_moments_are_those_of_the_exact_process(path: str) -> None:
    alpha, theta, sigma2 = 1.2, 0.4, 0.8
    states = drawn(path, alpha=alpha, theta=theta, sigma2=sigma2, m=-1.0)
    mean, cov = np.full(7, -1.0), np.zeros((7, 7))
    cov[0, 0] = 0.25
    for node in range(1, 7):
        decay = np.exp(-alpha * LENGTHS[node])
        mean[node] = theta + decay * (mean[PARENTS[node]] - theta)
        cov[node, :node] = cov[:node, node] = decay * cov[PARENTS[node], :node]
        cov[node, node] = decay**2 * cov[PARENTS[node], PARENTS[node]] + sigma2 * (1 - decay**2) / (2 * alpha)
    count, sd = states.shape[1], np.sqrt(np.diag(cov))
    assert (abs(states.mean(1) - mean) < 4.5 * sd / np.sqrt(count)).all()
    np.testing.assert_allclose(states.std(1), sd, rtol=4.5 / np.sqrt(2 * count))
    np.testing.assert_allclose(np.corrcoef(states), cov / np.outer(sd, sd), atol=4.5 / np.sqrt(count))
    # Along a short edge and along a walked one: the change itself, not only what it is part of.
    for node in (2, 4, 3, 5):
        decay = np.exp(-alpha * LENGTHS[node])
        change = states[node] - theta - decay * (states[PARENTS[node]] - theta)
        spread = np.sqrt(sigma2 * (1 - decay**2) / (2 * alpha))
        assert stats.kstest(change / spread, "norm").pvalue > 1e-4, node
    np.testing.assert_array_equal(states[6], states[2])


BY_EDGE = """
import jax.numpy as jnp
from hxcli.model import Gaussian, Sde, param
def model(edge):
    a, t, s = param("alpha", low=0), param("theta"), param("sigma2", low=0)
    pull = a * (1 + edge.is_tip)
    return Sde(lambda x: pull * (t + edge.start - x), jnp.sqrt(s * (1 + edge.length)))
def root():
    return Gaussian(mean=param("m"), variance=0.0)
"""


def test_moments_where_every_edge_has_a_diffusion_of_its_own(tmp_path) -> None:
    (tmp_path / "by_edge.py").write_text(BY_EDGE)
    states = drawn(str(tmp_path / "by_edge.py"), alpha=0.8, theta=0.4, sigma2=0.5, m=-1.0)
    start = np.array([0.0, 0.0, 0.0, 0.7, 0.7, 1e-5, 1e-5])
    for node in range(1, 6):
        pull, optimum = 0.8 * (1 + (node > 2)), 0.4 + start[node]
        decay = np.exp(-pull * LENGTHS[node])
        change = states[node] - optimum - decay * (states[PARENTS[node]] - optimum)
        spread = np.sqrt(0.5 * (1 + LENGTHS[node]) * (1 - decay**2) / (2 * pull))
        assert stats.kstest(change / spread, "norm").pvalue > 1e-4, node


@pytest.mark.slow
def test_a_root_far_from_where_the_diffusion_stays_comes_back_as_it_should(path: str) -> None:
    """Weights of cells differ by 1e43 between the root and the optimum."""
    sigma2 = 0.04
    states = drawn(path, 1000, alpha=1.0, theta=0.0, sigma2=sigma2, m=2.0)
    for node in (1, 3, 5):
        decay = np.exp(-LENGTHS[node])
        change = states[node] - decay * states[PARENTS[node]]
        assert stats.kstest(change / np.sqrt(sigma2 * (1 - decay**2) / 2), "norm").pvalue > 1e-4, node


@pytest.mark.slow
def test_walls_and_axes_are_kept() -> None:
    between = drawn("bounded", 2000, sigma2=3.0, low=-1.0, high=2.0, root=1.9)
    assert between.min() >= -1
    assert between.max() <= 2
    # Forgotten after the longest edge.
    assert stats.kstest((between[5] + 1) / 3, "uniform").pvalue > 1e-4
    grown = drawn("gbm", 2000, sigma2=0.3, mu=0.1, root=2.0)
    logs = np.log(grown[5] / 2)
    time = LENGTHS[[2, 5]].sum()
    assert stats.kstest(logs, "norm", ((0.1 - 0.15) * time, np.sqrt(0.3 * time))).pvalue > 1e-4
    positive = drawn("cir", 500, sigma2=2.0, alpha=1.0, theta=0.5, root=0.1)
    assert positive.min() >= 0


def test_the_same_seed_gives_the_same_states_whatever_the_order_of_children(path: str) -> None:
    held = {"alpha": 1.0, "theta": 0.0, "sigma2": 1.0, "m": 0.0}
    one = simulate(tree(), NOTHING, models=(path,), held=held, number=3, seed=9)
    again = simulate(tree(), NOTHING, models=(path,), held=held, number=3, seed=9)
    np.testing.assert_array_equal(one.tables["simulation"]["values"], again.tables["simulation"]["values"])
    turned = Phylogeny(
        from_parents(PARENTS), LENGTHS[[0, 2, 1, 5, 6, 3, 4]], Texts(("", "", "", "c", "d", "a", "b")), Texts(("",) * 7)
    )
    other = simulate(turned, NOTHING, models=(path,), held=held, number=3, seed=9)
    values, turned_values = (each.tables["simulation"]["values"] for each in (one, other))
    np.testing.assert_allclose(turned_values, values[[2, 3, 0, 1]], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("body", "held", "message"),
    [
        ("return Sde(0.0, 1.0, low=0.0, ends='absorbing')", {"root": 1.0}, "lineages are lost at its ends"),
        ("return Sde(lambda x: edge.trait_mean - x, 1.0)", {"root": 1.0}, "depends on the observed values"),
        ("return Sde(lambda x: x**3, 1.0)", {"root": 3.0}, "runs away"),
        ("return Sde(0.0, 1.0)", {}, "needs root"),
        ("return Sde(0.0, 1.0)", {"root": 1.0, "speed": 1.0}, "no such parameter"),
        ("return Sde(lambda x: x, param('s'))", {"root": 1.0}, "needs s"),
    ],
)
def test_what_cannot_be_drawn_is_refused(tmp_path, body: str, held: dict[str, float], message: str) -> None:
    (tmp_path / "mine.py").write_text(f"from hxcli.model import Sde, param\ndef model(edge):\n    {body}\n")
    with pytest.raises(HxError, match=message):
        simulate(tree(), NOTHING, models=(str(tmp_path / "mine.py"),), held=held, number=2)


@pytest.mark.slow
def test_noise_stays_right_where_drift_crosses_cells_faster(path: str) -> None:
    # A root sixty times the noise away from the optimum: a walk on 400 cells would draw twice too large a spread.
    count, alpha, sigma2, root = 3000, 2.0, 4.0, 60.0
    states = drawn(path, count, alpha=alpha, theta=0.0, sigma2=sigma2, m=root)
    mean, variance = np.full(7, root), np.full(7, 0.25)
    for node in range(1, 7):
        decay = np.exp(-alpha * LENGTHS[node])
        mean[node] = decay * mean[PARENTS[node]]
        variance[node] = decay**2 * variance[PARENTS[node]] + sigma2 * (1 - decay**2) / (2 * alpha)
    np.testing.assert_allclose(states.std(1), np.sqrt(variance), rtol=4.5 / np.sqrt(2 * count))
    np.testing.assert_allclose(states.mean(1), mean, atol=0.01 + 4.5 * np.sqrt(variance.max() / count), rtol=1e-3)


@pytest.mark.slow
def test_noise_far_smaller_than_any_cell_is_that_of_the_process(path: str) -> None:
    count, alpha, sigma2 = 2000, 1.0, 1e-4
    states = drawn(path, count, alpha=alpha, theta=0.0, sigma2=sigma2, m=2000.0)
    # From one end of the long edge to the other, beside what the root's own spread makes of it.
    decay = np.exp(-alpha * LENGTHS[1])
    rest = states[1] - decay * states[0]
    assert rest.std() == pytest.approx(np.sqrt(sigma2 * (1 - decay**2) / (2 * alpha)), rel=4.5 / np.sqrt(2 * count))
