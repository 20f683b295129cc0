"""Annotations of nodes: those a reconstruction gives, and those the tree came with."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from hxcli.close_names import listed
from hxcli.engine.topology import IntArray
from hxcli.errors import Note
from hxcli.findings import Findings
from hxcli.formats.memo import kept
from hxcli.formats.trees.newick_text import Notes, Parts, joined, number_texts, unless_null
from hxcli.formats.trees.state_annotations import Form, beast_form, state_notes
from hxcli.formats.trees.trait_keys import FORBIDDEN, replaced_traits, reserved_keys, safe_keys
from hxcli.phylogeny import Phylogeny
from hxcli.reconstruction import Reconstruction
from hxcli.state_findings import StateFindings


@dataclass(frozen=True)
class Entry:
    """How figures of one trait are written at a node; not at all where one of them is missing.

    Attributes:
        before: What stands before them.
        figures: Their names in the reconstruction, such as `estimates`; a comma stands between them.
        after: What stands behind them.
    """

    before: str
    figures: tuple[str, ...]
    after: str = ""


def figure_texts(
    reconstruction: Reconstruction,
    entries_of: Callable[[str], Sequence[Entry]],
    forbidden: str,
    reserved: Collection[str] = (),
) -> Notes:
    """The figures of all traits of a node, one entry after the other; a constant comes first where none is missing.

    Args:
        reconstruction: What was found.
        entries_of: Key of a trait -> its entries, as many for every trait.
        forbidden: Pattern of what keys cannot hold; `_` stands for it.
        reserved: Keys that no trait has.
    """
    forms = [entries_of(key) for key in safe_keys(reconstruction.traits, forbidden, reserved)]
    befores = [pl.Series([form[i].before for form in forms], dtype=pl.String) for i in range(len(forms[0]))]
    count = len(forms)
    # Trees have one interval, which is the one that their key names.
    lower, upper = reconstruction.ends
    figures = {
        "estimates": reconstruction.estimates,
        "standard_errors": reconstruction.standard_errors,
        "lower": lower,
        "upper": upper,
    }

    def texts(nodes: IntArray) -> Parts:
        columns = {name: number_texts(figures[name][nodes].ravel()) for entry in forms[0] for name in entry.figures}
        which = np.tile(np.arange(count, dtype=np.int32), len(nodes))
        parts: list[str | pl.Series] = []
        for entry, before in zip(forms[0], befores, strict=True):
            commas = [part for name in entry.figures for part in (",", columns[name])][1:]
            parts += unless_null(entry.before if count == 1 else before.gather(which), *commas, entry.after)
        return tuple(parts) if count == 1 else (joined(*parts).reshape((len(nodes), count)).arr.join(""),)

    return texts


def found_texts(
    found: Findings,
    entries_of: Callable[[Reconstruction], Callable[[str], Sequence[Entry]]],
    forbidden: str,
    form: Form,
    reserved: Collection[str] = (),
) -> Notes:
    """What was found at the nodes: the figures of traits of numbers, then traits of states.

    Args:
        found: A reconstruction, or findings about states.
        entries_of: From a reconstruction to what `figure_texts` takes.
        forbidden: Pattern of what keys cannot hold.
        form: How a trait of states is written.
        reserved: Keys that no trait has.
    """
    if isinstance(found, Reconstruction):
        return figure_texts(found, entries_of(found), forbidden, reserved)
    assert isinstance(found, StateFindings)
    numbers = found.numbers
    keys = safe_keys(found.traits, forbidden, reserved)
    of_states = state_notes(found.of_states, keys[len(keys) - len(found.of_states) :], form)
    if numbers is None:
        return of_states
    figures = figure_texts(numbers, entries_of(numbers), forbidden, reserved)
    return lambda nodes: (joined(*figures(nodes), *of_states(nodes)),)


@dataclass(frozen=True, eq=False)
class TraitTexts:
    """The numbers of one trait as text, null where there is none.

    Attributes:
        estimates, lower, upper: (N,) texts.
    """

    estimates: pl.Series
    lower: pl.Series
    upper: pl.Series


def trait_texts(reconstruction: Reconstruction) -> Iterator[TraitTexts]:
    """The numbers of every trait as text."""
    arrays = (reconstruction.estimates, *reconstruction.ends)
    for column in range(len(reconstruction.traits)):
        yield TraitTexts(*(number_texts(array[:, column]) for array in arrays))


def interval_name(reconstruction: Reconstruction) -> str:
    """`95%_CI`, `89%_HPD`."""
    return f"{100 * reconstruction.level:.10g}%_{reconstruction.interval}"


def owner_of(
    phylogeny: Phylogeny, traits: Sequence[str], reserved: Collection[str] | None = None
) -> Callable[[str], str | None]:
    """Key of an annotation -> the trait whose numbers take its place in a tree; None for keys that stay.

    Args:
        phylogeny: The tree.
        traits: Names of the traits.
        reserved: Keys that no trait has; None for those of which the tree itself says so.
    """
    if not traits or not phylogeny.annotations:
        return lambda key: None
    return replaced_traits(
        traits, annotation_keys(phylogeny), reserved_keys(phylogeny) if reserved is None else reserved
    )


@kept
def annotation_keys(phylogeny: Phylogeny) -> frozenset[str]:
    """All keys of the tree's annotations."""
    texts = {text for given in phylogeny.annotations.values() for text in given}
    return frozenset(key_of(entry) for text in texts for entry in _any_entries(text))


