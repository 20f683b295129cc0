"""A model on a tree as a posterior asks for it: its edges, and the priors of its parameters."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from hxcli.analyses.fit.fitted import largest_lambda, with_all
from hxcli.analyses.fit.options import has_roots, height_spread, refuse_unidentified, refuse_unread_edges
from hxcli.analyses.posterior.own_priors import normal_priors, with_rate_prior
from hxcli.analyses.posterior.question import Options
from hxcli.close_names import listed
from hxcli.edge_data import edge_columns
from hxcli.errors import OptionError
from hxcli.inference.likelihood_columns import framed
from hxcli.inference.priors import Prior, parse_normal, parse_prior
from hxcli.models import named_model
from hxcli.models.bound_model import BoundModel, Coordinate
from hxcli.models.edge_fields import edge_fields
from hxcli.models.gaussian_model import OFFSET, Edges
from hxcli.painting import Painted
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.gls import swept_design
from hxcli.prebuilt.parameter_columns import ModelEdges
from hxcli.prebuilt.units import Units

# How far a mean may be from moving as all values do.
_MOVES = 1e-9


class Shape(NamedTuple):
    """A shape parameter's prior.

    Attributes:
        name: Of the parameter.
        prior: Of `value - offset`.
        offset: Where the prior begins.
        text: The prior as a user would write it.
    """

    name: str
    prior: Prior
    offset: float
    text: str

    def value(self, w: float) -> float:
        """The value at a point of the prior's coordinate."""
        return float(np.exp(self.prior.coordinate(np.array([w])).log_value[0])) + self.offset

    def log_density(self, w: float) -> float:
        """Log density of the prior over its coordinate."""
        at = self.prior.coordinate(np.array([w]))
        return float((self.prior.log_density(at.log_value) + at.log_slope)[0])


