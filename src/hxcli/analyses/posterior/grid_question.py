"""A diffusion on a grid as a posterior asks for it: its likelihood, and the priors of its parameters."""

from __future__ import annotations

import numpy as np

from hxcli.analyses.posterior.declared_question import DeclaredQuestion
from hxcli.analyses.posterior.question import Options
from hxcli.errors import ModelError
from hxcli.inference.grid_density import GridDensity
from hxcli.inference.grid_likelihood import CELLS, GridLikelihood
from hxcli.models.edge_fields import EdgeFields
from hxcli.models.gaussian_model import GaussianModel
from hxcli.traits import Observations


class GridQuestion(DeclaredQuestion):
    """One trait under one diffusion."""

    def __init__(
        self, asked_as: str, model: GaussianModel, fields: EdgeFields, seen: Observations, trait: int, options: Options
    ) -> None:
        """Finds the priors; arguments and errors are those of any question.

        Raises:
            ModelError: Values that no grid can be laid for.
        """
        values = seen.values[:, trait]
        there = values[~np.isnan(values)]
        if len(there) < 2 or np.ptp(there) == 0:
            raise ModelError(
                f"model {model.name}: the trait has fewer than two different values, so no grid can be laid"
            )
        super().__init__(asked_as, model, fields, seen, trait, options)

    def density(self, cells: int = CELLS) -> GridDensity:
        """The posterior density of the free parameters.

        Raises:
            ModelError: A diffusion, or values, that a grid does not allow.
            OptionError: A parameter is held outside its support.
        """
        likelihood = GridLikelihood(
            self.bound, self.seen, self.trait, tau2=self.tau2, held=self.held, cells=cells, integrated=True
        )
        return GridDensity(likelihood, self.priors)
