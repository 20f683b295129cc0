"""Which way the sweeps of a grid go.

On the host by eigenvectors where that is safe, else by squares; elsewhere, and down very deep trees, as a compiled
program.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from hxcli.engine.topology import Topology
from hxcli.engine.tree import Tree
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.device_placement import on_cpu
from hxcli.prebuilt.grid import log_at_root, swept_down, swept_up
from hxcli.prebuilt.grid_generator import Generator
from hxcli.prebuilt.grid_levels import Found, GroupedEdges, Slopes, drawn_cells, swept
from hxcli.prebuilt.grid_pairs import joint_cells
from hxcli.prebuilt.grid_spectrum import SpectralEdges, Spectrum, spectrum_of
from hxcli.prebuilt.grid_squares import SquaredEdges
from hxcli.prebuilt.grid_transition import make_transitions
from hxcli.prebuilt.path_gains import Paths

# Change of the log likelihood that rounding may make, above which the sweeps go the way that keeps small chances.
_MOST_DOUBT = 1e-7
# Groups of edges whose squares are held at a time: each is as large as twenty matrices.
_MOST_SQUARED = 16
# Levels of a tree above which a sweep level by level is slower than a compiled one.
_MOST_LEVELS = 1500


class GridEngine:
    """The sweeps over one tree, on which G walks go."""

    def __init__(self, topology: Topology, group: NDArray[np.intp]) -> None:
        """Prepares nothing yet; `group` (N,) says whose walk every edge has."""
        self._topology, self._group = topology, group
        self._tree: Tree | None = None

    def swept(
        self,
        generator: Generator,
        time: FloatArray,
        likelihood: FloatArray,
        root: FloatArray | None,
        *,
        slopes: bool = False,
        densities: bool = False,
    ) -> Found:
        """Log likelihood, and densities and slopes where they are wanted.

        Args:
            generator: Of the walks, (G, k) each.
            time: (N,) lengths of the edges.
            likelihood, root: As for `grid_levels.swept`.
            slopes, densities: Whether they are wanted.
        """
        walk = Generator(*(np.asarray(each, float) for each in generator))
        if not self._on_host:
            return self._compiled(walk, time, likelihood, root, slopes, densities)
        return self.swept_on_host(walk, time, likelihood, root, slopes=slopes, densities=densities)

    def swept_on_host(
        self,
        walk: Generator,
        time: FloatArray,
        likelihood: FloatArray,
        root: FloatArray | None,
        *,
        slopes: bool = False,
        densities: bool = False,
    ) -> Found:
        """The same wherever arrays are; calls nothing of JAX."""
        if not (np.isfinite([*walk]).all() and np.isfinite(time).all()):
            return Found(np.nan, np.full_like(likelihood, np.nan), np.nan, None)
        spectra = _spectra_of(walk)
        if spectra is not None:
            edges = GroupedEdges(time, self._group, lambda group, time: SpectralEdges(spectra[group], time))
            found = swept(self._topology, edges, likelihood, root, slopes=slopes, most_doubt=_MOST_DOUBT)
            if found.doubt < _MOST_DOUBT and np.isfinite(found.log_likelihood):
                return found
        only_up = not (slopes or densities)
        return swept(self._topology, self._squared(walk, time), likelihood, root, slopes=slopes, only_up=only_up)

    def _squared(self, walk: Generator, time: FloatArray) -> GroupedEdges:
        def made(group: int, time: FloatArray) -> SquaredEdges:
            return SquaredEdges(walk.up[group], walk.down[group], walk.lost[group], time)

        return GroupedEdges(time, self._group, made, _MOST_SQUARED)

    def drawn(
        self,
        walk: Generator,
        time: FloatArray,
        likelihood: FloatArray,
        root: FloatArray,
        chances: FloatArray,
    ) -> NDArray[np.intp]:
        """(K, N) joint draws of all nodes' cells; the rest as for `grid_levels.drawn_cells`."""
        walk = Generator(*(np.asarray(each, float) for each in walk))
        return drawn_cells(self._topology, self._squared(walk, time), likelihood, root, chances)

    def together(
        self, walk: Generator, time: FloatArray, likelihood: FloatArray, root: FloatArray, paths: Paths
    ) -> list[FloatArray]:
        """(k, k) chances of the cells of both nodes of every pair; the rest as for `grid_pairs.joint_cells`."""
        walk = Generator(*(np.asarray(each, float) for each in walk))
        spectra = _spectra_of(walk)
        if spectra is not None:
            edges = GroupedEdges(time, self._group, lambda group, time: SpectralEdges(spectra[group], time))
            found = swept(self._topology, edges, likelihood, root, slopes=False)
            if found.doubt < _MOST_DOUBT and np.isfinite(found.log_likelihood):
                return joint_cells(self._topology, edges, likelihood, found.density, paths)
        squared = self._squared(walk, time)
        found = swept(self._topology, squared, likelihood, root, slopes=False)
        return joint_cells(self._topology, squared, likelihood, found.density, paths)

    def later(self, walk: Generator, nodes: NDArray[np.intp], time: FloatArray, begun: FloatArray) -> FloatArray:
        """(n, k) weights of the cells some time (n,) after those that are given, along the edges above some nodes."""
        walk = Generator(*(np.asarray(each, float) for each in walk))
        found, groups = np.empty_like(begun), self._group[nodes]
        for group in np.unique(groups).tolist():
            some = np.flatnonzero(groups == group)
            edges = SquaredEdges(walk.up[group], walk.down[group], walk.lost[group], time[some])
            found[some] = edges.forwards(slice(0, len(some)), begun[some])
        return found

    @property
    def _on_host(self) -> bool:
        return on_cpu() and self._topology.depth <= _MOST_LEVELS

    def _compiled(
        self,
        walk: Generator,
        time: FloatArray,
        likelihood: FloatArray,
        root: FloatArray | None,
        slopes: bool,
        densities: bool,
    ) -> Found:
        size, cells = likelihood.shape
        inner = ~np.asarray(self._topology.is_leaf)
        if self._tree is None:
            self._tree = Tree.on_frame(self._topology, {"inner": inner, "group": self._group}, cells)
        tree = self._tree
        room = tree.size - size
        given = jnp.pad(jnp.asarray(time), (0, room)), jnp.pad(jnp.asarray(likelihood), [(0, room), (0, 0)])
        value, by = _value_and_slopes(tree, walk, *given, root) if slopes else (_value(tree, walk, *given, root), None)
        density = likelihood[:0]
        if densities:
            density = np.asarray(_densities(tree, walk, *given, np.ones(cells) if root is None else root))[:size]
        if by is None:
            return Found(float(value), density, 0.0, None)
        by_walk, by_time, by_likelihood, *rest = jax.tree.map(lambda each: np.asarray(each, float), by)
        by_root = rest[0] if rest else np.zeros(cells)
        found = Slopes(by_walk.up, by_walk.down, by_walk.lost, by_time[:size], by_likelihood[:size], by_root)
        return Found(float(value), density, 0.0, found)


