"""The report of posteriors of which a model at least is a diffusion on a grid: averages, and the record."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from hxcli.analyses.assemble import reconstruction
from hxcli.analyses.left_out_table import HELD, LEFT_OUT, left_out_rows, left_out_table
from hxcli.analyses.left_out_tips import LeftOut, mixed
from hxcli.analyses.pairs import PAIRS, pair_details, pair_table
from hxcli.analyses.posterior.assemble import parameter_row
from hxcli.analyses.posterior.declared_question import TAU2
from hxcli.analyses.posterior.grid_pairs import PairsUnder, averaged_pairs
from hxcli.analyses.posterior.model_posterior import model_priors
from hxcli.analyses.posterior.question import Options
from hxcli.analyses.posterior.solution import Figures
from hxcli.analyses.posterior.tables import Further
from hxcli.errors import Note
from hxcli.findings import number
from hxcli.models.recorded import Recorded
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.prebuilt.grid_densities import DensityFigures, density_figures, shortest_intervals
from hxcli.reconstruction import NodeDensities, Reconstruction
from hxcli.traits import Observations

# Cells on which models are averaged.
_AVERAGED = 400
_BY = {"quadrature": "quadrature", "independence": "the independence sampler", "nuts": "the no-U-turn sampler"}


class UnderModel(NamedTuple):
    """One trait under one model, in the trait's units; N nodes of the tree as it was.

    Attributes:
        name: Of the model.
        log_evidence: nan where it was not computed.
        nodes: (N,) figures of the nodes.
        walls: States between the cells of its grid; of a Gaussian model a range that holds all states.
        chances: (j + 1,) walls -> (N, j) chances between them.
        parameters: Name, prior in words (None for none) and figures of every parameter.
        flat_root: Whether the root has no prior.
        details: For the run record.
        notes: Sentences without the trait's name.
        draws: Free parameter -> (K,) values of joint draws, and `states`, (K, N); None where there are none.
        left_out: What all other tips predict of every observed tip, if asked for.
        pairs: Pairs of nodes together, if asked for.
        recorded: What a user's file records at the posterior means of its parameters.
    """

    name: str
    log_evidence: float
    nodes: DensityFigures
    walls: FloatArray
    chances: Callable[[FloatArray], FloatArray]
    parameters: Sequence[tuple[str, str | None, Figures | None]]
    flat_root: bool
    details: Mapping[str, Any]
    notes: tuple[Note, ...]
    draws: Mapping[str, FloatArray] | None = None
    left_out: LeftOut | None = None
    pairs: PairsUnder | None = None
    recorded: Recorded = Recorded({}, {})


class AveragedTrait(NamedTuple):
    """What is reported of one trait.

    Attributes:
        nodes: (N,) figures of the nodes.
        shortest: Both (N,), ends of the shortest intervals.
        densities: Of the nodes.
        probabilities: Of the models.
        under: What is known under each.
    """

    nodes: DensityFigures
    shortest: tuple[FloatArray, FloatArray]
    densities: NodeDensities
    probabilities: list[float]
    under: list[UnderModel]


def of_known(figures: DensityFigures, known: FloatArray) -> DensityFigures:
    """The figures where values (N,) are known, nan for those that are not."""
    there = ~np.isnan(known)
    estimate, lower, upper = (np.where(there, known, each) for each in (figures.estimate, figures.lower, figures.upper))
    return DensityFigures(
        estimate, np.where(there, 0.0, figures.standard_error), lower, upper, np.where(there, 1, figures.modes)
    )


def averaged(under: list[UnderModel], options: Options, level: float) -> AveragedTrait:
    """The nodes of one trait, averaged over the models."""
    priors = model_priors(options.models, options)
    if len(under) == 1:
        probabilities = [1.0]
    else:
        logs = np.log(priors) + [each.log_evidence for each in under]
        shares = np.exp(logs - logs.max())
        probabilities = (shares / shares.sum()).tolist()
    first = under[0]
    known = np.where(np.all([each.nodes.standard_error == 0 for each in under], axis=0), first.nodes.estimate, np.nan)
    if len(under) == 1:
        walls, figures = first.walls, first.nodes
        chances = first.chances(walls)
    else:
        ends = np.concatenate([each.walls for each in under])
        walls = np.linspace(ends.min(), ends.max(), _AVERAGED + 1)
        chances = np.sum([share * each.chances(walls) for share, each in zip(probabilities, under, strict=True)], 0)
        share = np.array(probabilities)[:, None]
        means, deviations = (
            np.stack([getattr(each.nodes, name) for each in under]) for name in ("estimate", "standard_error")
        )
        mean = (share * means).sum(0)
        deviation = np.sqrt((share * (deviations**2 + (means - mean) ** 2)).sum(0))
        figures = density_figures(chances, (walls[1:] + walls[:-1]) / 2, walls, level)
        figures = of_known(figures._replace(estimate=mean, standard_error=deviation), known)
    density = chances / np.diff(walls)
    density[~np.isnan(known)] = np.nan
    low, high = (np.where(np.isnan(known), end, known) for end in shortest_intervals(chances, walls, level))
    return AveragedTrait(
        figures, (low, high), NodeDensities((walls[1:] + walls[:-1]) / 2, density), probabilities, under
    )


def grid_report(
    phylogeny: Phylogeny, observations: Observations, told: Sequence[AveragedTrait], options: Options, level: float
) -> Reconstruction:
    """All traits together."""

    def columns(of: Callable[[AveragedTrait], Any]) -> FloatArray:
        return np.stack([np.asarray(of(each), float) for each in told], 1)

    names, several = observations.traits, len(options.models) > 1
    further = _further(phylogeny, names, told, options, level)
    rows = [
        parameter_row(name, f"{under.name}:{parameter}" if several else parameter, prior, figures)
        for name, one in zip(names, told, strict=True)
        for under in one.under
        for parameter, prior, figures in under.parameters
    ]
    found = reconstruction(
        phylogeny,
        observations,
        columns(lambda one: one.nodes.estimate),
        columns(lambda one: one.nodes.standard_error),
        level=level,
        interval="HPD",
        parameters=_parameters(told, options),
        root_how=("posterior mean", "posterior standard deviation"),
        method=_method(told, options),
        columns={
            "modes": columns(lambda one: one.nodes.modes),
            **{name: np.stack([_alone(one).columns[name] for one in told], 1) for name in _alone(told[0]).columns},
        },
        ends=(columns(lambda one: one.nodes.lower), columns(lambda one: one.nodes.upper)),
        shortest=(columns(lambda one: one.shortest[0]), columns(lambda one: one.shortest[1])),
        tables={"parameter table": {key: [row[key] for row in rows] for key in rows[0]}, **further.tables},
        details={
            name: _details(one, options, further.details.get(name, {})) for name, one in zip(names, told, strict=True)
        },
        warnings=(
            *(
                note.about(f"trait {name!r}, model {under.name}: ")
                for name, one in zip(names, told, strict=True)
                for under in one.under
                for note in under.notes
            ),
            *further.warnings,
        ),
        rates_from_data=False,
    )
    densities = {name: one.densities for name, one in zip(names, told, strict=True)}
    return dataclasses.replace(found, densities=densities)


def _further(
    phylogeny: Phylogeny, names: Sequence[str], told: Sequence[AveragedTrait], options: Options, level: float
) -> Further:
    """The tables of what else was asked for."""
    tables, warnings = _draws(names, told), []
    details: dict[str, dict[str, Any]] = {name: {} for name in names}
    rows = []
    for name, one in zip(names, told, strict=True):
        parts = [each.left_out for each in one.under if each.left_out is not None]
        if parts:
            predicted = mixed([each.predicted for each in parts], np.array(one.probabilities))
            free = any(prior is not None for each in one.under for _, prior, _ in each.parameters)
            tips = phylogeny.labels[parts[0].tips].tolist()
            rows.append(left_out_rows(tips, name, parts[0].observed, predicted, HELD if free else "given"))
            details[name] |= rows[-1].record
            warnings += rows[-1].warnings
    if rows:
        tables[LEFT_OUT] = left_out_table(rows)
    if options.pairs is not None:
        together = [[each.pairs for each in one.under if each.pairs is not None] for one in told]
        figures = [averaged_pairs(each, one.probabilities, level) for each, one in zip(together, told, strict=True)]
        tables[PAIRS] = pair_table(options.pairs, names, figures, shortest=True)
        for name, about in pair_details(tables[PAIRS]).items():
            details[name] |= about
    return Further(tables, details, tuple(warnings))


def _draws(names: Sequence[str], told: Sequence[AveragedTrait]) -> dict[str, dict[str, Any]]:
    """The table of joint draws, where there are any."""
    drawn = [one.under[0].draws for one in told]
    columns = [each for each in drawn if each is not None]
    if not columns:
        return {}
    count = len(columns[0]["states"])
    table = {key: np.concatenate([each[key] for each in columns]) for key in columns[0]}
    index = {"draw": np.tile(np.arange(1, count + 1), len(columns)), "trait": np.repeat(list(names), count).tolist()}
    return {"draws": {**index, **table}}


def _parameters(told: Sequence[AveragedTrait], options: Options) -> dict[str, tuple[Any, Any]]:
    """Figures of the summary: of the parameters of one model, of the best of several."""
    found: dict[str, tuple[Any, Any]] = {}
    if len(options.models) == 1:
        for place, (name, _, _) in enumerate(told[0].under[0].parameters):
            mine = [one.under[0].parameters[place] for one in told]
            values = np.array([np.nan if figures is None else figures.mean for _, _, figures in mine])
            hows = ["given" if prior is None else f"posterior mean, prior {prior}" for _, prior, _ in mine]
            found[name] = values, hows
    else:
        best = [int(np.argmax(one.probabilities)) for one in told]
        found["probability"] = (
            np.array([one.probabilities[place] for one, place in zip(told, best, strict=True)]),
            [f"probability of {one.under[place].name}" for one, place in zip(told, best, strict=True)],
        )
        found["tau2"] = (
            (options.tau2, "given")
            if options.tau2 is not None
            else (np.array([_mean_of(one, TAU2) for one in told]), "posterior mean over the models")
        )
    evidences = np.array([_total_evidence(one, options) for one in told])
    if np.isfinite(evidences).all():
        given = told[0].under[0].details["method"] == "given parameters"
        found["log_likelihood" if given else "log_evidence"] = (
            evidences, "log marginal likelihood" if given else "log evidence",
        )  # fmt: skip
    return found


def _mean_of(one: AveragedTrait, parameter: str) -> float:
    """Mean of a parameter over the models; 0 where a model has none."""
    total = 0.0
    for share, under in zip(one.probabilities, one.under, strict=True):
        total += share * sum(figures.mean for name, _, figures in under.parameters if name == parameter and figures)
    return total


def _total_evidence(one: AveragedTrait, options: Options) -> float:
    logs = np.log(model_priors(options.models, options)) + [under.log_evidence for under in one.under]
    return float(logs.max() + np.log(np.exp(logs - logs.max()).sum()))


def _method(told: Sequence[AveragedTrait], options: Options) -> str:
    names = list(options.models)
    if options.model_priors:
        total = sum(options.model_priors.values())
        names = [f"{name} (prior {options.model_priors[name] / total:.6g})" for name in names]
    process = f"model{'s' * (len(names) > 1)} {', '.join(names)}"
    # Of several models those that leave something to integrate over.
    methods = dict.fromkeys(under.details["method"] for under in told[0].under if under.details["method"] in _BY)
    how = f"and parameters by {' and '.join(_BY[each] for each in methods)}" if methods else "for given parameters"
    words = "".join(f", {name} ~ {prior}" for name, prior, _ in told[0].under[0].parameters if prior is not None)
    root = options.root if told[0].under[0].flat_root or options.root != "flat root" else "root of the file"
    return f"{process}, posterior of all nodes {how}, {root}{words if len(names) == 1 else ''}"


def _details(one: AveragedTrait, options: Options, more: Mapping[str, Any]) -> dict[str, Any]:
    if len(one.under) == 1:
        models: dict[str, Any] = {}
    else:
        shares = model_priors(options.models, options)
        models = {
            "models": [
                {
                    "model": under.name,
                    "prior": prior,
                    "probability": probability,
                    "log_evidence": number(under.log_evidence),
                }
                for under, prior, probability in zip(one.under, shares, one.probabilities, strict=True)
            ]
        }
    about = one.under[0].details if len(one.under) == 1 else {under.name: under.details for under in one.under}
    return {"posterior": {**about, **more}, **_alone(one).details, **models}


def _alone(one: AveragedTrait) -> Recorded:
    """What is recorded under the one model that there is; of several, nothing."""
    return one.under[0].recorded if len(one.under) == 1 else Recorded({}, {})
