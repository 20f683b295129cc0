"""Traits together as one problem: a tree with observations, and its log likelihood with all derivatives."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np

from hxcli.engine.topology import Topology, from_parents
from hxcli.engine.tree import Tree
from hxcli.errors import OptionError
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.prebuilt.gaussian_joint import joint_tree
from hxcli.prebuilt.joint_paths import JointPairs, joint_gains, joint_pairs
from hxcli.prebuilt.joint_smoothing import simulated, smoothed, smoothed_states, up_sweep
from hxcli.prebuilt.path_gains import Paths
from hxcli.prebuilt.tip_likelihoods import exact_ones, refuse_bad_variance, refuse_contradictions, tip_likelihoods
from hxcli.prebuilt.units import Units, units_of
from hxcli.traits import Observations

JointModel: TypeAlias = Literal["bm", "lambda", "ou"]


class Evaluation(NamedTuple):
    """Log likelihood of one set of parameters, and its derivatives.

    Attributes:
        log_likelihood: Restricted or plain.
        rate, within: (D, D) derivatives; by a symmetric change dR the likelihood changes by sum(rate * dR).
        shape: Derivative by the shape parameter.
        densities: (D,) how many one-dimensional densities of every trait the likelihood is made of.
    """

    log_likelihood: float
    rate: FloatArray
    within: FloatArray
    shape: float
    densities: FloatArray


class JointStates(NamedTuple):
    """All nodes given all observations, in units of computation.

    Attributes:
        means: (N, D).
        covariances: (N, D, D).
        pull, information: (N, D) and (N, D, D): what a node's edge feels, of which leaving a cell out is made.
    """

    means: FloatArray
    covariances: FloatArray
    pull: FloatArray
    information: FloatArray


class JointProblem:
    """The observations of D traits on one tree, in units of their own.

    Attributes:
        phylogeny: N nodes.
        observations: As given.
        units: What values and lengths are divided by.
        model: Which edges.
        restricted: Whether the likelihood is the restricted one.
        phenotypic: Whether every observation is a draw around its species, with a covariance to be estimated.
        tree: Framed, of M >= N nodes: with `phenotypic`, every observation is a tip below its species.
        nodes: (N,) where the phylogeny's nodes are in it.
        rows: (M,) where the observations are.
        cells: (D,) numbers of tips with a value.
    """

    def __init__(
        self,
        phylogeny: Phylogeny,
        observations: Observations,
        *,
        model: JointModel = "bm",
        restricted: bool = True,
        phenotypic: bool = False,
        tau2: float = 0.0,
    ) -> None:
        refuse_single_precision()
        refuse_bad_variance("tau2", tau2)
        if not phenotypic:
            # Before anything is rounded, so that the message has the values of the table.
            refuse_contradictions(phylogeny, observations, exact_ones(observations, tau2))
        self.phylogeny, self.observations = phylogeny, observations
        self.model, self.restricted, self.phenotypic = model, restricted, phenotypic
        self.units: Units = units_of(phylogeny, observations)
        self.units.refuse_extreme()
        seen = self.units.observations(observations)
        noise = self.units.variance(tau2, "tau2")
        self.traits = len(observations.traits)
        self.lengths = phylogeny.lengths / self.units.length
        topology, self.nodes, added, rows = phylogeny.topology, np.arange(phylogeny.topology.size), None, seen.nodes
        if phenotypic:
            topology, self.nodes, added = with_observations(topology, seen.nodes)
            rows = added
        self.parents = np.asarray(topology.parents)
        self.depths = np.zeros(topology.size)
        self.depths[self.nodes] = phylogeny.root_distances / self.units.length
        self.noise = np.zeros(topology.size)
        if added is not None:
            self.noise[added] = 1.0
        self.is_tip = np.zeros(topology.size, bool)
        self.is_tip[self.nodes[phylogeny.tips]] = True
        self.size = topology.size
        self.observed_nodes = np.unique(rows[(~np.isnan(seen.values)).any(1)])
        self.cells = (~np.isnan(observations.means(0, phylogeny.topology.size))).sum(0)
        # One column of data, and for a mean that is not the root's state one for every trait.
        self.columns = 1 + (self.traits if model == "ou" else 0)
        self._length = np.zeros(topology.size)
        self._length[self.nodes] = self.lengths
        placed = Observations(rows, seen.values, seen.standard_errors, seen.traits)
        tips = _tip_fields(topology, placed, noise, self.columns)
        self.known = tips["known"] > 0
        self.rows = rows
        lengths = {"time": self._length, "scale": np.ones(topology.size)}
        self.tree = joint_tree(topology, {**lengths, "noise": self.noise}, tips)
        self.evaluations = 0

    @property
    def complete(self) -> bool:
        """Whether every tip that has a value has one of every trait, all of them exact."""
        seen = self.observations
        return (
            not self.phenotypic
            and bool(self.known[self.observed_nodes].all())
            and bool(self.known.any())
            and (len(seen.nodes) > 0)
        )

    @property
    def height(self) -> float:
        """Largest distance between root and tip."""
        return float(self.depths.max())

    def edges(self, shape: Any, xp: Any = np) -> dict[str, Any]:
        """`time` and `scale` of every edge of `tree`, (N,) each, at a shape parameter.

        Args:
            shape: Above 0 for `ou`.
            xp: numpy, or jax.numpy while tracing.
        """
        found = {"time": self._length, "scale": np.ones(self.size)}
        if self.model == "lambda":
            # Pagel (1999, Nature 401:877): tips stay where they are, all else is drawn towards the root.
            above = self.depths[self.parents]
            found["time"] = xp.where(self.is_tip, self._length + (1 - shape) * above, shape * self._length)
        elif self.model == "ou":
            # Hansen (1997, Evolution 51:1341), root at the optimum, deviations from which are swept.
            found["time"] = -xp.expm1(-2 * shape * self._length) / (2 * shape)
            found["scale"] = xp.exp(-shape * self._length)
        room, root = self.tree.size - self.size, np.arange(self.size) == 0
        return {name: xp.pad(xp.where(root, name == "scale", each), (0, room)) for name, each in found.items()}

    def _slopes(self, shape: float) -> tuple[FloatArray, FloatArray]:
        """Derivatives of `time` and `scale` by the shape parameter; of no meaning at the root."""
        length = self._length
        if self.model == "lambda":
            return np.where(self.is_tip, -self.depths[self.parents], length), np.zeros(self.size)
        decay = np.exp(-shape * length)
        time = -np.expm1(-2 * shape * length) / (2 * shape)
        return (length * decay**2 - time) / shape, -length * decay

    def evaluate(self, rate: FloatArray, within: FloatArray | None = None, shape: float = 0.0) -> Evaluation:
        """Log likelihood and derivatives; -inf where it is no number."""
        self.evaluations += 1
        parameters = jnp.asarray(rate), self._within(within)
        found = smoothed(up_sweep(self._at(shape), *parameters), *parameters, self.restricted)
        value, by_rate, by_within, by_time, by_scale, densities = (np.asarray(x, np.float64) for x in found[:6])
        by_shape = 0.0
        if self.model != "bm":
            by_edge = by_time[: self.size], by_scale[: self.size]
            by_shape = float(sum(by @ slope for by, slope in zip(by_edge, self._slopes(shape), strict=True)))
        height = float(value) if np.isfinite(value) and np.all(np.isfinite(by_rate)) else -np.inf
        return Evaluation(height, (by_rate + by_rate.T) / 2, (by_within + by_within.T) / 2, by_shape, densities)

    def states(self, rate: FloatArray, within: FloatArray | None = None, shape: float = 0.0) -> JointStates:
        """All nodes given all observations at these parameters."""
        parameters = jnp.asarray(rate), self._within(within)
        swept = up_sweep(self._at(shape), *parameters)
        # The uncertainty of the means is in the states whatever the likelihood.
        found = smoothed_states(swept, smoothed(swept, *parameters, True), *parameters)
        return JointStates(*(np.asarray(x, np.float64)[: self.size] for x in found[:4]))

    def pairs(
        self, paths: Paths, ends: tuple[Any, Any], rate: FloatArray, within: FloatArray | None, shape: float
    ) -> JointPairs:
        """Pairs of the phylogeny's nodes given all observations at these parameters.

        Args:
            paths: Between the pairs.
            ends: (P,) each, the first and the second nodes.
            rate, within, shape: Of the problem.
        """
        parameters = jnp.asarray(rate), self._within(within)
        swept = up_sweep(self._at(shape), *parameters)
        edges = smoothed(swept, *parameters, True)
        *_, alone, follows = smoothed_states(swept, edges, *parameters)
        places = [self.nodes[each] for each in (paths.meet, *ends)]
        at_meeting, *rests = (
            np.asarray(each[at], float) for each, at in zip((alone, follows, follows), places, strict=True)
        )
        means = np.asarray(edges.means_covariance, float)[: self.columns - 1, : self.columns - 1]
        return joint_pairs(
            paths, joint_gains(swept, self.nodes[paths.nodes], rate), at_meeting, (rests[0], rests[1]), means
        )

    def draw(self, rate: FloatArray, within: FloatArray | None, shape: float, numbers: FloatArray) -> FloatArray:
        """(N, D) a joint draw of all of the phylogeny's nodes given all observations.

        Args:
            rate, within: (D, D).
            shape: The shape parameter.
            numbers: (`size`, 3, D) standard normal.
        """
        parameters = jnp.asarray(rate), self._within(within)
        factors = np.linalg.cholesky(rate), np.zeros_like(rate) if within is None else np.linalg.cholesky(within)
        padded = np.pad(numbers, ((0, self.tree.size - self.size), (0, 0), (0, 0)))
        value, moved = simulated(self._at(shape), padded, *factors)
        swept = up_sweep(moved, *parameters)
        state = smoothed_states(swept, smoothed(swept, *parameters, True), *parameters)[0]
        return np.asarray(value + state, np.float64)[self.nodes]

    def _at(self, shape: float) -> Tree:
        return self.tree if self.model == "bm" else self.tree.set(**self.edges(shape))

    def _within(self, within: FloatArray | None) -> Any:
        return jnp.asarray(np.zeros((self.traits, self.traits)) if within is None else within)


def refuse_single_precision() -> None:
    """Raises where JAX computes with 32 bits.

    Raises:
        OptionError: It does.
    """
    if jnp.result_type(float) != jnp.float64:
        raise OptionError("--precision 32: a covariance is found with 64 bits (leave it out)")


def with_observations(topology: Topology, nodes: Any) -> tuple[Topology, Any, Any]:
    """The tree with a further tip below a node for every observation of it.

    Args:
        topology: N nodes.
        nodes: (M,) the node of every observation.

    Returns:
        The topology of N + M nodes, where the N nodes are in it, and where the M tips are.
    """
    size = topology.size
    depths = np.concatenate([topology.node_depths, topology.node_depths[nodes] + 1])
    parents = np.concatenate([topology.parents, nodes])
    order = np.argsort(depths, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return from_parents(place[parents[order]]), place[:size], place[size:]


def _tip_fields(topology: Topology, seen: Observations, noise: FloatArray, columns: int) -> dict[str, Any]:
    """The tips' fields of `joint_tree`, replicates combined."""
    said = tip_likelihoods(topology.size, seen, noise)
    known, precision = said["known"] > 0, said["precision"]
    soft = precision > 0
    informed = known | soft
    variance = np.where(soft, 1 / np.where(soft, precision, 1), 0)
    mean = np.zeros((*informed.shape, columns))
    mean[:, :, 0] = np.where(informed, said["mean"], 0)
    traits = np.arange(informed.shape[1])
    if columns > 1:
        mean[:, traits, 1 + traits] = informed
    spread = np.zeros((*informed.shape, informed.shape[1]))
    spread[:, traits, traits] = variance
    quadratic = np.zeros((len(informed), columns, columns))
    quadratic[:, 0, 0] = said["quadratic"].sum(1)
    # As `tip_likelihoods` counts it, the mean's own density is in these figures.
    log_det = said["log_det"].sum(1) + np.log(np.where(soft, precision, 1)).sum(1)
    return {
        "count": said["count"] - soft,
        "informed": informed.astype(float),
        "known": known.astype(float),
        "log_det": log_det,
        "mean": mean,
        "quadratic": quadratic,
        "spread": spread,
    }
