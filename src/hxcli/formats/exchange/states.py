"""Traits of states as other programs take them: values with their probabilities as JSON, and datasets for iTOL."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from hxcli.state_colours import state_colours
from hxcli.state_findings import TraitStates

# Less probable states are left out, as `augur traits` does.
_LEAST = 1e-3
# Tabs and line ends separate fields of iTOL's; it takes what is in <> for formatting.
NOT_SHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029<>]")
_UNSURE = "#bbbbbb"
# Pixels: of pies, and of the strip.
_PIE, _STRIP = 16, 25


def best_states(trait: TraitStates) -> list[str]:
    """(N,) the most probable state of every node; `a+b` where two are equally probable, "" where none is known."""
    top = trait.probabilities.max(1, keepdims=True)
    ties = trait.probabilities >= top - 1e-12
    return [
        trait.states[best] if best >= 0 else "+".join(trait.states[place] for place in np.flatnonzero(ties[node]))
        for node, best in enumerate(trait.best.tolist())
    ]


def json_texts(trait: TraitStates) -> tuple[pl.Series, pl.Series, pl.Series]:
    """All (N,), as JSON: the state, probabilities `{"land":0.9,"sea":0.1}` from the largest on, and their entropy.

    Null where nothing is known.
    """
    shares = trait.probabilities
    order = np.argsort(-shares, axis=1, kind="stable")
    ranked = np.take_along_axis(shares, order, 1)
    names = [json.dumps(state, ensure_ascii=False) for state in trait.states]
    known = np.isfinite(shares).all(1)
    confidences = []
    for places, each, kept in zip(order.tolist(), ranked.tolist(), (ranked > _LEAST).sum(1).tolist(), strict=True):
        pairs = zip(places[:kept], each[:kept], strict=True)
        confidences.append("{" + ",".join(f"{names[place]}:{value!r}" for place, value in pairs) + "}")
    logs = np.log(np.where(shares > 0, shares, 1.0))
    entropy = np.maximum(-(shares * logs).sum(1), 0.0) + 0.0
    values = [json.dumps(state, ensure_ascii=False) for state in best_states(trait)]
    columns = (values, confidences, [repr(value) for value in entropy.tolist()])
    there = pl.DataFrame({"known": known, **dict(zip(("value", "confidence", "entropy"), columns, strict=True))})
    texts = there.select(pl.when(pl.col("known")).then(pl.col("value", "confidence", "entropy")))
    return texts["value"], texts["confidence"], texts["entropy"]


def colouring_scale(states: Sequence[str]) -> list[tuple[str, str]]:
    """Every state with its colour, as auspice takes them."""
    return list(zip(states, state_colours(states), strict=True))


def itol_datasets(trait: TraitStates, identifiers: Sequence[str], tips: Sequence[int]) -> Iterator[tuple[str, str]]:
    """Name and text of the datasets of one trait: a strip of the tips' states, and pies.

    Pies stand at all nodes with children, and at tips whose state is not sure.

    Args:
        trait: The trait.
        identifiers: (N,) of the nodes in the tree.
        tips: Their numbers.
    """
    title = NOT_SHOWN.sub("_", trait.name)
    colours, names = state_colours(trait.states), [NOT_SHOWN.sub("_", state) for state in trait.states]
    legend = [
        f"LEGEND_TITLE\t{title}",
        "\t".join(["LEGEND_SHAPES", *["1"] * len(names)]),
        "\t".join(["LEGEND_COLORS", *colours]),
        "\t".join(["LEGEND_LABELS", *names]),
    ]
    seen = trait.seen
    rows = []
    for tip in tips:
        places = np.flatnonzero(seen[tip] > 0)
        if len(places):
            colour = colours[places[0]] if len(places) == 1 else _UNSURE
            rows.append(f"{identifiers[tip]}\t{colour}\t{'|'.join(names[place] for place in places)}")
    head = ["DATASET_COLORSTRIP", "SEPARATOR TAB", f"DATASET_LABEL\t{title}", f"COLOR\t{colours[0]}"]
    yield "strip", "\n".join([*head, *legend, f"STRIP_WIDTH\t{_STRIP}", "BORDER_WIDTH\t0.5", "DATA", *rows, ""])
    sure = np.zeros(len(identifiers), bool)
    sure[list(tips)] = (seen[list(tips)] > 0).sum(1) == 1
    rows = [
        # Over the node itself, and all of one size.
        "\t".join([identifiers[node], "0", "1", *map(repr, trait.probabilities[node].tolist())])
        for node in np.flatnonzero(~sure & np.isfinite(trait.probabilities).all(1)).tolist()
    ]
    fields = ["\t".join(["FIELD_COLORS", *colours]), "\t".join(["FIELD_LABELS", *names])]
    head = ["DATASET_PIECHART", "SEPARATOR TAB", f"DATASET_LABEL\t{title}, probabilities", f"COLOR\t{colours[0]}"]
    yield "pies", "\n".join([*head, *fields, *legend, f"MAXIMUM_SIZE\t{_PIE}", "DATA", *rows, ""])
