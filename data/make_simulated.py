"""Writes simulated.nwk and simulated.csv: a pure-birth tree of 1,000 tips and four traits that evolved on it.

    python data/make_simulated.py [FOLDER]

The same bytes come out everywhere: the random numbers are those of numpy's frozen `RandomState`, ages are whole
numbers of 1e-5 time units, and traits are rounded to six decimals.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SEED = 20120921
TIPS = 1_000
TREE_AGE = 100
TICKS = 100_000  # per time unit

# trait: rate sigma2 (trait^2 per time unit), root state, observation variance tau2 (trait^2), share of tips missing
TRAITS = {
    "slow": (0.01, 10.0, 0.0, 0.0),
    "fast": (1.0, 0.0, 0.0, 0.0),
    "noisy": (0.1, 5.0, 4.0, 0.0),
    "sparse": (0.1, -2.0, 0.0, 0.3),
}


def pure_birth(random: np.random.RandomState, tips: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the parents (N,) and ages (N,), in ticks before the present, of a Yule (1925) tree.

    Node 0 is the root, its parent is -1, and every parent comes before its children. The tips have age 0.
    """
    parents, splits, living, now = [-1], [np.nan], [0], 0.0
    while len(living) < tips:
        if len(living) > 1:
            now += random.exponential(1.0 / len(living))
        split = living.pop(random.randint(len(living)))
        splits[split] = now
        for _ in range(2):
            living.append(len(parents))
            parents.append(split)
            splits.append(np.nan)
    now += random.exponential(1.0 / len(living))
    times = np.where(np.isnan(splits), now, splits)
    ages = np.rint((now - times) / now * TREE_AGE * TICKS).astype(np.int64)
    return np.array(parents), ages


def newick(parents: NDArray[np.int64], ages: NDArray[np.int64], names: dict[int, str]) -> str:
    """Returns the tree as one line of Newick; edge lengths are exact decimals."""
    text: dict[int, list[str]] = {}
    for node in range(len(parents) - 1, -1, -1):
        children = text.pop(node, [])
        label = f"({','.join(children)})" if children else names[node]
        if node == 0:
            return label + ";"
        edge = int(ages[parents[node]] - ages[node])
        text.setdefault(int(parents[node]), []).append(f"{label}:{edge // TICKS}.{edge % TICKS:05d}")
    raise AssertionError("a tree has a root")


def main(folder: Path) -> None:
    # RandomState, not default_rng: only its streams are promised never to change.
    random = np.random.RandomState(SEED)
    parents, ages = pure_birth(random, TIPS)
    edges = (ages[parents[1:]] - ages[1:]) / TICKS
    if edges.min() <= 0:
        raise AssertionError("this seed makes an edge shorter than a tick; take another")

    tips = np.flatnonzero(ages == 0)
    names = {int(node): f"t{count:04d}" for count, node in enumerate(tips, start=1)}
    columns = []
    for sigma2, root, tau2, missing in TRAITS.values():
        states = np.full(len(parents), root)
        steps = random.standard_normal(len(edges)) * np.sqrt(sigma2 * edges)
        for node, step in enumerate(steps, start=1):
            states[node] = states[parents[node]] + step
        observed = states[tips] + np.sqrt(tau2) * random.standard_normal(TIPS)
        absent = random.random_sample(TIPS) < missing
        columns.append(["" if gone else f"{value:.6f}" for value, gone in zip(observed, absent, strict=True)])

    # Rows in an order of their own: tips and rows are matched by name.
    rows = [",".join([names[int(tips[i])], *(column[i] for column in columns)]) for i in random.permutation(TIPS)]
    table = "\n".join([",".join(["tip", *TRAITS]), *rows])
    (folder / "simulated.nwk").write_bytes((newick(parents, ages, names) + "\n").encode())
    (folder / "simulated.csv").write_bytes((table + "\n").encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent)
