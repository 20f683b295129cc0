"""Bayesian posterior of traits together: their covariance, and all nodes, by sampling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hxcli.analyses.assemble import reconstruction
from hxcli.analyses.beside_states import beside
from hxcli.analyses.canonical import in_canonical_order
from hxcli.analyses.together.ancestral import WORDS, in_own_units
from hxcli.analyses.together.joint_reconstruction import JointReconstruction
from hxcli.analyses.together.leave_one_cell_out import leave_one_cell_out, left_out_cells, observed_cells
from hxcli.analyses.together.pairs import PairedNodes, joint_pair_table
from hxcli.analyses.together.posterior_tables import (
    PROBABILITIES,
    Figures,
    ShapeDraws,
    draws_table,
    posterior_covariance_table,
    posterior_parameters,
)
from hxcli.analyses.together.sampled_states import components, drawn_states, spaced, states_over
from hxcli.analyses.together.shape_prior import SHAPES, shape_prior
from hxcli.analyses.together.tables import within_table
from hxcli.errors import OptionError
from hxcli.inference.joint_fit import fit_jointly
from hxcli.inference.joint_prior import joint_priors
from hxcli.inference.joint_problem import JointModel, JointProblem
from hxcli.inference.joint_sampling import WARM_UP, sample_jointly
from hxcli.inference.no_u_turn import numpyro_for
from hxcli.inference.normal_mixture import NodeFigures
from hxcli.node_pairs import PairTable
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.prebuilt.tip_likelihoods import exact_values
from hxcli.prebuilt.units import units_of
from hxcli.traits import Observations

# What all joint draws together may take.
_MOST_BYTES = 2**33
# With which parameters cells are predicted.
_HELD = "held at their posterior given all cells"


def posterior_together(
    phylogeny: Phylogeny,
    observations: Observations,
    *,
    model: JointModel = "bm",
    level: float = 0.95,
    tau2: float = 0.0,
    phenotypic: bool = False,
    pairs: PairTable | None = None,
    loo: bool = False,
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
        model: `bm`, or with one parameter for all traits, which is sampled too, `lambda` or `ou`.
        level: Probability of the intervals.
        tau2: Observation variance, trait^2, added to the known standard errors' squares.
        phenotypic: Whether every row is a draw around its species, with a covariance that is sampled too.
        pairs: Pairs of nodes to tell together.
        loo: Whether to tell what all other cells predict of every observed one.
        priors: As `joint_priors` takes them, and the shape parameter's as in the posterior of one trait.
        draws: Number of joint draws of the covariance and of all nodes.
        chains, samples: Of the sampler: number of chains, and of draws of each.
        seed: Of the random numbers.

    Raises:
        InputError: Pairs that are none of this tree.
        HxError: NumPyro is not installed.
        ModelError: Error-free observations that contradict each other, or traits whose covariance has no likelihood.
        OptionError: A prior that is none, or more draws than there are.
    """
    size, traits = phylogeny.topology.size, observations.traits
    if draws > chains * samples:
        raise OptionError(f"--draws {draws} is more than the sampler makes (give more --samples)")
    if 8 * draws * size * len(traits) > _MOST_BYTES:
        raise OptionError(f"{draws} draws of all nodes are too many to keep (fewer draws, or one --column)")
    wanted = None if pairs is None else pairs.on(phylogeny)
    height = float(phylogeny.root_distances[phylogeny.tips].mean())
    shape = shape_prior(model, phylogeny, units_of(phylogeny, observations), priors or {})
    believed = joint_priors(priors or {}, traits, _spreads(observations.values), height, phenotypic, shape)
    # Before what takes long.
    numpyro_for("--together")
    tree, seen, order = in_canonical_order(phylogeny, observations)
    place = np.empty_like(order)
    place[order] = np.arange(size)
    problem = JointProblem(tree, seen, model=model, phenotypic=phenotypic, tau2=tau2)
    fit = fit_jointly(problem)
    sampled = sample_jointly(problem, believed, fit, chains, samples, (seed, 0))
    paired = None if wanted is None else PairedNodes.of(problem, wanted, place)
    cells = observed_cells(problem) if loo else None
    over = states_over(problem, sampled, level, PROBABILITIES, cells, paired)
    units = problem.units
    nodes = NodeFigures(*(figures[place] for figures in over.nodes))
    estimates, deviations = units.states(nodes.mean, nodes.deviation)
    ends = {
        name: getattr(nodes, name) * units.scale + units.location
        for name in ("lower", "upper", "shortest_lower", "shortest_upper")
    }
    rates = in_own_units(problem, sampled.rates) / units.length
    withins = None if sampled.withins is None else in_own_units(problem, sampled.withins)
    shapes = None if sampled.shapes is None else sampled.shapes / (units.length if model == "ou" else 1.0)
    shown = None if shapes is None else ShapeDraws(SHAPES[model], shapes)
    root = Figures(estimates[0], deviations[0], over.root * units.scale[:, None] + units.location[:, None])
    tables: dict[str, Any] = {
        "covariance table": posterior_covariance_table(traits, rates, level),
        "parameter table": posterior_parameters(
            traits, rates, withins, shown, believed.written(traits), sampled.diagnostics, root
        ),
    }
    if withins is not None:
        tables["within table"] = within_table(traits, withins.mean((0, 1)))
    if draws:
        exact = exact_values(phylogeny, observations, tau2)
        exact = np.where(deviations == 0, exact, np.nan)
        chosen = spaced(sampled, draws)
        states = drawn_states(problem, sampled, chosen, seed)[:, place] * units.scale + units.location
        states = np.where(np.isnan(exact), states, exact)
        flat = [None if each is None else each.reshape(-1, *each.shape[2:])[chosen] for each in (rates, withins)]
        more = {} if shapes is None else {SHAPES[model]: shapes.ravel()[chosen]}
        tables["draws"] = draws_table(traits, states, flat[0], flat[1], tau2, more)
    on_the_side = beside(
        {} if wanted is None else joint_pair_table(problem, wanted, over.pairs, level, shortest=True),
        None if cells is None else left_out_cells(problem, cells, over.predictions, phylogeny, order, _HELD),
    )
    complaints = sampled.complaints()
    parameters: dict[str, tuple[Any, str]] = {
        "sigma2": (np.diagonal(rates.mean((0, 1))), "posterior mean"),
        "tau2": (tau2, "given"),
    }
    if shapes is not None:
        parameters[SHAPES[model]] = float(shapes.mean()), "posterior mean"
    coverage = leave_one_cell_out(problem, problem.states(*sampled.mean()), level)
    found = reconstruction(
        phylogeny,
        observations,
        estimates,
        deviations,
        level=level,
        interval="HPD",
        ends=(ends["lower"], ends["upper"]),
        shortest=(ends["shortest_lower"], ends["shortest_upper"]),
        parameters=parameters,
        root_how=("posterior mean", "posterior standard deviation"),
        method=f"{WORDS[model]}, traits together, posterior of nodes and covariance by the no-U-turn sampler",
        tables={**tables, **on_the_side.tables},
        details=on_the_side.details,
        warnings=(*complaints, *on_the_side.warnings),
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
        "components": len(components(problem, sampled)),
    }
    about_all = {"posterior": posterior, "leave_one_cell_out": None if coverage is None else coverage.as_json()}
    remarks = [believed.in_words(traits), *([coverage.sentence()] if coverage else [])]
    return JointReconstruction.of(found, about_all, "\n".join(remarks))


def _spreads(values: FloatArray) -> FloatArray:
    """(D,) standard deviations of (M, D) values, the missing ones left out; 0 where there is none."""
    there = ~np.isnan(values)
    number = np.maximum(there.sum(0), 1)
    away = np.where(there, values - np.where(there, values, 0).sum(0) / number, 0)
    return np.asarray(np.sqrt((away**2).sum(0) / number))
