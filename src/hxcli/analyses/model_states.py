"""States of all nodes under a fitted model, or averaged over several by their Akaike weights."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from hxcli.analyses.assemble import reconstruction
from hxcli.analyses.beside_states import beside
from hxcli.analyses.fit.fit import fit_models, height_notes, painted_tree
from hxcli.analyses.fit.fitted import FittedModel, file_of
from hxcli.analyses.fit.flags import WORDS, notes_of_means
from hxcli.analyses.fit.grid_fit import GridFittedModel
from hxcli.analyses.fit.options import FitOptions
from hxcli.analyses.fit.ranking import weights_of
from hxcli.analyses.left_out_table import LeftOutRows
from hxcli.analyses.pairs import PairFigures, PairStates, pair_figures, pair_table
from hxcli.errors import Doubt, Note, OptionError
from hxcli.inference.normal_mixture import Components, Mixture, node_figures
from hxcli.models import GRID_MODELS
from hxcli.models.recorded import Recorded
from hxcli.node_pairs import NodePairs, PairTable
from hxcli.painting import Painted
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.prebuilt.units import units_of
from hxcli.reconstruction import NodeDensities, Reconstruction
from hxcli.regime_tree import Regimes
from hxcli.traits import Observations

# The name that stands for all models, weighed.
AVERAGE = "average"


class AveragedStates(NamedTuple):
    """States of N nodes averaged over models.

    Attributes:
        mean, deviation: (N,) mean and standard deviation of the mixture.
        within, between: (N,) roots of the mean variance, and of the variance of the means.
        lower, upper: (N,) quantiles of the mixture.
    """

    mean: FloatArray
    deviation: FloatArray
    within: FloatArray
    between: FloatArray
    lower: FloatArray
    upper: FloatArray


def model_states(
    phylogeny: Phylogeny,
    observations: Observations,
    *,
    models: tuple[str, ...],
    regimes: Regimes | None = None,
    pairs: PairTable | None = None,
    loo: bool = False,
    **options: Any,
) -> Reconstruction:
    """States of all nodes given all tips, under one model or averaged.

    Args:
        phylogeny: N nodes, edge lengths neither missing nor negative.
        observations: Of D traits.
        models: One name, or `average` and the names of those to be averaged (none: those that `fit` compares).
        regimes: As in `fit`.
        pairs: Pairs of nodes to tell together.
        loo: Whether to tell what all other tips predict of every observed one.
        options: The attributes of `FitOptions`.

    Raises:
        InputError: Regimes or pairs that do not fit the tree.
        ModelError: Error-free observations that contradict each other.
        OptionError: Models or options that this tree does not allow.
    """
    chosen = FitOptions(**{"intervals": False, **options})
    painted = painted_tree(phylogeny, regimes)
    told = None if pairs is None else pairs.on(phylogeny)
    for name in GRID_MODELS.keys() & set(models) if told is not None or loo else ():
        raise _no_pairs(name) if told is not None else _none_left_out(name)
    if AVERAGE in models:
        wanted = tuple(name for name in models if name != AVERAGE)
        return _averaged(phylogeny, painted, observations, wanted, chosen, told, loo)
    fitted = [each[0] for each in fit_models(painted, observations, models, chosen, compared=False)]
    on_grid = [each for each in fitted if isinstance(each, GridFittedModel)]
    states = [_at_nodes(painted, each, observations.values[:, trait]) for trait, each in enumerate(fitted)]
    table = {} if told is None else _pair_table(painted, told, [[each] for each in fitted], None, chosen.level)
    on_the_side = beside(table, _left_out(phylogeny, painted, [[each] for each in fitted], None) if loo else None)
    name = fitted[0].name
    root = f", root {fitted[0].bound.model.root_name}" if fitted[0].bound.model.root_name else ""
    estimator, recorded = fitted[0].estimator, [each.recorded() for each in fitted]
    found = reconstruction(
        phylogeny,
        observations,
        np.stack([mean for mean, _ in states], 1),
        np.stack([deviation for _, deviation in states], 1),
        level=chosen.level,
        interval="CI",
        parameters=_parameters(fitted, chosen),
        root_how=(f"conditional mean under {name}", "its standard error"),
        method=f"model {name}{root}, all nodes given all tips, parameters by {estimator}",
        columns=_columns(painted, fitted, recorded),
        ends=_ends(painted, on_grid) if on_grid else None,
        tables=on_the_side.tables,
        details={
            each.trait: {"fit": _about(each), **own.details, **on_the_side.details.get(each.trait, {})}
            for each, own in zip(fitted, recorded, strict=True)
        },
        warnings=(
            *height_notes(phylogeny),
            *_estimator_notes(fitted, chosen),
            *_flag_notes(fitted),
            *notes_of_means(fitted[0].bound),
            *on_the_side.warnings,
        ),
        rates_from_data=False,
    )
    return dataclasses.replace(found, densities={each.trait: _densities(painted, each) for each in on_grid})


def _left_out(
    phylogeny: Phylogeny,
    painted: Painted,
    fitted: Sequence[Sequence[FittedModel]],
    weights: Sequence[FloatArray] | None,
) -> dict[str, LeftOutRows]:
    # Here, because nobody else needs it.
    from hxcli.analyses.fit.left_out_fit import left_out_traits

    for each in (model for models in fitted for model in models):
        if isinstance(each, GridFittedModel):
            raise _none_left_out(each.name)
    return left_out_traits(phylogeny, painted, fitted, weights)


def _none_left_out(name: str) -> OptionError:
    return OptionError(
        f"--loo with --model {name}: tips are predicted from the others under Gaussian models only (leave it out)"
    )


def _densities(painted: Painted, fitted: GridFittedModel) -> NodeDensities:
    """Of the nodes of the tree as it was; none of a node whose value is known."""
    found = fitted.densities
    density = found.chances / np.diff(found.walls)
    density[~np.isnan(fitted.exact)] = np.nan
    return NodeDensities(found.states, density[painted.nodes])


def _stacked(painted: Painted, columns: Sequence[Any]) -> FloatArray:
    """(N, D) at the nodes of the tree as it was."""
    return np.stack([np.asarray(each, float)[painted.nodes] for each in columns], 1)


def _columns(painted: Painted, fitted: Sequence[FittedModel], recorded: Sequence[Recorded]) -> dict[str, FloatArray]:
    """Further columns: numbers of modes of densities, and what a user's model records of every edge."""
    found = {}
    on_grid = [each for each in fitted if isinstance(each, GridFittedModel)]
    if on_grid:
        found["modes"] = _stacked(painted, [each.modes for each in on_grid])
    columns = [each.columns for each in recorded]
    return found | {name: _stacked(painted, [each[name] for each in columns]) for name in columns[0]}


