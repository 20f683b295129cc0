"""The record of a posterior: estimates and intervals of all nodes, figures of the parameters, how sure they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hxcli.analyses.assemble import reconstruction
from hxcli.analyses.posterior.question import Options
from hxcli.analyses.posterior.solution import PROBABILITIES, Figures, Solved, unit_of
from hxcli.analyses.posterior.tables import further_tables
from hxcli.engine.topology import BoolArray
from hxcli.findings import number
from hxcli.inference.normal_mixture import NodeFigures
from hxcli.models.bound_model import BoundModel
from hxcli.models.recorded import recorded
from hxcli.painting import Painted
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.prebuilt.units import Units
from hxcli.reconstruction import Reconstruction
from hxcli.traits import Observations

# In the unit of computation, relative to the state.
_ROUNDING = 1e-12
_WORDS = {
    "given parameters": "for given parameters",
    "quadrature": "and parameters by quadrature",
    "independence": "and parameters by the independence sampler",
    "nuts": "and parameters by the no-U-turn sampler",
}


def report(
    phylogeny: Phylogeny,
    observations: Observations,
    units: Units,
    solved: Sequence[Solved | None],
    options: Options,
    level: float,
) -> Reconstruction:
    """Assembles what was found for all traits, in their own units.

    Args:
        phylogeny: N nodes.
        observations: As given.
        units: Of the computation.
        solved: One for every trait; None for one of which nothing is known.
        options: What was asked.
        level: Probability of the intervals.

    Raises:
        ModelError: A figure is beyond double precision.
    """
    shape = (phylogeny.topology.size, len(solved))
    columns = {name: np.full(shape, np.nan) for name in NodeFigures._fields}
    for trait, one in enumerate(solved):
        if one is not None:
            for name in NodeFigures._fields:
                columns[name][:, trait] = getattr(one.nodes, name)
            if not one.moments:
                columns["deviation"][:, trait] = np.nan
    means, deviations = units.states(columns["mean"], columns["deviation"])
    ends = {
        name: columns[name] * units.scale + units.location
        for name in ("lower", "upper", "shortest_lower", "shortest_upper")
    }
    if options.root_state is not None:
        # A root that is given comes back as it was given, and so do nodes at no distance from it.
        at_root = _at_given_root(columns, units.state(options.root_state, "the root's state"))
        means = np.where(at_root, options.root_state, means)
        ends = {name: np.where(at_root, options.root_state, end) for name, end in ends.items()}
    units.refuse_beyond(np.array([_is_beyond(one, units, i) for i, one in enumerate(solved)], bool))
    names, warnings = observations.traits, []
    further = further_tables(phylogeny, names, units, solved, options.pairs, level)
    for name, one in zip(names, solved, strict=True):
        warnings += [said.about(f"trait {name!r}: ") for said in one.warnings] if one is not None else []
    return reconstruction(
        phylogeny,
        observations,
        means,
        deviations,
        level=level,
        interval="HPD",
        columns=_columns(shape, solved),
        ends=(ends["lower"], ends["upper"]),
        parameters=_parameters(units, solved, options),
        root_how=("posterior mean", "posterior standard deviation"),
        method=_method(options, solved),
        shortest=(ends["shortest_lower"], ends["shortest_upper"]),
        tables={"parameter table": _parameter_table(names, units, solved), **further.tables},
        details={
            name: _details(one, units, i, further.details.get(name, {}))
            for i, (name, one) in enumerate(zip(names, solved, strict=True))
        },
        warnings=(*warnings, *further.warnings),
        rates_from_data=False,
    )


def _columns(shape: tuple[int, int], solved: Sequence[Solved | None]) -> dict[str, FloatArray]:
    """Further columns of the table, (N, D) each; nan where a trait has none."""
    found: dict[str, FloatArray] = {}
    for trait, one in enumerate(solved):
        for name, column in one.columns.items() if one is not None else ():
            found.setdefault(name, np.full(shape, np.nan))[:, trait] = column
    return found


def _at_given_root(columns: Mapping[str, FloatArray], root: FloatArray) -> BoolArray:
    """(N, D) the nodes whose state is the given root's, (D,), but for rounding."""
    rounding = _ROUNDING * np.maximum(1, abs(root))
    return np.asarray((columns["deviation"] <= rounding) & (abs(columns["mean"] - root) <= rounding))


