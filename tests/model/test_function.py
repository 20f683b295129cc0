"""`@hx.model`: a function that declares its parameters as a pure function of them, under all transformations."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.sparse.linalg import cg

import hxcli as hx
from hxcli.errors import DeclarationError, OptionError
from hxcli.model import fixed, intermediate, log_normal, normal, param, record, uniform
from hxcli.model.evaluation import evaluate

TIMES = jnp.linspace(0.0, 1.0, 4)


def damping(times):
    """A helper that declares."""
    return jnp.exp(-times * log_normal("rate", median=2.0, sd=0.5))


@hx.model
def wave(times):
    height = normal("height", mean=1.0, sd=2.0)
    phase = param(2, name="phase")
    gain = fixed("gain", 3.0)
    return intermediate(gain * damping(times), name="envelope") * (height + jnp.sin(times * phase[0] + phase[1]))


def written_out(params, times, gain=3.0):
    height, phase = 1.0 + 2.0 * params["height"], params["phase"]
    decay = jnp.exp(-times * 2.0 * jnp.exp(0.5 * params["rate"]))
    return gain * decay * (height + jnp.sin(times * phase[0] + phase[1]))


@pytest.fixture
def params():
    return wave.normal(jax.random.key(3), TIMES)


def test_parameters_are_found_with_their_shapes(params) -> None:
    shapes = {"height": (), "phase": (2,), "rate": ()}
    assert {name: one.shape for name, one in wave.shapes(TIMES).items()} == shapes
    assert {name: one.shape for name, one in wave.fixed_shapes(TIMES).items()} == {"gain": ()}
    assert {name: value.shape for name, value in params.items()} == shapes
    assert len({float(value) for leaf in params.values() for value in np.ravel(leaf)}) == 4
    assert all(not np.any(leaf) for leaf in wave.zeros(TIMES).values())


def test_it_is_the_function_written_out_under_every_transformation(params) -> None:
    def loss(function, **fixed):
        return lambda params: (function(params, TIMES, **fixed) ** 2).sum()

    for options in ({}, {"gain": 0.5}):
        ours, theirs = loss(wave, **options), loss(written_out, **options)
        for transform in (
            lambda f: f,
            lambda f: jax.jit(jax.hessian(f)),
            lambda f: lambda p: jax.jvp(jax.grad(f), (p,), (p,))[1],
        ):
            found, wanted = transform(ours)(params), transform(theirs)(params)
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), found, wanted)
    many = jax.vmap(lambda key: wave.normal(key, TIMES))(jax.random.split(jax.random.key(0), 5))
    found = jax.vmap(wave, in_axes=(0, None))(many, TIMES)
    np.testing.assert_allclose(found, jax.vmap(written_out, in_axes=(0, None))(many, TIMES), rtol=1e-12)
    found = jax.lax.scan(lambda carry, one: (carry, wave(one, TIMES)), 0.0, many)[1]
    np.testing.assert_allclose(found, jax.vmap(written_out, in_axes=(0, None))(many, TIMES), rtol=1e-12)


def test_what_is_named_is_recorded(params) -> None:
    found = wave.intermediates(params, TIMES)
    assert set(found) == {"height", "rate", "envelope"}
    assert found["rate"] == pytest.approx(2 * np.exp(0.5 * params["rate"]))
    np.testing.assert_allclose(found["envelope"], 3 * np.exp(-TIMES * found["rate"]))


def test_parameters_as_one_vector(params) -> None:
    raveled = hx.model(wave.function, ravel=True)
    vector = raveled.normal(jax.random.key(3), TIMES)
    assert raveled.shapes(TIMES).shape == vector.shape == (4,)
    np.testing.assert_array_equal(vector, wave.ravel(params))
    np.testing.assert_allclose(raveled(vector, TIMES), wave(params, TIMES))
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), raveled.unravel(vector, TIMES), params))
    with pytest.raises(OptionError, match=r"a vector of 4 numbers, got the shape \(3,\)"):
        raveled(vector[:3], TIMES)


@jax.jit
def jitted_helper(x):
    return x * log_normal("rate", median=2.0, sd=0.5)


def test_a_declaration_counts_wherever_it_is_traced() -> None:
    @hx.model
    def everywhere(x):
        scanned = jax.lax.scan(lambda carry, y: (carry * param(name="decay") + y, carry), 1, x)[0]
        branch = jax.lax.cond(scanned > 0, lambda: param("up"), lambda: param("down") * 2)
        batched = jax.vmap(lambda y: y * param("slope"))(x).sum()
        slope = jax.grad(lambda y: y**2 * param("curve"))(x[0])
        return jitted_helper(x[0]) + branch + batched + slope + scanned

    def written_out(p, x):
        scanned = (1 * p["decay"] + x[0]) * p["decay"] + x[1]
        branch = p["up"] if scanned > 0 else 2 * p["down"]
        return 2 * np.exp(0.5 * p["rate"]) * x[0] + branch + x.sum() * p["slope"] + 2 * x[0] * p["curve"] + scanned

    x = jnp.array([0.7, 0.9])
    keys = jax.random.split(jax.random.key(1), 3)
    # Several values one after the other: a jitted helper must not remember those of its first trace.
    for params in [everywhere.normal(key, x) for key in keys]:
        assert set(params) == {"decay", "up", "down", "slope", "curve", "rate"}
        assert everywhere(params, x) == pytest.approx(float(written_out(params, x)), rel=1e-12)
        assert everywhere.intermediates(params, x)["rate"] == pytest.approx(2 * np.exp(0.5 * params["rate"]))
        assert jax.grad(everywhere)(params, x)["rate"] != 0


def test_a_gaussian_process_solved_by_conjugate_gradients() -> None:
    """A field with a power spectrum, seen at few points: the posterior mean by transposing the model itself."""
    pad, grid = 8, jnp.linspace(0.0, 20.0, 64)

    @hx.model(ravel=True)
    def seen():
        places = fixed(12, name="places")
        white = param(grid.size + 2 * pad, name="white")
        waves = jnp.abs(jnp.fft.fftfreq(white.size, 1 / white.size))
        amplitude = jnp.where(waves > 0, jnp.where(waves > 0, waves, 1.0) ** -1.5, 1.0)
        smooth = jnp.fft.fft(amplitude * white)
        field = intermediate((smooth.real - smooth.imag)[pad:-pad], name="field")
        return jnp.interp(places, grid, field)

    places = jax.random.uniform(jax.random.key(1), 12, minval=0.0, maxval=20.0)
    noise = 0.1 + 0.05 * jnp.arange(12.0)
    values = jnp.sin(places) + noise * jax.random.normal(jax.random.key(2), (12,))
    assert seen.shapes().shape == (80,)
    assert seen.fixed_shapes()["places"].shape == (12,)

    def forward(vector):
        return seen(vector, places=places)

    def backward(data):
        return jax.linear_transpose(forward, seen.shapes())(data)[0]

    found = cg(lambda v: v + backward(forward(v) / noise**2), backward(values / noise**2), tol=1e-12, maxiter=500)[0]
    matrix = jax.jacobian(forward)(seen.zeros())
    dense = np.linalg.solve(np.eye(80) + matrix.T @ (matrix / noise[:, None] ** 2), matrix.T @ (values / noise**2))
    np.testing.assert_allclose(found, dense, atol=1e-8)
    assert seen.intermediates(found, places=places)["field"].shape == (64,)


def one_mistake(body):
    return lambda: hx.model(body).zeros()


REFUSED = {
    "'x' is declared twice, first in line": one_mistake(lambda: param(name="x") + param(name="x")),
    "'y' is declared twice": one_mistake(lambda: [normal("y") for _ in range(2)]),
    "'z' is declared outside a model": lambda: param("z"),
    "needs a name": one_mistake(lambda: param(3)),
    "sd of 'x' must be above 0, got -1": one_mistake(lambda: normal("x", sd=-1)),
    "median of 'x' must be above 0, got 0": one_mistake(lambda: log_normal("x", median=0)),
    "mean of 'x' must be a finite number, got nan": one_mistake(lambda: normal("x", mean=float("nan"))),
    "mean of 'x' is no number: 'a'": one_mistake(lambda: normal("x", mean="a")),
    "the support of 'x' is empty: low 2 is not below high 1": one_mistake(lambda: uniform("x", 2, 1)),
    "start of 'x', 3, lies outside its support": one_mistake(lambda: uniform("x", 0, 1, start=3)),
    "low of 'x' must be 0 or more": one_mistake(lambda: log_normal("x", low=-1)),
    r"mean of 'x' has the shape \(3,\), 'x' itself \(2,\)": one_mistake(lambda: normal("x", mean=np.zeros(3), shape=2)),
    "per='node' of 'x' is neither": one_mistake(lambda: normal("x", per="node")),
    "takes arguments": lambda: wave.shapes(),
    "no value is given for 'g'": lambda: hx.model(lambda: fixed(2, name="g"))({}),
    r"given for 'p' has the shape \(2,\), declared is \(3,\)": lambda: hx.model(lambda: param(3, name="p"))(
        {"p": jnp.zeros(2)}
    ),
    "'q' is not declared in": lambda: hx.model(lambda: param(name="p"))({"p": 0.0, "q": 0.0}),
    "'r' is recorded inside a jitted helper": lambda: hx.model(lambda: jax.jit(lambda x: record("r", x))(1.0))({}),
}


@pytest.mark.parametrize("message", REFUSED)
def test_a_mistake_is_one_sentence_with_its_line(message: str) -> None:
    with pytest.raises(DeclarationError, match=message) as caught:
        REFUSED[message]()
    assert "test_function.py: line " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_control_flow_on_values_is_refused_as_jax_does() -> None:
    with pytest.raises(jax.errors.TracerBoolConversionError):
        hx.model(lambda: 1.0 if param("x") > 0 else 0.0).zeros()


def test_the_module_is_the_decorator() -> None:
    import hxcli.model

    assert hx.model is hxcli.model
    assert callable(hx.model)


@pytest.mark.parametrize("around", [jax.jit, lambda function: function])
def test_a_given_value_may_be_an_array(around):
    doubled = around(lambda x: evaluate(lambda y: 2 * fixed("x", y), {}, x).returned)(jnp.float32(1.5))
    assert doubled == 3
    assert doubled.dtype == jnp.float32
