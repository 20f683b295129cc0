"""The jitted programs of a user's rates on the edges of a tree: trees of one size class share them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hxcli.engine.program import program
from hxcli.model import over_edges
from hxcli.models.gaussian_model import GaussianModel


@dataclass(frozen=True)
class MovedRates:
    """What of a model is compiled into the programs of its rates.

    Attributes:
        model: Of a file; it returns `Rates`.
        coordinates: Parameter, and which entry of it, of every number.
    """

    model: GaussianModel
    coordinates: tuple[tuple[str, int], ...]


class OfTree(NamedTuple):
    """What a model's rates are made of, besides its numbers.

    Attributes:
        columns: Of `EdgeFields`, M rows, the last ones copies; and what is of the tree.
        values: The model's parameters by name, where no number is put in their place.
    """

    columns: Any
    values: Any


def traced_rates(moved: MovedRates, numbers: Any, of_tree: OfTree) -> Any:
    """(M, S, S) the rates on every edge at one set of P numbers, while tracing."""
    values = {name: jnp.asarray(value) for name, value in of_tree.values.items()}
    for place, (name, entry) in enumerate(moved.coordinates):
        values[name] = values[name].reshape(-1).at[entry].set(numbers[place]).reshape(values[name].shape)
    return over_edges(moved.model.edge, values, of_tree.columns).returned.Q.astype(float)


@program(static_argnums=0)
def rates_at(moved: MovedRates, numbers: Any, of_tree: OfTree) -> Any:
    """(K, M, S, S) the rates at K sets of numbers, (K, P)."""
    return jax.vmap(lambda each: traced_rates(moved, each, of_tree))(numbers)


@program(static_argnums=0)
def slopes_at(moved: MovedRates, numbers: Any, by_rates: Any, of_tree: OfTree) -> Any:
    """(K, P) derivatives by the numbers from those by every cell, (K, M, S, S)."""

    def along(each: Any, by_cells: Any) -> Any:
        return jax.vjp(lambda each: traced_rates(moved, each, of_tree), each)[1](by_cells)[0]

    return jax.vmap(along)(numbers, by_rates)
