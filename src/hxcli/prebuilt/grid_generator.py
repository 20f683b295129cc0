"""A diffusion on a grid of cells: the generator of dx = drift(x) dt + diffusion(x) dW as rates between neighbours.

The state axis is cut into k cells of one width in a coordinate z of x, so that a diffusion over several orders of
magnitude has even cells too. In cell i the walk goes up and down with the rates

    (S + m / w) / 2 and (S - m / w) / 2,    S^8 = (2 D / w^2)^8 + (m / w)^8,

m the drift and D half the squared diffusion in z (by Ito's formula), w the width of a cell. Its drift is exact, and so
is its diffusion but for the eighth power of m w / (2 D): moments of a linear diffusion are those of the diffusion
itself. S is central differences where diffusion rules and upwind ones where drift does; rates are never negative.
Markov chains for diffusions on a tree's edges: Boucher, Demery, Conti, Harmon and Uyeda (2018, Syst. Biol. 67:304).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hxcli.model.returned import Sde

# axis -> (state to coordinate, coordinate to state).
AXES: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "linear": (lambda x: x, lambda z: z),
    "log": (jnp.log, jnp.exp),
    "sqrt": (jnp.sqrt, jnp.square),
}
ENDS = ("reflecting", "absorbing")


class Cells(NamedTuple):
    """The cells of a grid.

    Attributes:
        z: (k,) their middles in the coordinate.
        x: (k,) the states there.
        slope: (k,) dx/dz there.
        width: () of a cell, in the coordinate.
        low: () where the first begins, in the coordinate.
        number: () how many of the k there are: the others are padding, of no account.
    """

    z: Any
    x: Any
    slope: Any
    width: Any
    low: Any
    number: Any

    @property
    def end(self) -> Any:
        """() where the last ends, in the coordinate."""
        return self.low + self.number * self.width


class Generator(NamedTuple):
    """A walk between neighbouring cells; each (k,), per unit of edge length.

    Attributes:
        up, down: Rates to the next and to the previous cell.
        lost: Rate at which a lineage leaves at an absorbing end.
    """

    up: Any
    down: Any
    lost: Any


def make_cells(low: Any, high: Any, number: Any, axis: str, room: int | None = None) -> Cells:
    """`number` cells between two states.

    Args:
        low, high: () ends of the range.
        number: How many; may be traced where there is room.
        axis: A key of `AXES`.
        room: k; None for no padding.
    """
    to_coordinate, to_state = AXES[axis]
    first, last = to_coordinate(jnp.asarray(low, float)), to_coordinate(jnp.asarray(high, float))
    width = (last - first) / number
    # The padding repeats the last cell, where every drift is a number.
    z = first + (jnp.minimum(jnp.arange(room or number), number - 1) + 0.5) * width
    return Cells(z, to_state(z), jax.vmap(jax.grad(to_state))(z), width, first, number)


def coefficients(sde: Sde, z: Any) -> tuple[Any, Any]:
    """() drift and half the squared diffusion of the coordinate, at its value z."""
    to_coordinate, to_state = AXES[sde.axis]
    x = to_state(z)
    drift, factor = (jnp.asarray(part(x) if callable(part) else part, float) for part in (sde.drift, sde.diffusion))
    slope = jax.grad(to_coordinate)(x)
    half = factor**2 / 2
    return drift * slope + half * jax.grad(jax.grad(to_coordinate))(x), half * slope**2


def make_generator(sde: Sde, cells: Cells) -> Generator:
    """The walk on the cells that is the diffusion."""
    drift, half = jax.vmap(lambda z: coefficients(sde, z))(cells.z)
    across, along = 2 * half / cells.width**2, drift / cells.width
    larger, smaller = jnp.maximum(across, jnp.abs(along)), jnp.minimum(across, jnp.abs(along))
    total = larger * (1 + (smaller / jnp.where(larger > 0, larger, 1)) ** 8) ** 0.125
    up, down = (total + along) / 2, (total - along) / 2
    last = cells.number - 1
    outwards = jnp.zeros_like(up).at[0].set(down[0]).at[last].add(up[last])
    # A wall at the end of a cell, half a width from its middle: twice the rate to a cell beyond.
    lost = 2 * outwards if sde.ends == "absorbing" else jnp.zeros_like(up)
    return Generator(up.at[last].set(0.0), down.at[0].set(0.0), lost)
