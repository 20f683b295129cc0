"""What the functions of a user's file record: columns of the table of nodes, and what is of no edge."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hxcli.model import Discovered, Edge, evaluate, recorded_over_edges
from hxcli.model.edges import OF_THE_TREE
from hxcli.phylogeny import FloatArray

if TYPE_CHECKING:
    from hxcli.models.bound_model import BoundModel

# Columns that the tables of nodes have already.
_TAKEN = frozenset(
    (
        *("node", "parent", "tip_a", "tip_b", "n_tips", "trait", "observed", "estimate", "se", "lower", "upper"),
        *("hpd_lower", "hpd_upper", "modes", "frequency", "se_within", "se_between"),
        *("state", "probability", "best", "joint", "mppa"),
    )
)


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


def refuse_taken(found: Discovered) -> None:
    """Raises where a function records under the name of a column of the tables.

    Raises:
        DeclarationError: Names it and the line.
    """
    for name in found.recorded:
        if name in _TAKEN:
            raise found.places[name].error(
                f"{name!r} is recorded, and is a column of the table already", "give it another name"
            )


def recorded(bound: BoundModel, figures: Mapping[str, float]) -> Recorded:
    """What the functions of a file record, whatever they return.

    Args:
        bound: The file on a tree of N nodes.
        figures: Reported name -> value of every parameter, in the units of the files; one that lacks is no number.
    """
    if not bound.records:
        return Recorded({}, {})
    model, fields = bound.model, bound.fields.columns
    values = bound.declared_values(figures)
    columns: dict[str, FloatArray] = {}
    common: dict[str, Any] = {}
    for function in (model.edge, model.noise):
        if function is not None:
            of_edges, of_none = recorded_over_edges(function, values, fields)
            common |= of_none
            for name, value in of_edges.items():
                columns |= _entries(name, np.asarray(value, float))
    if model.root is not None:
        first = {name: value if name in OF_THE_TREE else value[0] for name, value in fields.items()}
        takes_tree = bool(inspect.signature(model.root).parameters)
        common |= evaluate(model.root, values, *([Edge(first)] if takes_tree else [])).recorded
    return Recorded(columns, {name: np.asarray(value, float) for name, value in common.items()})


def _entries(name: str, value: FloatArray) -> dict[str, FloatArray]:
    """The entries of an array (N, ...), row by row from 1 on."""
    if value.ndim == 1:
        return {name: value}
    flat = value.reshape(len(value), -1)
    return {f"{name}({place})": column for place, column in zip(itertools.count(1), flat.T, strict=False)}