def replaced_notes(
    phylogeny: Phylogeny, traits: Sequence[str], reserved: Collection[str] | None = None
) -> tuple[str, ...]:
    """One sentence for every trait whose numbers take the place of annotations that the tree came with."""
    owner = owner_of(phylogeny, traits, reserved)
    replaced: dict[str, set[str]] = {}
    for key in annotation_keys(phylogeny):
        if (trait := owner(key)) is not None:
            replaced.setdefault(trait, set()).add(key)
    return tuple(
        Note(f"annotations {listed(sorted(replaced[trait]))} of the tree are replaced by those of trait {trait!r}")
        for trait in traits
        if trait in replaced
    )


def key_of(entry: str) -> str:
    """The key of a `key=value` entry."""
    return entry.split("=", 1)[0].strip()


def node_entries(texts: Iterable[str]) -> Iterator[str]:
    """The `key=value` entries of the annotations of one node."""
    return (entry for text in texts for entry in _any_entries(text))


def _any_entries(text: str) -> Iterator[str]:
    if text.startswith("&&NHX"):
        return entries(text.removeprefix("&&NHX"), ":")
    return entries(text[1:], ",") if text.startswith("&") else iter(())


def beast_texts(phylogeny: Phylogeny, reconstruction: Findings | None) -> Notes:
    """`[&mass=1.05,mass_se=0.21,mass_95%_CI={0.64,1.46}]` and what the tree came with; "" for nothing."""
    if reconstruction is None:
        given = node_texts(phylogeny, lambda texts: "".join(f"[{text}]" for text in texts))
        return lambda nodes: gathered(given, nodes)
    owner = owner_of(phylogeny, reconstruction.traits)
    figures = found_texts(reconstruction, _beast_figures, FORBIDDEN, beast_form, reserved_keys(phylogeny))
    # One bracket a node where that is possible: Biopython fails on a second.
    inside = node_texts(
        phylogeny, lambda texts: "".join(f",{entry}" for text in texts for entry in _beast_entries(text, owner))
    )
    beside = node_texts(phylogeny, lambda texts: "".join(map(_beside, texts)))

    def texts(nodes: IntArray) -> Parts:
        return (*in_brackets("[&", (*figures(nodes), *gathered(inside, nodes)), ","), *gathered(beside, nodes))

    return texts


