"""One trait under one model: the most likely parameters in the trait's units, their intervals, flags."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from hxcli.analyses.fit.flags import flags_of
from hxcli.analyses.fit.options import FitOptions
from hxcli.analyses.pairs import PairStates, joined
from hxcli.errors import ModelError, OptionError
from hxcli.inference.akaike import Akaike
from hxcli.inference.edge_variances import refuse_negative_variances
from hxcli.inference.likelihood_columns import Framed, TraitLikelihood, framed
from hxcli.inference.maximum_likelihood import maximise
from hxcli.inference.optimum_certificate import Optimum
from hxcli.inference.profile_intervals import profile_intervals
from hxcli.inference.quantity import Interval, Quantity
from hxcli.model import Sde
from hxcli.models import GRID_MODELS
from hxcli.models.bound_model import BoundModel
from hxcli.models.edge_fields import EdgeFields, trait_fields
from hxcli.models.gaussian_model import OFFSET, GaussianModel
from hxcli.models.recorded import Recorded, recorded
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.path_gains import along_paths, paths_between
from hxcli.prebuilt.tip_likelihoods import exact_ones, refuse_bad_variance, refuse_contradictions
from hxcli.prebuilt.units import Units, units_of
from hxcli.traits import Observations

# Models whose restricted likelihood has no maximum, because it rises without end as alpha goes to 0.
ALWAYS_ML = ("oum", "oumv", "ouma", "oumva")


class Estimate(NamedTuple):
    """One parameter of a fitted model, in the trait's units.

    Attributes:
        value: The estimate; nan where the data do not determine it.
        lower, upper: Ends of its profile interval; nan where the likelihood never falls so far, or for a given value.
        how: `ML`, `REML` or `given`.
    """

    value: float
    lower: float
    upper: float
    how: str


@dataclass(frozen=True, eq=False)
class FittedModel(Akaike):
    """One trait under one model.

    Attributes:
        bound: The model on the tree.
        trait: Name of the trait.
        n: Number of tips with a value.
        k: Number of estimated parameters.
        log_likelihood: In the trait's units; nan where it has no maximum.
        estimator: `ML` or `REML`.
        parameters: Reported name -> estimate: rates, unknowns of the mean, shape parameters, what follows from them.
        flags: What to know of the fit, as codes.
        likelihood, optimum: In the unit of computation.
        units: From there to the trait's units.
    """

    bound: BoundModel
    trait: str
    n: int
    k: int
    log_likelihood: float
    estimator: str
    parameters: Mapping[str, Estimate]
    flags: tuple[str, ...]
    likelihood: TraitLikelihood
    optimum: Optimum
    units: Units

    @property
    def name(self) -> str:
        """The model's name."""
        return self.bound.name

    @property
    def converged(self) -> bool:
        """Whether the optimum is certain."""
        return self.optimum.certificate.converged

    @property
    def of_file(self) -> Mapping[str, Any]:
        """What the record says of a user's file."""
        return file_of(self.bound.model)

    @property
    def nothing_varies(self) -> bool:
        """Whether all values are equal, which every model explains the better the smaller its rate is."""
        return self.n > 1 and self.optimum.log_likelihood == math.inf

    @cached_property
    def states(self) -> tuple[FloatArray, FloatArray]:
        """Mean and standard error of every node given all tips, (N,) each, in the trait's units."""
        mean, variance, _ = self.likelihood.states(self.optimum.x)
        means, deviations = self.units.states(mean[:, None], np.sqrt(variance)[:, None])
        return means[:, 0], deviations[:, 0]

    def pair_states(self, first: Any, second: Any) -> PairStates:
        """The states of P pairs of nodes together, in the trait's units.

        Args:
            first, second: (P,) node numbers.
        """
        mean, variance, _ = self.likelihood.states(self.optimum.x)
        joint = self.likelihood.joint_states(self.optimum.x)
        paths = paths_between(self.bound.fields.phylogeny.topology, first, second)
        shared = along_paths(paths, joint.gain[paths.nodes, None], joint.own[paths.nodes, None])
        rest = joint.rest[first], joint.rest[second]

        def of_means(one: FloatArray, other: FloatArray) -> FloatArray:
            return np.einsum("ip,pq,iq->i", one, joint.covariance, other)[:, None]

        found = joined(
            shared,
            joint.variance[paths.meet, None],
            (mean[first, None], mean[second, None]),
            (variance[first, None], variance[second, None]),
            (of_means(*rest), of_means(rest[0] - rest[1], rest[0] - rest[1])),
        )
        return found.in_unit(float(self.units.scale[0]), float(self.units.location[0]))

    def recorded(self) -> Recorded:
        """What a user's functions record at the estimates."""
        return recorded(self.bound, {name: each.value for name, each in self.parameters.items()})

    def certificate(self) -> dict[str, Any]:
        """How the optimum was found, as JSON values."""
        found = self.optimum.certificate
        return {
            **found.as_json(),
            "gradient_norm": float(np.linalg.norm(found.gradient)),
            "coordinates": [each.name + (" (log)" if each.log else "") for each in self.likelihood.coordinates],
        }