def _is_beyond(one: Solved | None, units: Units, trait: int) -> bool:
    """Whether a finite figure of a parameter is infinite in the trait's own unit."""
    if one is None:
        return False
    factors_of = _factors(units, trait).items()
    pairs = [(one.figures[name], factors) for name, factors in factors_of if name in one.figures]
    with np.errstate(over="ignore", invalid="ignore"):
        moved = [(figures, figures.times(*factors)) for figures, factors in pairs]
    return any(
        np.isinf([found.mean, *found.quantiles]).any() and np.isfinite([figures.mean, *figures.quantiles]).all()
        for figures, found in moved
    )


def _method(options: Options, solved: Sequence[Solved | None]) -> str:
    names = options.models or ("bm",)
    if options.model_priors:
        total = sum(options.model_priors.values())
        names = tuple(f"{name} (prior {options.model_priors[name] / total:.6g})" for name in names)
    process = (
        "Brownian motion"
        if names == ("bm",)
        else f"model {names[0]}"
        if len(names) == 1
        else f"models {', '.join(names)}"
    )
    if options.sigma2 is not None and options.tau2 is not None:
        return f"{process}, posterior of all nodes for given variances, {options.root}"
    first = next((one for one in solved if one is not None), None)
    how = method_in_words(options.method if first is None else first.details["method"])
    priors = {} if first is None else first.priors
    told = "".join(f", {name} ~ {prior}" for name, prior in priors.items())
    # Several means have priors of their own, of which the root's is one.
    of_means = any(prior == "flat" or prior.startswith("normal") for prior in priors.values())
    root = "" if of_means else options.root
    if first is not None and first.given.root is not None:
        root = first.given.root
    return f"{process}, posterior of all nodes {how}{', ' * bool(root)}{root}{told}"


def method_in_words(method: str) -> str:
    """How the parameters were dealt with."""
    return _WORDS[method]


def _factors(units: Units, trait: int) -> dict[str, tuple[float, float]]:
    """Parameter -> what its figures are multiplied by, and what is then added."""
    scale, location = float(units.scale[trait]), float(units.location[trait])
    with np.errstate(over="ignore", under="ignore"):
        return {"sigma2": (scale / units.length * scale, 0.0), "tau2": (scale * scale, 0.0), "root": (scale, location)}


def _parameters(units: Units, solved: Sequence[Solved | None], options: Options) -> dict[str, tuple[Any, Any]]:
    parameters: dict[str, tuple[Any, Any]] = {}
    several = [one for one in solved if one is not None and len(one.models) > 1]
    declared = [one.told if one is not None and not several else () for one in solved]
    for name in dict.fromkeys(name for told in declared for name, _, _ in told if name != "root"):
        # Of a trait without a value nothing is known.
        own = [next(((prior, each) for key, prior, each in told if key == name), ("", None)) for told in declared]
        hows = ["given" if prior is None else f"posterior mean, prior {prior}" for prior, _ in own]
        parameters[name] = np.array([np.nan if each is None else each.mean for _, each in own]), hows
    for name, given in (("sigma2", options.sigma2), ("tau2", options.tau2)):
        if given is not None:
            parameters[name] = (given, "given")
            continue
        if any(one is not None and name not in one.figures for one in solved):
            continue
        values, hows = [], []
        for trait, one in enumerate(solved):
            factor, _ = _factors(units, trait)[name]
            prior = one.given.priors.get(name) if one is not None else None
            values.append(one.figures[name].mean * factor if one is not None else np.nan)
            hows.append(f"posterior mean, prior {prior}" if prior is not None else "posterior mean")
        parameters[name] = (np.array(values), hows)
    if options.sigma2 is not None and options.tau2 is not None:
        evidence, how = "log_likelihood", f"log marginal likelihood, {options.root}"
    else:
        evidence, how = "log_evidence", "log evidence"
    if several:
        best = [max(one.models, key=lambda each: each.probability) if one is not None else None for one in solved]
        parameters["probability"] = (
            np.array([np.nan if each is None else each.probability for each in best]),
            ["" if each is None else f"probability of {each.name}" for each in best],
        )
    if all(one is None or np.isfinite(one.log_evidence) for one in solved):
        parameters[evidence] = (np.array([evidence_of(one, units, i) for i, one in enumerate(solved)]), how)
    return parameters


def evidence_of(one: Solved | None, units: Units, trait: int) -> float:
    """Log density of the observations in the trait's own units; nan where there is none."""
    if one is None:
        return float("nan")
    return float(one.log_evidence - one.densities * np.log(units.scale[trait]))


