"""Ancestral states of traits together: multivariate Brownian motion with cells missing in any pattern."""

from __future__ import annotations

from typing import Any

import numpy as np

from hxcli.analyses.assemble import reconstruction
from hxcli.analyses.beside_states import beside
from hxcli.analyses.together.joint_reconstruction import JointReconstruction
from hxcli.analyses.together.leave_one_cell_out import leave_one_cell_out, left_out, left_out_cells, observed_cells
from hxcli.analyses.together.pairs import PairedNodes, joint_pair_table
from hxcli.analyses.together.tables import covariance_table, within_table
from hxcli.errors import Doubt, Note
from hxcli.inference.correlation_intervals import CorrelationFigures, fisher_intervals, profile_intervals
from hxcli.inference.estimated_rate import Estimator
from hxcli.inference.joint_fit import JointFit, fit_jointly
from hxcli.inference.joint_problem import JointModel, JointProblem
from hxcli.node_pairs import NodePairs, PairTable
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.traits import Observations

# With which parameters cells are predicted.
_HELD = "estimated from all cells"

WORDS = {
    "bm": "Brownian motion",
    "lambda": "Brownian motion with Pagel's lambda",
    "ou": "Ornstein-Uhlenbeck with one alpha, root at the optimum",
}


def ancestral_together(
    phylogeny: Phylogeny,
    observations: Observations,
    *,
    model: JointModel = "bm",
    estimator: Estimator = "REML",
    level: float = 0.95,
    tau2: float = 0.0,
    phenotypic: bool = False,
    pairs: PairTable | None = None,
    loo: bool = False,
) -> JointReconstruction:
    """States of all nodes and missing cells given all cells of all traits.

    Estimates are conditional means, standard errors the square roots of the conditional variances at the estimated
    covariance; the uncertainty of the means is in them, that of the covariance is not.

    Args:
        phylogeny: Tree with N nodes and edge lengths that are neither missing nor negative.
        observations: M observations of D traits, whose cells may be missing in any pattern.
        model: `bm`, or with one parameter for all traits `lambda` or `ou`.
        estimator: `REML` or `ML`, of all covariances and the model's parameter.
        level: Probability of the intervals of states and correlations.
        tau2: Observation variance, trait^2, added to the known standard errors' squares.
        phenotypic: Whether every row is a draw around its species, with a covariance that is estimated.
        pairs: Pairs of nodes to tell together.
        loo: Whether to tell what all other cells predict of every observed one.

    Raises:
        InputError: Pairs that are none of this tree.
        ModelError: Error-free observations that contradict each other, or traits whose covariance has no likelihood.
    """
    wanted = None if pairs is None else pairs.on(phylogeny)
    problem = JointProblem(
        phylogeny,
        observations,
        model=model,
        restricted=estimator == "REML",
        phenotypic=phenotypic,
        tau2=tau2,
    )
    fit = fit_jointly(problem)
    return described(problem, fit, correlations(problem, fit, level), estimator, level, tau2, wanted, loo)


