"""Comparison of models by their corrected information criterion: which model, and how sure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hxcli.analyses.canonical import in_canonical_order
from hxcli.analyses.fit.drawing import refuse_undrawn
from hxcli.analyses.fit.fitted import FittedModel, Fitter, file_of, refuse_unknown_parameters
from hxcli.analyses.fit.flags import WORDS
from hxcli.analyses.fit.options import (
    NEARLY_ULTRAMETRIC,
    ULTRAMETRIC,
    FitOptions,
    height_spread,
    models_on,
    refuse_unread_edges,
)
from hxcli.close_names import listed
from hxcli.edge_data import edge_columns
from hxcli.errors import Doubt, Note, OptionError
from hxcli.findings import TableFindings
from hxcli.inference.threads import in_threads
from hxcli.models import named_model
from hxcli.models.edge_fields import edge_fields
from hxcli.models.gaussian_model import GaussianModel
from hxcli.painting import Painted, RegimeTable, paint, unpainted
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.regime_tree import Regimes, RegimeTree, paint_alike
from hxcli.traits import Observations

# The model that others are compared with by simulation.
NULL = "bm"

# What criteria of equal models differ by, as a share of them.
_ROUNDING = 1e-12


def fit(
    phylogeny: Phylogeny,
    observations: Observations,
    *,
    models: tuple[str, ...] = (),
    regimes: Regimes | None = None,
    bootstrap: int = 0,
    adequacy: bool = False,
    seed: int = 0,
    picture: bool = False,
    **options: Any,
) -> TableFindings:
    """Fits models to every trait and compares them.

    Args:
        phylogeny: N nodes, edge lengths neither missing nor negative.
        observations: Of D traits.
        models: Names of the models; none for the usual ones.
        regimes: Regimes of the edges, for models that have parameters for each; `labels` for those of inner nodes.
        bootstrap: Number of replicates of a parametric bootstrap against bm; 0 for none.
        adequacy: Whether statistics of the adequacy of every model are wanted.
        seed: Of the random numbers of both.
        picture: Whether what a picture shows is wanted.
        options: The attributes of `FitOptions`.

    Raises:
        InputError: Regimes that do not fit the tree.
        ModelError: Error-free observations that contradict each other.
        OptionError: Models or options that this tree does not allow.
    """
    chosen = FitOptions(**options)
    # The last digits of a sum hang on its order, and figures are the same however the files are sorted.
    tree, observations, _ = in_canonical_order(phylogeny, observations)
    painted = painted_tree(tree, regimes)
    drawn_for = [option for option, asked in (("--bootstrap", bootstrap), ("--adequacy", adequacy)) if asked]
    fitted = fit_models(painted, observations, models, chosen, drawn_for=drawn_for)
    found = _findings(phylogeny, observations.traits, fitted, chosen)
    if picture:
        from hxcli.analyses.fit.comparison import comparison

        compared = [comparison(ranked(each), chosen.level) for each in fitted]
        found = replace(found, tables={**found.tables, "comparison picture": {"comparisons": compared}})
    if not (bootstrap or adequacy):
        return found
    from hxcli.analyses.fit.by_simulation import with_adequacy, with_bootstrap

    if bootstrap:
        nulls = _null_models(painted, observations, fitted, chosen)
        found = with_bootstrap(found, fitted, nulls, bootstrap, seed, chosen.level)
    return with_adequacy(found, fitted, seed, chosen.level) if adequacy else found


def painted_tree(phylogeny: Phylogeny, regimes: Regimes | None) -> Painted:
    """The tree with its regimes, if it has any.

    Raises:
        InputError: Regimes that do not fit the tree.
    """
    if isinstance(regimes, str):
        regimes = RegimeTable("", None)
    if isinstance(regimes, RegimeTree):
        return paint_alike(phylogeny, regimes)
    return unpainted(phylogeny) if regimes is None else paint(phylogeny, regimes)


def fit_models(
    painted: Painted,
    observations: Observations,
    models: tuple[str, ...],
    options: FitOptions,
    *,
    compared: bool = True,
    drawn_for: Sequence[str] = (),
) -> list[list[FittedModel]]:
    """For every trait its fitted models, in the order of their names.

    Args:
        painted: The tree.
        observations: At the nodes of the tree as it was.
        models: Names; none for the usual ones.
        options: How they are fitted.
        compared: Whether their likelihoods will be compared.
        drawn_for: Options that will have traits drawn under the fitted models.

    Raises:
        ModelError: Error-free observations that contradict each other.
        OptionError: Models or options that this tree does not allow.
    """
    fields = edge_fields(painted, edge_columns(painted, options.edge_data))
    chosen = models_on(models, fields, options.ou_root)
    refuse_unread_edges(options.edge_data, chosen)
    fitter = Fitter(fields, painted.observations(observations), options)
    bound = [fitter.bound(model) for model in chosen]
    refuse_unknown_parameters(options.held, options.start, bound)
    for option in drawn_for:
        for each in bound:
            refuse_undrawn(each, option)
    if compared and options.estimator == "REML":
        _refuse_different_means(fitter, chosen)
    count = len(observations.traits)
    found = in_threads(lambda task: fitter.fit(*task), [(model, trait) for trait in range(count) for model in chosen])
    return [found[trait * len(chosen) : (trait + 1) * len(chosen)] for trait in range(count)]


def weights_of(fitted: Sequence[FittedModel]) -> tuple[FloatArray, FloatArray]:
    """Both (M,): differences of the corrected criterion from the best, and Akaike weights.

    Burnham and Anderson (2002, Model Selection and Multimodel Inference). A model whose criterion is infinite or that
    has no likelihood has the weight 0.
    """
    aicc = np.array([each.aicc if math.isfinite(each.aicc) else np.inf for each in fitted])
    best = aicc.min(initial=np.inf)
    if not np.isfinite(best):
        return np.full(len(aicc), np.nan), np.zeros(len(aicc))
    delta = aicc - best
    # Else models that are one model stand in the order of their last digits.
    delta[delta <= _ROUNDING * max(abs(best), 1.0)] = 0.0
    weights = np.exp(-delta / 2)
    return delta, weights / weights.sum()


def ranked(fitted: Sequence[FittedModel]) -> list[tuple[FittedModel, float, float]]:
    """Models with difference and weight, the best first; ties in the order of their names."""
    delta, weights = weights_of(fitted)
    order = sorted(range(len(fitted)), key=lambda i: (np.inf if math.isnan(delta[i]) else delta[i], fitted[i].name))
    return [(fitted[i], float(delta[i]), float(weights[i])) for i in order]


def _refuse_different_means(fitter: Fitter, models: Sequence[GaussianModel]) -> None:
    """Restricted likelihoods are comparable among models with the same mean only (Harville 1974)."""
    means = {model.name: _kind_of_mean(fitter.bound(model).unknowns) for model in models}
    first = next(iter(means))
    for name, kind in means.items():
        if kind != means[first]:
            raise OptionError(
                f"--estimator reml compares only models with the same mean, and those of {first} and {name} differ "
                "(use --estimator ml, or leave one out)"
            )


def _kind_of_mean(unknowns: tuple[str, ...]) -> tuple[str, ...]:
    return ("one",) if len(unknowns) == 1 else unknowns


def _findings(
    phylogeny: Phylogeny,
    traits: tuple[str, ...],
    fitted: list[list[FittedModel]],
    options: FitOptions,
) -> TableFindings:
    ordered = [ranked(each) for each in fitted]
    return TableFindings(
        phylogeny=phylogeny,
        traits=traits,
        tips_used=tuple(each[0].n for each in fitted),
        method=f"models compared by AICc, likelihoods by {options.estimator}",
        tables={"fits table": _fits_table(ordered), "parameter table": _parameter_table(ordered)},
        header=("trait", "model", "log likelihood", "k", "AICc", "difference", "weight", "parameters", "flags"),
        rows=[(each.trait, _summary_row(each, delta, weight)) for rows in ordered for each, delta, weight in rows],
        about_traits=[{"models": [_about(*row) for row in rows]} for rows in ordered],
        warnings=_warnings(phylogeny, ordered),
    )


def _null_models(
    painted: Painted, observations: Observations, fitted: list[list[FittedModel]], options: FitOptions
) -> list[FittedModel]:
    """Every trait under bm, fitted where it is not yet; of the parameters that are held those of bm."""
    nulls = [each for one in fitted for each in one if each.bound.model.built_in == NULL]
    if len(nulls) == len(fitted):
        return nulls
    held = {name: value for name, value in options.held.items() if name in ("sigma2", "root")}
    fields = edge_fields(painted, edge_columns(painted, options.edge_data))
    fitter = Fitter(fields, painted.observations(observations), replace(options, held=held, intervals=False))
    return [fitter.fit(named_model(NULL), trait) for trait in range(len(fitted))]


def _fits_table(ordered: list[list[tuple[FittedModel, float, float]]]) -> dict[str, list[Any]]:
    rows = [row for each in ordered for row in each]
    return {
        "trait": [each.trait for each, _, _ in rows],
        "model": [each.name for each, _, _ in rows],
        "n": [each.n for each, _, _ in rows],
        "k": [each.k for each, _, _ in rows],
        "log_likelihood": [each.log_likelihood for each, _, _ in rows],
        "aic": [each.aic for each, _, _ in rows],
        "aicc": [each.aicc for each, _, _ in rows],
        "delta_aicc": [delta for _, delta, _ in rows],
        "weight": [weight for _, _, weight in rows],
        "converged": [each.optimum.certificate.converged for each, _, _ in rows],
        "flags": [";".join(each.flags) for each, _, _ in rows],
    }


def _parameter_table(ordered: list[list[tuple[FittedModel, float, float]]]) -> dict[str, list[Any]]:
    rows = [
        (each.trait, each.name, name, *estimate)
        for traits in ordered
        for each, _, _ in traits
        for name, estimate in each.parameters.items()
    ]
    names = ("trait", "model", "parameter", "value", "lower", "upper", "how")
    return {name: [row[number] for row in rows] for number, name in enumerate(names)}


def _summary_row(each: FittedModel, delta: float, weight: float) -> tuple[str, ...]:
    parameters = ", ".join(f"{name} {estimate.value:.4g}" for name, estimate in each.parameters.items())
    figures = (f"{each.log_likelihood:.6g}", str(each.k), f"{each.aicc:.6g}", f"{delta:.4g}", f"{weight:.3f}")
    return (each.trait, each.name, *figures, parameters, ";".join(each.flags))


def _about(each: FittedModel, delta: float, weight: float) -> Mapping[str, Any]:
    return {
        "model": each.name,
        "n": each.n,
        "k": each.k,
        "estimator": each.estimator,
        "log_likelihood": each.log_likelihood,
        "aic": each.aic,
        "aicc": each.aicc,
        "delta_aicc": delta,
        "weight": weight,
        "flags": list(each.flags),
        "certificate": each.certificate(),
        "parameters": {
            name: {"value": estimate.value, "lower": estimate.lower, "upper": estimate.upper, "how": estimate.how}
            for name, estimate in each.parameters.items()
        },
        **file_of(each.bound.model),
    }


def _warnings(phylogeny: Phylogeny, ordered: list[list[tuple[FittedModel, float, float]]]) -> tuple[str, ...]:
    equal = [rows[0][0].trait for rows in ordered if any(each.nothing_varies for each, _, _ in rows)]
    found: list[str] = [
        Note(
            f"trait {trait!r}: all values are equal: every model explains them the better the smaller its rate is, so "
            "there is nothing to compare (leave it out)"
        )
        for trait in equal
    ]
    found += height_notes(phylogeny)
    every = [each for rows in ordered for each, _, _ in rows if each.trait not in equal]
    for flag, words in reversed(WORDS.items()):
        having = [each for each in every if flag in each.flags]
        if having:
            names = ", ".join(dict.fromkeys(each.name for each in having))
            traits = listed(list(dict.fromkeys(each.trait for each in having)), 3)
            warning = ": do not rely on these figures" if flag == "optimum_not_certain" else ""
            found.append(words.about(f"{flag} ({names}; {traits}): ", warning))
    for rows in ordered:
        if rows[0][0].trait not in equal and all(not math.isfinite(each.aicc) for each, _, _ in rows):
            found.append(
                Doubt(f"trait {rows[0][0].trait!r}: too few values to compare models (every AICc is infinite)")
            )
    return tuple(found)


def height_notes(phylogeny: Phylogeny) -> tuple[str, ...]:
    """What to know of a tree that is nearly ultrametric, a sentence each."""
    spread = height_spread(phylogeny)
    if not ULTRAMETRIC < spread <= NEARLY_ULTRAMETRIC:
        return ()
    return (
        Note(
            f"the heights of the tips differ by {spread:.1g} of the largest, as if rounded: they are taken as they "
            "are, so a trend, or an ou with a free root, would rest on rounding"
        ),
    )
