"""Simulation-based calibration of the posterior of rates of states, a part of `make calibrate`.

Rates are drawn from their priors and states of all nodes under them; then the rank of each true rate among draws from
the posterior given the tips is uniform, and so is, of the states of inner nodes, where draws say the truth lies.
"""

from __future__ import annotations

import sys

import jax
import numpy as np
from scipy.linalg import expm

from tests.calibration.calibrate import DRAWS, LEVELS, Calibrated

# Mean and standard deviation of the logarithm of every rate.
PRIOR = (-1.5, 1.0)
STATES = ("a", "b")


def calibrate_states(
    simulations: int, seed: int, model: str = "ard", names: tuple[str, ...] = STATES
) -> list[Calibrated]:
    """Ranks of the rates, and of the states of the root and an inner node, in so many simulations.

    Args:
        simulations: How many; those in which all tips look alike count too.
        seed: Of the random numbers.
        model: `er` and the like, or a file that returns Rates of numbers with priors.
        names: Of the states.
    """
    from hxcli.analyses.ancestral_states import StateOptions, pattern_for
    from hxcli.analyses.posterior.state_posterior import posterior_states
    from hxcli.engine.topology import from_parents
    from hxcli.models.file_rates import FileRates
    from hxcli.phylogeny import Phylogeny
    from hxcli.text_columns import Texts
    from hxcli.traits import Observations, StateColumn
    from tests.examples import random_binary

    random = np.random.default_rng(seed)
    topology = from_parents(random_binary(16, 3))
    size = topology.size
    lengths = np.where(topology.is_root, 0.0, random.uniform(0.2, 1.5, size))
    tree = Phylogeny(topology, lengths, Texts([f"n{i}" for i in range(size)]), Texts.blank(size))
    pattern = pattern_for(StateOptions(model), names, tree)
    # A file's own priors are those of unit normal variables.
    declared = [pattern.declarations[label] for label in pattern.labels] if isinstance(pattern, FileRates) else []
    priors = {} if declared else {"q": "lognormal({},{})".format(*PRIOR)}
    inner = int(np.flatnonzero(~topology.is_leaf)[len(tree.tips) // 2])
    ranks: dict[str, list[int]] = {name: [] for name in (*pattern.labels, "root", "inner node")}
    for number in range(simulations):
        values = np.exp(random.normal(*PRIOR, pattern.count))
        if declared:
            values = np.array([float(each.from_unit(random.normal())) for each in declared])
        rates = np.broadcast_to(pattern.rates(values[None])[0], (size, len(names), len(names)))
        states = np.empty(size, int)
        states[0] = random.integers(len(names))
        for node in range(1, size):
            row = expm(rates[node] * lengths[node])[states[topology.parents[node]]]
            states[node] = int((random.random() > row.cumsum()[:-1]).sum())
        texts = Texts([names[state] for state in states[tree.tips]])
        none = np.zeros((len(tree.tips), 0))
        seen = Observations(tree.tips, none, none, (), states=(StateColumn("s", texts),))
        found = posterior_states(
            tree, seen, None, models=[model], states=names, priors=priors, draws=DRAWS, seed=number,
        )  # fmt: skip
        draws = found.tables["draws"]
        for label, value in zip(pattern.labels, values, strict=True):
            ranks[label].append(int((draws[label] < value).sum()))
        drawn = draws["states"][0].numbers
        for name, node in (("root", 0), ("inner node", inner)):
            # Ties are broken at random, so that the ranks of a state are uniform too.
            below, same = int((drawn[:, node] < states[node]).sum()), int((drawn[:, node] == states[node]).sum())
            ranks[name].append(below + int(random.integers(same + 1)))
    return [Calibrated(name, np.array(each)) for name, each in ranks.items()]


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    sound = True
    for model, names in (("er", STATES), ("ard", STATES), ("sym", (*STATES, "c"))):
        for one in calibrate_states(100, 0, model, names):
            shares = "  ".join("{:.0%}: {:.3f} ({:+.1f})".format(level, *one.coverage(level)) for level in LEVELS)
            sys.stdout.write(f"{model} {one.name:11s}  p = {one.p_value(10):.3f}  {shares}\n")
            sound &= one.sound(bins=10)
    sys.exit(not sound)


if __name__ == "__main__":
    main()
