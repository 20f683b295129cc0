"""What a walk between cells does in a time t: the action of exp(t Q), to rounding, without a negative number.

Edges have any lengths, so no matrix is made for each. In steps of `_STEP` jumps, t is a whole number of steps and a
rest. The rest is uniformisation (Jensen 1953): exp(t Q) = sum of Poisson weights times powers of the jump matrix,
three numbers a row. The whole number is its binary digits: exp(2^j step Q) is made once for all edges by squaring.
Everything is a sum of products of positive numbers: small chances keep all their digits, whatever the drift, where
an eigendecomposition would lose them in its rounding.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hxcli.prebuilt.grid_generator import Generator

# Mean number of jumps in a step, and terms after which the Poisson weights of so many are below rounding.
_STEP, _TERMS = 1.0, 18
# Digits: an edge of 2^20 steps or more is as long as that, far beyond where the walk has forgotten its start.
_DIGITS = 20


class Transition(NamedTuple):
    """exp(t Q) for any t.

    Attributes:
        jumps: Chances of the jump matrix to stay, to go up and down: each (k,).
        step: () length of a step.
        powers: (digits, k, k) exp(2^j step Q).
        digits: () how many of them are needed.
    """

    jumps: tuple[Any, Any, Any]
    step: Any
    powers: Any
    digits: Any


def make_transition(generator: Generator, longest: Any) -> Transition:
    """Prepares exp(t Q).

    Args:
        generator: Q.
        longest: () the longest edge.
    """
    out = generator.up + generator.down + generator.lost
    # Any rate that is at least the largest gives the same exponential: it has no derivative.
    rate = jax.lax.stop_gradient(jnp.maximum(out.max(), jnp.finfo(out.dtype).tiny * 1e10))
    jumps = (1 - out / rate, generator.up / rate, generator.down / rate)
    step = _STEP / rate
    number = jnp.minimum(jnp.floor(longest / step), 2.0**_DIGITS - 1)
    digits = jnp.where(number > 0, jnp.floor(jnp.log2(jnp.maximum(number, 1.0))) + 1, 0).astype(int)
    first = jax.vmap(lambda row: _rest(jumps, _STEP, row), out_axes=1)(jnp.eye(len(out)))

    def square(power: Any, digit: Any) -> tuple[Any, Any]:
        return jax.lax.cond(digit + 1 < digits, lambda p: p @ p, lambda p: p, power), power

    powers = jax.lax.scan(square, first, jnp.arange(_DIGITS))[1]
    return Transition(jumps, step, powers, digits)


def make_transitions(generator: Generator, longest: Any) -> Transition:
    """The same of G walks, (G, k) each; everything has an axis of them in front."""
    return jax.lax.map(lambda each: make_transition(each, longest), generator)


def backwards(transition: Transition, time: Any, likelihood: Any) -> Any:
    """(k,) exp(t Q) u: what a likelihood at the edge's end says about its start."""
    return _applied(transition, time, likelihood, lambda power, values: power @ values)


def forwards(transition: Transition, time: Any, density: Any) -> Any:
    """(k,) exp(t Q)' p: where a lineage is at the edge's end that was distributed as p at its start."""
    stay, up, down = transition.jumps
    # Transposed: what comes up into a cell leaves the one below.
    turned = (stay, _shifted(down, 1), _shifted(up, -1))
    return _applied(transition._replace(jumps=turned), time, density, lambda power, values: values @ power)


def _applied(transition: Transition, time: Any, values: Any, product: Any) -> Any:
    steps = time / transition.step
    whole = jax.lax.stop_gradient(jnp.clip(jnp.floor(steps), 0, 2.0**_DIGITS - 1))
    values = _rest(transition.jumps, _STEP * jnp.clip(steps - whole, 0.0, 1.0), values)
    number = whole.astype(jnp.int32)

    def digit(values: Any, one: tuple[Any, Any]) -> tuple[Any, None]:
        power, place = one

        def on(values: Any) -> Any:
            return jnp.where((number >> place) & 1 == 1, product(power, values), values)

        # Digits that no edge has cost nothing.
        return jax.lax.cond(place < transition.digits, on, lambda values: values, values), None

    return jax.lax.scan(digit, values, (transition.powers, jnp.arange(_DIGITS, dtype=jnp.int32)))[0]


def _rest(jumps: tuple[Any, Any, Any], mean: Any, values: Any) -> Any:
    """exp(mean (P - 1)) values for a mean number of jumps of at most `_STEP`, P the jump matrix."""
    stay, up, down = jumps

    def term(state: tuple[Any, Any, Any], number: Any) -> tuple[tuple[Any, Any, Any], None]:
        jumped, weight, total = state
        jumped = stay * jumped + up * _shifted(jumped, 1) + down * _shifted(jumped, -1)
        weight = weight * mean / number
        return (jumped, weight, total + weight * jumped), None

    weight = jnp.exp(-jnp.asarray(mean, values.dtype))
    return jax.lax.scan(term, (values, weight, weight * values), jnp.arange(1.0, _TERMS + 1))[0][2]


def _shifted(values: Any, by: int) -> Any:
    """The neighbours' values: `by` cells up; 0 beyond the ends."""
    nothing = jnp.zeros_like(values[:1])
    return jnp.concatenate([values[1:], nothing]) if by > 0 else jnp.concatenate([nothing, values[:-1]])
