"""What a look at a model on a tree tells: parameters, the engine and why, draws of the prior, gradients, variances."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hxcli.errors import HxError, InputError, ModelError, OptionError
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.traits import Observations

if TYPE_CHECKING:
    from hxcli.edge_data import EdgeTable
    from hxcli.model import Declaration
    from hxcli.models.bound_model import Coordinate
    from hxcli.painting import RegimeTable
    from hxcli.regime_tree import RegimeTree

# Draws of the prior, and places around the usual values, so far from them in the search's units.
_DRAWS, _NEAR = 3, 0.5
_STEP = 1e-5
# Below it a log likelihood stands for none.
_IMPOSSIBLE = -1e299
# How far a gradient may be from differences of the values, as a share.
_AGREES = 1e-4
# The same on a grid, which is rounded more.
_GRID_STEP, _GRID_AGREES = 1e-3, 5e-3


@dataclass(frozen=True)
class Trial:
    """A model to be tried, and with what.

    Attributes:
        name: Of a model, or `FILE.py[:NAME]`.
        held: Reported name -> value of parameters that are given.
        start: Reported name -> value where a search would begin.
        regimes: Of the edges; `labels` for those at the nodes of the tree.
        edge_data: Further columns of the edges.
    """

    name: str
    held: Mapping[str, float] = field(default_factory=dict)
    start: Mapping[str, float] = field(default_factory=dict)
    regimes: RegimeTable | RegimeTree | str | None = None
    edge_data: EdgeTable | None = None

    @property
    def lines(self) -> list[str]:
        """What is given and where searches begin, a line each."""
        given = [f"given    {name}: {value:.6g}" for name, value in self.held.items()]
        return given + [f"start    {name}: {value:.6g}" for name, value in self.start.items()]

    def without_regimes(self, why: str) -> Trial:
        """The same; raises OptionError where there are regimes."""
        if self.regimes is not None:
            raise OptionError(f"--regimes does not go with models {why} (write what differs in --edge-data)")
        return self


def model_lines(phylogeny: Phylogeny, observations: Observations, trial: Trial) -> list[str]:
    """The report for a person, a line each: of the first trait, or, of a model that returns matrices, of all together.

    Args:
        phylogeny: N nodes, edge lengths neither missing nor negative.
        observations: Of D traits.
        trial: What is tried.

    Raises:
        HxError: The model is refused.
    """
    from hxcli.analyses.fit.fit import painted_tree
    from hxcli.analyses.fit.fitted import refuse_unknown_parameters
    from hxcli.edge_data import edge_columns
    from hxcli.inference.edge_variances import refuse_negative_variances
    from hxcli.inference.grid_likelihood import GridLikelihood
    from hxcli.inference.likelihood_columns import TraitLikelihood, framed
    from hxcli.model import Gaussian, Rates, Sde, abstract_edge, discover
    from hxcli.models import named_model
    from hxcli.models.by_edge import allowing_edges, refuse_cut_edges, refuse_no_priors
    from hxcli.models.edge_fields import EdgeFields, edge_fields, trait_fields
    from hxcli.models.gaussian_model import line_of

    painted = painted_tree(phylogeny, trial.regimes)
    fields = edge_fields(painted, edge_columns(painted, trial.edge_data))
    values = observations.values[:, 0] if observations.traits else np.zeros(0)
    of_trees = fields.columns
    fields = EdgeFields(painted.phylogeny, trait_fields(of_trees, values), fields.regimes)
    model = named_model(trial.name)
    # A file of traits together may do with the figures of all what cannot be done with those of one.
    if observations.traits and model.text and _returns_matrices(model, trait_fields(of_trees, observations.values)):
        return joint_lines(phylogeny, observations, trial.without_regimes("of traits together"))
    returned = discover(model.edge, abstract_edge(fields.columns)).returned
    if isinstance(returned, Rates):
        return state_lines(phylogeny, observations, trial.without_regimes("of states"))
    if observations.traits and isinstance(returned, Gaussian) and returned.variance.ndim:
        return joint_lines(phylogeny, observations, trial.without_regimes("of traits together"))
    if not observations.traits:
        raise ModelError(f"model {model.name} is of numbers, and the table has none (name a column with --column)")
    model = allowing_edges(model, fields.columns)
    refuse_cut_edges(model, painted)
    bound = model.on(fields, trial.start)
    refuse_unknown_parameters(trial.held, trial.start, [bound])
    if bound.by_edge:
        refuse_no_priors(bound)
    observations = painted.observations(observations)
    is_grid = isinstance(bound.returned, Sde)
    kind = type(bound.returned).__name__
    lines = [f"model    {bound.name}: returns {kind}, so the {_ENGINES[kind]}"]
    lines += [*_parameters({**bound.declarations, **bound.by_edge}), *trial.lines]
    likelihood: Any
    if is_grid:
        likelihood = GridLikelihood(bound, observations, 0, held=trial.held, cells=100)
    else:
        placed = framed(fields.columns, painted.phylogeny)
        placed = placed._replace(columns={**fields.columns, **placed.columns})
        likelihood = TraitLikelihood(bound, placed, observations, 0, restricted=False, held=trial.held)
        edges = likelihood.edges(likelihood.start)
        variance = edges.variance[1:, 0]
        bad = int((~(variance >= 0)).sum())
        lines.append(f"edges    variance {variance.min():.6g} to {variance.max():.6g}, {bad or 'none'} negative")
        if edges.noise is not None:
            noise = edges.noise[observations.nodes[~np.isnan(observations.values[:, 0])], 0]
            if not (noise >= 0).all():
                raise InputError(
                    f"noise(tip) is negative or no number: {noise[np.flatnonzero(~(noise >= 0))[0]]:.6g}",
                    "a variance is 0 or more",
                    file=bound.model.source,
                    line=line_of(bound.model.noise),
                )
            lines.append(f"noise    variance {noise.min():.6g} to {noise.max():.6g} of what is observed of a tip")
    steps = (_GRID_STEP, _GRID_AGREES) if is_grid else (_STEP, _AGREES)

    def look(x: FloatArray) -> None:
        if not is_grid:
            refuse_negative_variances(likelihood, x)

    drawn = _drawn(likelihood)
    ends = likelihood.ends
    return [
        *lines,
        *_draws(likelihood.value_and_gradient, likelihood.start, ends, drawn, bound.name, *steps, look),
    ]


def _returns_matrices(model: Any, columns: Mapping[str, Any]) -> bool:
    """Whether a model returns matrices where an edge has the figures of all traits."""
    from hxcli.model import Gaussian, abstract_edge, discover

    try:
        returned = discover(model.edge, abstract_edge(columns)).returned
    except HxError:
        return False
    return isinstance(returned, Gaussian) and returned.variance.ndim == 2


def joint_lines(phylogeny: Phylogeny, observations: Observations, trial: Trial) -> list[str]:
    """The same of a file that returns matrices, of all traits together."""
    from hxcli.analyses.fit.fitted import refuse_unknown_parameters
    from hxcli.analyses.together.under_file import joint_model
    from hxcli.inference.matrix_edges import refuse_no_covariances
    from hxcli.inference.matrix_likelihood import MatrixLikelihood

    bound = joint_model(phylogeny, observations, trial.name, trial.start, trial.edge_data)
    refuse_unknown_parameters(trial.held, trial.start, [bound])
    likelihood = MatrixLikelihood(bound, observations, held=trial.held)
    variances = np.diagonal(refuse_no_covariances(likelihood, likelihood.start).variance[1:], axis1=1, axis2=2)
    spans = [
        f"{trait} {own.min():.6g} to {own.max():.6g}" for trait, own in zip(bound.traits, variances.T, strict=True)
    ]
    return [
        f"model    {bound.name}: returns Gaussian with matrices, so the {_ENGINES['Gaussian']} of traits together",
        *_parameters(bound.declarations),
        *trial.lines,
        f"edges    variance of {', '.join(spans)}, all covariances",
        *_draws(likelihood.value_and_gradient, likelihood.start, likelihood.ends, _drawn(likelihood), bound.name),
    ]


def state_lines(phylogeny: Phylogeny, observations: Observations, trial: Trial) -> list[str]:
    """The same of a file that returns `Rates`, of the first trait of states."""
    from hxcli.analyses.ancestral_states import StateOptions, pattern_for
    from hxcli.inference.state_objective import Objective, RootPrior
    from hxcli.models.file_rates import FileRates
    from hxcli.models.searched_rates import SearchedRates
    from hxcli.prebuilt.discrete.likelihood import state_tree
    from hxcli.prebuilt.tip_states import seen_states

    if not observations.states:
        raise ModelError(
            f"model {trial.name}: it returns Rates, and no trait is of states (name a column of text with --column, or "
            "any with --discrete)"
        )
    seen = seen_states(phylogeny, observations.nodes, observations.states[0])
    options = StateOptions(model=trial.name, held=trial.held, start=trial.start, edge_data=trial.edge_data)
    pattern = pattern_for(options, seen.states, phylogeny)
    assert isinstance(pattern, FileRates)
    lines = [f"model    {pattern.name}: returns Rates, so the {_ENGINES['Rates']}"]
    lines += [*_parameters(pattern.declarations), *trial.lines]
    lines.append(
        f"rates    of the states {', '.join(seen.states)}, "
        + ("one matrix an edge" if pattern.by_edge else "the same on every edge")
    )
    tree = state_tree(phylogeny, seen.likelihoods)
    searched = SearchedRates(pattern, 1e-9, 1e9, trial.held)
    objective = Objective(tree, searched, RootPrior("flat"), searched.held)

    def value_and_gradient(x: FloatArray) -> tuple[float, FloatArray]:
        heights, slopes = objective(x[None])
        return -float(heights[0]), -slopes[0]

    start = np.log(searched.usual)[objective.free]
    ends = np.repeat(np.log([[1e-9, 1e9]]), len(start), 0)
    values = _prior_draws(pattern.coordinates, pattern.declarations)
    drawn = np.log([searched.placed(each) for each in values]).reshape(_DRAWS, -1)[:, objective.free]
    return [*lines, *_draws(value_and_gradient, start, ends, drawn, pattern.name)]


def _parameters(declarations: Mapping[str, Any]) -> list[str]:
    lines = []
    for one in declarations.values():
        low, high = (np.min(one.support[0]), np.max(one.support[1]))
        role = "one of every edge" if one.role == "per-edge" else one.role
        text = f"{role}, shape {one.shape}" if one.shape else role
        start = np.array2string(np.asarray(one.start, float), precision=6) if one.start is not None else "none"
        # That of an edge may be another on each.
        value = "" if one.role == "per-edge" and one.start is None else f", value {start}"
        prior = f", prior {one.prior}" if one.prior else ""
        lines.append(f"param    {one.name}: {text}, {low:.6g} to {high:.6g}{prior}{value}")
    return lines


def _drawn(likelihood: Any) -> FloatArray:
    """(draws, S) places drawn from the prior of the S coordinates of a likelihood, as its search has them."""
    coordinates = likelihood.coordinates
    values = _prior_draws(coordinates, likelihood.bound.declarations)
    columns = [each.to_search(values[:, place]) for place, each in enumerate(coordinates)]
    return np.stack(columns, 1) if columns else values


def _prior_draws(coordinates: Sequence[Coordinate], declarations: Mapping[str, Declaration]) -> FloatArray:
    """(draws, S) values of S coordinates from their priors, and around their starts where they have none."""
    random, found = np.random.default_rng(1), np.empty((_DRAWS, len(coordinates)))
    for row in found:
        drawn = {name: one.from_unit(random.standard_normal(one.shape)) for name, one in declarations.items()}
        for place, each in enumerate(coordinates):
            near = each.from_search(each.to_search(each.start) + _NEAR * random.standard_normal())
            has = each.parameter in drawn and declarations[each.parameter].family and not each.is_rate
            row[place] = np.ravel(drawn[each.parameter])[each.entry] if has else np.clip(near, each.low, each.high)
    return found


def _draws(
    value_and_gradient: Any,
    start: FloatArray,
    ends: FloatArray,
    drawn: FloatArray,
    name: str,
    step: float = _STEP,
    agrees: float = _AGREES,
    look: Callable[[FloatArray], Any] = lambda x: None,
) -> list[str]:
    """The density at the usual values and at draws of the prior, and whether its gradient is that of its differences.

    The gradient is looked at where searches begin, and around that: a value such as 0 is where branches are, and their
    slopes go wrong; far out, differences are rounding.

    Args:
        value_and_gradient: From a place (S,) to the log likelihood and its slopes.
        start: (S,) the usual values, as a search has them.
        ends: (S, 2) of their supports.
        drawn: (draws, S) places drawn from the prior.
        name: Of the model.
        step: Of the differences.
        agrees: How far a gradient may be from them, as a share.
        look: Raises InputError where variances are negative.

    Raises:
        InputError: `look` does so at the usual values and all around them.
        ModelError: The density is no number, or has another gradient.
    """

    def told(x: FloatArray, value: float) -> str:
        if np.isfinite(value) and value > _IMPOSSIBLE:
            return f"log likelihood {value:.6g}"
        try:
            look(x)
        except InputError as refusal:
            refused.append(refusal)
            return f"impossible: {refusal.found}"
        return "no density of what was seen"

    random, lines, worst, refused = np.random.default_rng(0), [], 0.0, list[InputError]()
    for place in range(_DRAWS + 1):
        x = np.clip(start + (_NEAR * random.standard_normal(len(start)) if place else 0.0), *ends.T)
        value, gradient = value_and_gradient(x)
        before, said = len(refused), told(x, value)
        if not place:
            lines.append(f"usual    {said}")
        if not np.isfinite(value) or value <= _IMPOSSIBLE:
            if place and len(refused) == before:
                raise ModelError(f"model {name}: its density is no number near its usual values")
            continue
        if not np.isfinite(gradient).all():
            where = "near" if place else "at"
            raise ModelError(
                f"model {name}: its gradient is no number {where} its usual values: is there a root of 0, or a "
                "division by it?"
            )
        for number in range(len(x)):
            if not ends[number, 0] + step < x[number] < ends[number, 1] - step:
                continue
            error = _disagreement(value_and_gradient, x, gradient, number, step)
            if not error <= agrees:
                # Where the density bends within a step.
                error = min(error, _disagreement(value_and_gradient, x, gradient, number, step / 100))
            if not error <= agrees:
                raise ModelError(
                    f"model {name}: its gradient is not that of its density (they differ by {error:.2g}): is a step, a "
                    "rounding, or a branch with another slope in it?"
                )
            worst = max(worst, error)
    if len(refused) > _DRAWS:
        raise refused[-1]
    lines += [f"draw     {number}: {told(x, value_and_gradient(x)[0])}" for number, x in enumerate(drawn, 1)]
    lines += [f"note     {refused[-1].advice}"] if refused else []
    # Below that, rounding decides.
    return [*lines, f"gradient agrees with differences to {10 ** np.ceil(np.log10(max(worst, 1e-8))):.0e}"]


def _disagreement(value_and_gradient: Any, x: FloatArray, gradient: FloatArray, number: int, step: float) -> float:
    """How far a derivative is from the difference over a step, as a share of it where that is above 1."""
    sides = [x + side * step * np.eye(len(x))[number] for side in (-1, 1)]
    slope = (value_and_gradient(sides[1])[0] - value_and_gradient(sides[0])[0]) / (2 * step)
    return float(abs(slope - gradient[number]) / max(1.0, abs(gradient[number])))


_ENGINES = {
    "Gaussian": "exact Gaussian sweeps",
    "Rates": "sweeps of discrete states",
    "Sde": "grid engine: the state in cells, pruned up and down",
}
