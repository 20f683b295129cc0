"""Models of one's own, measured: the grid engine's likelihood and gradient, an own file's ou against the built-in one.

python benchmarks/own_model.py [--smoke]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_ENABLE_X64", "1")
# As `hx` has it: the products are small.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from hxcli.engine.topology import Topology, from_parents
from hxcli.inference.grid_likelihood import GridLikelihood
from hxcli.inference.likelihood_columns import TraitLikelihood, framed
from hxcli.models import named_model
from hxcli.models.edge_fields import EdgeFields, edge_fields, trait_fields
from hxcli.models.listing import model_text
from hxcli.phylogeny import Phylogeny
from hxcli.text_columns import Texts
from hxcli.traits import Observations


def random_tree(tips: int) -> tuple[Topology, Any]:
    """A tree whose tips arose by splitting one tip after the other, and its edge lengths."""
    random = np.random.default_rng(1)
    parents, leaves = [0], [0]
    for _ in range(tips - 1):
        at = leaves.pop(int(random.integers(len(leaves))))
        leaves += [len(parents), len(parents) + 1]
        parents += [at, at]
    depth = np.zeros(len(parents), int)
    for node in range(1, len(parents)):
        depth[node] = depth[parents[node]] + 1
    order = np.lexsort((np.arange(len(parents)), depth))
    # Breadth-first, the children of a node beside each other.
    for level in range(1, depth.max() + 1):
        at = np.flatnonzero(depth[order] == level)
        place = np.argsort(order)
        order[at] = sorted(order[at], key=lambda node: (place[parents[node]], node))
    place = np.argsort(order)
    topology = from_parents(place[np.array(parents)[order]])
    return topology, np.where(topology.is_root, 0.0, random.exponential(1.0, topology.size))


def best(function: Callable[[], Any], repeats: int = 7) -> float:
    """Seconds of processor time of the fastest of some calls; the first one compiles."""
    function()
    found = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        found.append(time.process_time() - start)
    return min(found)


def simulated(phylogeny: Phylogeny, rate: float, pull: float = 0.0) -> Observations:
    """Tips under an Ornstein-Uhlenbeck process around 0, or, without a pull, Brownian motion between -1 and 1."""
    random, topology = np.random.default_rng(2), phylogeny.topology
    states = np.zeros(topology.size)
    for node in range(1, topology.size):
        time = phylogeny.lengths[node]
        decay = np.exp(-pull * time)
        variance = rate * (1 - decay**2) / (2 * pull) if pull else rate * time
        state = states[topology.parents[node]] * decay + np.sqrt(variance) * random.standard_normal()
        states[node] = state if pull else abs((state + 3) % 4 - 2) - 1
    leaves = np.flatnonzero(topology.is_leaf)
    values = states[leaves, None]
    return Observations(leaves, values, np.zeros_like(values), ("x",))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="small, to see that it runs")
    smoke = parser.parse_args().smoke
    tips, cells = (30, 50) if smoke else (1000, 200)
    topology, lengths = random_tree(tips)
    labels = tuple(f"t{node}" if topology.is_leaf[node] else "" for node in range(topology.size))
    phylogeny = Phylogeny(topology, lengths, Texts(labels), Texts(("",) * topology.size))
    fields = edge_fields(phylogeny)
    observations = simulated(phylogeny, rate=0.05)
    own = EdgeFields(phylogeny, trait_fields(fields.columns, observations.values[:, 0]))
    grid = GridLikelihood(named_model("bounded").on(own), observations, 0, cells=cells)
    # At the rate of the simulation, where a fit spends its time.
    place = np.log([0.05])
    value = best(lambda: grid.value(place))
    slope = best(lambda: grid.value_and_gradient(place))
    print(f"grid, {cells} cells, {tips} tips: likelihood {value * 1e3:.3g} ms (target 60)")
    print(f"grid: gradient / likelihood {slope / value:.3g} (target 5)")
    observations = simulated(phylogeny, rate=1.0, pull=0.2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "my_ou.py"
        path.write_text(model_text("ou"), encoding="utf-8")
        likelihoods = [
            TraitLikelihood(
                named_model(name).on(fields), framed(fields.columns, phylogeny), observations, 0, restricted=False
            )
            for name in ("ou", str(path))
        ]
        points = np.tile(likelihoods[0].start, (16, 1))
        # In turns, so that whatever else the machine does meets both.
        seconds = np.min([[best(lambda each=each: each.at(points), 3) for each in likelihoods] for _ in range(5)], 0)
    print(f"ou in a file / built in: {seconds[1] / seconds[0]:.3g} (target 1.1)")


if __name__ == "__main__":
    main()
