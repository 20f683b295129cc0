"""Sweeps at many pairs of a rate and an observation variance at once: one column of every field for each pair."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hxcli.engine.program import program
from hxcli.engine.tree import Tree
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.prebuilt.brownian import brownian_edges
from hxcli.prebuilt.gaussian import LIKELIHOOD, drawn_states, gaussian_tree, likelihoods, states_given_root
from hxcli.prebuilt.gls import Swept, sweep_down, sweep_up
from hxcli.prebuilt.gls_solution import Solution, estimates, solve
from hxcli.prebuilt.path_gains import gains
from hxcli.traits import Observations

# Numbers in one field of the widest sweep: nodes times columns.
_MOST_NUMBERS = 2**23
_WIDTHS = (1, 16, 64)
# Up to so many nodes more columns, and a sweep down that nobody asked for, cost less than compiling a second program.
_SMALL = 1024


@dataclass(frozen=True, eq=False)
class SeenTree:
    """A tree and the observations of one trait, which no parameter has touched yet.

    Attributes:
        tree: Framed, with the fields `length` (N,) and, for every node and group of observations with the same
            known standard error, (N, R): `number` of observations, their `value` (mean), `misfit` (sum of squares
            around it) and `error2` (squared standard error). A process that is no Brownian motion on edges of
            whatever lengths also has `scale`, `design` and `root_variance` (see `ModelEdges`).
        size: N, without the padding.
        exact: Whether no observation has a known standard error.
        means: (2, P) means and precisions of the priors of the P unknowns of the mean, which are then integrated out;
            None where there is one, whose prior is that of the root.
    """

    tree: Tree
    size: int
    exact: bool
    means: FloatArray | None = None

    @property
    def size_class(self) -> int:
        """Number of nodes, with the padding."""
        return self.tree.size


class Given(NamedTuple):
    """All nodes given the observations and the root's state, for K columns.

    Attributes:
        root: What the observations say about the root: the fields of `LIKELIHOOD`, each (K,).
        mean: (N, K) mean if the root's state is `root["mean"]`. N includes the padding, K may have more columns.
        slope: (N, K) how much the mean moves with the root's state; 0 where the unknowns are integrated out.
        variance: (N, K).
        unknowns: Means and variances of the P unknowns of the mean, (K, P) each, where they are integrated out.
    """

    root: dict[str, Any]
    mean: Any
    slope: Any
    variance: Any
    unknowns: tuple[FloatArray, FloatArray] | None = None


class ModelEdges(NamedTuple):
    """The edges of another process than Brownian motion, at given shape parameters.

    Attributes:
        variance: (N,) at a rate of 1, in the unit of computation.
        scale: (N,) what a parent's deviation is multiplied by.
        design: (N, P) derivative of the mean with respect to its unknowns.
        root_variance: Of the root's deviation, at a rate of 1.
        means: As in `SeenTree`.
    """

    variance: FloatArray
    scale: FloatArray
    design: FloatArray
    root_variance: float
    means: FloatArray | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it is Brownian motion on edges of other lengths."""
        alone = self.means is None and self.root_variance == 0
        return alone and bool(np.all(self.scale == 1) and np.all(self.design == 1))


def seen_tree(
    phylogeny: Phylogeny, observations: Observations, trait: int, unit: float, edges: ModelEdges | None = None
) -> SeenTree:
    """Places the observations of one trait on the tree; replicates with equal standard errors are one group.

    Args:
        phylogeny: N nodes.
        observations: In the unit of computation.
        trait: Which of their columns.
        unit: Edge lengths are divided by it.
        edges: Of another process; None for Brownian motion.
    """
    size = phylogeny.topology.size
    fields, exact = seen_fields(phylogeny, observations, trait)
    data = {"length": phylogeny.lengths / unit, **fields}
    if edges is not None:
        data["length"] = edges.variance
        if not edges.is_plain:
            data |= {"scale": edges.scale, "design": edges.design, "root_variance": np.full(size, edges.root_variance)}
    means = None if edges is None else edges.means
    return SeenTree(Tree.on_frame(phylogeny.topology, data, _most_columns(size)), size, exact, means)


