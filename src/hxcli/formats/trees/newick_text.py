"""What the Newick-like formats share: labels in quotes, numbers as text, brackets and commas around all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from hxcli.engine.topology import IntArray
from hxcli.formats.memo import kept
from hxcli.formats.trees.preorder import is_last_child, postorder
from hxcli.phylogeny import Phylogeny

# Characters that end or change an unquoted Newick label; `#` would make some labels hybrid nodes of a network.
NEWICK_QUOTED = r"""[\s()\[\]{}:;,'"=#]"""
# Further marks that are tokens of their own in NEXUS.
NEXUS_QUOTED = r"""[\s()\[\]{}:;,'"=#*\\<>]"""
# Figures of all traits that are made into text together: what is made of them stays in the processor's cache.
_PIECE = 1 << 16

# What is written for each of n nodes, one part behind the other: constants and (n,) texts, none of them null.
Parts = tuple[str | pl.Series, ...]
# Takes (n,) node numbers to what is written for each of the nodes.
Notes = Callable[[IntArray], Parts]


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
    labels = phylogeny.labels.column
    if not phylogeny.support.any():
        return labels
    frame = pl.DataFrame({"label": labels, "support": phylogeny.support.column})
    return frame.select(pl.when(pl.col("label") == "").then("support").otherwise("label").alias("label")).to_series()


def length_texts(phylogeny: Phylogeny, nodes: IntArray) -> Parts:
    """`:0.5` for each of the nodes, or "" where there is no edge length."""
    return unless_null(":", number_texts(phylogeny.edge_lengths[nodes]))


def unless_null(*parts: str | pl.Series) -> Parts:
    """The parts; where one of them is null, "" in place of them all."""
    return (joined(*parts),) if any(isinstance(part, pl.Series) and part.null_count() for part in parts) else parts


def write_texts(stream: BinaryIO, *parts: str | pl.Series) -> None:
    """Writes all texts, one after the other with nothing between."""
    # polars writes what it holds, where bytes would be two copies of it.
    pl.DataFrame({"": joined(*parts)}).write_csv(stream, include_header=False, quote_style="never", line_terminator="")


def joined(*parts: str | pl.Series) -> pl.Series:
    """(n,) the parts one after the other; "" where one of them is null."""
    # Constants that meet are one.
    few: list[str | pl.Series] = []
    for part in parts:
        if few and isinstance(part, str) and isinstance(few[-1], str):
            few[-1] += part
        else:
            few.append(part)
    columns = {str(i): part for i, part in enumerate(few) if isinstance(part, pl.Series)}
    pieces = [pl.col(str(i)) if isinstance(part, pl.Series) else pl.lit(part) for i, part in enumerate(few)]
    return pl.DataFrame(columns).select(pl.concat_str(pieces).fill_null("").alias("text")).to_series()


@dataclass(frozen=True, eq=False)
class Nesting:
    """A tree as text, but for what is noted at its nodes.

    Attributes:
        order: (N,) the nodes as they are written, each after its children.
        before: (N,) what stands before the notes of every node in that order.
        behind: (N,) what stands behind them.
    """

    order: IntArray
    before: pl.Series
    behind: pl.Series


def nesting(phylogeny: Phylogeny, labels: pl.Series, *, notes_last: bool) -> Nesting:
    """A tree in brackets and commas, with its labels and edge lengths, and `;`.

    Args:
        phylogeny: The tree.
        labels: (N,) its labels.
        notes_last: Whether notes stand behind a node's edge length, not between that and its label.
    """
    topology = phylogeny.topology
    order, opens = postorder(topology)
    # Brackets open before tips only and close before all others.
    opens[~topology.is_leaf[order]] = -1
    counts = np.flatnonzero(np.bincount(opens + 1)) - 1
    which = np.zeros(counts[-1] + 2, np.int32)
    which[counts + 1] = np.arange(len(counts))
    brackets = pl.Series(["(" * count if count >= 0 else ")" for count in counts.tolist()], dtype=pl.String)
    signs, sign = pl.Series(["", ",", ";"]), (~is_last_child(topology)[order]).astype(np.int8)
    sign[-1] = 2
    before, behind = [], []
    for piece in pieces(topology.size):
        nodes = order[piece]
        name = brackets.gather(which[opens[piece] + 1]), labels.gather(nodes)
        lengths, last = length_texts(phylogeny, nodes), signs.gather(sign[piece])
        before.append(joined(*name, *lengths) if notes_last else joined(*name))
        behind.append(last if notes_last else joined(*lengths, last))
    return Nesting(order, pl.concat(before), pl.concat(behind))


@kept
def newick_nesting(phylogeny: Phylogeny) -> Nesting:
    """The tree as Newick."""
    return nesting(phylogeny, label_texts(phylogeny, NEWICK_QUOTED), notes_last=True)


def write_nested(stream: BinaryIO, nested: Nesting, notes: Notes = lambda nodes: (), traits: int = 0) -> None:
    """A whole tree.

    Args:
        stream: Takes the text, piece by piece, so that the whole is never in memory.
        nested: The tree.
        notes: Gives what is noted at each of some nodes.
        traits: How many traits stand in the notes: the more, the fewer nodes are in a piece.
    """
    for piece in pieces(len(nested.order), traits):
        write_texts(stream, nested.before[piece], *notes(nested.order[piece]), nested.behind[piece])


def pieces(nodes: int, traits: int = 0, figures: int = _PIECE) -> Iterator[slice]:
    """Cuts a number of nodes into pieces with about so many figures, whatever the number of traits.

    Without their number the pieces' texts are few megabytes.
    """
    step = max(1, figures // (1 + traits))
    return (slice(start, min(start + step, nodes)) for start in range(0, nodes, step))


def _where(keep: NDArray[np.bool_], texts: pl.Series) -> pl.Series:
    frame = pl.DataFrame({"text": texts, "keep": keep})
    return frame.select(pl.when("keep").then("text").alias("text")).to_series()
