"""What the Newick-like formats share: labels in quotes, numbers as text, brackets and commas around all of it."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from hxcli.engine.topology import Topology
from hxcli.formats.below import fold_below, is_last_child, preorder_ranks
from hxcli.phylogeny import Phylogeny

# Characters that end or change an unquoted Newick label; `#` would make some labels hybrid nodes of a network.
NEWICK_QUOTED = r"""[\s()\[\]{}:;,'"=#]"""
# Further marks that are tokens of their own in NEXUS.
NEXUS_QUOTED = r"""[\s()\[\]{}:;,'"=#*\\<>]"""


def number_texts(values: ArrayLike) -> pl.Series:
    """(n,) Python's repr of every double; null for nan and infinities."""
    numbers = np.ascontiguousarray(values, np.float64)
    texts = pl.Series("text", numbers).cast(pl.String)
    # polars writes 0.00001 where Python writes 1e-05.
    small = np.flatnonzero((np.abs(numbers) < 1e-4) & (numbers != 0))
    if small.size:
        texts = texts.scatter(small, [repr(number) for number in numbers[small].tolist()])
    finite = np.isfinite(numbers)
    return texts if finite.all() else _where(finite, texts)


def quoted(labels: pl.Series, needs: str, also: pl.Series | bool = False) -> pl.Series:
    """Labels in single quotes, quotes inside doubled, where the pattern `needs` is found in them or `also` is true."""
    unsafe = labels.str.contains(needs) | also
    if not unsafe.any():
        return labels
    frame = pl.DataFrame({"label": labels, "unsafe": unsafe})
    marked = pl.concat_str(pl.lit("'"), pl.col("label").str.replace_all("'", "''", literal=True), pl.lit("'"))
    return frame.select(pl.when("unsafe").then(marked).otherwise("label").alias("label")).to_series()


def label_texts(phylogeny: Phylogeny, needs: str) -> pl.Series:
    """(N,) the label or support value of every node, in quotes where the format needs them."""
    return quoted(plain_texts(phylogeny), needs)


def plain_texts(phylogeny: Phylogeny) -> pl.Series:
    """(N,) the label or support value of every node."""
    texts = np.where(phylogeny.labels == "", phylogeny.support, phylogeny.labels)
    return pl.Series("label", texts.tolist(), dtype=pl.String)


def length_texts(phylogeny: Phylogeny) -> pl.Series:
    """(N,) `:0.5`, or "" where there is no edge length."""
    return joined(":", number_texts(phylogeny.edge_lengths))


def joined(*parts: str | pl.Series) -> pl.Series:
    """The parts one after the other; "" where one of them is null."""
    columns = {str(i): part for i, part in enumerate(parts) if isinstance(part, pl.Series)}
    pieces = [pl.col(str(i)) if isinstance(part, pl.Series) else pl.lit(part) for i, part in enumerate(parts)]
    return pl.DataFrame(columns).select(pl.concat_str(pieces).fill_null("").alias("text")).to_series()


def nested(topology: Topology, texts: pl.Series) -> str:
    """A whole tree: the texts of its nodes, every node after its children in brackets, and `;`."""
    leaf = topology.is_leaf
    sizes = fold_below(topology, np.ones(topology.size, np.int64), "sum")
    before = preorder_ranks(topology, sizes)
    after = before - topology.node_depths + sizes - 1
    order = np.empty(topology.size, np.int64)
    order[after] = np.arange(topology.size)

    # As many brackets open before a tip as nodes stand between it and the tip before it.
    opens = np.zeros(topology.size, np.int64)
    tips = np.flatnonzero(leaf)
    tips = tips[np.argsort(before[tips])]
    opens[tips] = np.diff(before[tips], prepend=-1) - 1
    counts, which = np.unique(opens, return_inverse=True)
    prefix = pl.Series(["(" * count for count in counts.tolist()], dtype=pl.String).gather(which)
    closing = pl.Series(["", ")"]).gather((~leaf).astype(np.int64))
    ending = (~is_last_child(topology)).astype(np.int64)
    ending[0] = 2
    pieces = joined(prefix, closing, texts, pl.Series(["", ",", ";"]).gather(ending))
    return "".join(pieces.gather(order).to_list())


def _where(keep: NDArray[np.bool_], texts: pl.Series) -> pl.Series:
    frame = pl.DataFrame({"text": texts, "keep": keep})
    return frame.select(pl.when("keep").then("text").alias("text")).to_series()