class ModelQuestion:
    """A model on a tree, whose parameters are to be integrated over.

    Attributes:
        asked_as: The name that the user gave.
        bound: The model on the tree.
        options: What the user wants, with what a user's file says of the priors.
        shapes: Priors of its free shape parameters, and of the ratios of further rates to the first.
        held: Shape parameter -> given value.
        means: Names of the P unknowns of the mean.
    """

    def __init__(self, name: str, painted: Painted, units: Units, options: Options) -> None:
        """Finds the model and the priors of its parameters.

        Raises:
            OptionError: A model that this tree or these options do not allow.
        """
        fields = edge_fields(painted, edge_columns(painted, options.edge_data))
        model = named_model(name, options.ou_root if has_roots(name) else None)
        refuse_unread_edges(options.edge_data, [model])
        refuse_unidentified(model, fields, height_spread(painted.phylogeny))
        self.bound: BoundModel = model.on(fields)
        if options.lambda_max:
            self.bound.widen("lambda", largest_lambda(fields))
        for fixed in options.held.keys() & self.bound.fixed.keys():
            self.bound.give(fixed, options.held[fixed])
        self.asked_as = name
        self.means = tuple(each for each in self.bound.unknowns if each != OFFSET)
        self.options = with_rate_prior(self.bound, options) if model.text else options
        self.normal = {each: parse_normal(options.priors[each]) for each in self.means if each in options.priors}
        if model.text and self.options.root == "flat root":
            declared = {name: own for name, own in normal_priors(self.bound).items() if math.isfinite(own[1])}
            self.normal = {**declared, **self.normal}
        self._settle_means(name)
        coordinates = self.bound.coordinates
        self.held = {each.name: options.held[each.name] for each in coordinates if each.name in options.held}
        for each in coordinates:
            if each.name in self.held and not each.low <= self.held[each.name] <= each.high:
                raise OptionError(
                    f"--set {each.name}={self.held[each.name]:g}: outside its support, "
                    f"{each.low:.6g} to {each.high:.6g}"
                )
        self.shapes = tuple(self._prior(each, options) for each in coordinates if each.name not in self.held)
        self.framed = framed(fields.columns, painted.phylogeny)
        self._units = units

    @property
    def name(self) -> str:
        """The model's name."""
        return self.bound.name

    @property
    def flat_means(self) -> int:
        """How many unknowns of the mean have no proper prior."""
        return 0 if self.options.root != "flat root" else len(self.means) - len(self.normal)

    @property
    def rates(self) -> tuple[str, ...]:
        """Names of the rates; of all but the first the ratio to it is a shape parameter."""
        return self.bound.rates

    def priors_in_words(self) -> dict[str, str]:
        """Parameter -> its prior, but for the rate and the observation variance."""
        found = {name: f"normal({mean:.15g},{sd:.15g})" for name, (mean, sd) in self.normal.items()}
        if len(self.means) > 1:
            found = {name: found.get(name, "flat") for name in self.means}
        for shape in self.shapes:
            of_rate = f" of its ratio to {self.rates[0]}" if shape.name in self.rates else ""
            found[shape.name] = shape.text + of_rate
        return found

    def mean_priors(self, trait: int) -> FloatArray | None:
        """(2, P) means and precisions of the means' priors in the unit of computation; None if the engine needs none.

        A precision of 0 is a flat prior. A model of one mean has its prior as the root's.
        """
        if len(self.means) == 1:
            return None
        location, scale = float(self._units.location[trait]), float(self._units.scale[trait])
        found = np.zeros((2, len(self.means)))
        for place, name in enumerate(self.means):
            if name in self.normal:
                mean, sd = self.normal[name]
                found[:, place] = (mean - (location if with_all(name) else 0.0)) / scale, (scale / sd) ** 2
        return found

    def _settle_means(self, name: str) -> None:
        """A normal prior of the one mean becomes that of the root; several means have no other root.

        Raises:
            OptionError: A root is given too, or for several means.
        """
        if len(self.means) > 1:
            if self.options.root != "flat root":
                raise OptionError(
                    f"--root with --model {name}: it has several means, {listed(self.means)} (give --prior "
                    f"'{self.means[0]}=normal(MEAN,SD)' and so on)"
                )
            return
        for mean, sd in self.normal.values():
            if self.options.root != "flat root":
                raise OptionError(f"--prior {self.means[0]} and --root are both priors of the mean (leave one out)")
            self.options = dataclasses.replace(self.options, root_mean=mean, root_variance=sd * sd)

    def edges(self, values: Mapping[str, float], trait: int) -> ModelEdges:
        """The edges at values of the free shape parameters, in the unit of computation."""
        found, designs = self._linked(values)
        if not self._fits(found, designs):
            raise OptionError(
                f"hx posterior --model {self.bound.model.source}: its means do not all move when the values do, "
                "at some values of its parameters (take RATES out of the file: all parameters are then alike)"
            )
        size, unit = self.framed.size, self._units.length
        scale, variance = (np.asarray(each)[:size, 0] for each in (found.scale, found.variance))
        # Of no meaning at the root.
        scale = np.where(np.arange(size) == 0, 1.0, scale)
        root_variance = float(np.asarray(found.root_variance)[0]) / unit
        return ModelEdges(variance / unit, scale, designs, root_variance, self.mean_priors(trait))

    def moves_alike(self) -> bool:
        """Whether all means move when all values do, at some values of the shape parameters."""
        for share in (0.4, 0.5, 0.6):
            starts = ((shape, shape.prior.start()) for shape in self.shapes)
            values = {shape.name: shape.value(low + share * (high - low)) for shape, (low, high) in starts}
            if not self._fits(*self._linked(values)):
                return False
        return True

    def _linked(self, values: Mapping[str, float]) -> tuple[Edges, FloatArray]:
        """The edges, and the design (N, P) of the means, at values of the free shape parameters."""
        values = {**self.held, **values}
        x = np.array([[float(each.to_search(values[each.name])) for each in self.bound.coordinates]])
        found: Edges = self.bound.edges(x, dict(self.framed.columns))
        design = swept_design(self.framed.tree.topology, found.scale, found.shift, found.root_mean)
        return found, np.asarray(design)[: self.framed.size, 0, : len(self.means)]

    def _fits(self, found: Edges, designs: FloatArray) -> bool:
        """Whether no part of the means is alone, and all means together move as the values do."""
        count = len(self.means)
        if len(self.bound.unknowns) > count and (np.any(found.shift[..., -1]) or np.any(found.root_mean[..., -1])):
            return False
        moving = [with_all(each) for each in self.means]
        return bool(abs(designs[:, moving].sum(1) - 1).max() <= _MOVES)

    def _prior(self, coordinate: Coordinate, options: Options) -> Shape:
        name = coordinate.name
        declared = self.bound.declarations[coordinate.parameter]
        if name in options.priors:
            if coordinate.low < 0:
                raise OptionError(f"--prior {name}: its prior is uniform over its support (leave the option out)")
            prior = parse_prior(options.priors[name])
            return Shape(name, prior, 0.0, str(prior))
        if declared.family == "log_normal":
            prior = Prior(
                "lognormal", (float(f"{np.log(declared.numbers['median']):.6g}"), float(declared.numbers["sd"]))
            )
            return Shape(name, prior, 0.0, str(prior))
        low, high = coordinate.low, coordinate.high
        return Shape(name, Prior("uniform", (0.0, high - low)), low, f"uniform({low:.6g},{high:.6g})")


