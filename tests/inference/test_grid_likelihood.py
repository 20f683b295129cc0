"""Diffusions on a grid as models: an Ornstein-Uhlenbeck process written as an `Sde` is the one written as Gaussian."""

from __future__ import annotations

import numpy as np
import pytest

from hxcli.engine.topology import from_parents
from hxcli.errors import HxError
from hxcli.inference.grid_likelihood import GridLikelihood, maximise_on_grid
from hxcli.inference.likelihood_columns import TraitLikelihood, framed
from hxcli.models import named_model
from hxcli.models.edge_fields import EdgeFields, edge_fields, trait_fields
from hxcli.phylogeny import Phylogeny
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


def test_a_process_written_in_two_ways(case, tmp_path) -> None:
    path = tmp_path / "ou.py"
    path.write_text(OU)
    fields, observations = case
    gaussian = TraitLikelihood(
        named_model(f"{path}:linear").on(fields),
        framed(fields.columns, fields.phylogeny),
        observations,
        0,
        restricted=False,
    )
    grid = on_grid(named_model(f"{path}:sde"), case, cells=96)
    assert [each.name for each in grid.coordinates] == ["alpha", "theta", "sigma2"]
    order = [[each.name for each in gaussian.coordinates].index(each.name) for each in grid.coordinates]
    x = np.array([0.0, 0.2, -0.2])
    back = np.empty(3)
    back[order] = x
    wanted, slopes = gaussian.value_and_gradient(back)
    value, gradient = grid.value_and_gradient(x)
    assert value == pytest.approx(wanted, abs=0.01)
    np.testing.assert_allclose(gradient, slopes[order], atol=0.02)
    found = grid.densities(x)
    means = gaussian.states(back)[0]
    inner = ~fields.phylogeny.topology.is_leaf
    means_on_grid = found.chances @ found.states
    np.testing.assert_allclose(means_on_grid[inner], means[inner], atol=2e-3)
    optimum = maximise_on_grid(grid)
    assert optimum.converged
    assert optimum.log_likelihood >= value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def model(edge):\n    return Sde(lambda x: x * edge.length, 1.0)\n", "differs from edge to edge"),
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