def seen_fields(phylogeny: Phylogeny, observations: Observations, trait: int) -> tuple[dict[str, FloatArray], bool]:
    """The observations of one trait as the fields of a `SeenTree`, each (N, R), and whether all are exact."""
    values, errors = observations.values[:, trait], observations.standard_errors[:, trait]
    there = ~np.isnan(values)
    nodes, values, error2 = observations.nodes[there], values[there], errors[there] ** 2
    pairs, group = np.unique(np.stack([nodes, error2], 1), axis=0, return_inverse=True)
    group = group.reshape(-1)
    owners = pairs[:, 0].astype(np.intp)
    slot = np.arange(len(owners)) - np.searchsorted(owners, owners)
    number = np.bincount(group, minlength=len(pairs)).astype(float)
    mean = np.bincount(group, values, len(pairs)) / np.maximum(number, 1)
    misfit = np.bincount(group, (values - mean[group]) ** 2, len(pairs))
    fields = {}
    for name, figures in {"number": number, "value": mean, "misfit": misfit, "error2": pairs[:, 1]}.items():
        fields[name] = np.zeros((phylogeny.topology.size, int(slot.max(initial=0)) + 1))
        fields[name][owners, slot] = figures
    return fields, not error2.any()


def root_messages(seen: SeenTree, sigma2: FloatArray, tau2: FloatArray) -> dict[str, FloatArray]:
    """What the observations say about the root, the fields of `LIKELIHOOD`, at K pairs of parameters; each (K,)."""
    pairs = in_widths(seen.size_class, sigma2, tau2, widths=_few_widths(seen.size_class))
    swept = _given_root if seen.size_class <= _SMALL else _root_messages
    parts = [swept(seen.tree, *pair, seen.means)[0] for pair in pairs]
    return {name: np.concatenate([_host(part[name]) for part in parts])[: len(sigma2)] for name in LIKELIHOOD}


def given_root(seen: SeenTree, sigma2: FloatArray, tau2: FloatArray) -> Given:
    """All nodes given the root's state, at K pairs of parameters."""
    pairs = in_widths(seen.size_class, sigma2, tau2, widths=_few_widths(seen.size_class))
    parts = [_given_root(seen.tree, *pair, seen.means) for pair in pairs]
    root = {name: np.concatenate([_host(part[0][name]) for part in parts])[: len(sigma2)] for name in LIKELIHOOD}
    unknowns = None
    if parts[0][4] is not None:
        first, second = (np.concatenate([_host(part[4][i]) for part in parts])[: len(sigma2)] for i in (0, 1))
        unknowns = first, second
    if len(parts) == 1:
        return Given(root, parts[0][1], parts[0][2], parts[0][3], unknowns)
    mean, slope, variance = (jnp.concatenate([part[i] for part in parts], 1) for i in (1, 2, 3))
    return Given(root, mean, slope, variance, unknowns)


def edge_gains(seen: SeenTree, sigma2: FloatArray, tau2: FloatArray, nodes: Any) -> tuple[FloatArray, FloatArray]:
    """What the states of some nodes owe to their parents', as `path_gains.gains` has it, (U, K) each.

    Args:
        seen: N nodes.
        sigma2, tau2: (K,).
        nodes: (U,) which nodes.
    """
    pairs = in_widths(seen.size_class, sigma2, tau2, widths=_few_widths(seen.size_class))
    parts = [[_host(each)[nodes] for each in _edge_gains(seen.tree, *pair, seen.means)] for pair in pairs]
    gain, own = (np.concatenate(each, 1)[:, : len(sigma2)] for each in zip(*parts, strict=True))
    return gain, own


class OfMeans(NamedTuple):
    """What some nodes owe to the unknowns of the mean, which are integrated out, in K columns.

    Attributes:
        variance: (U, K) variances given the unknowns.
        rest: (U, K, P) how much the nodes' means move with them.
        covariance: (K, P, P) theirs.
    """

    variance: FloatArray
    rest: FloatArray
    covariance: FloatArray


def of_means(seen: SeenTree, sigma2: FloatArray, tau2: FloatArray, nodes: Any) -> OfMeans:
    """What some nodes, (U,), owe to the unknowns of the mean, at K pairs of parameters."""
    pairs = in_widths(seen.size_class, sigma2, tau2, widths=_few_widths(seen.size_class))
    parts = [_of_means(seen.tree, *pair, seen.means) for pair in pairs]
    variance, rest = (np.concatenate([_host(part[i])[nodes] for part in parts], 1) for i in (0, 1))
    covariance = np.concatenate([_host(part[2]) for part in parts])
    count = len(sigma2)
    return OfMeans(variance[:, :count], rest[:, :count], covariance[:count])


