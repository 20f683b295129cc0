"""Traits drawn under a fitted model, observed as the data are."""

from __future__ import annotations

from hxcli.analyses.fit.fitted import FittedModel
from hxcli.errors import OptionError
from hxcli.inference.simulated_traits import Simulated, edges_of, simulated
from hxcli.model import Sde
from hxcli.models.bound_model import BoundModel
from hxcli.prebuilt.node_draws import NodeEdges


def refuse_undrawn(bound: BoundModel, option: str) -> None:
    """Raises for a model on a tree of which no traits are drawn.

    Raises:
        OptionError: Names the option that asks for them.
    """
    if isinstance(bound.returned, Sde):
        raise OptionError(f"{option} with --model {bound.name}: diffusions on a grid cannot be drawn (leave it out)")
    if bound.model.noise is not None:
        raise OptionError(
            f"{option} with --model {bound.name}: observations with a noise(tip) of the model's own are not drawn "
            "(leave it out, or give --tau2 in its place)"
        )


def model_edges(fitted: FittedModel) -> NodeEdges:
    """The edges of a fitted model, in the unit of computation."""
    optimum = fitted.optimum
    beta = fitted.likelihood.unknowns_at(optimum.figures)
    return edges_of(fitted.likelihood, optimum.x, float(optimum.figures.rate[0]), beta)


def drawn(fitted: FittedModel, count: int, seed: int) -> Simulated:
    """Traits in the unit of computation; they depend on the seed, the model and the names of the tips only."""
    return simulated(fitted.likelihood, model_edges(fitted), count, [seed])
