"""Nextstrain's JSON: node data, which augur reads beside a tree, and the dataset of version 2, which auspice shows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

import numpy as np
import polars as pl

from hxcli.engine.topology import IntArray
from hxcli.errors import OptionError
from hxcli.formats.trees.annotations import trait_texts
from hxcli.formats.trees.newick_text import joined, number_texts
from hxcli.formats.trees.node_identifiers import node_names
from hxcli.formats.trees.preorder import preorder_with_ends
from hxcli.formats.trees.trait_keys import safe_keys
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.reconstruction import Reconstruction

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


def write_node_data(stream: BinaryIO, reconstruction: Reconstruction) -> None:
    """Node data: for every node `mass` and, where there is an interval, `mass_confidence`.

    Nodes go by the names that the table has, which are unique.

    Args:
        stream: Takes the text.
        reconstruction: The numbers.
    """
    parts = []
    for key, value, confidence in _figures(reconstruction):
        parts += [joined(f',"{key}":', value), joined(f',"{key}_confidence":', confidence)]
    names = _quoted(node_names(reconstruction.phylogeny).to_list())
    nodes = joined(names, ":{", joined(*parts).str.slice(1), "}")
    body = ",\n".join(nodes.to_list())
    stream.write(f'{{"nodes":{{\n{body}\n}}}}\n'.encode())


def write_auspice(stream: BinaryIO, reconstruction: Reconstruction) -> None:
    """A dataset with one tree: distance from the root as `div`, one continuous colouring for every trait.

    There is no `num_date`, because edge lengths say how far apart nodes are, not in which year one lived. The
    schema wants to know when the file was made; that is left open (`XXXX-XX-XX`), so that the same run gives
    the same bytes.

    Args:
        stream: Takes the text.
        reconstruction: The numbers.

    Raises:
        OptionError: A node whose distance from the root is no finite number.
    """
    phylogeny = reconstruction.phylogeny
    names = node_names(phylogeny).to_list()
    parts = [
        joined(f',"{key}":{{"value":', value, joined(',"confidence":', confidence), "}")
        for key, value, confidence in _figures(reconstruction)
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
    keys = _keys(reconstruction.traits)
    meta = {
        "title": phylogeny.name or ", ".join(reconstruction.traits),
        "description": f"{reconstruction.method}; {100 * reconstruction.level:.10g} % {reconstruction.interval}",
        "updated": "XXXX-XX-XX",
        "panels": ["tree"],
        "colorings": [
            {"key": key, "title": trait, "type": "continuous"}
            for key, trait in zip(keys, reconstruction.traits, strict=True)
        ],
        "display_defaults": {"color_by": keys[0], "distance_measure": "div"},
    }
    tree = "".join(nodes.gather(order).to_list())
    head = json.dumps(meta, ensure_ascii=False)
    stream.write(f'{{"version":"v2",\n"meta":{head},\n"tree":{tree}}}\n'.encode())


def _figures(reconstruction: Reconstruction) -> Iterator[tuple[str, pl.Series, pl.Series]]:
    """Every trait's key, (N,) estimates and (N,) intervals `[0.64,1.46]` as text, null where there is none."""
    keys = _keys(reconstruction.traits)
    for key, trait in zip(keys, trait_texts(reconstruction), strict=True):
        ends = joined("[", trait.lower, ",", trait.upper, "]")
        there = (ends != "") & trait.estimates.is_not_null()
        yield key, trait.estimates, pl.select(pl.when(there).then(ends)).to_series()


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