class Fitter:
    """Fits models to the traits of one tree, whose edges it places on the device once."""

    def __init__(self, fields: EdgeFields, observations: Observations, options: FitOptions) -> None:
        """Checks the observations.

        Raises:
            ModelError: Error-free observations that contradict each other.
            OptionError: A tau2 that is negative or not finite.
        """
        refuse_bad_variance("tau2", options.tau2)
        refuse_contradictions(fields.phylogeny, observations, exact_ones(observations, options.tau2))
        self.fields, self.observations, self.options = fields, observations, options
        self._framed: Framed = framed(fields.columns, fields.phylogeny)
        self._units = units_of(fields.phylogeny, observations)
        self._units.refuse_extreme()
        self._bound: dict[tuple[int, int], BoundModel] = {}

    def bound(self, model: GaussianModel, trait: int = 0) -> BoundModel:
        """The model on the tree; those of users and of the grid may ask for figures of the trait's values."""
        trait = trait if model.text or model.name in GRID_MODELS else 0
        if (id(model), trait) not in self._bound:
            columns = trait_fields(self.fields.columns, self.observations.values[:, trait])
            fields = dataclasses.replace(self.fields, columns=columns)
            bound = model.on(fields, self.options.start)
            if self.options.lambda_max:
                bound.widen("lambda", largest_lambda(self.fields))
            self._bound[id(model), trait] = bound
        return self._bound[id(model), trait]

    def fit(self, model: GaussianModel, trait: int) -> FittedModel:
        """The most likely parameters of one trait under one model.

        Raises:
            OptionError: A parameter is held that the model does not have.
        """
        options, bound = self.options, self.bound(model, trait)
        if isinstance(bound.returned, Sde):
            # Here, because it gives a `FittedModel` too.
            from hxcli.analyses.fit.grid_fit import fit_on_grid

            return fit_on_grid(bound, self.observations, trait, options)
        always_ml = model.built_in in ALWAYS_ML or model.root_name == "free" or bool(model.text)
        estimator = "ML" if always_ml else options.estimator
        likelihood, units = self._likelihood(bound, trait, estimator == "REML")
        optimum = maximise(likelihood)
        name = self.observations.traits[trait]
        values = self.observations.values[:, trait]
        n = len(np.unique(self.observations.nodes[~np.isnan(values)]))
        figures = optimum.figures
        densities = float(figures.size[0])
        log_likelihood = optimum.log_likelihood - densities * float(np.log(units.scale[0]))
        sound = math.isfinite(log_likelihood)
        if bound.model.text and n and not sound and log_likelihood != math.inf:
            refuse_negative_variances(likelihood, np.asarray(optimum.x))
            raise ModelError(
                f"trait {name!r}, model {bound.model.name}: its density is no number at any parameters that were tried "
                f"(hx check --model {bound.model.source} looks at its variances)"
            )
        if bound.model.text and sound:
            refuse_negative_variances(likelihood, np.asarray(optimum.x))
        parameters = _parameters(likelihood, optimum, units, estimator, options) if sound else {}
        k = len(likelihood.coordinates) + likelihood.profiled + sum(likelihood.free)
        fitted = FittedModel(
            bound,
            name,
            n,
            k,
            log_likelihood if sound else math.nan,
            estimator,
            parameters,
            (),
            likelihood,
            optimum,
            units,
        )
        return dataclasses.replace(fitted, flags=flags_of(bound, likelihood, optimum, n, k))

    def _likelihood(self, bound: BoundModel, trait: int, restricted: bool) -> tuple[TraitLikelihood, Units]:
        """The likelihood in units in which the values are of order one, centred if some mean moves with all of them."""
        own = dataclasses.replace(
            self._units,
            traits=(self.observations.traits[trait],),
            location=self._units.location[trait : trait + 1],
            scale=self._units.scale[trait : trait + 1],
            length=1.0,
        )
        if not moves_with_all(bound, self.options.held):
            own = dataclasses.replace(own, location=np.zeros(1))
        if bound.model.text:
            # Of a parameter of a user's we do not know the unit.
            own = dataclasses.replace(own, location=np.zeros(1), scale=np.ones(1))
        scale = float(own.scale[0])
        held = {}
        for name, value in self.options.held.items():
            if name in bound.rates:
                held[name] = value / scale / scale
            elif name in bound.unknowns:
                held[name] = value / scale
            else:
                held[name] = value
        seen = dataclasses.replace(
            self.observations,
            values=self.observations.values[:, [trait]],
            standard_errors=self.observations.standard_errors[:, [trait]],
            traits=own.traits,
        )
        likelihood = TraitLikelihood(
            bound,
            self._framed._replace(columns={**bound.fields.columns, **self._framed.columns}),
            own.observations(seen),
            0,
            restricted=restricted,
            tau2=float(own.variance(self.options.tau2, "tau2")[0]),
            held=held,
        )
        return likelihood, own


