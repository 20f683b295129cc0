"""The log likelihood of several traits together under a user's Gaussian model, with its derivatives and all states.

A search moves the model's parameters; the root's state where it is free, and the parameters in `MEANS`, are solved for
at every point. Computed is in units in which the traits are centred and of order one; the parameters are in those of
the user's files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from hxcli.engine.schedule import size_class
from hxcli.errors import OptionError
from hxcli.inference.joint_problem import refuse_single_precision, with_observations
from hxcli.inference.likelihood_programs import ColumnFigures
from hxcli.inference.matrix_levels import HostSweeps
from hxcli.inference.matrix_programs import (
    CompiledSweeps,
    JointFigures,
    Laid,
    MovedModel,
    OfModel,
    Placed,
    edges_at,
    slopes_of_edges,
    traced_at,
)
from hxcli.inference.searched import MovedCoordinates
from hxcli.model.edges import OF_THE_TREE
from hxcli.models.bound_model import BoundModel
from hxcli.models.gaussian_model import OFFSET
from hxcli.models.joint_edges import JointEdges
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.device_placement import on_cpu
from hxcli.prebuilt.discrete.level_sweeps import MOST_LEVELS
from hxcli.prebuilt.parameter_columns import in_widths
from hxcli.prebuilt.tip_likelihoods import exact_ones, refuse_bad_variance, refuse_contradictions, tip_likelihoods
from hxcli.prebuilt.units import units_of
from hxcli.traits import Observations

# Sets of parameters of a sweep: one number, so that one program serves all, but for trees on which a set is dear.
_WIDTHS, _WIDTHS_LARGE, _LARGE = (16,), (1, 16), 1 << 13
# Where there are very many points, more of them on small trees, on which numpy's calls are what is dear.
_WIDTHS_MANY, _SMALL = (64,), 1 << 9


class MatrixLikelihood(MovedCoordinates):
    """The log likelihood of D traits together under one model.

    Attributes:
        bound: The model on the tree.
        coordinates: What a search moves, S of them.
        held: Reported name -> value of the parameters that are given.
        profiled: False: no rate is solved for.
        unknowns: Names of the F unknowns of the mean that are solved for.
        observations, tau2: As given.
        units: Of the computation.
        believed: Unknown of the mean -> mean and precision of its normal prior, which is a factor of the likelihood but
            for its constant.
        placed: The tree with its observations.
        sweeps: What sweeps it: the host, level by level, or compiled programs for trees of very many levels.
    """

    profiled = False

    def __init__(
        self,
        bound: BoundModel,
        observations: Observations,
        *,
        tau2: float = 0.0,
        held: Mapping[str, float],
        believed: Mapping[str, tuple[float, float]] | None = None,
        many: bool = False,
    ) -> None:
        """Places the observations.

        Args:
            bound, observations, tau2, held, believed: As the attributes are.
            many: Whether it is to be looked at at very many points.

        Raises:
            OptionError: A value in `held` outside its support, or a root that is given in part; single precision.
            ModelError: Error-free observations that contradict each other.
        """
        refuse_single_precision()
        refuse_bad_variance("tau2", tau2)
        phylogeny, model = bound.fields.phylogeny, bound.model
        refuse_contradictions(phylogeny, observations, exact_ones(observations, tau2))
        self.bound, self.observations, self.held, self.tau2 = bound, observations, dict(held), tau2
        self.believed = dict(believed or {})
        for each in bound.coordinates:
            if each.name in held and not each.low <= held[each.name] <= each.high:
                raise OptionError(
                    f"--set {each.name}={held[each.name]:g}: outside its support, {each.low:.6g} to {each.high:.6g}"
                )
        self.coordinates = tuple(each for each in bound.coordinates if each.name not in held)
        traits = len(bound.traits)
        roots = [f"root({trait})" for trait in bound.traits] if model.root is None else []
        given_roots = [name for name in roots if name in held]
        if given_roots and len(given_roots) < traits:
            lacking = next(name for name in roots if name not in held)
            raise OptionError(f"--set {given_roots[0]}: give the root of every trait, or of none ({lacking} lacks)")
        free_root = bool(roots) and not given_roots
        layout = tuple((name, shape) for name, shape in bound.layout if name != "root" or not roots)
        moved = tuple((each.parameter, each.entry, each.log) for each in self.coordinates)
        self._moved = MovedModel(model, layout, moved, traits)
        means = [name for name in bound.unknowns if name not in roots]
        free = [name for name in means if name not in held and name != OFFSET]
        self.unknowns = (*(roots if free_root else ()), *free)
        root = np.array([held.get(name, 0.0) for name in roots] or [0.0] * traits)
        self.placed = self._placed(tau2, _mix(means, free, held), root, free_root, self._of_beliefs(free))
        on_host = on_cpu() and self.placed.topology.depth <= MOST_LEVELS
        self.sweeps: HostSweeps | CompiledSweeps = HostSweeps(self.placed) if on_host else CompiledSweeps(self.placed)
        self._size = size_class(self.placed.topology.size)
        few = _WIDTHS if self._size <= _LARGE else _WIDTHS_LARGE
        self._widths = _WIDTHS_MANY if many and self._size <= _SMALL else few
        self._of_model = self._model_on(self._size)

    def at(self, x: FloatArray) -> ColumnFigures:
        """The likelihood at K points of the search, (K, S)."""
        x = np.atleast_2d(x)
        parts = [figures for _, figures in self.swept(x)]
        whole = (np.concatenate([np.asarray(each, float) for each in zipped]) for zipped in zip(*parts, strict=True))
        return _columns(JointFigures(*(each[: len(x)] for each in whole)))

    def swept(self, x: FloatArray) -> Iterator[tuple[JointEdges, JointFigures]]:
        """Edges and figures at K points of the search, (K, S), in parts, the last filled up with copies."""
        for edges, _ in self._edges_of(x):
            yield edges, self.sweeps.figures(edges)

    def value_and_gradient(self, x: FloatArray) -> tuple[float, FloatArray]:
        """The log likelihood at one point of the search, (S,), and its exact gradient."""
        figures, slopes = self.figures_and_slopes(x)
        return float(figures.log_likelihood[0]), slopes.log_likelihood[0]

    def figures_and_slopes(self, x: FloatArray) -> tuple[ColumnFigures, ColumnFigures]:
        """One column at a point of the search, (S,), and the exact derivatives, each with a last axis S."""
        edges, tangents = slopes_of_edges(self._moved, np.asarray(x, float), self._of_model)
        found, slopes = self.sweeps.figures_and_slopes(edges, tangents)
        of_slopes = JointFigures(*(np.moveaxis(np.asarray(part, float), 0, -1)[None] for part in slopes))
        return _columns(JointFigures(*(np.asarray(part, float)[None] for part in found))), _columns(of_slopes)

    def figures(self, x: FloatArray) -> JointFigures:
        """All figures at one point of the search, (S,)."""
        found = self.sweeps.figures(self._edges(x))
        return JointFigures(*(np.asarray(part)[0] for part in found))

    def states(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Means and standard deviations of all nodes given all observations, (N, D) both, in the traits' own units."""
        one = self._edges(x)
        found = self.sweeps.states(JointEdges(*(None if part is None else part[:1] for part in one)))
        means, variances = (np.asarray(each, float)[0, self._nodes] for each in found)
        return self.units.states(means, np.sqrt(np.maximum(variances, 0)))

    def states_at(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Means and variances of all nodes at K points of the search, (K, N, D) both, in units of computation."""
        parts = [self.sweeps.states(edges) for edges, _ in self._edges_of(x)]
        means, variances = (
            np.concatenate([np.asarray(each, float)[:, self._nodes] for each in both])[: len(x)]
            for both in zip(*parts, strict=True)
        )
        return means, np.maximum(variances, 0)

    def drawn(self, x: FloatArray, random: Callable[[int], np.random.Generator]) -> tuple[FloatArray, FloatArray]:
        """One joint draw of all nodes and of the means at each of K points of the search, (K, S).

        Args:
            x: The points.
            random: From the number of a point to its random numbers.

        Returns:
            States (K, N, D), in units of computation, and the unknowns but a free root, (K, P), in the file's own.
        """
        # On the host, whatever the likelihood is computed by: draws are few.
        sweeps = self.sweeps if isinstance(self.sweeps, HostSweeps) else HostSweeps(self.placed)
        size, columns = self.placed.topology.size, self.placed.laid.mix.shape[1] - 1
        traits, states, unknowns, start = len(self.bound.traits), [], [], 0
        for edges, count in self._edges_of(x):
            numbers = np.zeros((count, size * traits + columns))
            for place in range(min(count, len(x) - start)):
                numbers[place] = random(start + place).standard_normal(numbers.shape[1])
            nodes = numbers[:, : size * traits].reshape(count, size, traits)
            found, means = sweeps.drawn(edges, nodes, numbers[:, size * traits :])
            states.append(found[:, self._nodes])
            unknowns.append(means)
            start += count
        return np.concatenate(states)[: len(x)], np.concatenate(unknowns)[: len(x)]

    def _edges_of(self, x: FloatArray) -> Iterator[tuple[JointEdges, int]]:
        """The edges at K points of the search, (K, S), in parts of so many, the last filled up with copies."""
        for (part,) in self._parts(x):
            yield edges_at(self._moved, part, self._of_model), len(part)

    def edges(self, x: FloatArray) -> JointEdges:
        """The edges at one point of the search, in the units of the files, as numpy arrays of N nodes."""
        found, size = self._edges(x), self.bound.fields.phylogeny.topology.size
        arrays = {name: np.asarray(part, float)[0] for name, part in found._asdict().items() if part is not None}
        cut = {name: part if name.startswith("root") else part[:size] for name, part in arrays.items()}
        return found._replace(**cut)

    def _edges(self, x: FloatArray) -> JointEdges:
        """Those of one point, which is the first of a sweep's."""
        return edges_at(self._moved, self._parts(np.asarray(x, float)[None])[0][0], self._of_model)

    def _parts(self, x: FloatArray) -> list[Any]:
        """(K, S) points of the search in parts of the width of a program, the last filled up with copies."""
        return in_widths(self._size, x, widths=self._widths)

    def parameters(self, x: FloatArray) -> dict[str, float]:
        """The parameters that are moved, by reported name."""
        return {each.name: float(each.from_search(value)) for each, value in zip(self.coordinates, x, strict=True)}

    def traced(self, x: Any) -> tuple[Any, Any]:
        """Edges and figures at one point of the search, (S,), to be called while tracing."""
        sweeps = self.sweeps if isinstance(self.sweeps, CompiledSweeps) else CompiledSweeps(self.placed)
        return traced_at(self._moved, self.placed.free_root, x, self._of_model, sweeps.seen)

    def _of_beliefs(self, free: list[str]) -> FloatArray:
        """(C, C) what the priors of the C - 1 free means add to the quadratic form of 1 and the means."""
        found = np.zeros((1 + len(free), 1 + len(free)))
        for name, (mean, precision) in self.believed.items():
            apart = np.zeros(len(found))
            apart[0], apart[1 + free.index(name)] = -mean, 1.0
            found += precision * np.outer(apart, apart)
        return found

    def _placed(self, tau2: float, mix: FloatArray, root: FloatArray, free_root: bool, beliefs: FloatArray) -> Placed:
        phylogeny, traits, seen = self.bound.fields.phylogeny, len(self.bound.traits), self.observations
        self.units = units_of(phylogeny, seen)
        self.units.refuse_extreme()
        own, noise = self.units.observations(seen), self.units.variance(tau2, "tau2")
        topology, self._nodes, rows = phylogeny.topology, np.arange(phylogeny.topology.size), seen.nodes
        edge, is_noise = self._nodes, np.zeros(topology.size, bool)
        if self.bound.model.noise is not None:
            # Every observation is a tip below its own, at the end of an edge that is its error.
            topology, self._nodes, rows = with_observations(topology, seen.nodes)
            edge, is_noise = np.zeros(topology.size, int), np.zeros(topology.size, bool)
            edge[self._nodes], edge[rows], is_noise[rows] = np.arange(len(self._nodes)), seen.nodes, True
        said = tip_likelihoods(topology.size, Observations(rows, own.values, own.standard_errors, own.traits), noise)
        columns = mix.shape[1]
        mean, quadratic = (np.zeros((topology.size, n, columns)) for n in (traits, columns))
        mean[:, :, 0], quadratic[:, 0, 0] = said["mean"], said["quadratic"].sum(1)
        # As if a tip had said it: that the last node is, and of none but tips it is asked.
        quadratic[-1] += beliefs
        tips = {
            "count": said["count"],
            "known": (said["known"] > 0).astype(float),
            "log_det": said["log_det"].sum(1),
            "mean": mean,
            "precision": said["precision"][:, :, None] * np.eye(traits),
            "quadratic": quadratic,
        }
        laid = Laid(
            edge,
            ~is_noise & (np.arange(topology.size) > 0),
            is_noise,
            mix,
            root,
            self.units.location,
            self.units.scale,
        )
        return Placed(topology, tips, laid, free_root)

    def _model_on(self, size: int) -> OfModel:
        """What the model's edges are made of, on a frame of that size."""
        bound, nodes = self.bound, self.bound.fields.phylogeny.topology.size
        columns = {
            # Copies of an edge, not zeros, of which a user's function might have no number.
            name: value
            if name in OF_THE_TREE
            else np.pad(value, [(0, size - nodes)] + [(0, 0)] * (np.ndim(value) - 1), mode="edge")
            for name, value in bound.fields.columns.items()
        }
        of_mean = {name for name, _ in bound.layout}
        values = {
            name: np.array(np.broadcast_to(one.start, one.shape), float)
            for name, one in bound.declarations.items()
            if name not in of_mean
        }
        for each in bound.coordinates:
            if each.name in self.held:
                values[each.parameter].reshape(-1)[each.entry] = self.held[each.name]
        for name in bound.fixed.keys() & self.held.keys():
            values[name][...] = self.held[name]
        return OfModel(columns, values)


def _mix(means: list[str], free: list[str], held: Mapping[str, float]) -> FloatArray:
    """(P, C) of `SeenTree`: of the model's unknowns the given ones in the first column, the free ones in one each."""
    mix = np.zeros((len(means), 1 + len(free)))
    mix[:, 0] = [1.0 if name == OFFSET else held.get(name, 0.0) for name in means]
    for number, name in enumerate(free, start=1):
        mix[means.index(name), number] = 1.0
    return mix


def _columns(found: JointFigures) -> ColumnFigures:
    """As a search has them; what no rate that is solved for needs is 1."""
    value = np.where(np.isfinite(found.log_likelihood), found.log_likelihood, -np.inf)
    ones = np.ones_like(value)
    return ColumnFigures(value, ones, found.beta, found.covariance, ones, ones)
