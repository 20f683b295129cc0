"""Bayesian posterior of traits together: their covariance, and all nodes, by sampling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hxcli.analyses.assemble import reconstruction
from hxcli.analyses.canonical import in_canonical_order
from hxcli.analyses.together.ancestral import in_own_units
from hxcli.analyses.together.joint_reconstruction import JointReconstruction
from hxcli.analyses.together.leave_one_cell_out import leave_one_cell_out
from hxcli.analyses.together.posterior_tables import (
    PROBABILITIES,
    Figures,
    draws_table,
    posterior_covariance_table,
    posterior_parameters,
)
from hxcli.analyses.together.tables import within_table
from hxcli.errors import OptionError
from hxcli.inference.joint_fit import fit_jointly
from hxcli.inference.joint_prior import joint_priors
from hxcli.inference.joint_problem import JointProblem
from hxcli.inference.joint_sampling import WARM_UP, JointSampled, sample_jointly
from hxcli.inference.no_u_turn import numpyro_for
from hxcli.inference.normal_mixture import Components, Mixture, NodeFigures, node_figures, quantiles
from hxcli.inference.threads import in_threads
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.prebuilt.tip_likelihoods import exact_values
from hxcli.traits import Observations

# Draws of the covariance that stand for all others at the nodes, at most; and numbers of all their states.
_MOST_COMPONENTS, _LEAST_COMPONENTS, _MOST_NUMBERS = 512, 16, 2**25
# What all joint draws together may take.
_MOST_BYTES = 2**33
# Kinds of random numbers, besides those of the sampler.
_NODES = 3


def posterior_together(
    phylogeny: Phylogeny,
    observations: Observations,
    *,
    level: float = 0.95,
    tau2: float = 0.0,
    phenotypic: bool = False,
    priors: Mapping[str, str] | None = None,
    draws: int = 0,
    chains: int = 4,
    samples: int = 1000,
    seed: int = 0,
) -> JointReconstruction:
    """Posterior of the covariance of all traits, and of all nodes and missing cells, the root's state flat.

    States are mixtures of their exact normal distributions at draws of the covariance, so that its uncertainty is in
    them.

    Args:
        phylogeny: Tree with N nodes and edge lengths that are neither missing nor negative.
        observations: M observations of D traits, whose cells may be missing in any pattern.
        level: Probability of the intervals.
        tau2: Observation variance, trait^2, added to the known standard errors' squares.
        phenotypic: Whether every row is a draw around its species, with a covariance that is sampled too.
        priors: As `joint_priors` takes them.
        draws: Number of joint draws of the covariance and of all nodes.
        chains, samples: Of the sampler: number of chains, and of draws of each.
        seed: Of the random numbers.

    Raises:
        HxError: NumPyro is not installed.
        ModelError: Error-free observations that contradict each other, or traits whose covariance has no likelihood.
        OptionError: A prior that is none, or more draws than there are.
    """
    size, traits = phylogeny.topology.size, observations.traits
    if draws > chains * samples:
        raise OptionError(f"--draws {draws} is more than the sampler makes (give more --samples)")
    if 8 * draws * size * len(traits) > _MOST_BYTES:
        raise OptionError(f"{draws} draws of all nodes are too many to keep (fewer draws, or one --column)")
    height = float(phylogeny.root_distances[phylogeny.tips].mean())
    believed = joint_priors(priors or {}, traits, _spreads(observations.values), height, phenotypic)
    # Before what takes long.
    numpyro_for("--together")
    tree, seen, order = in_canonical_order(phylogeny, observations)
    problem = JointProblem(tree, seen, phenotypic=phenotypic, tau2=tau2)
    fit = fit_jointly(problem)
    sampled = sample_jointly(problem, believed, fit, chains, samples, (seed, 0))
    nodes, quantiles_of_root = _nodes(problem, sampled, level)
    place = np.empty_like(order)
    place[order] = np.arange(size)
    nodes = NodeFigures(*(figures[place] for figures in nodes))
    units = problem.units
    estimates, deviations = units.states(nodes.mean, nodes.deviation)
    ends = {
        name: getattr(nodes, name) * units.scale + units.location
        for name in ("lower", "upper", "shortest_lower", "shortest_upper")
    }
    rates = in_own_units(problem, sampled.rates) / units.length
    withins = None if sampled.withins is None else in_own_units(problem, sampled.withins)
    tables: dict[str, Any] = {
        "covariance table": posterior_covariance_table(traits, rates, level),
        "parameter table": posterior_parameters(
            traits,
            rates,
            withins,
            believed.written(traits),
            sampled.diagnostics,
            Figures(estimates[0], deviations[0], quantiles_of_root * units.scale[:, None] + units.location[:, None]),
        ),
    }
    if withins is not None:
        tables["within table"] = within_table(traits, withins.mean((0, 1)))
    if draws:
        exact = exact_values(phylogeny, observations, tau2)
        exact = np.where(deviations == 0, exact, np.nan)
        chosen = _spaced(sampled, draws)
        states = _drawn(problem, sampled, chosen, seed)[:, place] * units.scale + units.location
        states = np.where(np.isnan(exact), states, exact)
        flat = [None if each is None else each.reshape(-1, *each.shape[2:])[chosen] for each in (rates, withins)]
        tables["draws"] = draws_table(traits, states, flat[0], flat[1], tau2)
    middle = [None if each is None else each.mean((0, 1)) for each in (sampled.rates, sampled.withins)]
    coverage = leave_one_cell_out(problem, problem.states(*middle), level)  # type: ignore[arg-type]
    complaints = sampled.complaints()
    found = reconstruction(
        phylogeny,
        observations,
        estimates,
        deviations,
        level=level,
        interval="HPD",
        ends=(ends["lower"], ends["upper"]),
        shortest=(ends["shortest_lower"], ends["shortest_upper"]),
        parameters={
            "sigma2": (np.diagonal(rates.mean((0, 1))), "posterior mean"),
            "tau2": (tau2, "given"),
        },
        root_how=("posterior mean", "posterior standard deviation"),
        method="Brownian motion, traits together, posterior of nodes and covariance by the no-U-turn sampler",
        tables=tables,
        warnings=complaints,
        rates_from_data=False,
    )
    posterior = {
        "priors": believed.written(traits),
        "priors_scaled_to_the_data": list(believed.scaled_to_data),
        "method": "nuts",
        "chains": chains,
        "samples_per_chain": samples,
        "warm_up": WARM_UP,
        "divergences": sampled.divergences,
        "diagnostics": sampled.diagnostics,
        "components": len(_components(problem, sampled)),
    }
    about_all = {"posterior": posterior, "leave_one_cell_out": None if coverage is None else coverage.as_json()}
    remarks = [believed.in_words(traits), *([coverage.sentence()] if coverage else [])]
    return JointReconstruction.of(found, about_all, "\n".join(remarks), doubts=complaints)


def _spreads(values: FloatArray) -> FloatArray:
    """(D,) standard deviations of (M, D) values, the missing ones left out; 0 where there is none."""
    there = ~np.isnan(values)
    number = np.maximum(there.sum(0), 1)
    away = np.where(there, values - np.where(there, values, 0).sum(0) / number, 0)
    return np.asarray(np.sqrt((away**2).sum(0) / number))


def _spaced(sampled: JointSampled, count: int) -> Any:
    """(count,) draws at equal distances in all chains."""
    return np.linspace(0, sampled.rates[..., 0, 0].size - 1, count).round().astype(int)


def _at(sampled: JointSampled, draw: int) -> tuple[FloatArray, FloatArray | None]:
    """The covariances of one draw of all chains."""
    chain, number = divmod(draw, sampled.rates.shape[1])
    return sampled.rates[chain, number], None if sampled.withins is None else sampled.withins[chain, number]


def _components(problem: JointProblem, sampled: JointSampled) -> Any:
    """The draws that stand for all at the nodes."""
    most = max(_LEAST_COMPONENTS, min(_MOST_COMPONENTS, _MOST_NUMBERS // (problem.size * problem.traits)))
    return _spaced(sampled, min(most, sampled.rates[..., 0, 0].size))


def _nodes(problem: JointProblem, sampled: JointSampled, level: float) -> tuple[NodeFigures, FloatArray]:
    """The figures of all nodes, each (N, D), and the quantiles of the root, (D, P) at `PROBABILITIES`."""

    def states(draw: int) -> tuple[FloatArray, FloatArray]:
        at = problem.states(*_at(sampled, draw))
        variances = np.diagonal(at.covariances[problem.nodes], axis1=1, axis2=2)
        return at.means[problem.nodes].ravel(), np.maximum(variances, 0).ravel()

    means, variances = (
        np.stack(each, 1) for each in zip(*in_threads(states, _components(problem, sampled)), strict=True)
    )
    count = means.shape[1]
    weight = Components(np.arange(count), np.full(count, 1 / count), np.zeros(count), np.zeros(count), np.ones(count))
    mixture = Mixture(means, np.zeros_like(means), variances, weight)
    figures = node_figures(mixture, mixture, level)
    of_root = np.stack([quantiles(mixture, trait, np.array(PROBABILITIES)) for trait in range(problem.traits)])
    return NodeFigures(*(each.reshape(-1, problem.traits) for each in figures)), of_root


def _drawn(problem: JointProblem, sampled: JointSampled, chosen: Any, seed: int) -> FloatArray:
    """(K, N, D) joint draws of all nodes, one at each of K draws of the covariance."""

    def one(number: int) -> FloatArray:
        generator = np.random.default_rng([seed, _NODES, number])
        return problem.draw(
            *_at(sampled, int(chosen[number])), generator.standard_normal((problem.size, 3, problem.traits))
        )

    return np.stack(in_threads(one, range(len(chosen))))
