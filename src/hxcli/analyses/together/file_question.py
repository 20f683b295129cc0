"""A user's file of traits together as a posterior asks for it: its priors, and its density."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from hxcli.analyses.fit.fitted import refuse_unknown_parameters
from hxcli.analyses.posterior.coordinate_priors import coordinate_prior
from hxcli.analyses.posterior.gaussian_question import Mean, is_linear, searched
from hxcli.analyses.posterior.own_priors import normal_priors
from hxcli.analyses.posterior.weighed_parameters import endless_in_words
from hxcli.errors import OptionError
from hxcli.inference.matrix_density import MatrixDensity
from hxcli.inference.matrix_edges import refuse_no_covariances
from hxcli.inference.matrix_likelihood import MatrixLikelihood
from hxcli.inference.priors import parse_normal
from hxcli.models.bound_model import BoundModel
from hxcli.models.gaussian_model import OFFSET
from hxcli.traits import Observations


@dataclasses.dataclass(frozen=True, eq=False)
class FileQuestion:
    """All traits under one file.

    Attributes:
        bound: The file on the tree; in `MEANS` those of its means whose posterior is normal given all else.
        density: Of its free parameters.
        means: Unknown of the mean -> its prior, of those that are solved for; a flat root is none of them.
        held: Parameter -> given value.
    """

    bound: BoundModel
    density: MatrixDensity
    means: Mapping[str, Mean]
    held: Mapping[str, float]

    @classmethod
    def of(
        cls,
        bound: BoundModel,
        observations: Observations,
        *,
        tau2: float,
        held: Mapping[str, float],
        priors: Mapping[str, str],
    ) -> FileQuestion:
        """Finds the priors.

        Args:
            bound: The file on the tree, as it is fitted.
            observations: Of the traits, at its nodes.
            tau2: Observation variance.
            held: Reported name -> value of parameters that are given.
            priors: Reported name -> prior in words, in place of the file's.

        Raises:
            InputError: Edges whose variances are no covariances, or a parameter that has a prior with one end only.
            ModelError: Error-free observations that contradict each other.
            OptionError: A parameter that the file does not have, that is given and has a prior, or outside its support.
        """
        refuse_unknown_parameters(held, {}, [bound])
        linear = tuple(name for name in bound.model.means if is_linear(name, bound, priors))
        bound = searched(bound.model, linear).on(bound.fields, {}, traits=bound.traits)
        roots = {f"root({trait})" for trait in bound.traits} if bound.model.root is None else set()
        declared = normal_priors(bound)
        means = {
            name: Mean(*parse_normal(priors[name])) if name in priors else Mean(*declared[name])
            for name in bound.unknowns
            if name not in {OFFSET, *roots, *held}
        }
        free = [each for each in bound.coordinates if each.name not in held]
        _refuse_unknown_priors(bound, priors, [*(each.name for each in free), *means], roots)
        believed = {
            name: (each.mean, each.deviation**-2) for name, each in means.items() if math.isfinite(each.deviation)
        }
        likelihood = MatrixLikelihood(bound, observations, tau2=tau2, held=held, believed=believed, many=True)
        refuse_no_covariances(likelihood, likelihood.start)
        spread = float(likelihood.units.scale.max())
        own = [
            coordinate_prior(each, bound.declarations[each.parameter], priors.get(each.name), spread) for each in free
        ]
        return cls(bound, MatrixDensity(likelihood, own), means, dict(held))

    @property
    def likelihood(self) -> MatrixLikelihood:
        """Of the traits, with the normal priors of its means."""
        return self.density.likelihood

    @property
    def flat_root(self) -> bool:
        """Whether the root has no prior."""
        return self.likelihood.placed.free_root

    def root_in_words(self) -> str:
        """What is known of the root."""
        if self.flat_root:
            return "flat"
        return "given" if self.bound.model.root is None else "of the file"

    def priors_in_words(self) -> dict[str, str]:
        """Free parameter -> its prior, those of the means after the others; a flat root is not among them."""
        of_density = {name: prior.text for name, prior in zip(self.density.names, self.density.priors, strict=True)}
        return of_density | {name: each.text for name, each in self.means.items()}

    def given(self) -> dict[str, float]:
        """Parameter -> value, of all that have no prior."""
        return {**{name: float(value) for name, value in self.bound.fixed.items()}, **self.held}

    def endless(self) -> str:
        """What to say where there is no finite integral."""
        flat = [name for name, each in self.priors_in_words().items() if each == "flat"]
        advice = [f"--prior '{name}=normal(MEAN,SD)'" for name in flat[:1]]
        if self.flat_root:
            advice, flat = ["the file a root()", *advice], ["root", *flat]
        return endless_in_words(f"model {self.bound.name}", flat, advice, self.density.names)


def _refuse_unknown_priors(bound: BoundModel, priors: Mapping[str, str], free: list[str], roots: set[str]) -> None:
    for name in priors:
        if name in roots:
            raise OptionError(f"--prior {name}: without a root() in the file the root is flat (write one)")
        if name not in free:
            has = f"it has {', '.join(free)}" if free else "it has none: leave it out"
            raise OptionError(f"--prior {name}: model {bound.name} has no such free parameter ({has})")