def model_questions(painted: Painted, units: Units, options: Options) -> list[ModelQuestion]:
    """Every model on the tree with its regimes.

    Raises:
        OptionError: Models or options that this tree does not allow; a prior of no free parameter.
    """
    names = options.models or ("bm",)
    questions = [ModelQuestion(name, painted, units, options) for name in names]
    free = {name for each in questions for name in (*each.means, *(shape.name for shape in each.shapes))}
    known = {name for each in questions for name in (*(one.name for one in each.bound.coordinates), *each.bound.fixed)}
    settled_names(options, names, known, free)
    if len(questions) > 1 and len({each.flat_means for each in questions}) > 1:
        counts = ", ".join(f"{each.name} ({each.flat_means})" for each in questions)
        raise OptionError(
            f"models with different numbers of means without a proper prior cannot be weighed: {counts} (give their "
            "means --prior 'NAME=normal(MEAN,SD)', or one --model at a time)"
        )
    return questions


def settled_names(options: Options, names: Sequence[str], known: set[str], free: set[str]) -> None:
    """Raises where options name what is not there.

    Args:
        options: What the user wants.
        names: Of the models.
        known: Parameters that may be given.
        free: Those that may have a prior.

    Raises:
        OptionError: A prior of no free parameter, a value of none, a weight of no model.
    """
    for name in options.priors:
        if name not in free:
            raise OptionError(f"--prior {name}: no model here has it as a free parameter")
    if options.model_priors and options.model_priors.keys() != set(names):
        lacking = [name for name in names if name not in options.model_priors]
        other = [name for name in options.model_priors if name not in names]
        what = f"{lacking[0]} has none" if lacking else f"{other[0]} is no --model here"
        raise OptionError(f"--model-prior: {what} (give every --model one)")
    for name in options.held:
        if name not in known:
            raise OptionError(f"--set {name}: no model here has such a shape parameter")


def refuse_unweighable(name: str, sampled: Sequence[str]) -> None:
    """Raises: of several models one is sampled, because of these parameters; none where a user asks for it."""
    why, advice = "--method nuts", "leave it out, or give one --model at a time"
    if sampled:
        why, advice = ", ".join(sampled), "one --model at a time, or hold parameters with --set"
    raise OptionError(
        f"hx posterior --model {name} is sampled ({why}), which gives no evidence to weigh models by ({advice})"
    )


def given_models(options: Options) -> bool:
    """Whether another process than plain Brownian motion is asked for."""
    more = (options.held, options.priors, options.regimes, options.model_priors)
    return options.models not in ((), ("bm",)) or any(map(bool, more))
