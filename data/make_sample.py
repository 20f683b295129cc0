"""Writes sample.trees: 60 trees like a posterior sample, made of primates.nwk by random ages and interchanges.

    python data/make_sample.py [FOLDER]

The same bytes come out everywhere: the random numbers are those of numpy's frozen `RandomState`, and lengths have six
decimals.
"""

import sys
from pathlib import Path

import numpy as np

from hxcli.formats.trees.read import read_trees

SEED = 20261126
TREES = 60
# Standard deviation of the logarithm of a node's age over its parent's, and the share of interchanges at edges that are
# shorter than so many million years.
SPREAD, SHARE, SHORT = 0.06, 0.4, 2.5

HERE = Path(__file__).resolve().parent


def sample(folder: Path) -> None:
    """Writes the file into a folder."""
    tree = read_trees(HERE / "primates.nwk").phylogenies[0]
    parents = tree.topology.parents.tolist()
    distances = tree.root_distances
    ages = np.maximum(distances[tree.tips].max() - distances, 0.0)
    ages[tree.tips] = 0.0
    names = sorted(tree.tip_names.tolist())
    keys = {name: str(number) for number, name in enumerate(names, 1)}
    labels = [keys.get(label, "") for label in tree.labels]
    random = np.random.RandomState(SEED)
    lines = ["#NEXUS", "BEGIN TREES;", "  TRANSLATE"]
    lines += [
        f"    {key} {name}{',' if number < len(names) else ';'}" for number, (name, key) in enumerate(keys.items(), 1)
    ]
    for number in range(TREES):
        text = perturbed(random, parents, ages, labels)
        lines.append(f"  TREE STATE_{1000 * number} [&lnP={-5000 - random.gamma(9):.3f}] = [&R] {text}")
    (folder / "sample.trees").write_text("\n".join([*lines, "END;", ""]), encoding="utf-8")


def perturbed(random: np.random.RandomState, parents: list[int], ages: np.ndarray, labels: list[str]) -> str:
    """One tree: ages move, and across some short edges two neighbours change places."""
    above, age = list(parents), ages * 1.0
    age[0] *= float(np.exp(SPREAD * random.randn()))
    for node in range(1, len(above)):
        if ages[node] > 0:
            ratio = ages[node] / ages[parents[node]] * np.exp(SPREAD * random.randn())
            age[node] = age[parents[node]] * min(ratio, 0.98)
    for node in range(1, len(above)):
        if ages[node] > 0 and ages[parents[node]] - ages[node] < SHORT and random.rand() < SHARE:
            inside = [child for child in range(1, len(above)) if above[child] == node]
            beside = [child for child in range(1, len(above)) if above[child] == above[node] and child != node]
            if inside and beside and age[beside[0]] < age[node]:
                above[inside[0]], above[beside[0]] = above[node], node
    text: dict[int, list[str]] = {}
    order = sorted(range(len(above)), key=lambda node: (age[node], -node))
    for node in order:
        label = f"({','.join(text.pop(node))})" if node in text else labels[node]
        if node == 0:
            return label + ";"
        text.setdefault(above[node], []).append(f"{label}:{age[above[node]] - age[node]:.6f}")
    raise AssertionError("a tree has a root")


if __name__ == "__main__":
    sample(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
