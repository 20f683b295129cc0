"""The no-U-turn sampler over the parameters of a diffusion on a grid.

It walks on few cells, whose log likelihood has at its top the value and the slope of that on many; how far its draws
are from those on many cells is measured afterwards, by weights of some of them. Its coordinates are those in which the
top looks like a unit normal distribution.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from scipy.optimize import minimize

from hxcli.inference.grid_density import GridDensity
from hxcli.inference.grid_likelihood import GridLikelihood
from hxcli.inference.grid_program import parts_of
from hxcli.inference.no_u_turn import diagnose, numpyro_for, walk
from hxcli.inference.threads import usable_threads
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.grid_generator import Generator
from hxcli.prebuilt.grid_observations import Seen

# Transitions until the step and the directions are settled.
WARM_UP = 300
# Cells that the sampler walks on.
SAMPLED_CELLS = 64
# Places from which the top is searched for: how many of all, by a Sobol sequence, and how far from the middle.
_SEARCHES, _TRIED, _SPREAD = 3, 16, 2.0
# Step for second derivatives, and what a top has at least of curvature in a coordinate of a prior.
_STEP, _LEAST = 1e-3, 1e-2
# Bytes of a double.
_DOUBLE = 8
_BOUND_BY = "--model with several unknown parameters"


class GridChains(NamedTuple):
    """What the sampler found.

    Attributes:
        places: (C, S, F) draws, in the coordinates of the priors.
        surrogate: From (M, F) places to (M,) log densities that the sampler had.
        divergences: Number of transitions that diverged.
        diagnostics: Name of a parameter -> `rhat`, `ess_bulk`, `ess_tail`.
    """

    places: FloatArray
    surrogate: Callable[[FloatArray], FloatArray]
    divergences: int
    diagnostics: Mapping[str, Mapping[str, float]]

    def spaced(self, count: int) -> FloatArray:
        """(K, F) draws at equal distances in all chains."""
        places = self.places.reshape(-1, self.places.shape[2])
        return places[np.linspace(0, len(places) - 1, min(count, len(places))).round().astype(int)]


def sample_on_grid(density: GridDensity, chains: int, samples: int, seed: list[int]) -> GridChains:
    """Runs the sampler.

    Args:
        density: Of F parameters.
        chains, samples: Number of chains, and of draws of each.
        seed: Two numbers.

    Raises:
        HxError: NumPyro is not installed.
    """
    # Before any work is done.
    numpyro_for(_BOUND_BY)
    few = density.likelihood.on_cells(SAMPLED_CELLS)
    on_few = traced_log_likelihood(few)

    def log_density(w: Any, slope: Any, at: Any) -> Any:
        x = density.traced_search(w)
        prior = sum(prior.log_density(w[i]) for i, prior in enumerate(density.priors))
        return prior + on_few(x) + slope @ (x - at)

    count = len(density.priors)
    climb = jax.jit(jax.value_and_grad(log_density))
    nothing = np.zeros(count)
    top = _top(lambda w: climb(w, nothing, nothing), density, count)
    at = density.search(top[None])[0]
    value, gradient = density.likelihood.value_and_gradient(at)
    coarse, coarse_gradient = few.unextrapolated(at, SAMPLED_CELLS, slopes=True)
    slope, more = gradient - coarse_gradient, value - coarse
    if not (np.isfinite(slope).all() and np.isfinite(more)):
        slope, more = nothing, 0.0
    top = _top(lambda w: climb(w, slope, at), density, count, [top])
    to_w = _scale(lambda w: np.asarray(climb(w, slope, at)[1], float), top)
    random = np.random.default_rng([*seed, 2])
    centre, scale, slope_on_device, at_on_device = (jnp.asarray(each) for each in (top, to_w, slope, at))

    def potential(z: Any) -> Any:
        return -log_density(centre + scale @ z, slope_on_device, at_on_device)

    walked = walk(potential, random.normal(0, 1, (chains, count)), WARM_UP, samples, seed, _BOUND_BY)
    places = top + walked.places.reshape(-1, count) @ to_w.T
    values = density.values(places).reshape(chains, samples, count)
    names = [each.name for each in density.likelihood.coordinates]

    def surrogate(w: FloatArray) -> FloatArray:
        x = density.search(w)
        heights = np.array([few.unextrapolated(each, SAMPLED_CELLS, slopes=False)[0] for each in x])
        return density.log_prior(w) + heights + more + (x - at) @ slope

    return GridChains(
        places.reshape(chains, samples, count),
        surrogate,
        walked.divergences,
        {name: diagnose(values[..., i]) for i, name in enumerate(names)},
    )


def traced_log_likelihood(likelihood: GridLikelihood) -> Callable[[Any], Any]:
    """The log likelihood on its cells as they are, of a point of the search (S,), to be called while tracing.

    What depends on the model is traced; the sweeps are made on the host, which tells their slopes too.
    """
    double = jnp.result_type(float).itemsize == _DOUBLE
    program, given = likelihood.program(likelihood.cells), jax.tree.map(jnp.asarray, likelihood.given(likelihood.cells))

    def on_host(*parts: Any) -> Any:
        """Value and slopes; of several sets of parameters every argument has a leading axis."""
        parts = tuple(_doubles(each) for each in parts)
        if parts[-1].ndim == 1:
            found = one(*parts)
        else:
            count = max(len(each) for each in parts)
            with ThreadPoolExecutor(max(1, min(count, usable_threads()))) as threads:
                each_set = threads.map(lambda i: one(*(each[i % len(each)] for each in parts)), range(count))
                found = tuple(np.stack(each) for each in zip(*each_set, strict=True))
        return tuple(_words(each, double) for each in found)

    def one(*parts: FloatArray) -> tuple[FloatArray, ...]:
        *rates, time, own, root = parts
        edges = likelihood.on_edges(Seen(time, own, None))
        found = likelihood.engine.swept_on_host(Generator(*rates), *edges, root, slopes=True)
        if found.slopes is None:
            return np.array(np.nan), *(np.full_like(each, np.nan) for each in parts)
        by_walk, by_own, by_root = likelihood.by_parts(found.slopes, best_root=False)
        assert by_root is not None
        return np.array(found.log_likelihood), *by_walk, by_own.time, by_own.likelihood, by_root

    def called(walk: Any, time: Any, own: Any, root: Any) -> Any:
        parts = [_bits(each) for each in (*walk, time, own, root)]
        told = [jax.ShapeDtypeStruct(each.shape, each.dtype) for each in (_bits(root[0]), *parts)]
        found = jax.pure_callback(on_host, tuple(told), *parts, vmap_method="expand_dims")
        return tuple(_floats(each) for each in found)

    @jax.custom_vjp
    def swept(walk: Any, time: Any, own: Any, root: Any) -> Any:
        return called(walk, time, own, root)[0]

    def forwards(walk: Any, time: Any, own: Any, root: Any) -> Any:
        value, up, down, lost, by_time, by_own, by_root = called(walk, time, own, root)
        return value, (Generator(up, down, lost), by_time, by_own, by_root)

    def backwards(by: Any, pulled: Any) -> Any:
        return tuple(jax.tree.map(lambda each: pulled * each, by))

    swept.defvjp(forwards, backwards)

    def log_likelihood(x: Any) -> Any:
        parts = parts_of(program, x, given).without_padding(likelihood.cells)
        alone = jnp.arange(len(parts.own.log_scale)) < likelihood.count
        return (
            swept(parts.generator, parts.own.time, parts.own.likelihood, parts.root)
            + jnp.where(alone, parts.own.log_scale, 0.0).sum()
        )

    return log_likelihood


def _bits(value: Any) -> Any:
    """Doubles as pairs of words: JAX makes single precision of them on the thread of a callback."""
    return lax.bitcast_convert_type(value, jnp.uint32) if value.dtype.itemsize == _DOUBLE else value


def _floats(bits: Any) -> Any:
    return lax.bitcast_convert_type(bits, jnp.float64) if bits.dtype == jnp.uint32 else bits


def _doubles(bits: Any) -> FloatArray:
    """`_floats` on the host, always doubles."""
    given = np.ascontiguousarray(np.asarray(bits))
    return given.view(np.float64)[..., 0] if given.dtype == np.uint32 else given.astype(float)


def _words(values: FloatArray, double: bool) -> Any:
    """`_bits` on the host."""
    values = np.asarray(values, np.float64, order="C")
    return values[..., None].view(np.uint32) if double else values.astype(np.float32)


Climb = Callable[[FloatArray], tuple[Any, Any]]


def _top(climb: Climb, density: GridDensity, count: int, starts: list[FloatArray] | None = None) -> FloatArray:
    """(F,) the highest place that searches end at."""
    if starts is None:
        from scipy.stats import qmc

        shifts = _SPREAD * (2 * qmc.Sobol(count, scramble=False).random(_TRIED)[1:] - 1)
        middle = np.array([sum(start) / 2 for start in density.starts])
        places = np.concatenate([middle[None], middle + shifts])
        heights = np.nan_to_num([float(climb(place)[0]) for place in places], nan=-np.inf)
        starts = list(places[np.argsort(-heights, kind="stable")[:_SEARCHES]])

    def objective(w: FloatArray) -> tuple[float, FloatArray]:
        found = climb(w)
        value, gradient = float(found[0]), np.asarray(found[1], float)
        return (-value, -gradient) if np.isfinite(value) and np.isfinite(gradient).all() else (1e300, 0 * w)

    ends = [minimize(objective, start, jac=True, method="L-BFGS-B", options={"gtol": 1e-4}) for start in starts]
    return np.asarray(min(ends, key=lambda end: float(end.fun)).x, float)


def _scale(gradient: Callable[[FloatArray], FloatArray], top: FloatArray) -> FloatArray:
    """(F, F) from coordinates in which the top is like a unit normal distribution to those of the priors."""
    steps = _STEP * np.eye(len(top))
    curvature = -np.stack([gradient(top + step) - gradient(top - step) for step in steps]) / (2 * _STEP)
    values, vectors = np.linalg.eigh((curvature + curvature.T) / 2)
    return np.asarray(vectors / np.sqrt(np.maximum(values, _LEAST)))
