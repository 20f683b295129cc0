"""Phylogenetic principal components: scores of tips and ancestors, loadings, explained variance."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from hxcli.analyses.pca.components import Components, principal_components
from hxcli.analyses.together.ancestral import in_own_units
from hxcli.errors import OptionError
from hxcli.findings import TableFindings
from hxcli.inference.estimated_rate import Estimator
from hxcli.inference.joint_fit import fit_jointly
from hxcli.inference.joint_problem import JointProblem
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.traits import Observations


@dataclass(frozen=True, eq=False)
class Ordination(TableFindings):
    """Tables of principal components, and what a picture of them needs.

    Attributes:
        scores: (N, D) of all nodes.
        components: Their axes.
    """

    scores: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))
    components: Components | None = None


def pca(
    phylogeny: Phylogeny,
    observations: Observations,
    *,
    model: Literal["bm", "lambda"] = "bm",
    correlation: bool = False,
    estimator: Estimator = "REML",
    tau2: float = 0.0,
) -> Ordination:
    """Principal components of the traits' covariance along the tree (Revell 2009).

    Scores are distances from the root's state along the components. Cells that are missing are those that relatives
    and the other traits let expect; ancestors have the scores of their estimated states.

    Args:
        phylogeny: Tree with N nodes.
        observations: Of D traits, D >= 2.
        model: `bm`, or `lambda` with one lambda for all traits.
        correlation: Components of the correlation instead of the covariance.
        estimator: Of the covariance and lambda.
        tau2: Observation variance, trait^2, added to the known standard errors' squares.

    Raises:
        OptionError: One trait only.
        ModelError: Traits whose covariance has no likelihood.
    """
    traits = observations.traits
    if len(traits) < 2:
        raise OptionError(f"one trait only, {traits[0]!r}, has no components (give several)")
    problem = JointProblem(phylogeny, observations, model=model, restricted=estimator == "REML", tau2=tau2)
    fit = fit_jointly(problem)
    # Refuses what is beyond the range of numbers.
    problem.units.rates(np.diag(fit.parameters.rate))
    covariance = in_own_units(problem, fit.parameters.rate) / problem.units.length
    components = principal_components(covariance, correlation)
    # In units of computation nothing is lost where the traits lie far from 0.
    states = problem.states(*fit.parameters).means[problem.nodes] * problem.units.scale
    scores = components.scores(states, states[0])
    names = [f"PC{i + 1}" for i in range(len(traits))]
    tips = phylogeny.tips
    inner = np.flatnonzero(~phylogeny.topology.is_leaf)
    about: dict[str, Any] = {
        "log_likelihood": float(
            fit.log_likelihood - problem.evaluate(*fit.parameters).densities @ np.log(problem.units.scale)
        ),
        "components": [
            {"component": name, "variance": float(v), "proportion": float(p)}
            for name, v, p in zip(names, components.variances, components.shares, strict=True)
        ],
        "certificate": fit.certificate(),
    }
    said = f"lambda {fit.parameters.shape:.4g}, " if model == "lambda" else ""
    if model == "lambda":
        about["lambda"] = float(fit.parameters.shape)
    what = "correlation" if correlation else "covariance"
    return Ordination(
        phylogeny=phylogeny,
        traits=traits,
        tips_used=tuple(int(n) for n in problem.cells),
        method=f"phylogenetic principal components of the {what}, {said}by {estimator}",
        tables={
            "scores table": {"tip": list(phylogeny.tip_names)} | _columns(names, scores[tips]),
            "ancestors table": {"node": inner} | _columns(names, scores[inner]),
            "loadings table": {"trait": list(traits)} | _columns(names, components.loadings),
            "explained table": {
                "component": names,
                "variance": components.variances,
                "proportion": components.shares,
            },
        },
        header=("loading", *names[:6]),
        rows=[(trait, (trait, *(f"{x:.4f}" for x in components.loadings[d, :6]))) for d, trait in enumerate(traits)]
        + [(traits[0], ("explained", *(f"{100 * p:.1f} %" for p in components.shares[:6])))],
        about_all=about,
        scores=scores,
        components=components,
    )


def _columns(names: list[str], values: FloatArray) -> dict[str, FloatArray]:
    return {name: values[:, i] for i, name in enumerate(names)}
