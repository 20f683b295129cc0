"""Annotations of nodes: those a reconstruction gives, and those the tree came with."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from hxcli.close_names import listed
from hxcli.engine.topology import IntArray
from hxcli.formats.trees.newick_text import Notes, Parts, joined, number_texts, unless_null
from hxcli.phylogeny import Phylogeny
from hxcli.reconstruction import Reconstruction

# What keys cannot hold.
FORBIDDEN = r"""[\s:,;\[\]{}()="'&!]+"""
# What follows a trait's key in the keys of its figures, whatever the level and the format.
_FIGURES = r"(_se|_[0-9.e+-]+%?_(CI|HPD)(_lower|_upper)?)"
_FIGURE_KEY = re.compile(f"(.+){_FIGURES}", re.DOTALL)


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


def figure_texts(reconstruction: Reconstruction, entries_of: Callable[[str], Sequence[Entry]], forbidden: str) -> Notes:
    """The figures of all traits of a node, one entry after the other; a constant comes first where none is missing.

    Args:
        reconstruction: What was found.
        entries_of: Key of a trait -> its entries, as many for every trait.
        forbidden: Pattern of what keys cannot hold; `_` stands for it.
    """
    forms = [entries_of(key) for key in safe_keys(reconstruction.traits, forbidden)]
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


def safe_keys(names: Iterable[str], forbidden: str) -> list[str]:
    """One key for each name, without what `forbidden` matches; no key is another's or begins a figure of another.

    `mass` has the figures `mass_se` and `mass_95%_CI`, so a trait that is itself called `mass_se` becomes
    `mass_se_2`.
    """
    keys: list[str] = []
    taken: set[str] = set()
    owners: set[str] = set()
    latest: dict[str, int] = {}
    for name in names:
        plain = re.sub(forbidden, "_", name).strip("_") or "trait"
        key, number = plain, latest.get(plain, 1)
        while key in taken or key in owners or _owner(key) in taken:
            number += 1
            key = f"{plain}_{number}"
        latest[plain] = number
        keys.append(key)
        taken.add(key)
        owners.add(_owner(key))
    return keys


def _owner(key: str) -> str:
    """The key of the trait whose figure this is; "" if it is none."""
    found = _FIGURE_KEY.fullmatch(key)
    return found[1] if found else ""


def replaced_traits(traits: Iterable[str]) -> Callable[[str], str | None]:
    """Key of an annotation -> the trait whose numbers take its place; None for keys that stay.

    All figures of a trait go together, those of another level or kind of interval too: beside new numbers the older
    ones would be wrong.
    """
    names = list(traits)
    owners = dict(zip(safe_keys(names, FORBIDDEN), names, strict=True))
    return lambda key: owners.get(key) or owners.get(re.sub(f"{_FIGURES}$", "", key))


def replaced_notes(phylogeny: Phylogeny, traits: Sequence[str]) -> tuple[str, ...]:
    """One sentence for every trait whose numbers take the place of annotations that the tree came with."""
    owner = replaced_traits(traits)
    replaced: dict[str, set[str]] = {}
    for given in phylogeny.annotations.values():
        for text in given:
            for entry in _any_entries(text):
                key = key_of(entry)
                if (trait := owner(key)) is not None:
                    replaced.setdefault(trait, set()).add(key)
    return tuple(
        f"annotations {listed(sorted(replaced[trait]))} of the tree are replaced by those of trait {trait!r}"
        for trait in traits
        if trait in replaced
    )


def key_of(entry: str) -> str:
    """The key of a `key=value` entry."""
    return entry.split("=", 1)[0].strip()


def _any_entries(text: str) -> Iterator[str]:
    if text.startswith("&&NHX"):
        return entries(text.removeprefix("&&NHX"), ":")
    return entries(text[1:], ",") if text.startswith("&") else iter(())


def beast_texts(phylogeny: Phylogeny, reconstruction: Reconstruction | None) -> Notes:
    """`[&mass=1.05,mass_se=0.21,mass_95%_CI={0.64,1.46}]` and what the tree came with; "" for nothing."""
    if reconstruction is None:
        given = node_texts(phylogeny, lambda texts: "".join(f"[{text}]" for text in texts))
        return lambda nodes: gathered(given, nodes)
    owner, interval = replaced_traits(reconstruction.traits), interval_name(reconstruction)
    figures = figure_texts(
        reconstruction,
        lambda key: (
            Entry(f",{key}=", ("estimates",)),
            Entry(f",{key}_se=", ("standard_errors",)),
            Entry(f",{key}_{interval}={{", ("lower", "upper"), "}"),
        ),
        FORBIDDEN,
    )
    # One bracket a node: Biopython fails on a second.
    inside = node_texts(
        phylogeny, lambda texts: "".join(f",{entry}" for text in texts for entry in _beast_entries(text, owner))
    )
    beside = node_texts(phylogeny, lambda texts: "".join(f"[{text}]" for text in texts if not text.startswith("&")))

    def texts(nodes: IntArray) -> Parts:
        return (*in_brackets("[&", (*figures(nodes), *gathered(inside, nodes)), ","), *gathered(beside, nodes))

    return texts


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

    Separators inside braces and quotation marks separate nothing.
    """
    start, depth, quoted = 0, 0, False
    for place, character in enumerate(text + separator):
        if character == '"':
            quoted = not quoted
        elif not quoted and character in "{}":
            depth += 1 if character == "{" else -1
        # What is never closed ends with the text.
        elif character == separator and ((depth <= 0 and not quoted) or place == len(text)):
            entry = text[start:place]
            if entry and owner(key_of(entry)) is None:
                yield entry
            start = place + 1


def _beast_entries(text: str, owner: Callable[[str], str | None]) -> Iterator[str]:
    if text.startswith("&&NHX"):
        for entry in entries(text.removeprefix("&&NHX"), ":", owner):
            key, _, value = entry.partition("=")
            yield f'{key}="{value}"' if "," in value else entry
    elif text.startswith("&"):
        yield from entries(text[1:], ",", owner)
