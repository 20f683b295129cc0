"""Bayesian posterior of traits together under a user's file that returns matrices: its parameters, and all nodes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hxcli.analyses.assemble import reconstruction
from hxcli.analyses.canonical import in_canonical_order
from hxcli.analyses.fit.fitted import file_of
from hxcli.analyses.posterior.assemble import evidence_in_words, method_in_words, parameter_row
from hxcli.analyses.posterior.model_posterior import scaled_mean_figures
from hxcli.analyses.posterior.question import Options
from hxcli.analyses.posterior.smoothed_mixture import moved_by_weights, smoothed
from hxcli.analyses.posterior.solution import PROBABILITIES, Figures
from hxcli.analyses.posterior.weighed_parameters import Weighed, drawn_places, weighed_parameters
from hxcli.analyses.together.file_question import FileQuestion
from hxcli.analyses.together.joint_reconstruction import JointReconstruction
from hxcli.analyses.together.posterior_tables import long_draws
from hxcli.analyses.together.under_file import joint_model
from hxcli.edge_data import EdgeTable
from hxcli.errors import Doubt, Note, OptionError
from hxcli.findings import number
from hxcli.inference.fitted_mixture import USUAL, Budget
from hxcli.inference.matrix_likelihood import MatrixLikelihood
from hxcli.inference.normal_mixture import Components, Mixture, NodeFigures, node_figures, quantiles
from hxcli.models.edge_fields import trait_fields
from hxcli.models.recorded import recorded
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.prebuilt.tip_likelihoods import exact_values
from hxcli.traits import Observations

# What all joint draws together may take.
_MOST_BYTES = 2**33
# Error of the quadrature of which the user is told.
_TOLD = 1e-4
# Nodes times traits above which a density is dear, and how often it may then be computed.
_LARGE, _DEAR = 2000, Budget(draws=600, wanted=0.5, fewest=1, most=6, more=2)
# Kind of random numbers, besides those of the parameters.
_NODES = 3
# Numbers of all states at all sets of parameters, and sets at least that stand for all others.
_MOST_NUMBERS, _LEAST_SETS = 2**25, 16


def posterior_under_file(
    phylogeny: Phylogeny,
    observations: Observations,
    *,
    model: str,
    held: Mapping[str, float] | None = None,
    edge_data: EdgeTable | None = None,
    level: float = 0.95,
    tau2: float = 0.0,
    priors: Mapping[str, str] | None = None,
    method: str = "quadrature",
    draws: int = 0,
    chains: int = 4,
    samples: int = 1000,
    seed: int = 0,
) -> JointReconstruction:
    """Posterior of all parameters of a file, and of all nodes and missing cells of all traits.

    States are mixtures of their exact normal distributions over sets of the parameters, so that the uncertainty of
    these is in them.

    Args:
        phylogeny: Tree with N nodes and edge lengths that are neither missing nor negative.
        observations: M observations of D traits, whose cells may be missing in any pattern.
        model: `FILE.py[:NAME]`.
        held: Reported name -> value of parameters that are given.
        edge_data: Further columns of the edges.
        level: Probability of the intervals.
        tau2: Observation variance, trait^2, added to the known standard errors' squares.
        priors: Reported name -> prior in words, in place of the file's.
        method: `quadrature`, where few enough parameters are unknown, or `nuts`.
        draws: Number of joint draws of the parameters and of all nodes.
        chains, samples: Of a sampler: number of chains, and of draws of each.
        seed: Of the random numbers.

    Raises:
        InputError: The file is refused, with the line.
        HxError: NumPyro is needed, and is not installed.
        ModelError: Error-free observations that contradict each other, or a posterior without an integral.
        OptionError: A parameter that the file does not have, a prior that is none, or more draws than there are.
    """
    size, traits = phylogeny.topology.size, observations.traits
    if 8 * draws * size * len(traits) > _MOST_BYTES:
        raise OptionError(f"{draws} draws of all nodes are too many to keep (fewer draws, or one --column)")
    tree, seen, order = in_canonical_order(phylogeny, observations)
    place = np.empty_like(order)
    place[order] = np.arange(size)
    as_read = joint_model(phylogeny, observations, model, edge_data=edge_data)
    fields = as_read.fields.moved(tree, order)
    fields = dataclasses.replace(fields, columns=trait_fields(fields.columns, seen.values))
    bound = as_read.model.on(fields, {}, traits=traits)
    question = FileQuestion.of(bound, seen, tau2=tau2, held=held or {}, priors=priors or {})
    likelihood, density = question.likelihood, question.density
    options = Options(method=method, draws=draws, chains=chains, samples=samples, seed=seed)
    budget = USUAL if size * len(traits) <= _LARGE else _DEAR
    weighed = weighed_parameters(density, options, [seed, 0], question.endless(), budget)
    weighed = _fewer(weighed, size * len(traits))
    units = likelihood.units
    fine = _mixture(likelihood, density.search(weighed.places), weighed.weights)
    smooth = smoothed(fine, weighed.spacing)
    nodes = _figures(smooth, level, len(traits), place)
    estimates, deviations = units.states(nodes.mean, nodes.deviation)
    ends = {
        name: getattr(nodes, name) * units.scale + units.location
        for name in ("lower", "upper", "shortest_lower", "shortest_upper")
    }
    details, notes = dict(weighed.details), list(weighed.notes)
    if details["method"] == "quadrature":
        details["error_bound"] = error = max(weighed.error, moved_by_weights(fine, weighed.coarse))
        if error > _TOLD:
            notes.append(Doubt(f"the two finest grids of the quadrature differ by {error:.1g} standard deviations"))
    roots = [
        Figures(float(estimates[0, i]), float(deviations[0, i]), quantiles(smooth, i, np.array(PROBABILITIES)))
        for i in range(len(traits))
    ]
    roots = [
        each._replace(quantiles=each.quantiles * units.scale[i] + units.location[i]) for i, each in enumerate(roots)
    ]
    told = _told(question, weighed, level)
    tables: dict[str, Any] = {"parameter table": _parameter_table(traits, told, roots)}
    if draws:
        exact = np.where(deviations == 0, exact_values(phylogeny, observations, tau2), np.nan)
        tables["draws"] = _draws(question, weighed, draws, seed, place, exact)
    own = recorded(question.bound, {name: each.mean for name, _, each in told})
    words = question.priors_in_words()
    found = reconstruction(
        phylogeny,
        observations,
        estimates,
        deviations,
        level=level,
        interval="HPD",
        ends=(ends["lower"], ends["upper"]),
        shortest=(ends["shortest_lower"], ends["shortest_upper"]),
        parameters={"tau2": (tau2, "given")},
        root_how=("posterior mean", "posterior standard deviation"),
        method=f"model {bound.name}, traits together, posterior of all nodes {method_in_words(details['method'])}",
        columns={
            name: np.broadcast_to(value[place][:, None], (size, len(traits))) for name, value in own.columns.items()
        },
        tables=tables,
        warnings=tuple(_about(note, bound.name) for note in notes),
        rates_from_data=False,
    )
    posterior = {
        "priors": words,
        "root": question.root_in_words(),
        "log_evidence": number(weighed.log_evidence),
        "log_evidence_of": evidence_in_words(question.flat_root),
        **details,
    }
    about_all = {
        "model": bound.name,
        "posterior": posterior,
        "parameters": {name: {"mean": number(each.mean), "sd": number(each.deviation)} for name, _, each in told},
        **own.details,
        **file_of(bound.model),
    }
    return JointReconstruction.of(found, about_all, _remark(question, weighed, told))


def _about(note: Note, model: str) -> Note:
    return note.about(f"model {model}: ")


def _fewer(weighed: Weighed, numbers: int) -> Weighed:
    """The same with as few draws for all others as there is room for the states of."""
    most = max(_LEAST_SETS, _MOST_NUMBERS // numbers)
    if weighed.draws is None or len(weighed.places) <= most:
        return weighed
    kept = np.linspace(0, len(weighed.places) - 1, most).round().astype(int)
    even = np.full(most, 1 / most)
    details = {**weighed.details, "components": most}
    return weighed._replace(places=weighed.places[kept], weights=even, coarse=even, details=details)


def _mixture(likelihood: MatrixLikelihood, x: FloatArray, weights: FloatArray) -> Mixture:
    """N * D mixtures of K normals, the traits of a node side by side, in units of computation."""
    means, variances = (each.reshape(len(x), -1).T for each in likelihood.states_at(x))
    zeros = np.zeros(len(weights))
    components = Components(np.arange(len(weights)), weights, zeros, zeros, zeros + 1)
    return Mixture(means, np.zeros_like(means), variances, components)


def _figures(mixture: Mixture, level: float, traits: int, place: NDArray[np.intp]) -> NodeFigures:
    """Of all nodes, each (N, D)."""
    found = node_figures(mixture, mixture, level)
    nodes = NodeFigures(*(each.reshape(-1, traits)[place] for each in found))
    # A cell that is known exactly is so at all sets of parameters.
    still = (np.asarray(mixture.variance) == 0).all(1) & (np.ptp(np.asarray(mixture.mean), axis=1) == 0)
    nodes.deviation[still.reshape(-1, traits)[place]] = 0.0
    return nodes


def _told(question: FileQuestion, weighed: Weighed, level: float) -> list[tuple[str, str | None, Figures]]:
    """Name, prior in words (None for none) and figures of every parameter of the file."""
    words = question.priors_in_words()
    found = [(name, words.get(name), figures) for name, figures in weighed.figures.items()]
    if question.means:
        means, names = question.density.means(weighed.places), question.likelihood.unknowns
        for name in question.means:
            at = names.index(name)
            own = scaled_mean_figures(means.mean[:, at], means.covariance[:, at, at], weighed.weights, level)
            found.append((name, words[name], own))
    given = question.given().items()
    return found + [(name, None, Figures(value, 0.0, np.full(len(PROBABILITIES), value))) for name, value in given]


def _parameter_table(
    traits: tuple[str, ...], told: list[tuple[str, str | None, Figures]], roots: list[Figures]
) -> dict[str, list[Any]]:
    rows = [parameter_row("+".join(traits), *each) for each in told]
    rows += [parameter_row(trait, "root", None, figures) for trait, figures in zip(traits, roots, strict=True)]
    return {key: [row[key] for row in rows] for key in rows[0]}


def _draws(
    question: FileQuestion, weighed: Weighed, count: int, seed: int, place: NDArray[np.intp], exact: FloatArray
) -> dict[str, Any]:
    """Joint draws of the parameters and all nodes: parameters first, states exactly given them."""
    likelihood, density = question.likelihood, question.density
    places, traits, units = drawn_places(weighed, count, [seed, 0]), question.bound.traits, likelihood.units
    states, means = likelihood.drawn(density.search(places), lambda draw: np.random.default_rng([seed, _NODES, draw]))
    states = states[:, place] * units.scale + units.location
    states = np.where(np.isnan(exact), states, exact)
    columns = dict(zip(density.names, density.values(places).T, strict=True))
    columns |= dict(zip(question.means, means.T, strict=True))
    columns |= {name: np.full(count, value) for name, value in question.given().items()}
    return long_draws(traits, states, {name: np.tile(each, len(traits)) for name, each in columns.items()})


def _remark(question: FileQuestion, weighed: Weighed, told: list[tuple[str, str | None, Figures]]) -> str:
    priors = [f"{name} {text}" for name, text in question.priors_in_words().items()]
    root = ["root flat"] if question.root_in_words() == "flat" else []
    lines = [f"priors: {', '.join([*priors, *root])}"] if priors or root else []
    figures = ", ".join(f"{name} {_in_words(prior, each)}" for name, prior, each in told)
    evidence = [f"log evidence {weighed.log_evidence:.6g}"] if np.isfinite(weighed.log_evidence) else []
    means = [f"posterior means (standard deviations): {figures}"] if figures else []
    return "\n".join([*lines, "; ".join([*evidence, *means])])


def _in_words(prior: str | None, figures: Figures) -> str:
    if prior is None:
        return f"{figures.mean:.4g} (given)"
    # Some posteriors have no mean.
    return f"{figures.mean:.4g} ({figures.deviation:.2g})" if np.isfinite(figures.mean) else "none"
