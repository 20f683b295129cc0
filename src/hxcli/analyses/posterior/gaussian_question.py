"""A user's file that returns a Gaussian, any such file, as a posterior asks for it: its density and the priors."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from hxcli.analyses.posterior.declared_question import DeclaredQuestion
from hxcli.analyses.posterior.own_priors import normal_priors
from hxcli.analyses.posterior.question import Options
from hxcli.errors import OptionError
from hxcli.inference.column_density import ColumnDensity
from hxcli.inference.likelihood_columns import TraitLikelihood, framed
from hxcli.inference.priors import parse_normal
from hxcli.models.bound_model import BoundModel
from hxcli.models.by_edge import follows, refuse_no_priors
from hxcli.models.edge_fields import EdgeFields, trait_fields
from hxcli.models.gaussian_model import OFFSET, GaussianModel
from hxcli.phylogeny import FloatArray
from hxcli.traits import Observations


class Mean(NamedTuple):
    """The normal prior of an unknown of the mean; a flat one has a standard deviation of inf."""

    mean: float
    deviation: float

    @property
    def text(self) -> str:
        """In words."""
        return "flat" if math.isinf(self.deviation) else f"normal({self.mean:.15g},{self.deviation:.15g})"


class GaussianQuestion(DeclaredQuestion):
    """One trait under one file.

    Attributes:
        means: Unknown of the mean -> its prior, of those that are solved for.
    """

    def __init__(
        self, asked_as: str, model: GaussianModel, fields: EdgeFields, seen: Observations, trait: int, options: Options
    ) -> None:
        """Finds the priors; arguments and errors are those of any question.

        Raises:
            OptionError: A value of a parameter outside its support, or an option that such a file does not have.
        """
        for option, given in (("--sigma2", options.sigma2), ("--prior-sigma2", options.prior_sigma2)):
            if given is not None and len(options.models) == 1:
                raise OptionError(
                    f"{option} with --model {asked_as}: it has no single rate of all variances in RATES; a rate is a "
                    "parameter as any other (give --set NAME=VALUE, or --prior NAME=PRIOR)"
                )
        # What a prior that is not normal is of is searched as all else is, and so are rates.
        own = dataclasses.replace(fields, columns=trait_fields(fields.columns, seen.values[:, trait]))
        as_declared = model.on(own)
        linear = tuple(name for name in model.means if is_linear(name, as_declared, options.priors))
        super().__init__(asked_as, searched(model, linear), own, seen, trait, options)
        self._refuse_outside()
        self._refuse_of_every_edge(options)
        declared = normal_priors(self.bound)
        self.means = {
            name: Mean(*parse_normal(options.priors[name])) if name in options.priors else Mean(*declared[name])
            for name in self.bound.unknowns
            if name != OFFSET and name not in self.held
        }
        self.flat_root = self.flat_root and "root" in self.means and math.isinf(self.means["root"].deviation)

    @property
    def known(self) -> set[str]:
        """Names of all its parameters but the observation variance."""
        return super().known | {*self.bound.unknowns} - {OFFSET}

    @property
    def prior_names(self) -> set[str]:
        """Names of what may have a prior of the user's."""
        return super().prior_names | {*self.means}

    @property
    def flat_means(self) -> int:
        """How many unknowns have no proper prior."""
        flat = sum(math.isinf(each.deviation) for each in self.means.values())
        return flat + sum(prior.flat for prior in self.priors)

    def density(self) -> ColumnDensity:
        """The posterior density of the free parameters."""
        seen, trait = self.seen, self.trait
        phylogeny, columns = self.bound.fields.phylogeny, self.bound.fields.columns
        placed = framed(columns, phylogeny)
        likelihood = TraitLikelihood(
            self.bound,
            placed._replace(columns={**columns, **placed.columns}),
            dataclasses.replace(
                seen,
                values=seen.values[:, [trait]],
                standard_errors=seen.standard_errors[:, [trait]],
                traits=seen.traits[trait : trait + 1],
            ),
            0,
            restricted=True,
            tau2=self.tau2,
            held=self.held,
        )
        return ColumnDensity(likelihood, self.priors, self._mean_priors())

    def root_in_words(self, options: Options) -> str:
        """The root in words; "" where its prior is among the others."""
        if "root" in self.held:
            return f"root fixed at {self.held['root']:g}"
        if "root" in self.means and not self.flat_root:
            return ""
        return options.root if self.flat_root or options.root != "flat root" else "root of the file"

    def priors_in_words(self) -> dict[str, str]:
        """Free parameter -> its prior, those of the mean after the others; a flat root is not among them."""
        of_means = {name: each.text for name, each in self.means.items() if not (name == "root" and self.flat_root)}
        of_edges = {name: f"{each.prior} on every edge" for name, each in self.bound.by_edge.items()}
        return {**super().priors_in_words(), **of_means, **of_edges}

    def _mean_priors(self) -> FloatArray:
        """(2, P) means and precisions."""
        each = [(prior.mean, prior.deviation**-2) for prior in self.means.values()]
        return np.array(each).reshape(-1, 2).T

    def _refuse_of_every_edge(self, options: Options) -> None:
        """Raises where a user gives what is one of every edge, and where the file gives it no prior."""
        for option, names in (("--set", options.held), ("--prior", options.priors)):
            for name in names:
                if name.partition("(")[0] in self.bound.by_edge:
                    raise OptionError(
                        f"{option} {name}: every edge has a value of its own, whose prior is the file's (change the "
                        "file)"
                    )
        if self.bound.by_edge:
            refuse_no_priors(self.bound)

    def _refuse_outside(self) -> None:
        for each in self.bound.coordinates:
            value = self.held.get(each.name)
            if value is not None and not each.low <= value <= each.high:
                raise OptionError(
                    f"--set {each.name}={value:g}: outside its support, {each.low:.6g} to {each.high:.6g}"
                )


@lru_cache(16)
def searched(model: GaussianModel, means: tuple[str, ...]) -> GaussianModel:
    """The same model with other parameters in `MEANS`, and none in `RATES`: all others are searched for."""
    # One model for all traits, so that one program serves them.
    return dataclasses.replace(model, rates=(), means=means)


def is_linear(name: str, bound: BoundModel, priors: Mapping[str, str]) -> bool:
    """Whether a parameter in `MEANS` has normal or flat priors, whose posterior is normal.

    Args:
        name: Of the parameter.
        bound: The model on a tree.
        priors: Reported name -> prior in words that a user gives.
    """
    declared = bound.declarations.get(name)
    if declared is None:
        return True
    if bound.by_edge and follows(bound, name):
        return False
    entries = [each for each in bound.unknowns if each.partition("(")[0] == name]
    given = [priors[each] for each in entries if each in priors]
    ends = declared.low is None and declared.high is None
    return declared.family in ("", "normal") and ends and all(text.strip().startswith("normal") for text in given)
