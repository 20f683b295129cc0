"""What the library owes to a page on pure functions of declared parameters, 20 to 31 of the list in `test_seeds`.

A test for each of its behaviours: parameters, fixed values and intermediate ones where they are used, variables with
priors, and all transformations through them.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.sparse.linalg import cg

import hxcli as hx
from hxcli.errors import DeclarationError
from hxcli.model import fixed, intermediate, log_normal, normal, param, uniform

X = jnp.linspace(0.0, 1.0, 5)


def scaled(x):
    """A helper that is no model itself."""
    return x * param((), name="scale")


@hx.model
def line(x):
    slope, offset = param(2, name="slope"), fixed((), name="offset")
    return intermediate(scaled(x) * slope[0] + slope[1] * offset, name="height")


@pytest.fixture(scope="module")
def params():
    return line.normal(jax.random.key(0), X)


def test_20_parameters_fixed_values_and_intermediates_stand_where_they_are_used(params) -> None:
    expected = params["scale"] * X * params["slope"][0] + 3.0 * params["slope"][1]
    np.testing.assert_allclose(line(params, X, offset=3.0), expected)
    np.testing.assert_allclose(line.intermediates(params, X, offset=3.0)["height"], expected)


def test_21_shapes_zeros_and_normal(params) -> None:
    assert {name: one.shape for name, one in line.shapes(X).items()} == {"scale": (), "slope": (2,)}
    assert {name: one.shape for name, one in line.fixed_shapes(X).items()} == {"offset": ()}
    assert jax.tree.map(jnp.shape, line.zeros(X)) == {"scale": (), "slope": (2,)}
    assert not any(np.any(leaf) for leaf in line.zeros(X).values())
    # Every leaf from a key of its own.
    assert len({float(each) for leaf in params.values() for each in np.ravel(leaf)}) == 3


def test_22_ravel_and_unravel(params) -> None:
    @hx.model(ravel=True)
    def raveled():
        return param((3, 4), name="weights").sum() + param(2, name="biases").sum()

    assert raveled.shapes().shape == (14,)
    assert {name: value.shape for name, value in raveled.unravel(jnp.arange(14.0)).items()} == {
        "weights": (3, 4),
        "biases": (2,),
    }
    vector = line.ravel(params)
    assert vector.shape == (3,)
    for name, value in line.unravel(vector, X).items():
        np.testing.assert_array_equal(value, params[name])


def test_23_compiled_and_not(params) -> None:
    @hx.model(jit=False)
    def plain(x):
        return scaled(x) * param(2, name="slope")[0]

    compiled = hx.model(plain.function)
    np.testing.assert_allclose(plain(params, X), compiled(params, X), rtol=1e-15)


def test_24_helpers_may_declare_even_compiled_ones(params) -> None:
    helper = jax.jit(scaled)
    model = hx.model(lambda x: helper(x))
    for scale in (2.0, -1.0):
        np.testing.assert_allclose(model({"scale": scale}, X), scale * X)


def test_25_constants_are_closed_over() -> None:
    places = jnp.arange(3.0)
    assert hx.model(lambda: (places * param("a")).sum())({"a": 2.0}) == 6.0


@hx.model
def dinner():
    guests = log_normal("guests", median=4.0, sd=0.5)
    plates = normal("plates", mean=2.0, sd=0.1)
    return guests * plates * uniform("share", 0.0, 2.0)


def test_26_variables_have_priors_and_are_recorded() -> None:
    z = {"guests": 1.0, "plates": -1.0, "share": 0.0}
    found = dinner.intermediates(z)
    assert found["guests"] == pytest.approx(4 * np.exp(0.5))
    assert found["plates"] == pytest.approx(1.9)
    assert found["share"] == pytest.approx(1.0)
    assert dinner(z) == pytest.approx(4 * np.exp(0.5) * 1.9)


def test_27_batches_of_parameters_gradients_and_tangents() -> None:
    many = jax.vmap(dinner.normal)(jax.random.split(jax.random.key(1), 10))
    assert jax.tree.map(jnp.shape, many) == dict.fromkeys(("guests", "plates", "share"), (10,))
    values, slopes = jax.vmap(jax.value_and_grad(dinner))(many)
    np.testing.assert_allclose(slopes["guests"], 0.5 * values, rtol=1e-12)
    z = dinner.zeros()
    value, tangent = jax.jvp(dinner, (z,), ({**z, "guests": 1.0},))
    assert tangent == pytest.approx(0.5 * value)


def test_28_a_model_is_transposed_and_solved_by_conjugate_gradients() -> None:
    blur = jnp.exp(-((X[:, None] - X[None]) ** 2) / 0.1)
    seen = hx.model(lambda: blur @ param(5, name="field"), ravel=True)
    data = jnp.sin(3 * X)

    def normal_equations(v):
        return v + jax.linear_transpose(seen, seen.shapes())(seen(v) / 0.01)[0]

    right = jax.linear_transpose(seen, seen.shapes())(data / 0.01)[0]
    found = cg(normal_equations, right, tol=1e-13, maxiter=200)[0]
    np.testing.assert_allclose(
        found, np.linalg.solve(np.eye(5) + blur.T @ blur / 0.01, blur.T @ data / 0.01), atol=1e-8
    )


def test_29_a_name_twice_is_refused() -> None:
    with pytest.raises(DeclarationError, match="'a' is declared twice"):
        hx.model(lambda: param("a") + param("a")).zeros()


def test_30_control_flow_on_values_is_jax_s_own_error() -> None:
    with pytest.raises(jax.errors.TracerBoolConversionError):
        hx.model(lambda: 1.0 if param("a") > 0 else 2.0).zeros()


def test_31_outside_a_model_a_declaration_is_refused() -> None:
    with pytest.raises(DeclarationError, match="'scale' is declared outside a model"):
        scaled(X)
