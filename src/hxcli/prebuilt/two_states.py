"""Two hidden states that switch along the edges, and the likelihood of what the tips say about them."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from hxcli.engine.sweep import up
from hxcli.engine.tree import Tree


@up(reads=(), reads_children=("kept", "likelihood", "log_scale"), writes=("likelihood", "log_scale"))
def two_state_likelihoods(node: Any, children: Any, params: Any) -> dict[str, Any]:
    """What the tips below say about a node's state: `likelihood` (2,), `log_scale` (), `kept` (); params: (2,) shares.

    An edge keeps its state with probability `kept`, else the state is drawn anew from the stationary shares
    (Felsenstein 1981, J. Mol. Evol. 17:368, for two states).
    """

    def over_edge(child: Any) -> dict[str, Any]:
        drawn = (1 - child.kept) * (params * child.likelihood).sum()
        return {"log": jnp.log(child.kept * child.likelihood + drawn), "scale": child.log_scale}

    messages = children.map(over_edge)
    log, scale = messages.log.sum(0), messages.scale.sum(0)
    highest = log.max()
    return {"likelihood": jnp.exp(log - highest), "log_scale": scale + highest}


def log_likelihood(topology: Any, kept: Any, tips: Any, shares: Any) -> Any:
    """() log probability of all observations; to be called while tracing.

    Args:
        topology: N nodes.
        kept: (N,) probability that an edge keeps its state undrawn.
        tips: (N, 2) probability of what is observed at every tip, given its state; ones without an observation.
        shares: (2,) of the states, at the root and wherever a state is drawn.
    """
    tree = Tree.from_data(topology, {"kept": kept, "likelihood": tips, "log_scale": jnp.zeros_like(kept)})
    swept = two_state_likelihoods(tree, params=shares)
    return swept["log_scale"][0] + jnp.log((shares * swept["likelihood"][0]).sum())
