"""What observations and the root say about cells: values between the middles of cells, as weights of cells.

A value that is known exactly is a point, which no cell is. Its likelihood a short time before is nearly Gaussian; after
the time in which the diffusion spreads by a quarter of a squared cell it is the quadratic spline of three cells, whose
mean and variance are right wherever the point lies between them. So a tip's edge is shortened by that time, and its
likelihood there is the spline: positive, and the error is of third order in the width of a cell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hxcli.engine.tree import Tree
from hxcli.model.returned import Gaussian, Sde
from hxcli.prebuilt.grid_generator import AXES, Cells, coefficients

# Observations with an error below a cell's width: as a mixture of points.
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(16)
_WEIGHTS = _WEIGHTS / np.sqrt(2 * np.pi)


class Seen(NamedTuple):
    """What the tips say; N includes the padding.

    Attributes:
        time: (N,) edge lengths, a tip's shortened by what its spline stands for.
        likelihood: (N, k) of a node's own observations, largest 1.
        log_scale: (N,) log of the factor taken out.
    """

    time: Any
    likelihood: Any
    log_scale: Any


def seen(
    tree: Tree | Mapping[str, Any], kinds: Any, sde_on: Callable[[Any], Sde], cells: Cells, *, all_exact: bool = False
) -> Seen:
    """The likelihoods of the tips' own observations.

    Args:
        tree: With `length`, and of every node's observations `known` (1 for an exact one), `mean`, `precision` and
            `constant`, the log of what the density has beside exp(-precision (x - mean)^2 / 2): each (N,).
        kinds: What the diffusion depends on, a pytree of (N, ...).
        sde_on: From one of these to the diffusion on the edge above that node; axis and walls are the same on all.
        cells: k cells.
        all_exact: Whether no observation has an error.
    """
    middle = cells.x[cells.number // 2]

    def one(kind: Any, known: Any, mean: Any, precision: Any, length: Any) -> tuple[Any, Any, Any]:
        sde = sde_on(kind)
        to_coordinate = AXES[sde.axis][0]
        observed = (known > 0) | (precision > 0)
        mean = jnp.where(observed, mean, middle)
        exact = _point(sde, cells, to_coordinate(mean), length)
        soft = jnp.ones_like(cells.x) if all_exact else _measured(cells, to_coordinate, mean, precision)
        time = jnp.where(known > 0, exact[0], length)
        values = jnp.where(known > 0, exact[1], jnp.where(precision > 0, soft, 1.0))
        slope = jnp.where(known > 0, jax.grad(to_coordinate)(mean), 1.0)
        top = values.max()
        return time, values / jnp.where(top > 0, top, 1.0), jnp.log(jnp.where(top > 0, top * slope, 1e-300))

    observed = (tree[name] for name in ("known", "mean", "precision", "length"))
    time, likelihood, log_scale = jax.vmap(one)(kinds, *observed)
    return Seen(time, likelihood, log_scale + tree["constant"])


def root_weights(root: Gaussian, cells: Cells, axis: str) -> Any:
    """(k,) chances of the cells for a root that is normal, or known (variance 0)."""
    to_coordinate = AXES[axis][0]
    mean, variance = jnp.asarray(root.mean, float), jnp.asarray(root.variance, float)
    known = variance <= 0
    sd = jnp.sqrt(jnp.where(known, 1.0, variance))
    wide = jnp.exp(-(((cells.x - mean) / sd) ** 2) / 2) / (sd * np.sqrt(2 * np.pi)) * cells.width * cells.slope
    places = jnp.where(known, mean, mean + sd * _NODES) if axis == "linear" else jnp.full(len(_NODES), mean)
    narrow = (_WEIGHTS[:, None] * jax.vmap(lambda x: _between_four(cells, to_coordinate(x)))(places)).sum(0)
    step = cells.width * jnp.interp(mean, cells.x, cells.slope)
    return jnp.where(known | (sd < step), narrow, wide)


def _point(sde: Sde, cells: Cells, z: Any, length: Any) -> tuple[Any, Any]:
    """The shortened edge, and (k,) the likelihood at its end, per unit of the coordinate, of the exact value z.

    To first order in the time, the likelihood's mass, mean and variance move by the adjoint of the generator.
    """
    half = coefficients(sde, z)[1]
    time = jnp.minimum(length, cells.width**2 / (8 * jnp.where(half > 0, half, jnp.inf)))
    time = jnp.where(half > 0, time, 0.0)
    drift, half_slope, half_bend, drift_slope = _local(sde, z)
    mass = jnp.exp(time * (half_bend - drift_slope))
    centre = z + time * (2 * half_slope - drift)
    return length - time, mass * _spline(cells, centre) / cells.width


def _local(sde: Sde, z: Any) -> tuple[Any, Any, Any, Any]:
    """Drift; first and second derivative of half the squared diffusion; derivative of the drift: at z."""
    drift = coefficients(sde, z)[0]
    half_slope = jax.grad(lambda z: coefficients(sde, z)[1])
    return drift, half_slope(z), jax.grad(half_slope)(z), jax.grad(lambda z: coefficients(sde, z)[0])(z)


def _measured(cells: Cells, to_coordinate: Any, mean: Any, precision: Any) -> Any:
    """(k,) exp(-precision (x - mean)^2 / 2) of the cells, averaged over a cell where it is narrower than that.

    The error may reach beyond a wall, where no state is: that part of it is of none.
    """
    safe = jnp.where(precision > 0, precision, 1.0)
    wide = jnp.exp(-safe * (cells.x - mean) ** 2 / 2)
    z = to_coordinate(mean)
    sd = jax.grad(to_coordinate)(mean) / jnp.sqrt(safe)
    rest = jnp.sqrt(jnp.maximum(sd**2 - cells.width**2 / 4, 0.0) + 1e-300)
    low, high = cells.low, cells.end
    places = jnp.clip(z + rest * _NODES, low, high)
    mixed = (_WEIGHTS[:, None] * jax.vmap(lambda place: _spline(cells, place))(places)).sum(0)
    inside = jax.scipy.special.ndtr((high - z) / sd) - jax.scipy.special.ndtr((low - z) / sd)
    narrow = mixed / cells.width * sd * np.sqrt(2 * np.pi) * inside
    return jnp.where(sd < cells.width, narrow, wide)


def _spline(cells: Cells, z: Any) -> Any:
    """(k,) weights of the three cells around z: the quadratic B-spline; what lies beyond a wall is mirrored."""

    def weight(away: Any) -> Any:
        near, far = 0.75 - away**2, (1.5 - away) ** 2 / 2
        return jnp.where(away < 0.5, near, jnp.where(away < 1.5, far, 0.0))

    return _mirrored(cells, z, weight)


def _between_four(cells: Cells, z: Any) -> Any:
    """(k,) weights of the four cells around z that give the value there of any cubic; some are negative."""

    def weight(away: Any) -> Any:
        near, far = (1 - away**2) * (2 - away) / 2, (1 - away) * (2 - away) * (3 - away) / 6
        return jnp.where(away < 1, near, jnp.where(away < 2, far, 0.0))

    return _mirrored(cells, z, weight)


def _mirrored(cells: Cells, z: Any, weight: Any) -> Any:
    room, number = len(cells.z), cells.number
    place = (z - cells.low) / cells.width - 0.5
    wide = weight(jnp.abs(jnp.arange(-2, room + 2) - place))
    inside = wide[2:-2].at[:2].add(wide[:2][::-1])
    # Of the two beyond the last cell, the nearer one comes back into it.
    inside = inside.at[number - 1].add(wide[number + 2]).at[number - 2].add(wide[number + 3])
    return jnp.where(jnp.arange(room) < number, inside, 0.0)