def drawn(
    seen: SeenTree,
    sigma2: FloatArray,
    tau2: FloatArray,
    root: Callable[[dict[str, FloatArray]], FloatArray],
    key: Any,
) -> FloatArray:
    """(K, N) joint draws of all nodes, one at each of K pairs of parameters.

    Args:
        seen: N nodes.
        sigma2, tau2: (K,).
        root: From what the observations say about the root to draws of its state, (K,).
        key: A PRNG key.
    """
    chunks = in_widths(seen.size_class, sigma2, tau2)
    begun = deque([_root_messages(seen.tree, *pair, None) for pair in chunks[:1]])
    parts: list[Any] = []
    for number in range(len(chunks)):
        # JAX works on the next chunk's way up while this one's root is drawn and its way down begins.
        begun += [_root_messages(seen.tree, *pair, None) for pair in chunks[number + 1 : number + 2]]
        messages, swept = begun.popleft()
        state = root({name: _host(value) for name, value in messages.items()})
        parts.append(_drawn(swept, jnp.asarray(state), jax.random.fold_in(key, number)))
        if number:
            parts[number - 1] = _host(parts[number - 1])[: seen.size].T
    parts[-1] = _host(parts[-1])[: seen.size].T
    return np.concatenate(parts)[: len(sigma2)]


def in_widths(size: int, *columns: FloatArray, widths: tuple[int, ...] = _WIDTHS) -> list[list[Any]]:
    """Columns in parts of one of few widths, because each width compiles a program of its own.

    Args:
        size: Number of nodes, with the padding.
        columns: Arrays with K entries each.
        widths: To choose from, ascending.

    Returns:
        For every part the columns' entries, the last part filled up with copies of the last entry.
    """
    count = len(columns[0])
    wanted = next((width for width in widths if width >= count), widths[-1])
    width = min(wanted, _most_columns(size))

    def part(values: FloatArray, start: int) -> Any:
        there = values[start : start + width]
        return np.concatenate([there, np.repeat(there[-1:], width - len(there), 0)])

    return [[part(values, start) for values in columns] for start in range(0, count, width)]


def _few_widths(size: int) -> tuple[int, ...]:
    """The widths to choose from where a program of its own for fewer columns does not pay on a small tree."""
    return _WIDTHS[-1:] if size <= _SMALL else _WIDTHS


