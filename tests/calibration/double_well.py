"""Simulation-based calibration of a double well on the grid engine (Talts et al. 2018): `make calibrate`.

The pull and the noise are drawn from their priors and a trait by what `hx simulate` draws with; then each true value's
rank in its posterior given the tips, by importance sampling from the prior, is uniform. Draws and likelihood know
nothing of each other but the model.
"""

from __future__ import annotations

import argparse
import sys

import jax
import numpy as np
from scipy import stats

from hxcli.analyses.simulate_grid import draw_on_grid
from hxcli.engine.topology import from_parents
from hxcli.inference.grid_likelihood import GridLikelihood
from hxcli.models.edge_fields import EdgeFields, edge_fields, trait_fields
from hxcli.models.gaussian_model import GaussianModel
from hxcli.phylogeny import Phylogeny
from hxcli.text_columns import Texts
from hxcli.traits import Observations
from tests.calibration.calibrate import DRAWS, Calibrated

# Draws from the prior that stand for a posterior, by their likelihoods: a power of 2, for even draws.
_POINTS = 128


def _model(edge):  # type: ignore[no-untyped-def]
    from hxcli.model import Sde, log_normal

    pull, sigma = log_normal("pull", median=1.0, sd=0.5), log_normal("sigma", median=0.8, sd=0.4)
    return Sde(lambda x: pull * (x - x**3), sigma)


def _root():  # type: ignore[no-untyped-def]
    from hxcli.model import Gaussian

    return Gaussian(mean=0.3, variance=0.5)


def calibrate_double_well(simulations: int, seed: int, cells: int = 100) -> list[Calibrated]:
    """Ranks of the pull and the noise in so many simulations."""
    random = np.random.default_rng(seed)
    parents = np.sort(np.concatenate([[0], np.repeat(np.arange(15), 2)]))
    topology = from_parents(parents)
    lengths = np.where(topology.is_root, 0.0, random.uniform(0.1, 0.9, topology.size))
    tips = np.flatnonzero(topology.is_leaf)
    labels = tuple(f"t{i:02}" if topology.is_leaf[i] else "" for i in range(topology.size))
    phylogeny = Phylogeny(topology, lengths, Texts(labels), Texts(("",) * topology.size))
    fields, model = edge_fields(phylogeny), GaussianModel("wells", _model, _root, text="calibration")
    ranks = np.empty((simulations, 2), int)
    for number in range(simulations):
        true = random.standard_normal(2)
        given = {"pull": float(np.exp(0.5 * true[0])), "sigma": float(0.8 * np.exp(0.4 * true[1]))}
        values = draw_on_grid(phylogeny, model, fields, given, 1, int(random.integers(2**31))).states[tips]
        columns = trait_fields(fields.columns, values)
        observed = Observations(tips, values, np.zeros_like(values), ("x",))
        bound = model.on(EdgeFields(phylogeny, columns))
        ranks[number] = _ranks(GridLikelihood(bound, observed, 0, cells=cells), true, random)
    return [Calibrated(name, ranks[:, place]) for place, name in enumerate(("pull", "sigma"))]


def _ranks(likelihood: GridLikelihood, true: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """(2,) where the true values, as unit normal variables, lie among `DRAWS` of their posterior."""
    names = [each.name for each in likelihood.coordinates]
    scale, middle = np.array([0.5, 0.4]), np.log([1.0, 0.8])
    order = [names.index(name) for name in ("pull", "sigma")]

    def log_likelihood(z: np.ndarray) -> float:
        x = np.empty(2)
        x[order] = middle + scale * z
        return likelihood.value(x)

    points = stats.qmc.MultivariateNormalQMC(np.zeros(2), seed=random).random(_POINTS)
    heights = np.array([log_likelihood(z) for z in points])
    weights = np.exp(heights - heights.max())
    below = (weights[:, None] * (points < true)).sum(0) / weights.sum()
    return np.minimum((below * (DRAWS + 1)).astype(int), DRAWS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    for one in calibrate_double_well(given.simulations, given.seed):
        inside = one.coverage(0.9)[0]
        sys.stdout.write(
            f"{one.name}: p of uniformity {one.p_value(10):.3g}, share in the 90 % interval {inside:.3g}\n"
        )


if __name__ == "__main__":
    main()
