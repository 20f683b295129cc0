"""New Hampshire X: Newick with `[&&NHX:key=value]` behind every edge length."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

from hxcli.engine.topology import IntArray
from hxcli.findings import Findings
from hxcli.formats.trees.annotations import (
    Entry,
    entries,
    found_texts,
    gathered,
    in_brackets,
    interval_name,
    node_texts,
    owner_of,
    words_of,
)
from hxcli.formats.trees.newick_text import Parts, newick_nesting, write_nested
from hxcli.formats.trees.state_annotations import nhx_form
from hxcli.formats.trees.trait_keys import FORBIDDEN, NHX_MEANINGS
from hxcli.phylogeny import Phylogeny
from hxcli.reconstruction import Reconstruction

_MARK = "&&NHX"


def write_nhx(stream: BinaryIO, phylogeny: Phylogeny, reconstruction: Findings | None = None) -> None:
    """The tree with labels, edge lengths and annotations, one line.

    A trait `mass` gives the keys `mass`, `mass_se`, `mass_95%_CI_lower` and `mass_95%_CI_upper`; one called like a key
    that has a meaning, `S`, the keys `trait_S` and so on.

    Args:
        stream: Takes the text.
        phylogeny: The tree; its own annotations are written beside those of the reconstruction.
        reconstruction: The numbers; None writes the tree as it came.
    """
    owner = owner_of(phylogeny, reconstruction.traits if reconstruction is not None else (), NHX_MEANINGS)
    inside = node_texts(phylogeny, lambda texts: "".join(_nhx_entries(texts, owner)))
    beside = node_texts(phylogeny, lambda texts: "".join(_other_notes(texts, owner)))
    figures = None
    if reconstruction is not None:
        figures = found_texts(reconstruction, _entries, FORBIDDEN, nhx_form, NHX_MEANINGS)

    def notes(nodes: IntArray) -> Parts:
        body = (*(() if figures is None else figures(nodes)), *gathered(inside, nodes))
        bracket = in_brackets(f"[{_MARK}", body) if body else ()
        return (*gathered(beside, nodes), *bracket)

    write_nested(stream, newick_nesting(phylogeny), notes, 0 if reconstruction is None else len(reconstruction.traits))
    stream.write(b"\n")


def _entries(reconstruction: Reconstruction) -> Callable[[str], tuple[Entry, ...]]:
    interval = interval_name(reconstruction)
    return lambda key: (
        Entry(f":{key}=", ("estimates",)),
        Entry(f":{key}_se=", ("standard_errors",)),
        Entry(f":{key}_{interval}_lower=", ("lower",)),
        Entry(f":{key}_{interval}_upper=", ("upper",)),
    )


def _nhx_entries(given: tuple[str, ...], owner: Callable[[str], str | None]) -> Iterator[str]:
    for text in filter(_is_nhx, given):
        body = text[len(_MARK) :]
        if words := words_of(body, ":"):
            yield f":{words}"
        yield from (f":{entry}" for entry in entries(body, ":", owner))


def _other_notes(given: tuple[str, ...], owner: Callable[[str], str | None]) -> Iterator[str]:
    others = (_without_replaced(text, owner) for text in given if not _is_nhx(text))
    return (f"[{text}]" for text in others if text)


def _without_replaced(text: str, owner: Callable[[str], str | None]) -> str:
    """A comment, or a `&key=value,...` annotation without the entries that have an owner; "" where none is left."""
    if not text.startswith("&"):
        return text
    words = words_of(text[1:], ",")
    kept = ",".join([*([words] if words else []), *entries(text[1:], ",", owner)])
    return f"&{kept}" if kept else ""


def _is_nhx(text: str) -> bool:
    return text.startswith(_MARK)
