"""The log likelihood of one trait under a Gaussian model, at K sets of its parameters side by side.

A search moves the model's coordinates. What enters linearly is solved for at every set: the unknowns of the mean
always, and the first rate wherever no observation has an error and no rate is held.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hxcli.engine.tree import Tree, as_array
from hxcli.errors import OptionError
from hxcli.inference.likelihood_programs import (
    ColumnFigures,
    JointStates,
    Shape,
    columns_at,
    joint_states_at,
    slopes_at,
    states_at,
)
from hxcli.inference.searched import MovedCoordinates
from hxcli.model.edges import OF_THE_TREE
from hxcli.models.bound_model import BoundModel, Coordinate
from hxcli.models.gaussian_model import OFFSET, Edges
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.prebuilt.inverse_covariance import times_inverse
from hxcli.prebuilt.parameter_columns import in_widths, seen_fields
from hxcli.traits import Observations

# How far a rate that is searched for may be from the one at which the tips would differ as they do.
_RATE_BELOW, _RATE_ABOVE = 1e-12, 1e6
# Columns of a sweep: one number, so that one program serves every search, but for trees on which a column is dear.
_WIDTHS, _WIDTHS_LARGE, _LARGE = (16,), (1, 16), 1 << 13
# Nodes, with the padding, up to which a pass over the design costs less than another program.
_SMALL = 4096
# Points at which a model is looked at to see whether its mean moves along edges.
_LOOKS = 3


class Framed(NamedTuple):
    """A tree's edges on the device, shared by all models and traits.

    Attributes:
        tree: Framed, with the edges' columns as fields.
        columns: The same, and `tree_height`.
        size: N, without the padding.
    """

    tree: Tree
    columns: Mapping[str, Any]
    size: int


def framed(columns: Mapping[str, Any], phylogeny: Phylogeny) -> Framed:
    """Places a tree's edges on the device.

    Args:
        columns: Of `EdgeFields`.
        phylogeny: N nodes.
    """
    size = phylogeny.topology.size
    arrays = {name: np.asarray(value, float) for name, value in columns.items() if name not in OF_THE_TREE}
    tree = Tree.on_frame(phylogeny.topology, arrays, 16)
    # On the host: each of these operations would be a program of its own on the device.
    fields = {name: tree[name] for name in arrays} | {"is_tip": as_array(np.asarray(tree["is_tip"]) > 0)}
    whole = [name for name in arrays if np.issubdtype(np.asarray(columns[name]).dtype, np.integer)]
    fields |= {name: as_array(np.asarray(fields[name]).astype(int)) for name in whole}
    return Framed(tree, {**fields, **{name: columns[name] for name in OF_THE_TREE & columns.keys()}}, size)


class TraitLikelihood(MovedCoordinates):
    """The log likelihood of one trait under one model.

    Attributes:
        bound: The model on the tree.
        coordinates: What a search moves, S of them.
        held: Reported name -> value of the parameters that are given.
        restricted: REML, or ML.
        profiled: Whether the first rate is solved for; else all rates are coordinates.
        free: (P,) which unknowns of the mean are solved for.
        unknowns: Names of the P unknowns of the mean: the model's, or the columns of a design.
        on: The tree.
        tree: The same with the observations as fields.
        tau2: Observation variance.
        given_beta: (P,) the unknowns that are given, 0 for the others.
        shape: What of it is compiled.
    """

    def __init__(
        self,
        bound: BoundModel,
        on: Framed,
        observations: Observations,
        trait: int,
        *,
        restricted: bool,
        tau2: float = 0.0,
        held: Mapping[str, float] | None = None,
        design: FloatArray | None = None,
        terms: tuple[str, ...] = (),
    ) -> None:
        """Places the observations of a trait.

        Args:
            bound: The model on the tree.
            on: The tree.
            observations: In the unit of computation.
            trait: Which of their columns.
            restricted: REML, or ML.
            tau2: Observation variance, added to the squares of the known errors.
            held: Parameters that are given, in the unit of computation.
            design: (N, P) what the means of the tips are linear in, in the place of the model's own unknowns: those of
                a regression. Columns of zeros are no unknowns.
            terms: (P,) its names.

        Raises:
            OptionError: A name in `held` that the model does not have, or a value outside its support.
        """
        self.bound, self.restricted, self.held = bound, restricted, dict(held or {})
        phylogeny = bound.fields.phylogeny
        fields, exact = seen_fields(phylogeny, observations, trait)
        self.on, self.tau2 = on, tau2
        self.unknowns = bound.unknowns if design is None else terms
        if design is not None:
            fields = {**fields, "design": design}
        self.tree = Tree.from_data(on.tree.topology, {**_padded(on.tree, fields), "length": on.tree["length"]})
        rates = [name for name in bound.rates if name in self.held]
        own_noise = bound.model.noise is not None
        self.profiled = exact and tau2 == 0 and not own_noise and not rates and bool(bound.rates)
        self.free = tuple(name not in self.held and name != OFFSET for name in self.unknowns)
        self._refuse_unknown()
        every = list(bound.coordinates)
        if not self.profiled:
            every = [each for each in every if not each.is_rate] + self._rates(observations.values[:, trait])
        self._every = tuple(every)
        self.coordinates = tuple(each for each in every if each.name not in self.held)
        given = {OFFSET: 1.0, **self.held}
        self.given_beta = np.array([given.get(name, 0.0) for name in bound.unknowns])
        self.shape = Shape(restricted, self.profiled, self.free, self._is_drifting())

    def at(self, x: FloatArray) -> ColumnFigures:
        """The likelihood at K points of the search, (K, S)."""
        found = []
        for part in self.parts(np.atleast_2d(x)):
            edges, (tau2, given), shape = self._needed(part)
            columns = columns_at(self.tree, edges, tau2, given, shape)
            found.append(jax.tree.map(np.asarray, columns))
        whole = ColumnFigures(*(np.concatenate(parts)[: len(x)] for parts in zip(*found, strict=True)))
        finite = np.where(np.isfinite(whole.log_likelihood), whole.log_likelihood, -np.inf)
        # Nothing varies: every set of parameters explains the observations.
        return whole._replace(log_likelihood=np.where(whole.log_likelihood == np.inf, np.inf, finite))

    def value_and_gradient(self, x: FloatArray) -> tuple[float, FloatArray]:
        """The log likelihood at one point of the search, (S,), and its exact gradient."""
        figures, slopes = self.figures_and_slopes(x)
        return float(figures.log_likelihood[0]), slopes.log_likelihood[0]

    def figures_and_slopes(self, x: FloatArray) -> tuple[ColumnFigures, ColumnFigures]:
        """One column at a point of the search, (S,), and the exact derivatives, each with a last axis S."""
        coordinates = tuple((each.parameter, each.entry, each.log) for each in self.coordinates)
        values = {name: value[0] for name, value in self._values(self._whole(np.asarray(x, float)[None])).items()}
        model, layout, shape = self.bound.model, self.bound.layout, self.shape
        point, columns = jnp.asarray(x, float), dict(self.on.columns)
        found = slopes_at(
            model, layout, coordinates, shape, point, values, columns, self.tree, self.tau2, self.given_beta
        )
        figures, slopes = jax.tree.map(lambda part: np.asarray(part, float), found)
        return figures, slopes

    def states(self, x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Mean and variance (N,) of every node given the observations, at one point (S,); and the design (N, P).

        The variances include the uncertainty of the unknowns of the mean.
        """
        point = self.parts(np.asarray(x, float)[None])[0]
        found = states_at(self.tree, self.edges_at(point), *self.noise(point), self.shape)
        mean, variance, design, _ = (np.asarray(part, float)[: self.on.size] for part in found)
        return mean[:, 0], variance[:, 0], design[:, 0]

    def joint_states(self, x: FloatArray) -> JointStates:
        """All nodes together given the observations, at one point (S,)."""
        point = self.parts(np.asarray(x, float)[None])[0]
        found = joint_states_at(self.tree, self.edges_at(point), *self.noise(point), self.shape)
        gain, own, variance, rest = (np.asarray(part, float)[: self.on.size, 0] for part in found[:4])
        return JointStates(gain, own, variance, rest, np.asarray(found[4], float)[0])

    def weights(self, x: FloatArray) -> FloatArray:
        """(N, P) V^-1 X at one point (S,), without replicates: X' V^-1 y is the sum of its rows times the response."""
        point, size = self.parts(np.asarray(x, float)[None])[0], self.on.size
        found = states_at(self.tree, self.edges_at(point), *self.noise(point), self.shape)
        state = np.asarray(found[3], float)[:size, 0, 1:]
        edges = self.edges(x)
        tips = {name: np.asarray(self.tree[name])[:size].sum(1) for name in ("number", "error2")}
        noise = self.tau2 + (0.0 if edges.noise is None else edges.noise[:, 0])
        return times_inverse(
            self.bound.fields.phylogeny.topology,
            edges.scale[:, 0],
            edges.variance[:, 0],
            float(edges.root_variance[0]),
            state,
            np.asarray(found[2], float)[:size, 0],
            np.where(tips["number"] > 0, tips["error2"] + noise, np.nan),
        )

    def edges(self, x: FloatArray) -> Edges:
        """The edges at one point (S,), at a first rate of 1, as numpy arrays of N nodes and one column."""
        found = jax.tree.map(np.asarray, self.edges_at(np.asarray(x)[None]))
        names = ("scale", "variance", "shift", *(() if found.noise is None else ("noise",)))
        return found._replace(**{name: getattr(found, name)[: self.on.size] for name in names})

    def parameters(self, x: FloatArray) -> dict[str, float]:
        """Shape parameters, and rates where they are coordinates (else relative to the first), by reported name."""
        whole = self._whole(np.asarray(x)[None])[0]
        return {each.name: float(each.from_search(value)) for each, value in zip(self._every, whole, strict=True)}

    def values_at(self, x: FloatArray) -> dict[str, FloatArray]:
        """The parameters but for those of the mean at one point (S,), with a leading axis of 1."""
        return self._values(self._whole(np.asarray(x, float)[None]))

    def unknowns_at(self, figures: ColumnFigures) -> FloatArray:
        """(P,) the unknowns of the mean, given ones too, of one column."""
        found = self.given_beta.copy()
        found[np.flatnonzero(self.free)] = figures.beta[0]
        return found

    def parts(self, x: FloatArray) -> list[Any]:
        """(K, S) points of the search in parts of the width of a program, the last filled up with copies."""
        widths = _WIDTHS if self.tree.size <= _LARGE else _WIDTHS_LARGE
        return [part for (part,) in in_widths(self.tree.size, x, widths=widths)]

    def edges_at(self, x: Any) -> Edges:
        """The edges at the points of one part, on the device."""
        return self.bound.model.edges(
            self.bound.layout, dict(self.on.columns), self._values(self._whole(np.asarray(x)))
        )

    def _needed(self, part: Any) -> tuple[Edges, tuple[Any, Any], Shape]:
        """Of one part the edges, the noise and the shape, without an offset that no edge has."""
        edges, noise, shape = self.edges_at(part), self.noise(part), self.shape
        if len(self.unknowns) == 1 or self.unknowns[-1:] != (OFFSET,):
            return edges, noise, shape
        shift, root_mean = np.asarray(edges.shift), np.asarray(edges.root_mean)
        if shift[..., -1].any() or root_mean[..., -1].any():
            return edges, noise, shape
        edges = edges._replace(shift=shift[..., :-1], root_mean=root_mean[..., :-1])
        return edges, (noise[0], noise[1][:-1]), shape._replace(free=shape.free[:-1])

    def _values(self, whole: FloatArray) -> dict[str, FloatArray]:
        found = self.bound.values(whole, self._every)
        for name in self.bound.fixed.keys() & self.held.keys():
            found[name][:] = self.held[name]
        return found

    def _whole(self, x: FloatArray) -> FloatArray:
        """(K, all coordinates) with those that are held in their places."""
        whole = np.empty((len(x), len(self._every)))
        moving = iter(x.T)
        for number, each in enumerate(self._every):
            whole[:, number] = float(each.to_search(self.held[each.name])) if each.name in self.held else next(moving)
        return whole

    def noise(self, x: Any) -> tuple[Any, Any]:
        """For the points of one part their observation variances, and the unknowns that are given."""
        return np.full(len(x), self.tau2), self.given_beta

    def _is_drifting(self) -> bool:
        """Whether the mean moves along edges, at some points of the support."""
        if not self.bound.layout or "design" in self.tree.schema:
            return False
        if self.tree.size <= _SMALL:
            # One program for all models takes less than it takes to find out whether another would do.
            return True
        shares = np.linspace(0.2, 0.8, _LOOKS)[:, None]
        # Around the start where a support has no end.
        low, high = (
            np.where(np.isfinite(end), end, self.start + side) for end, side in zip(self.ends.T, (-1, 1), strict=True)
        )
        points = low + shares * (high - low) if len(low) else np.zeros((1, 0))
        found = self.edges_at(self.parts(points)[0])
        # On the host, as above.
        scale = np.asarray(found.scale)[np.asarray(self.tree["length"]) >= 0]
        return bool((np.asarray(found.shift) != 0).any() or (scale != 1).any())

    def _rates(self, values: FloatArray) -> list[Coordinate]:
        """The rates as coordinates of their own, around the one at which the tips would differ as they do."""
        if not self.bound.rates:
            return []
        points = np.array([[float(each.to_search(each.start)) for each in self.bound.coordinates]])
        variance = np.asarray(self.bound.edges(points, dict(self.on.columns)).variance)[:, 0]
        spread = float(np.nanvar(values)) if np.isfinite(values).any() else 0.0
        grown = float(variance[: self.on.size].sum()) / max(1, len(self.bound.fields.phylogeny.tips))
        usual = spread / grown if spread > 0 and grown > 0 else 1.0
        entries = [name for name, declared in self.bound.declarations.items() if name in self.bound.model.rates]
        found: list[Coordinate] = []
        for name in entries:
            count = max(1, int(np.prod(self.bound.declarations[name].shape, dtype=int)))
            for index in range(count):
                reported = self.bound.rates[len(found)]
                ends = (_RATE_BELOW * usual, _RATE_ABOVE * usual)
                found.append(Coordinate(reported, name, index, *ends, log=True, start=usual, is_rate=True))
        return found

    def _refuse_unknown(self) -> None:
        known = {each.name: (each.low, each.high) for each in self.bound.coordinates if not each.is_rate}
        for name, value in self.held.items():
            if name in known:
                low, high = known[name]
                if not low <= value <= high:
                    raise OptionError(f"--set {name}={value:g}: outside its support, {low:.6g} to {high:.6g}")
            elif name in self.bound.rates:
                if not value > 0:
                    raise OptionError(f"--set {name}={value:g}: a rate is above 0")
            elif name not in (*self.unknowns, *self.bound.fixed):
                unknowns = [each for each in self.unknowns if each != OFFSET]
                has = ", ".join([*known, *self.bound.rates, *unknowns, *self.bound.fixed])
                raise OptionError(f"--set {name}: model {self.bound.name} has no such parameter (it has {has})")


def _padded(tree: Tree, fields: Mapping[str, FloatArray]) -> dict[str, Any]:
    size = tree.size
    return {name: as_array(np.concatenate([v, np.zeros((size - len(v), *v.shape[1:]))])) for name, v in fields.items()}