def _parameter_table(names: Sequence[str], units: Units, solved: Sequence[Solved | None]) -> dict[str, list[Any]]:
    """One row for every trait and parameter; None where there is no figure."""
    rows = [
        parameter_row(name, *each)
        for trait, (name, one) in enumerate(zip(names, solved, strict=True))
        for each in own_parameters(units, trait, one)
    ]
    return {key: [row[key] for row in rows] for key in rows[0]}


def own_parameters(units: Units, trait: int, one: Solved | None) -> list[tuple[str, str | None, Figures | None]]:
    """Name, prior in words (None for none) and figures, in the trait's units, of every parameter."""
    own = _factors(units, trait)
    if one is None:
        return [(parameter, None, None) for parameter in own]
    if one.told:
        return list(one.told)
    # Shape parameters have no unit of the trait.
    place = float(units.scale[trait]), float(units.location[trait]), units.length
    further = {key: unit_of(one.kinds.get(key, ""), *place) for key in one.figures if key not in own}
    found: list[tuple[str, str | None, Figures | None]] = []
    for parameter, (factor, plus) in {**own, **further}.items():
        prior = one.given.priors.get(parameter) or one.priors.get(parameter)
        called = one.rate if parameter == "sigma2" else parameter
        found.append((called, prior, one.figures[parameter].times(factor, plus)))
    return found


def with_recorded(
    found: Solved,
    bound: BoundModel,
    given: Mapping[str, float],
    painted: Painted,
    units: Units,
    trait: int,
    by_edge: Mapping[str, FloatArray] | None = None,
) -> Solved:
    """With what a user's file records at the posterior means of its parameters.

    Args:
        found: The posterior under it alone.
        bound: The file on the tree.
        given: Parameter -> value, of those that have no figures.
        painted: The tree.
        units: Of the computation.
        trait: Number of the trait.
        by_edge: Name -> (N, ...) means of what every edge has.
    """
    if not bound.records:
        return found
    told = own_parameters(units, trait, found)
    figures_of = {name: figures.mean for name, _, figures in told if figures is not None}
    own = recorded(bound, {**given, **figures_of}, by_edge or {})
    columns = {name: column[painted.nodes] for name, column in own.columns.items()}
    return found._replace(columns={**found.columns, **columns}, recorded=own.details)


def parameter_row(trait: str, parameter: str, prior: str | None, figures: Figures | None) -> dict[str, Any]:
    """A row of the table of parameters; nan where there is no figure."""
    row: dict[str, Any] = {"trait": trait, "parameter": parameter, "prior": prior}
    row["mean"] = figures.mean if figures else np.nan
    row["sd"] = figures.deviation if figures else np.nan
    for rank, probability in enumerate(PROBABILITIES):
        row[f"q{probability:g}"] = float(figures.quantiles[rank]) if figures else np.nan
    for diagnostic in ("rhat", "ess_bulk", "ess_tail"):
        row[diagnostic] = figures.diagnostics.get(diagnostic, np.nan) if figures else np.nan
    return row


def _details(one: Solved | None, units: Units, trait: int, more: Mapping[str, Any]) -> dict[str, Any]:
    if one is None:
        return {}
    return {
        "posterior": {
            "priors": dict(one.given.priors),
            "priors_scaled_to_the_data": list(one.given.scaled_to_data),
            "log_evidence": evidence_of(one, units, trait) if np.isfinite(one.log_evidence) else None,
            "log_evidence_of": evidence_in_words(one.given.flat_root),
            **one.details,
            **more,
        },
        **one.recorded,
        **_models(one, units, trait),
    }


def _models(one: Solved, units: Units, trait: int) -> dict[str, Any]:
    """Every model's posterior probability and evidence, where models were asked for."""
    if not one.models:
        return {}
    move = one.densities * float(np.log(units.scale[trait]))
    return {
        "models": [
            {
                "model": each.name,
                "prior": each.prior,
                "probability": each.probability,
                "log_evidence": number(each.log_evidence - move),
            }
            for each in one.models
        ]
    }


def evidence_in_words(flat_root: bool) -> str:
    """What a log evidence is of."""
    if flat_root:
        return (
            "the observations' contrasts, because the root is flat: compare it with other models of the same "
            "observations with a flat root only"
        )
    return "the observations: compare it with any other model of the same observations"
