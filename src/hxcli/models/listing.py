"""What there is of models, in words: their parameters with supports, their sources, their files."""

from __future__ import annotations

from pathlib import Path

from hxcli.engine.topology import from_parents
from hxcli.models import GRID_MODELS, MODELS, named_model
from hxcli.models.edge_fields import EdgeFields, edge_fields, trait_fields
from hxcli.models.rate_patterns import PATTERNS
from hxcli.models.state_listing import state_model_lines, state_model_text
from hxcli.painting import Painted
from hxcli.phylogeny import Phylogeny
from hxcli.text_columns import Texts


def model_text(name: str) -> str:
    """The file of a model; of a model of states, its table.

    Raises:
        OptionError: There is no such model.
    """
    if name in PATTERNS:
        return state_model_text(name)
    return Path(named_model(name).source).read_text(encoding="utf-8")


def model_lines() -> list[str]:
    """Every model with its source and its parameters, whose supports are those on a tree of height T = 1."""
    import numpy as np

    topology = from_parents([0, 0, 0])
    tree = Phylogeny(topology, np.array([np.nan, 1.0, 1.0]), Texts(("", "a", "b")), Texts(("", "", "")))
    painted = Painted(tree, ("a", "b"), np.array([0, 0, 1]), np.arange(3))
    fields = edge_fields(painted)
    # Of models on a grid, supports that are scaled to the trait are those of values with mean and deviation 1.
    fields = EdgeFields(fields.phylogeny, trait_fields(fields.columns, np.array([0.0, 2.0])), fields.regimes)
    lines = []
    for name in MODELS | GRID_MODELS:
        model = named_model(name)
        bound = model.on(fields)
        shapes = [each for each in bound.coordinates if not each.is_rate]
        lines.append(f"{name:11}{model.summary}")
        solved = ", ".join([*bound.rates, *bound.unknowns])
        lines.append(f"{'':11}solved for: {solved}")
        for each in shapes:
            unit = bound.declarations[each.parameter].unit
            ends = f"{each.low:.6g} to {each.high:.6g}"
            lines.append(f"{'':11}{each.name}: {ends}{' / T' if unit == '1/length' else ''}")
    return [
        *lines,
        "",
        "T is the largest distance between the root and a tip.",
        "",
        *state_model_lines(),
        "",
        "hx models show NAME prints a model's file, or the table of a model of states.",
    ]
