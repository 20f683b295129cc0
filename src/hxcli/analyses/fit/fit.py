"""Comparison of models by their corrected information criterion: which model, and how sure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hxcli.analyses.canonical import in_canonical_order
from hxcli.analyses.fit.drawing import refuse_undrawn
from hxcli.analyses.fit.fitted import FittedModel, Fitter, refuse_unknown_parameters
from hxcli.analyses.fit.flags import WORDS
from hxcli.analyses.fit.options import (
    NEARLY_ULTRAMETRIC,
    ULTRAMETRIC,
    FitOptions,
    height_spread,
    models_on,
    refuse_unread_edges,
)
from hxcli.analyses.fit.ranking import HEADER, about, fits_table, parameter_table, ranked, summary_row
from hxcli.close_names import listed
from hxcli.edge_data import edge_columns
from hxcli.errors import Doubt, Note, OptionError
from hxcli.findings import TableFindings
from hxcli.inference.threads import in_threads
from hxcli.models import named_model
from hxcli.models.edge_fields import edge_fields
from hxcli.models.gaussian_model import GaussianModel
from hxcli.painting import Painted, RegimeTable, paint, unpainted
from hxcli.phylogeny import Phylogeny
from hxcli.regime_tree import Regimes, RegimeTree, paint_alike
from hxcli.traits import Observations

# The model that others are compared with by simulation.
NULL = "bm"


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
        tables={"fits table": fits_table(ordered), "parameter table": parameter_table(ordered)},
        header=HEADER,
        rows=[(each.trait, summary_row(each, delta, weight)) for rows in ordered for each, delta, weight in rows],
        about_traits=[{"models": [about(*row) for row in rows]} for rows in ordered],
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