def _ends(painted: Painted, fitted: Sequence[GridFittedModel]) -> tuple[FloatArray, FloatArray]:
    lower, upper = (_stacked(painted, [each.ends[i] for each in fitted]) for i in (0, 1))
    return lower, upper


def _at_nodes(painted: Painted, fitted: FittedModel, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and standard error at the nodes of the tree as it was; nan where the model has no likelihood.

    Args:
        painted: The tree.
        fitted: The model.
        values: (M,) what was observed; where nothing varies, no node differs from it.
    """
    if fitted.nothing_varies:
        nodes = len(painted.nodes)
        return np.full(nodes, np.nanmax(values)), np.zeros(nodes)
    if math.isnan(fitted.log_likelihood):
        nothing = np.full(len(painted.nodes), np.nan)
        return nothing, nothing
    mean, deviation = fitted.states
    return mean[painted.nodes], deviation[painted.nodes]


def _parameters(fitted: Sequence[FittedModel], options: FitOptions) -> dict[str, tuple[Any, Any]]:
    names = dict.fromkeys(name for each in fitted for name in each.parameters if name != "root")
    found: dict[str, tuple[Any, Any]] = {}
    for name in names:
        estimates = [each.parameters.get(name) for each in fitted]
        values = np.array([math.nan if estimate is None else estimate.value for estimate in estimates])
        found[name] = values, ["" if estimate is None else estimate.how for estimate in estimates]
    found["tau2"] = options.tau2, "given"
    likelihoods = np.array([each.log_likelihood for each in fitted])
    restricted = fitted[0].estimator == "REML"
    found["log_likelihood"] = likelihoods, "restricted log likelihood" if restricted else "log likelihood"
    return found


def _about(fitted: FittedModel) -> dict[str, Any]:
    found = {"model": fitted.name, "k": fitted.k, "flags": list(fitted.flags), "certificate": fitted.certificate()}
    if isinstance(fitted, GridFittedModel):
        found["grid_error"] = fitted.grid_error
    return found | file_of(fitted.bound.model)


def _estimator_notes(fitted: Sequence[FittedModel], options: FitOptions) -> tuple[str, ...]:
    # Users' models and diffusions are by ML as they are documented to be.
    own = [each for each in fitted if each.bound.model.text or isinstance(each, GridFittedModel)]
    names = dict.fromkeys(each.name for each in fitted if each.estimator != options.estimator and each not in own)
    return tuple(
        Note(f"model {name}: its restricted likelihood has no maximum, so its parameters are by ML") for name in names
    )


def _flag_notes(fitted: Sequence[FittedModel]) -> tuple[str, ...]:
    """What to know of every fit but how many parameters it has, a sentence for each trait and flag."""
    return _equal_notes([each] for each in fitted) + tuple(
        WORDS[flag].about(f"trait {each.trait!r}, model {each.name}: {flag}: ")
        for each in fitted
        if not each.nothing_varies
        for flag in each.flags
        if flag != "many_parameters"
    )


def _equal_notes(fitted: Iterable[Sequence[FittedModel]]) -> tuple[str, ...]:
    """What to know of traits that do not vary."""
    return tuple(
        Note(f"trait {each[0].trait!r}: all values are equal, and so are the states: no model has parameters for it")
        for each in fitted
        if _vary_not(each)
    )


def _vary_not(fitted: Sequence[FittedModel]) -> bool:
    return any(one.nothing_varies for one in fitted)


def _pair_table(
    painted: Painted,
    pairs: NodePairs,
    fitted: Sequence[Sequence[FittedModel]],
    weights: Sequence[FloatArray] | None,
    level: float,
) -> dict[str, Any]:
    """The table of pairs.

    Args:
        painted: The tree.
        pairs: Of nodes of the tree as it was.
        fitted: The models of every trait.
        weights: Theirs, adding up to 1 or all 0; None for one model a trait.
        level: Probability of the intervals.
    """
    first, second = painted.nodes[pairs.first], painted.nodes[pairs.second]
    told: list[PairFigures | None] = []
    for trait, models in enumerate(fitted):
        share = np.ones(1) if weights is None else weights[trait]
        used = [number for number, model in enumerate(models) if share[number] > 0 and _has_states(model)]
        if not used:
            told.append(None)
            continue
        states = [models[number].pair_states(first, second) for number in used]
        joint = PairStates(*(np.concatenate(each, 1) for each in zip(*states, strict=True)))
        told.append(pair_figures(joint, share[used] / share[used].sum(), level))
    return pair_table(pairs, [models[0].trait for models in fitted], told)


def _has_states(fitted: FittedModel) -> bool:
    """Whether the states of a fitted model are known and Gaussian.

    Raises:
        OptionError: They are on a grid.
    """
    if isinstance(fitted, GridFittedModel):
        raise _no_pairs(fitted.name)
    return not math.isnan(fitted.log_likelihood)


def _no_pairs(name: str) -> OptionError:
    return OptionError(
        f"--pairs with --model {name}: two nodes are told together under Gaussian models only (leave it out)"
    )


def _averaged(
    phylogeny: Phylogeny,
    painted: Painted,
    observations: Observations,
    names: tuple[str, ...],
    options: FitOptions,
    pairs: NodePairs | None,
    loo: bool,
) -> Reconstruction:
    weighed = fit_models(painted, observations, names, dataclasses.replace(options, estimator="ML"))
    fitted = weighed
    if options.estimator != "ML":
        # What is averaged is states, not likelihoods.
        fitted = fit_models(painted, observations, names, options, compared=False)
    units = units_of(phylogeny, observations)
    weights = [weights_of(each)[1] for each in weighed]
    averaged = []
    for trait, each in enumerate(fitted):
        unit = float(units.location[trait]), float(units.scale[trait])
        values = observations.values[:, trait]
        share = np.ones(len(each)) if _vary_not(each) else weights[trait]
        averaged.append(average([_at_nodes(painted, model, values) for model in each], share, options.level, unit))

    def matrix(name: str) -> FloatArray:
        return np.stack([getattr(each, name) for each in averaged], 1)

    details: dict[str, Mapping[str, Any]] = {}
    for each, share in zip(weighed, weights, strict=True):
        details[each[0].trait] = {
            "models": [
                {"model": one.name, "probability": float(w), "log_likelihood": one.log_likelihood, "aicc": one.aicc}
                for one, w in zip(each, share, strict=True)
            ]
        }
    table = {} if pairs is None else _pair_table(painted, pairs, fitted, weights, options.level)
    on_the_side = beside(table, _left_out(phylogeny, painted, fitted, weights) if loo else None)
    for of_trait, about in on_the_side.details.items():
        details[of_trait] = {**details[of_trait], **about}
    best = [
        max(zip(each, share, strict=True), key=lambda pair: pair[1])
        for each, share in zip(weighed, weights, strict=True)
    ]
    return reconstruction(
        phylogeny,
        observations,
        matrix("mean"),
        matrix("deviation"),
        level=options.level,
        interval="CI",
        parameters={
            "best_weight": (np.array([float(w) for _, w in best]), [f"weight of {one.name}" for one, _ in best]),
            "tau2": (options.tau2, "given"),
        },
        root_how=("mean of the models", "within and between models"),
        method=f"average of {', '.join(one.name for one in weighed[0])} by AICc weights, all nodes given all tips",
        columns={"se_within": matrix("within"), "se_between": matrix("between")},
        ends=(matrix("lower"), matrix("upper")),
        tables=on_the_side.tables,
        details=details,
        warnings=(*height_notes(phylogeny), *_uncertain(weighed), *on_the_side.warnings),
        rates_from_data=False,
    )


def average(
    states: Sequence[tuple[FloatArray, FloatArray]], weights: FloatArray, level: float, unit: tuple[float, float]
) -> AveragedStates:
    """The mixture of M models' states at N nodes.

    Args:
        states: Mean and standard deviation, (N,) each, of every model.
        weights: (M,) adding up to 1; all 0 where no model can be weighed.
        level: Probability of the intervals.
        unit: Location and scale in which the values are of order one.
    """
    used = np.flatnonzero(weights > 0)
    size = len(states[0][0])
    if not used.size:
        nothing = np.full(size, np.nan)
        return AveragedStates(*[nothing] * 6)
    location, scale = unit
    means = np.stack([(states[m][0] - location) / scale for m in used.tolist()], 1)
    deviations = np.stack([states[m][1] / scale for m in used.tolist()], 1)
    share = weights[used] / weights[used].sum()
    count = len(used)
    parts = Components(np.arange(count), share, np.zeros(count), np.zeros(count), np.ones(count))
    mixture = Mixture(means, np.zeros_like(means), deviations**2, parts)
    found = node_figures(mixture, mixture, level)
    within = np.sqrt(deviations**2 @ share)
    between = np.sqrt((means - (means @ share)[:, None]) ** 2 @ share)
    # Where all models agree, as at a tip with a value, nothing is left of rounding.
    between = np.where(np.ptp(means, axis=1) == 0, 0.0, between)
    deviation = np.hypot(within, between)
    lower, upper = (np.where(deviation == 0, found.mean, end) for end in (found.lower, found.upper))
    return AveragedStates(
        found.mean * scale + location,
        deviation * scale,
        within * scale,
        between * scale,
        lower * scale + location,
        upper * scale + location,
    )


def _uncertain(weighed: Sequence[Sequence[FittedModel]]) -> tuple[str, ...]:
    said = list(_equal_notes(weighed))
    for each in weighed:
        if _vary_not(each):
            continue
        names = [one.name for one in each if "optimum_not_certain" in one.flags]
        if names:
            said.append(WORDS["optimum_not_certain"].about(f"trait {each[0].trait!r}: {', '.join(names)}: "))
        if all(not math.isfinite(one.aicc) for one in each):
            said.append(Doubt(f"trait {each[0].trait!r}: too few values to weigh models (every AICc is infinite)"))
    return tuple(said)