def described(
    problem: JointProblem,
    fit: JointFit,
    figures: CorrelationFigures,
    estimator: Estimator,
    level: float,
    tau2: float,
    pairs: NodePairs | None = None,
    loo: bool = False,
) -> JointReconstruction:
    """The fit in the traits' own units, with states, tables and what the record says."""
    states = problem.states(*fit.parameters)
    units, traits, nodes = problem.units, problem.observations.traits, problem.nodes
    variances = np.maximum(np.diagonal(states.covariances[nodes], axis1=1, axis2=2), 0)
    estimates, standard_errors = units.states(states.means[nodes], np.sqrt(variances))
    rates = units.rates(np.diag(fit.parameters.rate))
    covariance = in_own_units(problem, fit.parameters.rate) / units.length
    tables: dict[str, Any] = {"covariance table": covariance_table(traits, covariance, figures)}
    if fit.parameters.within is not None:
        tables["within table"] = within_table(traits, in_own_units(problem, fit.parameters.within))
    certificate = fit.certificate()
    told, rows = {}, None
    every = np.arange(len(problem.nodes))
    if pairs is not None:
        paired = PairedNodes.of(problem, pairs, every).states(problem, fit.parameters, states)
        told = joint_pair_table(problem, pairs, [paired], level, shortest=False)
    if loo:
        cells = observed_cells(problem)
        centre, spread = (each[:, None] for each in left_out(problem, cells, states))
        rows = left_out_cells(problem, cells, (centre, spread), problem.phylogeny, every, _HELD)
    on_the_side = beside(told, rows)
    parameters: dict[str, tuple[Any, str]] = {
        "sigma2": (rates, estimator),
        "tau2": (tau2, "given"),
    }
    if problem.model != "bm":
        shape = fit.parameters.shape / (units.length if problem.model == "ou" else 1.0)
        parameters["alpha" if problem.model == "ou" else "lambda"] = (shape, estimator)
    coverage = leave_one_cell_out(problem, states, level)
    found = reconstruction(
        problem.phylogeny,
        problem.observations,
        estimates,
        standard_errors,
        level=level,
        interval="CI",
        parameters=parameters,
        root_how=("GLS mean", "GLS standard error"),
        method=f"{WORDS[problem.model]}, traits together, all nodes given all cells, covariance by {estimator}",
        tables={**tables, **on_the_side.tables},
        details=on_the_side.details,
        warnings=(*_warnings(problem, fit, certificate), *on_the_side.warnings),
    )
    return JointReconstruction.of(
        found,
        about_all={
            "log_likelihood": likelihood_of(problem, fit),
            "log_likelihood_how": "restricted log likelihood" if estimator == "REML" else "log likelihood",
            "certificate": certificate,
            "leave_one_cell_out": None if coverage is None else coverage.as_json(),
        },
        remark="" if coverage is None else coverage.sentence(),
    )


def in_own_units(problem: JointProblem, covariance: FloatArray) -> FloatArray:
    """(D, D) a covariance in the traits' own units."""
    scale = problem.units.scale
    return covariance * scale * scale[:, None]


def likelihood_of(problem: JointProblem, fit: JointFit) -> float:
    """The log likelihood at the fit, in the traits' own units."""
    densities = problem.evaluate(*fit.parameters).densities
    return float(fit.log_likelihood - densities @ np.log(problem.units.scale))


def correlations(problem: JointProblem, fit: JointFit, level: float) -> CorrelationFigures:
    """The intervals of the correlations."""
    if not (problem.complete and problem.model == "bm"):
        return profile_intervals(problem, fit, level)
    scale = np.sqrt(np.diag(fit.parameters.rate))
    number = float(problem.evaluate(fit.parameters.rate).densities[0])
    contrasts = number - (0 if problem.restricted else 1)
    return fisher_intervals(fit.parameters.rate / scale / scale[:, None], contrasts, number, level)


def _warnings(problem: JointProblem, fit: JointFit, certificate: dict[str, Any]) -> list[str]:
    said: list[str] = []
    if not certificate["converged"]:
        said.append(
            Doubt(
                "the covariance is not certain to be the best: see results[].certificate in the record (fewer traits, "
                "or traits that are seen together in more tips, make it so)"
            )
        )
    scale = np.sqrt(np.diag(fit.parameters.rate))
    correlation = fit.parameters.rate / scale / scale[:, None]
    for a, b in zip(*np.triu_indices(problem.traits, 1), strict=True):
        if abs(correlation[a, b]) > 1 - 1e-4:
            end = "1" if correlation[a, b] > 0 else "-1"
            names = " and ".join(repr(problem.observations.traits[i]) for i in (a, b))
            said.append(Note(f"the correlation of {names} is estimated at {end}, the end of its range"))
    if fit.at_bound:
        name = "alpha" if problem.model == "ou" else "lambda"
        said.append(Note(f"{name} is estimated at an end of its support"))
    return said
