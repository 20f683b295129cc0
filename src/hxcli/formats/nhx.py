"""New Hampshire X: Newick with `[&&NHX:key=value]` behind every edge length."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

import polars as pl

from hxcli.formats.annotations import entries, interval_name, replaced_traits, trait_texts
from hxcli.formats.tree_text import NEWICK_QUOTED, joined, label_texts, length_texts, nested
from hxcli.phylogeny import Phylogeny
from hxcli.reconstruction import Reconstruction

_MARK = "&&NHX"


def write_nhx(stream: BinaryIO, phylogeny: Phylogeny, reconstruction: Reconstruction | None = None) -> None:
    """The tree with labels, edge lengths and annotations, one line.

    A trait `mass` gives the keys `mass`, `mass_se`, `mass_95%_CI_lower` and `mass_95%_CI_upper`.

    Args:
        stream: Takes the text.
        phylogeny: The tree; its own annotations are written beside those of the reconstruction.
        reconstruction: The numbers; None writes the tree as it came.
    """
    size = phylogeny.topology.size
    parts: list[pl.Series] = []
    owner = replaced_traits(reconstruction.traits if reconstruction is not None else ())
    if reconstruction is not None:
        for trait in trait_texts(reconstruction):
            interval = f"{trait.key}_{interval_name(reconstruction)}"
            figures = {
                trait.key: trait.estimates,
                f"{trait.key}_se": trait.standard_errors,
                f"{interval}_lower": trait.lower,
                f"{interval}_upper": trait.upper,
            }
            parts += [joined(f":{key}=", texts) for key, texts in figures.items()]
    inside, beside = [""] * size, [""] * size
    for node, given in phylogeny.annotations.items():
        kept = [entry for text in given if _is_nhx(text) for entry in entries(text[len(_MARK) :], ":", owner)]
        inside[node] = "".join(f":{entry}" for entry in kept)
        others = (_without_replaced(text, owner) for text in given if not _is_nhx(text))
        beside[node] = "".join(f"[{text}]" for text in others if text)
    body = joined(*parts, pl.Series(inside, dtype=pl.String))
    frame = pl.DataFrame({"body": body, "beside": pl.Series(beside, dtype=pl.String)})
    bracket = pl.concat_str(pl.lit(f"[{_MARK}"), "body", pl.lit("]"))
    notes = frame.select(
        pl.concat_str("beside", pl.when(pl.col("body") == "").then(pl.lit("")).otherwise(bracket)).alias("text")
    ).to_series()
    labels = label_texts(phylogeny, NEWICK_QUOTED)
    stream.write((nested(phylogeny.topology, joined(labels, length_texts(phylogeny), notes)) + "\n").encode())


def _without_replaced(text: str, owner: Callable[[str], str | None]) -> str:
    """A comment, or a `&key=value,...` annotation without the entries that have an owner; "" where none is left."""
    if not text.startswith("&"):
        return text
    kept = ",".join(entries(text[1:], ",", owner))
    return f"&{kept}" if kept else ""


def _is_nhx(text: str) -> bool:
    return text.startswith(_MARK)