def largest_lambda(fields: EdgeFields) -> float:
    """The largest lambda whose matrix is a covariance: no tip has less variance than it shares with others."""
    start, end = fields.columns["start"], fields.columns["end"]
    shares = fields.columns["is_tip"] & (start > 0)
    return float((end[shares] / start[shares]).min(initial=np.inf)) if shares.any() else 1.0


def file_of(model: GaussianModel) -> dict[str, Any]:
    """A user's file for the run record, with its text; nothing for a built-in model."""
    return {"file": {"path": model.source, "sha256": model.sha256, "text": model.text}} if model.text else {}


def moves_with_all(bound: BoundModel, held: Mapping[str, float]) -> bool:
    """Whether the means of a model follow when all values are moved alike, so that they may be centred."""
    return bool(bound.unknowns) and not any(name in held for name in bound.unknowns)


def with_all(unknown: str) -> bool:
    """Whether an unknown of the mean moves when all values do: states do, slopes do not."""
    return not unknown.startswith("slope")


def _parameters(
    likelihood: TraitLikelihood, optimum: Optimum, units: Units, estimator: str, options: FitOptions
) -> dict[str, Estimate]:
    quantities = quantities_of(likelihood)
    none = Interval(math.nan, math.nan)
    intervals: Mapping[str, Interval] = {}
    if options.intervals:
        intervals = profile_intervals(likelihood, optimum, quantities, options.level)
    # The ends of supports exactly, not as their logarithms round.
    shapes = {each.name for each in likelihood.coordinates if not each.is_rate}
    exact = likelihood.parameters(optimum.x)
    found: dict[str, Estimate] = {}
    for each in quantities:
        value = exact[each.name] if each.name in shapes else each.value(optimum.x, optimum.figures)
        ends = intervals.get(each.name, none)
        numbers = [in_units(likelihood, units, each.name, part) for part in (value, *ends)]
        found[each.name] = Estimate(numbers[0], numbers[1], numbers[2], estimator)
    for name in likelihood.held:
        found[name] = Estimate(options.held[name], math.nan, math.nan, "given")
    return {name: found[name] for name in _in_order(likelihood, found)}


