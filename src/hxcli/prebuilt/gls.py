"""Generalised least squares along a tree, in time linear in its nodes: the sweeps.

The observations are `y = X beta + deviation + error`. The mean is linear in P unknowns beta (the root's state, optima,
a slope, coefficients of a regression), the deviation is a process without a mean,

    deviation_child ~ N(scale * deviation_parent, variance),    deviation_root ~ N(0, root_variance),

and a root variance of 0 fixes the root at its mean. The covariance V of the observations is never made. A tip hands
up R = 1 + P right-hand sides [y, X_1 ... X_P], which share one precision; the up sweep replaces every child by its
contrast, the residual around its parent's mean,

    contrast = mean_child - scale * mean_parent,    weight = precision_child / (1 + precision_child * variance),

so that for any two right-hand sides a and b

    a' V^-1 b = sum over nodes of weight * contrast_a * contrast_b,

without a difference of large numbers; log|V| is a sum over the nodes likewise. K columns, each with its own parameters,
its own observations, or both, are swept side by side, and the edges are data: one program serves every model.
`hxcli.prebuilt.gls_solution` solves for beta.

Contrasts: Felsenstein (1973, Am. J. Hum. Genet. 25:471; 1985, Am. Nat. 125:1). Several right-hand sides in one pass:
Freckleton (2012, Methods Ecol. Evol. 3:940), Ho and Ane (2014, Syst. Biol. 63:397). States: Rauch, Tung and Striebel
(1965, AIAA J. 3:1445).

A node that is known exactly (an error-free observation at the end of zero-variance edges) has a mask, `known`, instead
of an infinite precision, as in `hxcli.prebuilt.gaussian`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax

from hxcli.engine.device_topology import DeviceTopology
from hxcli.engine.program import Program
from hxcli.engine.sweep import down, up
from hxcli.engine.tree import Tree

EDGE = ("scale", "variance")
MESSAGE = ("known", "mean", "precision")
STATE = ("state", "state_variance")


class Swept(NamedTuple):
    """A tree after the up sweep: N nodes, K columns, R right-hand sides of which the first is the response.

    Attributes:
        tree: The fields of `EDGE`, `MESSAGE` and `contrast`.
        weight: (N, K) of every node's contrast; the root's is the contrast between it and its mean.
        root_variance: (K,) as given.
        count: (K,) number of one-dimensional densities, the observations less one for each that is merged with others.
        log_det: (K,) log determinant of the covariance of the observations.
        misfit: (K,) weighted squares of the response's replicates around their tip's mean.
        fixed: (K,) whether an observation without any error is at a root without any variance: then the response's mean
            at the root equals the observed value, and that contrast is neither in `count` nor in `log_det`.
        possible: (K,) false where a variance is negative, or underflowed to 0 between a node that is known exactly and
            its parent.
    """

    tree: Tree
    weight: Any
    root_variance: Any
    count: Any
    log_det: Any
    misfit: Any
    fixed: Any
    possible: Any

    @property
    def contrast(self) -> Any:
        """(N, K, R)."""
        return self.tree["contrast"]

    @property
    def products(self) -> Any:
        """(K, R, R) sums of weighted products of contrasts: `[y X]' V^-1 [y X]`."""
        weighted = self.weight[:, :, None] * self.contrast
        return jnp.einsum("nkr,nks->krs", weighted, self.contrast)


@up(reads=(), reads_children=(*EDGE, *MESSAGE), writes=MESSAGE, writes_children=("contrast",))
def contrasts(node: Any, children: Any, params: Any) -> dict[str, Any]:
    """Merges what the children say: `mean` and `contrast` are `(K, R)`, all other fields `(K,)`."""
    over_edges = children.map(_over_edge)
    number_known, precision = over_edges.alone.sum(0)
    known_mean, weighted = over_edges.along.sum(0)
    known = number_known > 0
    # A precision that is about to underflow has few digits left; without it the child is independent of its parent.
    limits = jnp.finfo(precision.dtype)
    informed = precision > limits.tiny / limits.eps**2
    soft_mean = jnp.where(informed[:, None], weighted / jnp.where(informed, precision, 1)[:, None], 0)
    mean = jnp.where(known[:, None], known_mean / jnp.maximum(number_known, 1)[:, None], soft_mean)

    def contrast(child: Any) -> dict[str, Any]:
        return {"value": child.mean - child.scale[:, None] * mean}

    return {
        "known": known.astype(precision.dtype),
        "mean": mean,
        "precision": jnp.where(known | ~informed, 0, precision),
        "contrast": children.map(contrast).value,
    }


def _over_edge(child: Any) -> dict[str, Any]:
    """What a child says about its parent: what is summed of it, (2, K) for all right-hand sides and (2, K, R)."""
    certain = (child.known > 0) & (child.variance == 0)
    weight = edge_weight(child.known, child.precision, child.variance)
    alone = [certain.astype(weight.dtype), child.scale**2 * weight]
    sure = jnp.where(certain, 1 / jnp.where(child.scale == 0, 1, child.scale), 0)
    along = [sure[:, None] * child.mean, (child.scale * weight)[:, None] * child.mean]
    return {"alone": jnp.stack(alone), "along": jnp.stack(along)}


def edge_weight(known: Any, precision: Any, variance: Any) -> Any:
    """Inverse variance of a contrast, of any shape; 0 for a node that is known through an edge without variance."""
    exact = jnp.where(variance == 0, 0, 1 / jnp.where(variance == 0, 1, variance))
    return jnp.where(known > 0, exact, precision / (1 + precision * variance))


def sweep_up(
    topology: Any,
    edges: Mapping[str, Any],
    tips: Mapping[str, Any],
    design: Any,
    root_variance: Any,
    *,
    positive: Any = None,
) -> Swept:
    """Contrasts of the response and of the design; to be called while tracing, and differentiable.

    Args:
        topology: A device topology (of a framed tree) or a topology of N nodes.
        edges: The fields of `EDGE`, each (N, K); of no meaning at the root.
        tips: The fields of `gaussian.LIKELIHOOD`, each (N, K); of meaning at the tips only. `mean` is the response.
        design: (N, K, P) derivative of every tip's mean with respect to the unknowns.
        root_variance: (K,) variance of the root's deviation.
        positive: (N,) which edges have a positive length, so that a variance of 0 is one that underflowed.
    """
    framed = isinstance(topology, DeviceTopology)
    linked = (topology.has_parent if framed else jnp.asarray(~topology.is_root))[:, None]
    tip = (~topology.has_children if framed else jnp.asarray(topology.is_leaf))[:, None]
    known, precision, count, log_det, misfit = (
        jnp.where(tip, tips[name], 0) for name in ("known", "precision", "count", "log_det", "quadratic")
    )
    sides = jnp.concatenate([tips["mean"][:, :, None], design], 2)
    sides = jnp.where(((known > 0) | (precision > 0))[:, :, None], sides, 0)
    # The root is a child of its own mean, so that it has a contrast as every node does.
    root = jnp.arange(len(linked))[:, None] == 0
    variance = jnp.where(root, root_variance[None], jnp.where(linked, edges["variance"], 0))
    fields = {"scale": edges["scale"], "variance": variance, "known": known, "precision": precision, "mean": sides}
    tree = contrasts(Tree.from_data(topology, {**fields, "contrast": jnp.zeros_like(sides)}))
    tree = tree.at[0].set(contrast=tree["mean"][0])
    known, precision = tree["known"] > 0, tree["precision"]
    spread = known & (variance > 0)
    wide = jnp.where(known, 0, jnp.log1p(precision * variance))
    wide = jnp.where(spread, jnp.log(jnp.where(spread, variance, 1)), wide)
    lost = known & (variance == 0) & (linked if positive is None else linked & positive[:, None])
    lost |= variance < 0
    return Swept(
        tree,
        edge_weight(tree["known"], precision, variance),
        root_variance,
        over_nodes(count + spread),
        over_nodes(log_det + wide),
        over_nodes(misfit),
        known[0] & (root_variance == 0),
        jnp.full(root_variance.shape, True) if positive is None else over_nodes(lost.astype(variance.dtype)) == 0,
    )


def over_nodes(values: Any) -> Any:
    """Sums of (N, ...) over the nodes.

    As a product with ones: a reduction over the first axis walks through all memory once for every column.
    """
    flat = values.reshape(values.shape[0], -1)
    found = jnp.matmul(jnp.ones(values.shape[0], flat.dtype), flat, precision=lax.Precision.HIGHEST)
    return found.reshape(values.shape[1:])


@down(reads=("scale", "shift"), reads_parent=("design",), writes=("design",))
def designs(node: Any, parent: Any, params: Any) -> dict[str, Any]:
    """Every node's mean as a function of the unknowns, (K, P); seed `design` at the root."""
    return {"design": node.scale[:, None] * parent.design + node.shift}


