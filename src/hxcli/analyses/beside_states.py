"""What is told beside states of nodes: pairs of them, and tips that are left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from hxcli.analyses.left_out_table import LEFT_OUT, LeftOutRows, left_out_table
from hxcli.analyses.pairs import PAIRS, pair_details


class Beside(NamedTuple):
    """What is told beside states.

    Attributes:
        tables: By kind of product.
        details: Trait -> what the run record says.
        warnings: What the user should know.
    """

    tables: dict[str, dict[str, Any]]
    details: dict[str, dict[str, Any]]
    warnings: tuple[str, ...]


def beside(pairs: Mapping[str, Any], left_out: Mapping[str, LeftOutRows] | None) -> Beside:
    """The table of pairs, empty for none, and what every trait's tips are predicted to be."""
    tables, details, warnings = {}, {}, []
    if pairs:
        tables[PAIRS], details = dict(pairs), pair_details(pairs)
    if left_out is not None:
        tables[LEFT_OUT] = left_out_table(list(left_out.values()))
        for trait, rows in left_out.items():
            details[trait] = {**details.get(trait, {}), **rows.record}
            warnings += rows.warnings
    return Beside(tables, details, tuple(warnings))
