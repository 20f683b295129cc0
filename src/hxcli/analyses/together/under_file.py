"""Ancestral states of traits together under a user's model: any Gaussian edges with matrices in place of numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from hxcli.analyses.assemble import reconstruction
from hxcli.analyses.fit.fitted import file_of, refuse_unknown_parameters
from hxcli.analyses.fit.flags import WORDS, notes_of_means
from hxcli.analyses.together.joint_reconstruction import JointReconstruction
from hxcli.close_names import listed
from hxcli.edge_data import EdgeTable, edge_columns
from hxcli.errors import ModelError
from hxcli.inference.akaike import aic
from hxcli.inference.matrix_edges import refuse_no_covariances
from hxcli.inference.matrix_likelihood import MatrixLikelihood
from hxcli.inference.maximum_likelihood import maximise
from hxcli.inference.optimum_certificate import Optimum
from hxcli.inference.profile_intervals import profile_intervals
from hxcli.inference.quantity import Interval, Quantity
from hxcli.models.bound_model import BoundModel
from hxcli.models.edge_fields import edge_fields, trait_fields
from hxcli.models.model_file import load_model_file
from hxcli.models.recorded import recorded
from hxcli.painting import unpainted
from hxcli.phylogeny import Phylogeny
from hxcli.traits import Observations


class Estimate(NamedTuple):
    """One parameter, in the units of the files; nan for an end that there is none of."""

    value: float
    lower: float
    upper: float
    how: str


@dataclass(frozen=True, eq=False)
class FittedFile:
    """Traits together under a user's model.

    Attributes:
        likelihood, optimum: The likelihood and its maximum.
        parameters: Reported name -> estimate.
        k: Number of estimated parameters.
        flags: Codes of `WORDS`.
    """

    likelihood: MatrixLikelihood
    optimum: Optimum
    parameters: Mapping[str, Estimate]
    k: int
    flags: tuple[str, ...]

    @property
    def bound(self) -> BoundModel:
        """The model on its tree."""
        return self.likelihood.bound

    def certificate(self) -> dict[str, Any]:
        """How the optimum was found, as JSON values."""
        found = self.optimum.certificate
        return {
            **found.as_json(),
            "gradient_norm": float(np.linalg.norm(found.gradient)),
            "coordinates": [each.name + (" (log)" if each.log else "") for each in self.likelihood.coordinates],
        }

    def table(self) -> dict[str, list[Any]]:
        """The columns of PREFIX.params.csv."""
        rows = [(self.bound.name, name, *estimate) for name, estimate in self.parameters.items()]
        names = ("model", "parameter", "value", "lower", "upper", "how")
        return {name: [row[place] for row in rows] for place, name in enumerate(names)}


def joint_model(
    phylogeny: Phylogeny,
    observations: Observations,
    name: str,
    start: Mapping[str, float] | None = None,
    edge_data: EdgeTable | None = None,
) -> BoundModel:
    """A user's model of all traits together on a tree.

    Args:
        phylogeny: N nodes, edge lengths neither missing nor negative.
        observations: Of the traits.
        name: `FILE.py[:NAME]`.
        start: Reported name -> value at which a search begins.
        edge_data: Further columns of the edges.

    Raises:
        InputError: The file is refused, with the line.
        ModelError: There are no traits, or no edges.
    """
    fields = edge_fields(phylogeny, edge_columns(unpainted(phylogeny), edge_data))
    columns = trait_fields(fields.columns, observations.values)
    model = load_model_file(name)
    return model.on(dataclasses.replace(fields, columns=columns), start or {}, traits=observations.traits)


def fit_file(
    bound: BoundModel,
    observations: Observations,
    *,
    tau2: float,
    held: Mapping[str, float],
    level: float,
    intervals: bool = True,
) -> FittedFile:
    """The most likely parameters of a user's model of traits together, with profile likelihood intervals if wanted.

    Raises:
        InputError: Edges whose variances are no covariances, with the file's line.
        ModelError: A likelihood that is no number, or means that the tips do not tell.
        OptionError: A held parameter that the model does not have, or that is outside its support.
    """
    refuse_unknown_parameters(held, {}, [bound])
    likelihood = MatrixLikelihood(bound, observations, tau2=tau2, held=held)
    refuse_no_covariances(likelihood, likelihood.start)
    optimum = maximise(likelihood)
    if not math.isfinite(optimum.log_likelihood):
        raise ModelError(
            f"model {bound.name}: its density is no number at any parameters that were tried (hx check --model "
            f"{bound.model.source} looks at its variances)"
        )
    refuse_no_covariances(likelihood, optimum.x)
    unknown = [
        name
        for name, told in zip(likelihood.unknowns, likelihood.figures(optimum.x).identified, strict=True)
        if not told
    ]
    if unknown:
        raise ModelError(
            f"model {bound.name}: the tips do not tell {listed(unknown)} (give it by --set, or write root() in the "
            "file)"
        )
    n = len(np.unique(observations.nodes[(~np.isnan(observations.values)).any(1)]))
    k = len(likelihood.coordinates) + len(likelihood.unknowns)
    certificate = optimum.certificate
    flags = {
        "at_lower_bound": bool(certificate.at_lower),
        "at_upper_bound": bool(certificate.at_upper),
        "many_parameters": k > n * len(bound.traits) / 10,
        "optimum_not_certain": not certificate.converged,
    }
    return FittedFile(
        likelihood,
        optimum,
        _parameters(likelihood, optimum, level, intervals),
        k,
        tuple(flag for flag, holds in flags.items() if holds),
    )


def ancestral_under_file(
    phylogeny: Phylogeny,
    observations: Observations,
    *,
    model: str,
    held: Mapping[str, float] | None = None,
    start: Mapping[str, float] | None = None,
    edge_data: EdgeTable | None = None,
    level: float = 0.95,
    tau2: float = 0.0,
    intervals: bool = True,
) -> JointReconstruction:
    """States of all nodes and missing cells given all cells of all traits, under the model in a user's file.

    Estimates are conditional means, standard errors the square roots of the conditional variances at the most likely
    parameters; the uncertainty of a free root and of the parameters in `MEANS` is in them, that of others is not.

    Args:
        phylogeny: Tree with N nodes and edge lengths that are neither missing nor negative.
        observations: M observations of D traits, whose cells may be missing in any pattern.
        model: `FILE.py[:NAME]`.
        held: Reported name -> value of parameters that are given.
        start: Reported name -> value at which a search begins.
        edge_data: Further columns of the edges.
        level: Probability of the intervals of states and parameters.
        tau2: Observation variance, trait^2, added to the known standard errors' squares.
        intervals: Whether profile likelihood intervals of the parameters are wanted.

    Raises:
        InputError: The file is refused, with the line.
        ModelError: Error-free observations that contradict each other, or a model that has no likelihood.
        OptionError: A parameter that the model does not have.
    """
    bound = joint_model(phylogeny, observations, model, start, edge_data)
    refuse_unknown_parameters({}, start, [bound])
    fit = fit_file(bound, observations, tau2=tau2, held=held or {}, level=level, intervals=intervals)
    estimates, standard_errors = fit.likelihood.states(fit.optimum.x)
    shape = estimates.shape
    told = recorded(bound, {name: each.value for name, each in fit.parameters.items()})
    found = reconstruction(
        phylogeny,
        observations,
        estimates,
        standard_errors,
        level=level,
        interval="CI",
        parameters={"tau2": (tau2, "given")},
        root_how=(f"conditional mean under {bound.name}", "its standard error"),
        method=f"model {bound.name}, traits together, all nodes given all cells, parameters by ML",
        columns={name: np.broadcast_to(value[:, None], shape) for name, value in told.columns.items()},
        tables={"parameter table": fit.table()},
        warnings=(
            *(WORDS[flag].about(f"model {bound.name}: {flag}: ") for flag in fit.flags),
            *notes_of_means(bound),
        ),
        rates_from_data=False,
    )
    return JointReconstruction.of(
        found,
        about_all={
            "model": bound.name,
            "log_likelihood": fit.optimum.log_likelihood,
            "log_likelihood_how": "log likelihood",
            "k": fit.k,
            "aic": aic(fit.optimum.log_likelihood, fit.k),
            "flags": list(fit.flags),
            "parameters": {name: estimate._asdict() for name, estimate in fit.parameters.items()},
            "certificate": fit.certificate(),
            **told.details,
            **file_of(bound.model),
        },
        remark=_remark(fit),
    )


def _parameters(likelihood: MatrixLikelihood, optimum: Optimum, level: float, wanted: bool) -> dict[str, Estimate]:
    count = len(likelihood.coordinates)
    quantities = [
        Quantity(each.name, -1, np.eye(count)[place], plain=not each.log)
        for place, each in enumerate(likelihood.coordinates)
    ]
    quantities += [Quantity(name, place, np.zeros(count)) for place, name in enumerate(likelihood.unknowns)]
    none = {each.name: Interval(math.nan, math.nan) for each in quantities}
    intervals = profile_intervals(likelihood, optimum, quantities, level) if wanted else none
    # The ends of supports exactly, not as their logarithms round.
    exact = likelihood.parameters(optimum.x)
    found = {
        each.name: Estimate(
            exact.get(each.name, each.value(optimum.x, optimum.figures)), *intervals[each.name], how="ML"
        )
        for each in quantities
    }
    given = {**likelihood.bound.fixed, **likelihood.held}
    return found | {name: Estimate(float(value), math.nan, math.nan, "given") for name, value in given.items()}


def _remark(fit: FittedFile) -> str:
    figures = ", ".join(f"{name} {estimate.value:.4g}" for name, estimate in fit.parameters.items())
    return f"log likelihood {fit.optimum.log_likelihood:.6g}, k {fit.k}; {figures}"
