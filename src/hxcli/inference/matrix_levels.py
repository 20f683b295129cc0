"""The likelihood of traits together under a user's model, level by level on the host: nothing is compiled for it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hxcli.inference.matrix_programs import JointFigures, Placed
from hxcli.models.joint_edges import JointEdges
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.discrete.level_sweeps import levels_of
from hxcli.prebuilt.gaussian_matrices import Root
from hxcli.prebuilt.host_matrices import diagonals, semidefinite_root, transposed
from hxcli.prebuilt.level_matrices import Edges, Seen, Upwards, slopes, swept_down, swept_up


class _Moves(NamedTuple):
    """Sets of unknowns of the mean: their best, and what each moves when all others follow; as `swept_down` has them.

    Attributes:
        unknowns: (K, C, 1 + F).
        root: (K, D, 1 + F) the root's states.
        spread: (K, D, D) the root's covariance, given all of them.
        covariance: (K, F, F) of the unknowns, a free root's states first.
    """

    unknowns: FloatArray
    root: FloatArray
    spread: FloatArray
    covariance: FloatArray


class HostSweeps:
    """Sweeps of one tree with its observations.

    Where a search tries what is no model, the figures are no numbers, without a warning, and it turns back.
    """

    def __init__(self, placed: Placed) -> None:
        tips, size = placed.tips, placed.topology.size
        self._laid, self._free_root = placed.laid, placed.free_root
        # No length is looked at: what an edge does is told by its matrices.
        self._levels = levels_of(placed.topology, np.ones(size))
        self._seen = Seen(
            tips["known"] > 0,
            tips["mean"],
            tips["precision"],
            tips["count"].sum(0),
            float(tips["log_det"].sum()),
            tips["quadratic"].sum(0),
        )

    def figures(self, edges: JointEdges) -> JointFigures:
        """The figures of edges at K points, each with a first axis K."""
        with np.errstate(all="ignore"):
            root = self._swept(self._on_tree(_on_host(edges))).root
            return self._figures(root, self._moves(root))

    def figures_and_slopes(self, edges: JointEdges, tangents: JointEdges) -> tuple[JointFigures, JointFigures]:
        """The figures of edges at one point, and their derivatives along S tangents, each with a first axis S."""
        with np.errstate(all="ignore"):
            on_tree = self._on_tree(_on_host(edges, np.newaxis))
            along = Edges(*(part[None] for part in self._on_tree(_on_host(tangents), constant=0.0)))
            up = self._swept(on_tree)
            moves = self._moves(up.root)
            quadratic, rest = slopes(self._levels, up, on_tree, moves.unknowns, moves.root, moves.spread, along)
            both, size = (quadratic + transposed(quadratic))[0], self._sizes(moves)
            found = JointFigures(*(part[0] for part in self._figures(up.root, moves)))
            return found, JointFigures(
                quadratic[0, :, 0, 0] + rest[0],
                both[:, 0, 1:] * size,
                both[:, 1:, 1:] * size[:, None] * size,
                *(np.zeros((len(both), len(part))) for part in (found.count, found.identified)),
            )

    def states(self, edges: JointEdges) -> tuple[FloatArray, FloatArray]:
        """Means and variances of all nodes, (K, M, D) both, with the edges at K points."""
        on_tree = self._on_tree(_on_host(edges))
        up = self._swept(on_tree)
        root = up.root
        every = np.broadcast_to(np.eye(root.best.shape[1]), (len(root.best), *2 * root.best.shape[1:]))
        state, spread = swept_down(self._levels, up, on_tree, every, root.state, root.spread)
        moves = state[..., 1:]
        spread = spread + moves @ root.covariance[:, None] @ transposed(moves)
        return (state @ root.best[:, None, :, None])[..., 0], diagonals(spread)

    def drawn(self, edges: JointEdges, nodes: FloatArray, means: FloatArray) -> tuple[FloatArray, FloatArray]:
        """One joint draw of all nodes, (K, M, D), and of the unknowns of the mean, (K, C - 1), at each of K points.

        Args:
            edges: At these.
            nodes: (K, M, D) standard normal numbers.
            means: (K, C - 1) likewise.
        """
        on_tree = self._on_tree(_on_host(edges))
        up = self._swept(on_tree)
        root = up.root
        unknowns = root.best.copy()
        unknowns[:, 1:] += (_root_of(root.covariance) @ means[..., None])[..., 0]
        of_root = root.state @ unknowns[..., None] + _root_of(root.spread) @ nodes[:, 0, :, None]
        apart = _root_of(up.over.own) @ nodes[..., None]
        state, _ = swept_down(self._levels, up, on_tree, unknowns[..., None], of_root, root.spread, apart)
        return state[..., 0], unknowns[:, 1:]

    def _swept(self, edges: Edges) -> Upwards:
        return swept_up(self._levels, self._seen, edges, self._free_root)

    def _moves(self, root: Root) -> _Moves:
        best, covariance = root.best[:, :, None], root.covariance
        still = np.zeros((len(best), 1, covariance.shape[-1]))
        if not self._free_root:
            unknowns = np.concatenate([best, np.concatenate([still, covariance], 1)], 2)
            return _Moves(unknowns, root.state @ unknowns, root.spread, covariance)
        moves = root.state[:, :, 1:] @ covariance
        own = root.spread + moves @ transposed(root.state[:, :, 1:])
        of_root, of_means = np.concatenate([own, moves], 2), np.concatenate([transposed(moves), covariance], 2)
        none = np.zeros((len(best), 1, of_root.shape[2]))
        return _Moves(
            np.concatenate([best, np.concatenate([none, of_means], 1)], 2),
            np.concatenate([root.state @ best, of_root], 2),
            np.zeros_like(root.spread),
            np.concatenate([of_root, of_means], 1),
        )

    def _sizes(self, moves: _Moves) -> FloatArray:
        """(F,) the unit of every unknown: those of the mean are in the user's own."""
        size = np.ones(moves.covariance.shape[-1])
        if self._free_root:
            size[: len(self._laid.scale)] = self._laid.scale
        return size

    def _figures(self, root: Root, moves: _Moves) -> JointFigures:
        beta, identified, size = root.best[:, 1:], root.identified, self._sizes(moves)
        if self._free_root:
            state = moves.root[:, :, 0] * self._laid.scale + self._laid.location
            beta = np.concatenate([state, beta], 1)
            identified = np.concatenate([root.root_identified, identified], 1)
        value = root.log_likelihood - root.count @ np.log(self._laid.scale)
        return JointFigures(value, beta, moves.covariance * size[:, None] * size, root.count, identified.astype(float))

    def _on_tree(self, edges: JointEdges, constant: float = 1.0) -> Edges:
        """A model's edges on the tree, in units of computation; with a constant of 0 what is linear in them."""
        laid = self._laid
        scale, traits, columns = laid.scale, len(laid.scale), laid.mix.shape[1]
        identity, product, data = constant * np.eye(traits), scale[:, None] * scale, np.arange(columns) == 0
        is_edge, is_noise = laid.is_edge[:, None, None], laid.is_noise[:, None, None]
        is_root = (np.arange(len(laid.edge)) == 0)[:, None, None]
        transition = edges.transition[:, laid.edge] * (scale / scale[:, None])
        # What a location that is not 0 adds; nothing where the state stays as it is.
        from_location = ((transition - identity) @ (laid.location / scale))[..., None] * data
        shift = (edges.shift[:, laid.edge] @ laid.mix) / scale[:, None] + from_location
        transition = np.where(is_edge, transition, np.where(is_root, 0.0, identity))
        shift = np.where(is_edge, shift, 0.0)
        variance = np.where(is_edge, edges.variance[:, laid.edge] / product, 0.0)
        if edges.noise is not None:
            variance = np.where(is_noise, edges.noise[:, laid.edge] / product, variance)
        if not self._free_root:
            mean = edges.root_mean @ laid.mix + constant * (laid.root - laid.location)[:, None] * data
            shift[:, 0], variance[:, 0] = mean / scale[:, None], edges.root_variance / product
        return Edges(transition, shift, variance)


def _root_of(covariance: FloatArray) -> FloatArray:
    return semidefinite_root(covariance, np.ones(covariance.shape[:-1], bool))


def _on_host(edges: JointEdges, which: Any = ...) -> JointEdges:
    """As numpy arrays; of their first axis what is asked for."""
    return JointEdges(*(None if part is None else np.asarray(part, float)[which] for part in edges))
