"""Joint draws of all nodes around their means, from what every node's state owes to its parent's."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hxcli.engine.program import program
from hxcli.engine.sweep import down
from hxcli.engine.topology import Topology
from hxcli.engine.tree import Tree
from hxcli.phylogeny import FloatArray


@down(reads=("gain", "spread"), reads_parent=("state",), writes=("state",))
def deviations(node: Any, parent: Any, params: Any) -> dict[str, Any]:
    """A node's deviation given its parent's, (K,); seed `state` at the root, and give a key."""
    noise = jax.random.normal(node.key, node.gain.shape, node.gain.dtype)
    return {"state": node.gain * parent.state + node.spread * noise}


def draw_deviations(
    topology: Topology, gain: FloatArray, own: FloatArray, root_variance: FloatArray, noise: FloatArray, key: Any
) -> FloatArray:
    """(N, K) one draw of all nodes' deviations from their means in each of K columns.

    Args:
        topology: N nodes.
        gain, own: (N, K) as `path_gains.gains` has them.
        root_variance: (K,) of the root's deviation.
        noise: (K,) standard normal numbers for the root.
        key: A PRNG key.
    """
    count = gain.shape[1]
    # One program serves all numbers of draws up to the next power of two.
    width = 1 << max(4, (count - 1).bit_length())
    more = [(0, 0), (0, width - count)]
    fields = {"gain": np.pad(gain, more), "spread": np.pad(np.sqrt(np.maximum(own, 0)), more)}
    tree = Tree.on_frame(topology, {**fields, "state": np.zeros((topology.size, width))}, 16)
    root = np.pad(np.sqrt(np.maximum(root_variance, 0)) * noise, (0, width - count))
    return np.asarray(_drawn(tree, jnp.asarray(root), key), float)[: topology.size, :count]


@program()
def _drawn(tree: Tree, root: Any, key: Any) -> Any:
    return deviations(tree.at[0].set(state=root), key=key)["state"]
