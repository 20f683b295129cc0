"""What the functions of a user's file record: columns of the table of nodes, and what is of no edge."""

from __future__ import annotations

import inspect
import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hxcli.engine.program import program
from hxcli.model import Discovered, Edge, evaluate, recorded_over_edges
from hxcli.model.edges import OF_THE_TREE
from hxcli.phylogeny import FloatArray

if TYPE_CHECKING:
    from hxcli.models.bound_model import BoundModel
    from hxcli.models.gaussian_model import GaussianModel

# Columns that the tables of nodes have already.
_TAKEN = frozenset(
    (
        *("node", "parent", "tip_a", "tip_b", "n_tips", "trait", "observed", "estimate", "se", "lower", "upper"),
        *("hpd_lower", "hpd_upper", "modes", "frequency", "se_within", "se_between"),
        *("state", "probability", "best", "joint", "mppa"),
    )
)

# Of a parameter that every edge has, the columns behind its name: mean, standard deviation, ends of the interval and
# between them the median.
ENDINGS = ("", "_se", "_lower", "_median", "_upper")
_NONE: Mapping[str, FloatArray] = {}


class Recorded(NamedTuple):
    """What is recorded at one set of the parameters.

    Attributes:
        columns: Name -> (N,) of the edge above every node; of an array every entry, `name(1)`, by itself.
        values: Name -> what is of no edge in particular.
    """

    columns: Mapping[str, FloatArray]
    values: Mapping[str, FloatArray]

    @property
    def details(self) -> dict[str, Any]:
        """For the run record: what is of no edge; nothing where nothing is."""
        return {"recorded": {name: value.tolist() for name, value in self.values.items()}} if self.values else {}


def refuse_taken(found: Discovered, by_edge: Collection[str]) -> None:
    """Raises where what a function records, or declares of every edge, has the name of a column of the tables.

    Args:
        found: What it declares and records.
        by_edge: Names of the parameters that every edge has, which have columns of their own.

    Raises:
        DeclarationError: Names it and the line.
    """
    own = {f"{name}{end}" for name in by_edge for end in ENDINGS}
    for name in (*found.recorded, *by_edge):
        if name in found.places and (name in _TAKEN or (name in own and name not in by_edge)):
            raise found.places[name].error(f"{name!r} is a column of the table already", "give it another name")


def recorded(bound: BoundModel, figures: Mapping[str, float], by_edge: Mapping[str, FloatArray] = _NONE) -> Recorded:
    """What the functions of a file record, whatever they return.

    Args:
        bound: The file on a tree of N nodes.
        figures: Reported name -> value of every parameter, in the units of the files; one that lacks is no number.
        by_edge: Name -> (N, ...) of every parameter that every edge has.
    """
    if not bound.records:
        return Recorded({}, {})
    values = {**bound.declared_values(figures), **by_edge}
    of_edges, of_none = _recorded(bound.model, tuple(by_edge), values, dict(bound.fields.columns))
    columns: dict[str, FloatArray] = {}
    for name, value in of_edges.items():
        columns |= entries(name, np.asarray(value, float))
    return Recorded(columns, {name: np.asarray(value, float) for name, value in of_none.items()})


@program(static_argnums=(0, 1))
def _recorded(
    model: GaussianModel, by_edge: tuple[str, ...], values: Any, fields: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What differs with the edge, (N, ...) each, and what does not."""
    columns: dict[str, Any] = {}
    common: dict[str, Any] = {}
    for function in (model.edge, model.noise):
        if function is not None:
            of_edges, of_none = recorded_over_edges(function, values, fields, per_edge=by_edge)
            columns |= of_edges
            common |= of_none
    if model.root is not None:
        first = {name: value if name in OF_THE_TREE else value[0] for name, value in fields.items()}
        takes_tree = bool(inspect.signature(model.root).parameters)
        common |= evaluate(model.root, values, *([Edge(first)] if takes_tree else [])).recorded
    return columns, common


def entries(name: str, value: FloatArray, axes: int = 0) -> dict[str, FloatArray]:
    """The entries of an array of every edge, (N, ...), row by row from 1 on; a number is one by itself.

    Args:
        name: Of the array.
        value: Its values.
        axes: How many axes at the end are none of its own, and stay.
    """
    own = value.shape[1 : value.ndim - axes]
    if not own:
        return {name: value}
    flat = value.reshape(len(value), math.prod(own), *value.shape[value.ndim - axes :])
    return {f"{name}({place + 1})": flat[:, place] for place in range(flat.shape[1])}
