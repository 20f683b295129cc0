"""Comparison of models of traits together by their corrected information criterion: built-in ones, and users' files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hxcli.analyses.fit.fit import height_notes
from hxcli.analyses.fit.fitted import file_of, refuse_unknown_parameters
from hxcli.analyses.fit.flags import WORDS
from hxcli.analyses.fit.ranking import HEADER, about, fits_table, parameter_table, ranked, summary_row
from hxcli.analyses.together.ancestral import correlations, in_own_units, likelihood_of
from hxcli.analyses.together.under_file import Estimate, FittedFile, fit_file, joint_model
from hxcli.edge_data import EdgeTable
from hxcli.errors import OptionError
from hxcli.findings import TableFindings
from hxcli.inference.akaike import Akaike
from hxcli.inference.joint_fit import JointFit, fit_jointly
from hxcli.inference.joint_problem import JointModel, JointProblem
from hxcli.models import is_model_file, refuse_one_name_twice
from hxcli.phylogeny import Phylogeny
from hxcli.traits import Observations

BUILT_IN: tuple[JointModel, ...] = ("bm", "lambda", "ou")
# Name of the shape parameter of a built-in model.
_SHAPES = {"lambda": "lambda", "ou": "alpha"}


@dataclass(frozen=True, eq=False)
class ComparedTogether(Akaike):
    """All traits together under one model.

    Attributes:
        trait: Names of all traits.
        name: Of the model.
        n: Number of observed cells.
        k, log_likelihood: As everything that is fitted by likelihood has them.
        converged: Whether the optimum is certain.
        flags: What to know of the fit, as codes.
        parameters: Reported name -> estimate.
        found: How the optimum was found, as JSON values.
        of_file: What the record says of a user's file.
    """

    trait: str
    name: str
    n: int
    k: int
    log_likelihood: float
    converged: bool
    flags: tuple[str, ...]
    parameters: Mapping[str, Estimate]
    found: dict[str, Any]
    of_file: Mapping[str, Any]

    @property
    def estimator(self) -> str:
        """The same for all: restricted likelihoods compare models with the same mean only."""
        return "ML"

    def certificate(self) -> dict[str, Any]:
        """How the optimum was found, as JSON values."""
        return self.found


def fit_together(
    phylogeny: Phylogeny,
    observations: Observations,
    *,
    models: tuple[str, ...] = (),
    held: Mapping[str, float] | None = None,
    start: Mapping[str, float] | None = None,
    edge_data: EdgeTable | None = None,
    level: float = 0.95,
    tau2: float = 0.0,
    intervals: bool = True,
) -> TableFindings:
    """Fits models to all traits together by maximum likelihood and compares them.

    Args:
        phylogeny: Tree with N nodes and edge lengths that are neither missing nor negative.
        observations: M observations of D traits, whose cells may be missing in any pattern.
        models: `bm`, `lambda`, `ou`, `FILE.py[:NAME]`; none for the built-in ones.
        held, start: Reported name -> value of parameters of files that are given, and at which a search begins.
        edge_data: Further columns of the edges, for files.
        level: Probability of the intervals.
        tau2: Observation variance, trait^2, added to the known standard errors' squares.
        intervals: Whether profile likelihood intervals are wanted.

    Raises:
        InputError: A file is refused, with the line.
        ModelError: Error-free observations that contradict each other, or a model that has no likelihood.
        OptionError: A model of single traits, one that is given twice, or a parameter that no model has.
    """
    names = models or BUILT_IN
    held, start = held or {}, start or {}
    for name in names:
        if name not in BUILT_IN and not is_model_file(name):
            raise OptionError(
                f"--model {name}: models of traits together are {', '.join(BUILT_IN)} and files that return matrices"
            )
    refuse_one_name_twice(names)
    bound = [joint_model(phylogeny, observations, name, start, edge_data) for name in names if is_model_file(name)]
    if bound:
        refuse_unknown_parameters(held, start, bound)
    elif held or start or edge_data is not None:
        option = "--set" if held else "--start" if start else "--edge-data"
        raise OptionError(f"{option} is for models in files (built-in ones of traits together take none: leave it out)")
    fitted = [_of_built_in(phylogeny, observations, name, level, tau2, intervals) for name in BUILT_IN if name in names]
    for each in bound:
        # What another file has is none of this one's.
        known = {*(one.name for one in each.coordinates), *each.unknowns, *each.fixed}
        own = {name: value for name, value in held.items() if name in known}
        found = fit_file(each, observations, tau2=tau2, held=own, level=level, intervals=intervals)
        fitted.append(_of_file(observations, found))
    return _findings(phylogeny, observations, fitted)


def _of_file(observations: Observations, fit: FittedFile) -> ComparedTogether:
    return ComparedTogether(
        _all(observations),
        fit.bound.name,
        _cells(observations),
        fit.k,
        fit.optimum.log_likelihood,
        fit.optimum.certificate.converged,
        fit.flags,
        fit.parameters,
        fit.certificate(),
        file_of(fit.bound.model),
    )


def _of_built_in(
    phylogeny: Phylogeny, observations: Observations, model: JointModel, level: float, tau2: float, intervals: bool
) -> ComparedTogether:
    problem = JointProblem(phylogeny, observations, model=model, restricted=False, tau2=tau2)
    fit = fit_jointly(problem)
    certificate, cells, traits = fit.certificate(), _cells(observations), len(observations.traits)
    k = traits * (traits + 1) // 2 + traits + (model in _SHAPES)
    flags = {
        "at_lower_bound": fit.at_bound and fit.parameters.shape <= 0,
        "at_upper_bound": fit.at_bound and fit.parameters.shape > 0,
        "many_parameters": k > cells / 10,
        "optimum_not_certain": not certificate["converged"],
    }
    return ComparedTogether(
        _all(observations),
        model,
        cells,
        k,
        likelihood_of(problem, fit),
        bool(certificate["converged"]),
        tuple(flag for flag, holds in flags.items() if holds),
        _estimates(problem, fit, level, intervals),
        certificate,
        {},
    )


def _estimates(problem: JointProblem, fit: JointFit, level: float, intervals: bool) -> dict[str, Estimate]:
    traits, units, none = problem.observations.traits, problem.units, (math.nan, math.nan)
    rate = in_own_units(problem, fit.parameters.rate) / units.length
    found = {f"sigma2({trait})": Estimate(float(rate[i, i]), *none, "ML") for i, trait in enumerate(traits)}
    scale = np.sqrt(np.diag(rate))
    figures = correlations(problem, fit, level) if intervals else None
    for i, j in zip(*np.triu_indices(len(traits), 1), strict=True):
        ends = none if figures is None else (float(figures.lower[i, j]), float(figures.upper[i, j]))
        value = float(rate[i, j] / scale[i] / scale[j])
        found[f"correlation({traits[i]},{traits[j]})"] = Estimate(value, *ends, "ML")
    if problem.model in _SHAPES:
        shape = fit.parameters.shape / (units.length if problem.model == "ou" else 1.0)
        found[_SHAPES[problem.model]] = Estimate(float(shape), *none, "ML")
    states = problem.states(*fit.parameters)
    root = units.states(states.means[problem.nodes[:1]], np.zeros((1, len(traits))))[0][0]
    return found | {f"root({trait})": Estimate(float(root[i]), *none, "ML") for i, trait in enumerate(traits)}


def _findings(phylogeny: Phylogeny, observations: Observations, fitted: Sequence[ComparedTogether]) -> TableFindings:
    ordered = [ranked(fitted)]
    trait = _all(observations)
    warnings: list[str] = list(height_notes(phylogeny))
    for flag, words in reversed(WORDS.items()):
        having = [each.name for each in fitted if flag in each.flags]
        if having:
            warning = ": do not rely on these figures" if flag == "optimum_not_certain" else ""
            warnings.append(words.about(f"{flag} ({', '.join(having)}): ", warning))
    return TableFindings(
        phylogeny=phylogeny,
        traits=(trait,),
        tips_used=(len(np.unique(observations.nodes[(~np.isnan(observations.values)).any(1)])),),
        method="models of traits together compared by AICc, likelihoods of all cells by ML",
        tables={"fits table": fits_table(ordered), "parameter table": parameter_table(ordered)},
        header=HEADER,
        rows=[(trait, summary_row(*row)) for row in ordered[0]],
        about_traits=[{"models": [about(*row) for row in ordered[0]]}],
        warnings=tuple(warnings),
    )


def _all(observations: Observations) -> str:
    return "+".join(observations.traits)


def _cells(observations: Observations) -> int:
    return int((~np.isnan(observations.values)).sum())