def _beast_figures(reconstruction: Reconstruction) -> Callable[[str], tuple[Entry, ...]]:
    interval = interval_name(reconstruction)
    return lambda key: (
        Entry(f",{key}=", ("estimates",)),
        Entry(f",{key}_se=", ("standard_errors",)),
        Entry(f",{key}_{interval}={{", ("lower", "upper"), "}"),
    )


def in_brackets(opening: str, body: Parts, separator: str = "") -> Parts:
    """The body between an opening and `]`; "" where it is empty.

    Args:
        opening: Such as `[&`.
        body: Never empty where it begins with a constant.
        separator: What the body begins with where it is not empty, to be left out.
    """
    if isinstance(body[0], str):
        return (opening + body[0].removeprefix(separator), *body[1:], "]")
    whole = pl.concat_str(pl.lit(opening), pl.col("body").str.slice(len(separator)), pl.lit("]"))
    bracket = pl.when(pl.col("body") == "").then(pl.lit("")).otherwise(whole)
    return (pl.DataFrame({"body": joined(*body)}).select(bracket.alias("text")).to_series(),)


def node_texts(phylogeny: Phylogeny, render: Callable[[tuple[str, ...]], str]) -> pl.Series | None:
    """(N,) what `render` makes of the annotations that a node came with; None where no node has any."""
    if not phylogeny.annotations:
        return None
    texts = [""] * phylogeny.topology.size
    for node, given in phylogeny.annotations.items():
        texts[node] = render(given)
    return pl.Series("text", texts, dtype=pl.String)


def gathered(texts: pl.Series | None, nodes: IntArray) -> Parts:
    """The texts of the nodes, from `node_texts`."""
    return () if texts is None else (texts.gather(nodes),)


def entries(text: str, separator: str, owner: Callable[[str], str | None] = lambda key: None) -> Iterator[str]:
    """The `key=value` entries of an annotation, but those whose key has an owner.

    Separators inside braces, brackets and quotation marks separate nothing, and what has no `=` belongs to the value
    before it: `m="m2","m3"` is one entry.
    """
    return (entry for entry in _split(text, separator)[1] if owner(key_of(entry)) is None)


def words_of(text: str, separator: str) -> str:
    """What stands before the first `key=value` of an annotation: `B Igrbranchlens{all} 5.9e-02`, mostly nothing."""
    return _split(text, separator)[0]


def _split(text: str, separator: str) -> tuple[str, list[str]]:
    """The words that have no key, and the entries."""
    words, found = "", []
    for piece in _pieces(text, separator):
        if "=" in piece:
            found.append(piece)
        elif found:
            found[-1] += separator + piece
        elif piece:
            words += separator * bool(words) + piece
    return words, [entry.rstrip(separator) if entry.endswith(separator) else entry for entry in found]


def _pieces(text: str, separator: str) -> Iterator[str]:
    start, depth, quoted = 0, 0, False
    for place, character in enumerate(text + separator):
        if character == '"':
            quoted = not quoted
        elif not quoted and character in "{}()":
            depth += 1 if character in "{(" else -1
        # What is never closed ends with the text.
        elif character == separator and ((depth <= 0 and not quoted) or place == len(text)):
            yield text[start:place]
            start = place + 1


def _beast_entries(text: str, owner: Callable[[str], str | None]) -> Iterator[str]:
    if text.startswith("&&NHX"):
        for entry in entries(text.removeprefix("&&NHX"), ":", owner):
            key, _, value = entry.partition("=")
            yield f'{key}="{value}"' if "," in value else entry
    elif text.startswith("&"):
        yield from entries(text[1:], ",", owner)


def _beside(text: str) -> str:
    """A bracket for what has no key, "" without it."""
    if not text.startswith("&"):
        return f"[{text}]"
    nhx = text.startswith("&&NHX")
    words = words_of(text.removeprefix("&&NHX") if nhx else text[1:], ":" if nhx else ",")
    return f"[&{words}]" if words else ""
