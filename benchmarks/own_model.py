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
    """Seconds of the fastest of some calls; the first one compiles."""
    function()
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        found.append(time.perf_counter() - start)
    return min(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="small, to see that it runs")
    smoke = parser.parse_args().smoke
    tips, cells = (30, 50) if smoke else (1000, 200)
    topology, lengths = random_tree(tips)
    leaves = np.flatnonzero(topology.is_leaf)
    labels = tuple(f"t{node}" if topology.is_leaf[node] else "" for node in range(topology.size))
    phylogeny = Phylogeny(topology, lengths, Texts(labels), Texts(("",) * topology.size))
    values = np.random.default_rng(2).normal(0, 1, (len(leaves), 1))
    observations = Observations(leaves, values, np.zeros_like(values), ("x",))
    fields = edge_fields(phylogeny)
    own = EdgeFields(phylogeny, trait_fields(fields.columns, values[:, 0]))
    grid = GridLikelihood(named_model("bounded").on(own), observations, 0, cells=cells)
    value = best(lambda: grid.value(grid.start))
    slope = best(lambda: grid.value_and_gradient(grid.start))
    print(f"grid, {cells} cells, {tips} tips: likelihood {value * 1e3:.3g} ms (target 60)")
    print(f"grid: gradient / likelihood {slope / value:.3g} (target 5)")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "my_ou.py"
        path.write_text(model_text("ou"), encoding="utf-8")
        seconds = []
        for name in ("ou", str(path)):
            found = TraitLikelihood(
                named_model(name).on(fields), framed(fields.columns, phylogeny), observations, 0, restricted=False
            )
            seconds.append(best(lambda found=found: found.at(np.tile(found.start, (16, 1)))))
    print(f"ou in a file / built in: {seconds[1] / seconds[0]:.3g} (target 1.1)")


if __name__ == "__main__":
    main()