def _spectra_of(walk: Generator) -> list[Spectrum] | None:
    """Of G walks; None where one has none."""
    found = []
    for rates in zip(*walk, strict=True):
        spectrum = spectrum_of(*rates)
        if spectrum is None:
            return None
        found.append(spectrum)
    return found


def _log_likelihood(tree: Tree, walk: Generator, time: Any, likelihood: Any, root: Any) -> Any:
    ready = Tree.from_data(tree.topology, {"time": time, "group": tree["group"], "inner": tree["inner"]})
    return log_at_root(ready, walk, likelihood, jnp.zeros_like(time), root)


_value = jax.jit(_log_likelihood)
_value_and_slopes = jax.jit(
    lambda tree, *given: jax.value_and_grad(
        lambda *given: _log_likelihood(tree, *given), argnums=(0, 1, 2) if given[3] is None else (0, 1, 2, 3)
    )(*given)
)


@jax.jit
def _densities(tree: Tree, walk: Generator, time: Any, likelihood: Any, root: Any) -> Any:
    transitions = make_transitions(walk, time.max())
    data = {"time": time, "group": tree["group"], "likelihood": likelihood, "log_scale": jnp.zeros_like(time)}
    return swept_down(swept_up(Tree.from_data(tree.topology, data), transitions), transitions, root).density
