"""Discovery and evaluation: what a model's function of one edge declares, over all edges, in natural units."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from hxcli.errors import DeclarationError
from hxcli.model import (
    Declaration,
    Gaussian,
    Sde,
    abstract_edge,
    discover,
    fixed,
    log_normal,
    merged,
    normal,
    over_edges,
    param,
    record,
    uniform,
)
from hxcli.model.evaluation import evaluate

EDGES = {
    "length": np.array([0.0, 0.5, 1.5]),
    "start": np.array([0.0, 0.0, 0.5]),
    "end": np.array([0.0, 0.5, 2.0]),
    "is_tip": np.array([False, False, True]),
    "winged": np.array([0, 1, 0]),
    "tree_height": 2.0,
}


def wings(edge):
    height = edge.tree_height
    alpha = log_normal("alpha", median=jnp.log(2) / height, sd=2, low=1e-6 / height, high=1000 / height, unit="1/time")
    sigma2 = log_normal("sigma2", median=1, sd=3)
    theta = normal("theta", mean=0, sd=10, shape=(2,))
    power = fixed("power", 1.0)
    record("alpha_height", alpha * height)
    decay = record("decay", jnp.exp(-alpha * edge.length**power))
    return Gaussian(decay, theta[edge.winged] * (1 - decay), sigma2 * (1 - decay**2) / (2 * alpha))


def test_every_number_of_a_declaration_is_settled() -> None:
    found = discover(wings, abstract_edge(EDGES))
    alpha, sigma2, theta, power = found.declarations.values()
    assert (alpha.name, alpha.role, alpha.family, alpha.unit) == ("alpha", "param", "log_normal", "1/time")
    assert alpha.numbers == {"median": np.log(2) / 2, "sd": 2.0}
    assert (alpha.support, alpha.start) == ((5e-7, 500.0), np.log(2) / 2)
    assert alpha.prior == "log_normal(median=0.346574, sd=2)"
    assert alpha.site.line == wings.__code__.co_firstlineno + 2
    assert (sigma2.support, sigma2.prior) == ((0.0, np.inf), "log_normal(median=1, sd=3)")
    assert (theta.shape, theta.support, theta.start.tolist()) == ((2,), (-np.inf, np.inf), [0, 0])
    assert (power.role, power.start) == ("fixed", 1.0)
    assert isinstance(found.returned, Gaussian)
    assert found.returned.variance.shape == ()
    assert found.recorded == {"alpha_height": (), "decay": ()}


def test_all_edges_at_once_with_gradients() -> None:
    values = {"alpha": 0.3, "sigma2": 2.0, "theta": jnp.array([1.0, -1.0])}

    def total(values):
        found = over_edges(wings, values, EDGES)
        return found.returned.variance.sum() + found.returned.shift.sum(), found

    (_, found), slopes = jax.jit(jax.value_and_grad(total, has_aux=True))(values)
    decay = np.exp(-0.3 * EDGES["length"])
    np.testing.assert_allclose(found.returned.scale, decay)
    np.testing.assert_allclose(found.returned.shift, np.array([1, -1, 1]) * (1 - decay))
    np.testing.assert_allclose(found.recorded["decay"], decay)
    np.testing.assert_allclose(slopes["theta"], [1 - decay[2], 1 - decay[1]])
    assert over_edges(wings, {**values, "power": 0.0}, EDGES).returned.scale[0] == pytest.approx(np.exp(-0.3))


def test_one_value_of_every_edge() -> None:
    def rates(edge):
        return Gaussian(variance=edge.length * log_normal("rate", median=edge.length + 1, per="edge"))

    declared = discover(rates, abstract_edge(EDGES)).declarations["rate"]
    assert (declared.role, declared.shape) == ("per-edge", ())
    found = over_edges(rates, {"rate": jnp.arange(3.0)}, EDGES, per_edge={"rate"})
    np.testing.assert_allclose(found.returned.variance, EDGES["length"] * np.arange(3))
    found = over_edges(rates, {"rate": jnp.zeros(3)}, EDGES, per_edge={"rate"}, space="unit")
    np.testing.assert_allclose(found.returned.variance, EDGES["length"] * (EDGES["length"] + 1))


def test_functions_of_the_state_may_declare() -> None:
    def wells(edge):
        return Sde(lambda x: param("pull") * (x - x**3), log_normal("sigma", median=1))

    found = discover(wells, abstract_edge(EDGES))
    assert set(found.declarations) == {"sigma", "pull"}
    assert isinstance(found.returned, Sde)
    value = evaluate(lambda: wells(None).drift(2.0), {"pull": 0.5, "sigma": 1.0}).returned
    assert value == pytest.approx(-3)


def test_one_name_is_one_parameter() -> None:
    one, same, other = (discover(lambda sd=sd: normal("mean", sd=sd)).declarations for sd in (1.0, 1.0, 2.0))
    assert list(merged(one, same)) == ["mean"]
    with pytest.raises(DeclarationError, match="'mean' is declared differently in line"):
        merged(one, other)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda edge: normal("x", mean=edge.length), "the prior of 'x' depends on the edge"),
        (lambda edge: normal("x", mean=jnp.exp(param("y"))), "the prior of 'x' depends on another parameter"),
        (lambda edge: normal("x", sd=-jnp.exp(edge.tree_height)), "sd of 'x' must be above 0, got -7.38906"),
        (
            lambda edge: jax.jit(lambda z: normal("x", mean=jnp.exp(z)))(1.0),
            "are computed inside a jitted helper",
        ),
    ],
)
def test_priors_that_cannot_be_settled_are_refused(function, message: str) -> None:
    with pytest.raises(DeclarationError, match=message) as caught:
        discover(function, abstract_edge(EDGES))
    assert "test_evaluation.py: line " in str(caught.value)


@pytest.mark.parametrize(
    ("declared", "distribution"),
    [
        (lambda: normal("x", 1.0, 2.0), stats.norm(1, 2)),
        (lambda: normal("x", 1.0, 2.0, low=0.5, high=4.0), stats.truncnorm(-0.25, 1.5, 1, 2)),
        (lambda: log_normal("x", 3.0, 0.5), stats.lognorm(0.5, scale=3)),
        (lambda: uniform("x", -1.0, 4.0), stats.uniform(-1, 5)),
    ],
)
def test_a_prior_is_the_unit_normal_mapped(declared, distribution) -> None:
    one: Declaration = discover(declared).declarations["x"]
    z = jnp.array([-7.0, -1.0, -0.1, 0.0, 0.3, 2.0, 7.0])
    value, slopes = jax.jit(jax.vmap(jax.value_and_grad(one.from_unit)))(z)
    half = np.where(z < 0, distribution.ppf(stats.norm.cdf(z)), distribution.isf(stats.norm.sf(z)))
    np.testing.assert_allclose(value, half, rtol=1e-9)
    np.testing.assert_allclose(jax.jit(one.to_unit)(value), z, atol=1e-4)
    np.testing.assert_allclose(jax.jit(one.log_density)(value)[1:-1], distribution.logpdf(value[1:-1]), rtol=1e-9)
    assert np.all(np.isfinite(slopes))
    assert np.all(np.asarray(slopes) > 0)


@pytest.mark.parametrize(("low", "high"), [(None, None), (2.0, None), (None, -1.0), (2.0, 5.0)])
def test_a_support_without_a_prior_is_mapped_onto(low, high) -> None:
    one = discover(lambda: param("x", low=low, high=high)).declarations["x"]
    z = jnp.linspace(-3, 3, 5)
    value = jax.jit(one.from_unit)(z)
    assert np.all((value > one.support[0]) & (value < one.support[1]))
    assert one.support[0] < one.start < one.support[1]
    np.testing.assert_allclose(jax.jit(one.to_unit)(value), z, atol=1e-9)


def test_an_edge_says_what_it_has() -> None:
    with pytest.raises(DeclarationError, match=r"an edge has no 'wing' \(it has end, is_tip, length"):
        over_edges(lambda edge: Gaussian(variance=edge.wing), {}, EDGES)
