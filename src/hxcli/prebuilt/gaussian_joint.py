"""Gaussian messages of traits together: `x_child ~ N(scale * x_parent, time * rate + noise * within)`.

What the observations at and below a node say about its D states x is the likelihood

    exp(-(count * log(2 pi) + log_det + quadratic) / 2) * N(mean; x, spread)    over the informed traits,

which the up sweep gives; the down sweeps give what all observations say, and the derivative of the log likelihood by
the covariance of every edge. A trait without an observation below has no part in the message; one that is known
exactly (an observation without error at the end of edges without variance) has none in `spread`. Both are masks, so
that cells may be missing in any pattern and exact values stay exact. Bastide et al. (2018, Syst. Biol. 67:662) and
Mitov et al. (2020, Theor. Popul. Biol. 131:66) give such recursions for the upward part.

Observations are C columns that are swept alike: the data, and what the traits' means contribute to them.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hxcli.engine.sweep import down, up
from hxcli.engine.topology import Topology
from hxcli.engine.tree import Tree
from hxcli.prebuilt.small_matrices import folded, inverted, product, transposed, unpacked

EDGE = ("noise", "scale", "time")
SEEN = ("informed", "known", "mean", "spread")
MESSAGE = (*SEEN, "count", "log_det", "quadratic", "weight")
STATE = ("state", "state_spread")
ADJOINT = ("information", "pull")
PUSH = ("push",)

# Less information about a parent is none: what an edge over which everything is forgotten leaves.
_NOTHING = 1e-140


@up(reads=EDGE, reads_children=(*EDGE, *MESSAGE), writes=MESSAGE)
def messages(node: Any, children: Any, params: Any) -> dict[str, Any]:
    """What the observations below a node say about it, and over its edge about its parent.

    Fields: `EDGE`, `log_det` (); `count`, by trait, and the masks `informed`, `known` (D,); `mean` (D, C); `spread`,
    `weight` (D, D); `quadratic` (C, C). `weight` is the precision at the far end of the edge, which `count` and
    `log_det` include. Params: `rate`, `within` (D, D), and `mix` (C, C). `swept_up` begins with the tips' edges.
    """
    traits, columns = params["rate"].shape[0], params["mix"].shape[0]
    # One reduction of all that is summed: a loop over children for each would take longer to compile and to run.
    shapes = (
        (traits,),
        (traits,),
        (traits, columns),
        (traits, columns),
        (traits, traits),
        (columns, columns),
        (traits,),
        (),
    )
    informed, hard, hard_mean, weighted, precision, quadratic, count, log_det = unpacked(
        children.map(_said).said.sum(0), shapes
    )
    known, mean, spread, weight, densities, log_dets = _meeting(
        informed, hard, hard_mean, weighted, precision, *_edge(node, params)
    )

    def misfit(child: Any) -> dict[str, Any]:
        # Around the mean just found, not as a difference of sums of squares, which would cancel.
        return {"value": _squared(child.weight, child.mean - child.scale * mean)}

    return {
        "count": count + densities,
        "informed": ((informed > 0) & (_diagonal(spread) > 0) | (known > 0)).astype(mean.dtype),
        "known": known,
        "log_det": log_det + log_dets,
        "mean": mean,
        "quadratic": quadratic + children.map(misfit).value.sum(0),
        "spread": spread,
        "weight": weight,
    }


def _said(child: Any) -> dict[str, Any]:
    """What a child says about its parent, as one vector of what is summed over children."""
    hard = child.known * ((child.time == 0) & (child.noise == 0))
    certain = hard[:, None] * child.mean / jnp.where(child.scale == 0, 1, child.scale)
    weighted = child.scale * _times(child.weight, child.mean)
    parts: list[Any] = [child.informed, hard, certain, weighted, child.scale**2 * child.weight]
    parts += [child.quadratic, child.count, child.log_det]
    return {"said": jnp.concatenate([jnp.ravel(part) for part in parts])}


def _edge(node: Any, params: Any) -> tuple[Any, ...]:
    return node.time, node.noise, params["rate"], params["within"]


def _diagonal(a: Any) -> Any:
    return jnp.stack([a[i, i] for i in range(a.shape[0])])


@folded
def _meeting(informed: Any, hard: Any, hard_mean: Any, weighted: Any, precision: Any, *edge: Any) -> tuple[Any, ...]:
    """The children's messages together, and what becomes of them over the node's own edge."""
    known = hard > 0
    known_mean = jnp.where(known[:, None], hard_mean / jnp.maximum(hard, 1)[:, None], 0)
    soft = (informed > 0) & ~known & (_diagonal(precision) > _NOTHING)
    spread, log_precision = inverted(precision, soft)
    mean = known_mean + product(spread, weighted - product(precision, known_mean))
    weight, log_det, densities = _over_edge(soft | known, known, spread, *edge)
    return known.astype(mean.dtype), mean, spread, weight, densities - soft, log_precision + log_det


def _over_edge(
    informed: Any, known: Any, spread: Any, time: Any, noise: Any, rate: Any, within: Any
) -> tuple[Any, Any, Any]:
    """Precision at the far end of an edge, log determinant of its inverse, and which traits pass the edge so."""
    soft = informed & ~(known & ((time == 0) & (noise == 0))[None])
    weight, log_det = inverted(spread + _variance(time, noise, rate, within), soft)
    return weight, log_det, soft.astype(weight.dtype)


def _variance(time: Any, noise: Any, rate: Any, within: Any) -> Any:
    return time[None, None] * rate + noise[None, None] * within


@folded
def _at_tip(informed: Any, known: Any, spread: Any, *edge: Any) -> tuple[Any, Any, Any]:
    return _over_edge(informed > 0, known > 0, spread, *edge)


@folded
def _squared(weight: Any, away: Any) -> Any:
    return product(transposed(away), product(weight, away))


_times = folded(product)


@down(reads=(*EDGE, "mean", "spread", "weight"), reads_parent=("mean", "spread", *ADJOINT), writes=(*ADJOINT, *PUSH))
def adjoints(node: Any, parent: Any, params: Any) -> dict[str, Any]:
    """How the log likelihood hangs on edges: half of `pull mix pull' - information` is its derivative by a covariance.

    That is the disturbance smoother on a tree (de Jong 1989, J. Am. Stat. Assoc. 84:1085; Koopman 1993, Biometrika
    80:117).
    Fields: `pull` (D, C), `information` (D, D), to be seeded at the root; `push` () the derivative by the edge's scale.
    """
    pull, information, push = _adjoint(
        node.scale,
        node.mean,
        node.weight,
        parent.mean,
        parent.spread,
        parent.pull,
        parent.information,
        params["mix"],
    )
    return {"pull": pull, "information": information, "push": push}


@folded
def _adjoint(
    scale: Any,
    mean: Any,
    weight: Any,
    parent_mean: Any,
    parent_spread: Any,
    parent_pull: Any,
    parent_information: Any,
    mix: Any,
) -> tuple[Any, Any, Any]:
    state = parent_mean - product(parent_spread, parent_pull)
    spread = parent_spread - product(product(parent_spread, parent_information), parent_spread)
    pull = product(weight, mean - scale[None, None] * state)
    followed = product(weight, spread)
    push = (product(pull, mix) * state).sum((0, 1)) - scale * _diagonal(followed).sum(0)
    return pull, weight - scale[None, None] ** 2 * product(followed, weight), push


@down(reads=(*EDGE, "informed", "known", "mean", "spread", "weight"), reads_parent=STATE, writes=STATE)
def states(node: Any, parent: Any, params: Any) -> dict[str, Any]:
    """A node given all observations: `state` (D, C) and `state_spread` (D, D), to be seeded at the root."""
    state, spread = _state(
        node.scale,
        node.informed,
        node.known,
        node.mean,
        node.spread,
        node.weight,
        parent.state,
        parent.state_spread,
        *_edge(node, params),
    )
    return {"state": state, "state_spread": spread}


@folded
def _state(
    scale: Any,
    informed: Any,
    known: Any,
    mean: Any,
    spread: Any,
    weight: Any,
    parent_state: Any,
    parent_spread: Any,
    time: Any,
    noise: Any,
    rate: Any,
    within: Any,
) -> tuple[Any, Any]:
    variance = _variance(time, noise, rate, within)
    from_parent, around = scale[None, None] * parent_state, variance + scale[None, None] ** 2 * parent_spread
    # How the node follows its parent: two ways to the same, of which the first does not cancel.
    identity = jnp.eye(variance.shape[0])[:, :, None]
    gain = product(variance, weight)
    follows = jnp.where(informed[:, None] > 0, product(spread, weight), identity - gain)
    state = from_parent + product(gain, mean - from_parent)

    def turned(a: Any, b: Any) -> Any:
        return product(product(a, b), transposed(a))

    found = turned(follows, around) + turned(identity - follows, spread)
    certain = known[:, None] > 0
    return jnp.where(certain, mean, state), jnp.where(certain | (known[None] > 0), 0, found)


def joint_tree(topology: Topology, edges: dict[str, Any], tips: dict[str, Any]) -> Tree:
    """A framed tree that is ready for all sweeps once `at_tips` has seen it.

    Args:
        topology: N nodes.
        edges: The fields of `EDGE`, each (N,); of no meaning at the root.
        tips: `informed`, `known` (N, D), `mean` (N, D, C), `spread` (N, D, D), and what is said beside the density of
            the mean: `count` (N, D), `log_det` (N,), `quadratic` (N, C, C). Of meaning at the tips only.
    """
    rooted = {name: np.where(topology.is_root, name == "scale", values) for name, values in edges.items()}
    return Tree.on_frame(topology, {**rooted, **tips}, columns=tips["spread"][0].size)


def swept_up(tree: Tree, params: dict[str, Any]) -> Tree:
    """`messages` of a tree of `joint_tree`; to be called while tracing."""
    edge = (tree["time"], tree["noise"])
    weight, log_det, densities = jax.vmap(_at_tip, (0, 0, 0, 0, 0, None, None))(
        tree["informed"], tree["known"], tree["spread"], *edge, params["rate"], params["within"]
    )
    tree = tree.update(weight=weight)
    return messages(tree.set(log_det=tree["log_det"] + log_det, count=tree["count"] + densities), params=params)