def sweep_design(topology: Any, scale: Any, shift: Any, root: Any) -> Any:
    """(N, K, P) derivative of the mean of every node with respect to the unknowns.

    Args:
        topology: A device topology (of a framed tree) or a topology of N nodes.
        scale: (N, K).
        shift: (N, K, P) what every edge adds to the mean, for each unknown at 1 and the others at 0.
        root: (K, P) mean of the root likewise.
    """
    tree = Tree.from_data(topology, {"scale": scale, "shift": shift, "design": jnp.zeros_like(shift)})
    return designs(tree.at[0].set(design=root))["design"]


# The same as a program of its own.
swept_design = Program(sweep_design)


@down(reads=(*EDGE, *MESSAGE), reads_parent=STATE, writes=STATE)
def states(node: Any, parent: Any, params: Any) -> dict[str, Any]:
    """Deviation of a node given all right-hand sides, (K, R), and its variance (K,); seed both at the root."""
    pull = jnp.where(node.known > 0, 0, 1 / (1 + node.precision * node.variance))
    from_parent = node.scale[:, None] * parent.state
    return {
        "state": pull[:, None] * from_parent + (1 - pull)[:, None] * node.mean,
        "state_variance": pull * node.variance + (pull * node.scale) ** 2 * parent.state_variance,
    }


def sweep_down(swept: Swept) -> tuple[Any, Any]:
    """Deviation of every node given each right-hand side, (N, K, R), and its variance, (N, K)."""
    tree = swept.tree
    pull = jnp.where(tree["known"][0] > 0, 0, 1 / (1 + tree["precision"][0] * swept.root_variance))
    seeded = tree.update(state=jnp.zeros_like(tree["mean"]), state_variance=jnp.zeros_like(tree["precision"]))
    root = {"state": (1 - pull)[:, None] * tree["mean"][0], "state_variance": pull * swept.root_variance}
    found = states(seeded.at[0].set(**root))
    return found["state"], found["state_variance"]