def in_units(likelihood: TraitLikelihood, units: Units, name: str, value: Any) -> Any:
    """What is reported, or an array of it, from the unit of computation in the trait's units."""
    location, scale = float(units.location[0]), float(units.scale[0])
    if name in likelihood.bound.unknowns:
        return value * scale + (location if with_all(name) else 0.0)
    if name.split("(", maxsplit=1)[0] in (*likelihood.bound.model.rates, "stationary_variance"):
        return value * scale * scale
    return value


def _in_order(likelihood: TraitLikelihood, found: Mapping[str, Estimate]) -> list[str]:
    bound = likelihood.bound
    shapes = [each.name for each in bound.coordinates if not each.is_rate]
    order = [*bound.rates, *bound.unknowns, *shapes]
    return [name for name in order if name in found] + [name for name in found if name not in order]


def quantities_of(likelihood: TraitLikelihood) -> list[Quantity]:
    """What is reported of a model: its parameters, and for every pull its half-life and the stationary variance."""
    bound, coordinates = likelihood.bound, likelihood.coordinates
    nothing = np.zeros(len(coordinates))
    weights = {each.name: np.eye(len(coordinates))[i] for i, each in enumerate(coordinates)}
    power = float(likelihood.profiled)
    found = []
    rates: dict[str, Quantity] = {}
    for name in bound.rates:
        if name in likelihood.held:
            rates[name] = Quantity(name, -1, nothing, 0.0, float(np.log(likelihood.held[name])))
            continue
        rates[name] = Quantity(name, -1, weights.get(name, nothing), power)
        found.append(rates[name])
    number = 0
    for name, free in zip(bound.unknowns, likelihood.free, strict=True):
        if free:
            found.append(Quantity(name, number, nothing))
            number += 1
    for each in coordinates:
        if not each.is_rate:
            found.append(Quantity(each.name, -1, weights[each.name], plain=not each.log))
    for name in (each.name for each in bound.coordinates if each.parameter == "alpha"):
        held = name in likelihood.held
        log_alpha = weights.get(name, nothing)
        shift = float(np.log(likelihood.held[name])) if held else 0.0
        regime = name[len("alpha") :]
        if not held:
            found.append(Quantity(f"half_life{regime}", -1, -log_alpha, 0.0, math.log(math.log(2)) - shift))
        for rate_name, rate in rates.items():
            own = rate_name[len("sigma2") :]
            if regime and own and regime != own:
                continue
            if held and rate_name in likelihood.held:
                continue
            found.append(
                Quantity(
                    f"stationary_variance{regime or own}",
                    -1,
                    rate.weights - log_alpha,
                    rate.rate_power,
                    rate.shift - shift - math.log(2),
                )
            )
    return found


def refuse_unknown_parameters(
    held: Mapping[str, float], start: Mapping[str, float] | None, bound: list[BoundModel]
) -> None:
    """Raises for a held parameter that none of the models has, and a start of one that no search moves.

    Raises:
        OptionError: Names it and the parameters that there are.
    """
    known = dict.fromkeys(
        name
        for each in bound
        for name in (*each.rates, *each.unknowns, *(c.name for c in each.coordinates), *each.fixed)
        if name != OFFSET
    )
    for name in held:
        if name not in known:
            raise OptionError(f"--set {name}: no model here has such a parameter (they have {', '.join(known)})")
    moved = dict.fromkeys(coordinate.name for each in bound for coordinate in each.coordinates)
    for name in start or {}:
        if name not in moved:
            has = f"they search for {', '.join(moved)}" if moved else "they search for none: leave it out"
            raise OptionError(f"--start {name}: no model here searches for such a parameter ({has})")
