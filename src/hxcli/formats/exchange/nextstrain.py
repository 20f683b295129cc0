"""Nextstrain's JSON: node data, which augur reads beside a tree, and the dataset of version 2, which auspice shows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
import polars as pl

from hxcli.engine.topology import IntArray
from hxcli.errors import OptionError
from hxcli.findings import Findings
from hxcli.formats.exchange.states import colouring_scale, json_texts
from hxcli.formats.trees.annotations import trait_texts
from hxcli.formats.trees.newick_text import joined, number_texts
from hxcli.formats.trees.node_identifiers import node_names
from hxcli.formats.trees.preorder import preorder_with_ends
from hxcli.formats.trees.trait_keys import safe_keys
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.state_findings import numbers_of, states_of

# Marks that auspice puts into addresses as they are; augur takes keys with these two words for figures of another key.
_FORBIDDEN = r"[^A-Za-z0-9_.\-]+|_confidence|_entropy|__url$"
# Keys that mean something else to augur or auspice.
# fmt: off
_RESERVED = {
    "aa_muts", "aa_sequences", "accession", "author", "authors", "branch_length", "clade_membership", "clock_length",
    "date", "date_inferred", "div", "dTiter", "dTiterSub", "gt", "hidden", "muts", "mutation_length", "none",
    "num_date", "numdate", "raw_date", "sequence", "url", "vaccine",
}
# fmt: on


def write_node_data(stream: BinaryIO, found: Findings) -> None:
    """Node data: for every node `mass` and, where there is an interval, `mass_confidence`.

    Of a trait of states, as `augur traits` has it, `habitat`, `habitat_confidence` with the probabilities, and
    `habitat_entropy`.

    Nodes go by the names that the table has, which are unique.

    Args:
        stream: Takes the text.
        found: A reconstruction, or findings about states.
    """
    parts = []
    for key, value, confidence, entropy in _figures(found):
        parts += [joined(f',"{key}":', value), joined(f',"{key}_confidence":', confidence)]
        parts += [] if entropy is None else [joined(f',"{key}_entropy":', entropy)]
    names = _quoted(node_names(found.phylogeny).to_list())
    nodes = joined(names, ":{", joined(*parts).str.slice(1), "}")
    body = ",\n".join(nodes.to_list())
    stream.write(f'{{"nodes":{{\n{body}\n}}}}\n'.encode())


def write_auspice(stream: BinaryIO, found: Findings) -> None:
    """A dataset with one tree: distance from the root as `div`, one colouring for every trait.

    Traits of numbers are continuous; those of states are categorical, with their colours and probabilities.

    There is no `num_date`, because edge lengths say how far apart nodes are, not in which year one lived. The
    schema wants to know when the file was made; that is left open (`XXXX-XX-XX`), so that the same run gives
    the same bytes.

    Args:
        stream: Takes the text.
        found: A reconstruction, or findings about states.

    Raises:
        OptionError: A node whose distance from the root is no finite number.
    """
    phylogeny = found.phylogeny
    names = node_names(phylogeny).to_list()
    parts = [
        joined(f',"{key}":{{"value":', value, joined(',"confidence":', confidence), *_entropy(entropy), "}")
        for key, value, confidence, entropy in _figures(found)
    ]
    support = pl.Series([json.dumps(text) if text else None for text in phylogeny.support.tolist()], dtype=pl.String)
    order, ends = preorder_with_ends(phylogeny.topology)
    nodes = joined(
        '\n{"name":',
        _quoted(names),
        ',"node_attrs":{"div":',
        number_texts(_distances(phylogeny, names)),
        *parts,
        "}",
        joined(',"branch_attrs":{"labels":{"support":', support, "}}"),
        _brackets(ends, int(order[-1])),
    )
    keys, numbers = _keys(found.traits), numbers_of(found)
    level = "" if numbers is None else f"; {100 * numbers.level:.10g} % {numbers.interval}"
    meta = {
        "title": phylogeny.name or ", ".join(found.traits),
        "description": f"{found.method}{level}",
        "updated": "XXXX-XX-XX",
        "panels": ["tree"],
        "colorings": _colourings(found, keys),
        "display_defaults": {"color_by": keys[0], "distance_measure": "div"},
    }
    tree = "".join(nodes.gather(order).to_list())
    head = json.dumps(meta, ensure_ascii=False)
    stream.write(f'{{"version":"v2",\n"meta":{head},\n"tree":{tree}}}\n'.encode())


def _colourings(found: Findings, keys: Sequence[str]) -> list[dict[str, Any]]:
    of_states = states_of(found)
    kinds: list[dict[str, Any]] = [{"type": "continuous"}] * (len(keys) - len(of_states))
    kinds += [{"type": "categorical", "scale": colouring_scale(trait.states)} for trait in of_states]
    pairs = zip(keys, found.traits, kinds, strict=True)
    return [{"key": key, "title": trait, **kind} for key, trait, kind in pairs]


def _entropy(entropy: pl.Series | None) -> list[pl.Series]:
    return [] if entropy is None else [joined(',"entropy":', entropy)]


def _figures(found: Findings) -> Iterator[tuple[str, pl.Series, pl.Series, pl.Series | None]]:
    """Every trait's key, and as JSON, null where there is none, (N,) values, confidences and, of states, entropies.

    The confidence of an estimate is its interval `[0.64,1.46]`, that of a state the probabilities of all states.
    """
    keys, numbers = iter(_keys(found.traits)), numbers_of(found)
    for trait in () if numbers is None else trait_texts(numbers):
        ends = joined("[", trait.lower, ",", trait.upper, "]")
        there = (ends != "") & trait.estimates.is_not_null()
        yield next(keys), trait.estimates, pl.select(pl.when(there).then(ends)).to_series(), None
    for of_states in states_of(found):
        yield next(keys), *json_texts(of_states)


def _distances(phylogeny: Phylogeny, names: Sequence[str]) -> FloatArray:
    with np.errstate(over="ignore"):
        distances = phylogeny.root_distances
    if not np.isfinite(distances).all():
        name = names[int(np.argmin(np.isfinite(distances)))]
        raise OptionError(f"{name!r} is too far from the root for --auspice (scale the edge lengths, or leave it out)")
    return distances


def _keys(traits: Iterable[str]) -> list[str]:
    return safe_keys(traits, _FORBIDDEN, _RESERVED)


def _quoted(names: Iterable[str]) -> pl.Series:
    return pl.Series([json.dumps(name, ensure_ascii=False) for name in names], dtype=pl.String)


def _brackets(ends: IntArray, last: int) -> pl.Series:
    """(N,) what follows the figures of a node: its children, or its end and the ends of those that end with it."""
    counts, which = np.unique(ends, return_inverse=True)
    texts = ["}" + "]}" * (count - 1) + "," if count else ',"children":[' for count in counts.tolist()]
    brackets = pl.Series(texts, dtype=pl.String).gather(which)
    return brackets.scatter(last, brackets[last].removesuffix(","))
