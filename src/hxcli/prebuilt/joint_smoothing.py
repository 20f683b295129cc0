"""Smoothing of traits together: log likelihood, its derivatives and all states, from one sweep up and two down."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hxcli.engine.program import program
from hxcli.engine.sweep import down
from hxcli.engine.tree import Tree
from hxcli.prebuilt.gaussian_joint import adjoints, states, swept_up
from hxcli.prebuilt.small_matrices import inverted


class Smoothed(NamedTuple):
    """What an up sweep and its adjoint give.

    Attributes:
        log_likelihood: ().
        by_rate, by_within: (D, D) its derivatives.
        by_time, by_scale: (N,) likewise, by the edges.
        densities: (D,) how many densities of every trait it is made of.
        pull, information: Of all edges.
        best: (C,) by which columns count in what is left of the data.
        means_covariance: (D, D) of the means; 0 where the root's state is free.
    """

    log_likelihood: Any
    by_rate: Any
    by_within: Any
    by_time: Any
    by_scale: Any
    densities: Any
    pull: Any
    information: Any
    best: Any
    means_covariance: Any


class _Root(NamedTuple):
    """The root given all observations, and how products of columns count; otherwise as `Smoothed`."""

    log_likelihood: Any
    mix: Any
    pull: Any
    information: Any
    best: Any
    means_covariance: Any
    densities: Any


@program()
def up_sweep(tree: Tree, rate: Any, within: Any) -> Tree:
    """`messages` of a tree of `joint_tree` at a rate and a covariance within species, (D, D) both."""
    columns = tree["mean"].shape[2]
    return swept_up(tree, {"rate": rate, "within": within, "mix": jnp.zeros((columns, columns))})


@program()
def smoothed(swept: Tree, rate: Any, within: Any, restricted: Any) -> Smoothed:
    """The log likelihood of a tree of `up_sweep`, restricted or plain, and its derivatives."""
    root = _at_root(swept, restricted)
    begun = swept.update(
        pull=jnp.zeros_like(swept["mean"]), information=jnp.zeros_like(swept["spread"]), push=jnp.zeros(swept.size)
    )
    begun = begun.at[0].set(pull=root.pull, information=root.information)
    done = adjoints(begun, params={"rate": rate, "within": within, "mix": root.mix})
    pull, information = done["pull"], done["information"]
    squares = jnp.einsum("nac,cd,nbd->nab", pull, root.mix, pull)
    # The root has no edge.
    score = ((squares - information) / 2).at[0].set(0)
    return Smoothed(
        root.log_likelihood,
        jnp.einsum("nab,n->ab", score, done["time"]),
        jnp.einsum("nab,n->ab", score, done["noise"]),
        jnp.einsum("nab,ab->n", score, rate),
        done["push"],
        root.densities,
        pull,
        information,
        root.best,
        root.means_covariance,
    )


def _at_root(swept: Tree, restricted: Any) -> _Root:
    """What an up sweep says of the root: its state is free, or, with more than one column, 0.

    Args:
        swept: Tree.
        restricted: Whether the means are integrated out.
    """
    count, log_det, quadratic = swept["count"][0], swept["log_det"][0], swept["quadratic"][0]
    mean, spread, weight = swept["mean"][0], swept["spread"][0], swept["weight"][0]
    soft = (swept["informed"][0] > 0) & (swept["known"][0] == 0)
    log_2pi, traits = np.log(2 * np.pi), len(spread)
    if mean.shape[1] == 1:
        base = -(count.sum() * log_2pi + log_det + quadratic[0, 0]) / 2
        _, log_precision = inverted(weight[:, :, None], soft[:, None])
        width = (soft.sum() * log_2pi - log_precision[0]) / 2
        return _Root(
            base + jnp.where(restricted, width, 0),
            jnp.ones((1, 1)),
            jnp.zeros_like(mean),
            jnp.where(restricted, 0, weight),
            jnp.ones(1),
            jnp.zeros_like(spread),
            count - jnp.where(restricted, soft, 0),
        )
    squares = quadratic + mean.T @ weight @ mean
    covariance, log_information = (x[..., 0] for x in inverted(squares[1:, 1:, None], jnp.ones((traits, 1)) > 0))
    means = covariance @ squares[1:, 0]
    best = jnp.concatenate([jnp.ones(1), -means])
    value = -(count.sum() * log_2pi + log_det + squares[0, 0] - squares[0, 1:] @ means) / 2
    width = (traits * log_2pi - log_information) / 2
    mix = jnp.outer(best, best).at[1:, 1:].add(jnp.where(restricted, covariance, 0))
    value, count = value + jnp.where(restricted, width, 0), count - jnp.where(restricted, 1, 0)
    return _Root(value, mix, weight @ mean, weight, best, covariance, count)


@program()
def smoothed_states(swept: Tree, edges: Smoothed, rate: Any, within: Any) -> tuple[Any, ...]:
    """Means (N, D) and covariances (N, D, D) of all nodes, and their edges' pull and information.

    The last two are covariances given the means, (N, D, D), and how much states move with them, (N, D, C - 1).

    Args:
        swept: Of `up_sweep`.
        edges: Of `smoothed`, with the means integrated out.
        rate, within: (D, D).
    """
    fixed = swept["mean"].shape[2] > 1
    begun = swept.update(state=jnp.zeros_like(swept["mean"]), state_spread=jnp.zeros_like(swept["spread"]))
    if not fixed:
        begun = begun.at[0].set(state=swept["mean"][0], state_spread=swept["spread"][0])
    smooth = states(begun, params={"rate": rate, "within": within})
    means, spread, information = smooth["state"] @ edges.best, smooth["state_spread"], edges.information
    alone, follows = spread, smooth["state"][:, :, 1:]
    if fixed:
        follows = jnp.eye(rate.shape[0])[None] - follows
        means = means - edges.best[None, 1:]
        spread = spread + _turned(follows, edges.means_covariance)
        information = information - _turned(edges.pull[:, :, 1:], edges.means_covariance)
    return means, spread, edges.pull @ edges.best, information, alone, follows


def _turned(matrices: Any, covariance: Any) -> Any:
    return jnp.einsum("nab,bc,ndc->nad", matrices, covariance, matrices)


@jax.custom_vjp
def restricted_likelihood(tree: Tree, rate: Any, within: Any, time: Any, scale: Any) -> Any:
    """The log likelihood with the means integrated out, differentiable once by covariances and edges.

    Its derivative is that of the sweeps themselves: differentiated as programs they would cost several times as much.

    Args:
        tree: Of `joint_tree`, N nodes.
        rate, within: (D, D).
        time, scale: (N,) of its edges.
    """
    return _forward(tree, rate, within, time, scale)[0]


def _forward(tree: Tree, rate: Any, within: Any, time: Any, scale: Any) -> tuple[Any, Any]:
    found = smoothed(up_sweep(tree.set(time=time, scale=scale), rate, within), rate, within, True)
    return found.log_likelihood, (found.by_rate, found.by_within, found.by_time, found.by_scale)


def _backward(kept: Any, by_value: Any) -> tuple[Any, ...]:
    covariances, edges = kept[:2], kept[2:]
    return None, *((by + by.T) / 2 * by_value for by in covariances), *(by * by_value for by in edges)


restricted_likelihood.defvjp(_forward, _backward)


@down(reads=("scale", "step"), reads_parent=("value",), writes=("value",))
def _walked(node: Any, parent: Any, params: Any) -> dict[str, Any]:
    return {"value": node.scale * parent.value + node.step}


@program()
def simulated(tree: Tree, numbers: Any, rate_root: Any, within_root: Any) -> tuple[Any, Tree]:
    """A draw of all nodes from a root of 0, and the tree whose observations are less by what was drawn of them.

    What the observations then say of the nodes, added to the draw, is a draw given the observations: simulation
    smoothing (Durbin and Koopman 2002, Biometrika 89:603); a root that is free takes up where the draw began.

    Args:
        tree: Of `joint_tree`, N nodes.
        numbers: (N, 3, D) standard normal: of the edges' lengths, of their noise, of what was observed.
        rate_root, within_root: (D, D) factors of the rate and of the covariance within species.
    """
    along, noise, error = numbers[:, 0], numbers[:, 1], numbers[:, 2]
    step = jnp.sqrt(tree["time"])[:, None] * (along @ rate_root.T)
    step = step + jnp.sqrt(tree["noise"])[:, None] * (noise @ within_root.T)
    begun = tree.update(step=step, value=jnp.zeros_like(step))
    value = _walked(begun.at[0].set(step=0.0))["value"]
    spread = jnp.sqrt(jnp.diagonal(tree["spread"], axis1=1, axis2=2))
    seen = tree["informed"] * (value + spread * error)
    return value, tree.set(mean=tree["mean"].at[:, :, 0].add(-seen))