def _most_columns(size: int) -> int:
    """How many columns are swept at a time on a tree of that size."""
    return min(_WIDTHS[-1], 1 << max(0, (_MOST_NUMBERS // size).bit_length() - 1))


def _host(value: Any) -> FloatArray:
    return np.asarray(value).astype(np.float64, copy=False)


def observed_fields(tree: Tree, tau2: Any) -> dict[str, Any]:
    """The fields of `LIKELIHOOD` at the tips, each (N, K), for K observation variances, (K,) or (N, K).

    The same as `observed.tip_likelihoods`, but from sums that do not depend on the variance, and while tracing.
    """
    number, value, misfit, error2 = (tree[name][:, :, None] for name in ("number", "value", "misfit", "error2"))
    variance = error2 + (tau2[None, None] if tau2.ndim == 1 else tau2[:, None])
    exact = (number > 0) & (variance == 0)
    soft = (number > 0) & (variance > 0)
    safe = jnp.where(soft, variance, 1)
    weight = jnp.where(soft, number / safe, 0)
    precision, number_exact = weight.sum(1), jnp.where(exact, number, 0).sum(1)
    known = number_exact > 0
    apart = jnp.where(soft, misfit / safe, 0)
    if value.shape[1] == 1:
        # One value is its own mean to the last digit, which a tiny variance would make much of.
        mean = jnp.where(number[:, 0] > 0, value[:, 0], jnp.zeros_like(precision))
    else:
        soft_mean = (weight * value).sum(1) / jnp.where(precision > 0, precision, 1)
        exact_mean = jnp.where(exact, number * value, 0).sum(1) / jnp.where(known, number_exact, 1)
        mean = jnp.where(known, exact_mean, soft_mean)
        apart = apart + weight * (value - mean[:, None]) ** 2
    return {
        "count": jnp.where(soft, number, 0).sum(1),
        "known": known.astype(mean.dtype),
        "log_det": jnp.where(soft, number * jnp.log(safe), 0).sum(1),
        "mean": mean,
        "precision": jnp.where(known, 0, precision),
        "quadratic": apart.sum(1),
    }


def swept_up(tree: Tree, sigma2: Any, tau2: Any) -> Tree:
    """The tree of messages after the up sweep, fields (N, K); to be called while tracing."""
    tips = observed_fields(tree, tau2)
    full = gaussian_tree(tree.topology, brownian_edges(tree["length"], sigma2), tips)
    return likelihoods(full)


def _is_brownian(tree: Tree) -> bool:
    return "scale" not in tree.data


class _ModelSwept(NamedTuple):
    """A tree with the edges of a model, swept up.

    Attributes:
        root: What the observations say about the one unknown of the mean, in the terms of a root's state; where the
            unknowns are integrated out, what is left, as of a root of which nothing is known.
        swept, solution, design: The sweep, the unknowns and what the means owe to them.
    """

    root: dict[str, Any]
    swept: Swept
    solution: Solution
    design: Any


def _model_swept(tree: Tree, sigma2: Any, tau2: Any, means: Any) -> _ModelSwept:
    shape = (tree.size, len(sigma2))
    edges = {
        "scale": jnp.broadcast_to(tree["scale"][:, None], shape),
        "variance": tree["length"][:, None] * sigma2[None],
    }
    design = jnp.broadcast_to(tree["design"][:, None], (*shape, tree["design"].shape[1]))
    swept = sweep_up(tree.topology, edges, observed_fields(tree, tau2), design, tree["root_variance"][0] * sigma2)
    found = solve(swept, means)
    if means is not None:
        # `log_marginal` takes one density of these for that of a flat root.
        root = {
            "count": found.freedom + 1,
            "known": jnp.zeros_like(found.rss),
            "log_det": jnp.where(found.possible, found.log_det + found.log_information, jnp.inf),
            "mean": found.beta[:, 0],
            "precision": jnp.ones_like(found.rss),
            "quadratic": found.rss,
        }
        return _ModelSwept(root, swept, found, design)
    spread = found.covariance[:, 0, 0]
    root = {
        "count": found.count,
        "known": swept.fixed.astype(spread.dtype),
        "log_det": found.log_det,
        "mean": found.beta[:, 0],
        "precision": jnp.where(spread > 0, 1 / jnp.where(spread > 0, spread, 1), 0),
        "quadratic": found.rss,
    }
    return _ModelSwept(root, swept, found, design)


@program()
def _root_messages(tree: Tree, sigma2: Any, tau2: Any, means: Any) -> tuple[dict[str, Any], Any]:
    if not _is_brownian(tree):
        return _model_swept(tree, sigma2, tau2, means)[:2]
    swept = swept_up(tree, sigma2, tau2)
    return {name: swept[name][0] for name in LIKELIHOOD}, swept


@program()
def _given_root(tree: Tree, sigma2: Any, tau2: Any, means: Any) -> tuple[Any, ...]:
    if not _is_brownian(tree):
        root, gls, solved, design = _model_swept(tree, sigma2, tau2, means)
        if means is not None:
            mean, variance = estimates(gls, solved, design, jnp.ones_like(sigma2))
            of_unknowns = solved.beta, jnp.diagonal(solved.covariance, axis1=1, axis2=2)
            return root, mean, jnp.zeros_like(mean), variance, of_unknowns
        state, variance = sweep_down(gls)
        slope = design[:, :, 0] - state[:, :, 1]
        return root, state[:, :, 0] + slope * root["mean"][None], slope, variance, None
    swept = swept_up(tree, sigma2, tau2)
    root = {name: swept[name][0] for name in LIKELIHOOD}
    blank = jnp.zeros_like(swept["state"])
    seeded = swept.update(slope=sigma2.shape).set(slope=blank).at[0].set(state=root["mean"], slope=1.0)
    found = states_given_root(seeded)
    return root, found["state"], found["slope"], found["state_variance"], None


@program()
def _edge_gains(tree: Tree, sigma2: Any, tau2: Any, means: Any) -> tuple[Any, Any]:
    swept = swept_up(tree, sigma2, tau2) if _is_brownian(tree) else _model_swept(tree, sigma2, tau2, means).swept.tree
    scale = swept["scale"].reshape(tree.size, -1)
    return gains(swept["known"], swept["precision"], scale, swept["variance"])


@program()
def _of_means(tree: Tree, sigma2: Any, tau2: Any, means: Any) -> tuple[Any, Any, Any]:
    _, swept, found, design = _model_swept(tree, sigma2, tau2, means)
    state, variance = sweep_down(swept)
    return variance, design - state[:, :, 1:], found.covariance


@program()
def _drawn(swept: Tree, root: Any, key: Any) -> Any:
    return drawn_states(swept.at[0].set(state=root), key=key)["state"]
