"""Annotations of nodes: those a reconstruction gives, and those the tree came with."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from hxcli.formats.tree_text import joined, number_texts
from hxcli.names import listed
from hxcli.phylogeny import Phylogeny
from hxcli.reconstruction import Reconstruction

# What keys cannot hold.
_FORBIDDEN = r"""[\s:,;\[\]{}()="'&!]+"""
# What follows a trait's key in the keys of its figures, whatever the level and the format.
_FIGURES = r"(_se|_[0-9.e+-]+%?_(CI|HPD)(_lower|_upper)?)"


@dataclass(frozen=True, eq=False)
class TraitTexts:
    """The numbers of one trait as text, null where there is none.

    Attributes:
        key: The trait's name without what annotations cannot hold.
        estimates, standard_errors, lower, upper: (N,) texts.
    """

    key: str
    estimates: pl.Series
    standard_errors: pl.Series
    lower: pl.Series
    upper: pl.Series


def trait_texts(reconstruction: Reconstruction, forbidden: str = _FORBIDDEN) -> Iterator[TraitTexts]:
    """The numbers of every trait as text.

    Args:
        reconstruction: What was found.
        forbidden: Pattern of what keys cannot hold; `_` stands for it.
    """
    keys = safe_keys(reconstruction.traits, forbidden)
    for column, key in enumerate(keys):
        arrays = (
            reconstruction.estimates,
            reconstruction.standard_errors,
            reconstruction.lower,
            reconstruction.upper,
        )
        yield TraitTexts(key, *(number_texts(array[:, column]) for array in arrays))


def interval_name(reconstruction: Reconstruction) -> str:
    """`95%_CI`, `89%_HPD`."""
    return f"{100 * reconstruction.level:.10g}%_{reconstruction.interval}"


def safe_keys(names: Iterable[str], forbidden: str) -> list[str]:
    """One key for each name, without what `forbidden` matches; no key is another's or begins a figure of another.

    `mass` has the figures `mass_se` and `mass_95%_CI`, so a trait that is itself called `mass_se` becomes
    `mass_se_2`.
    """
    keys: list[str] = []
    for name in names:
        plain = re.sub(forbidden, "_", name).strip("_") or "trait"
        key, number = plain, 2
        while any(_clash(key, other) for other in keys):
            key, number = f"{plain}_{number}", number + 1
        keys.append(key)
    return keys


def _clash(key: str, other: str) -> bool:
    return key == other or any(
        re.fullmatch(re.escape(first) + _FIGURES, second) is not None for first, second in ((key, other), (other, key))
    )


def replaced_traits(traits: Iterable[str]) -> Callable[[str], str | None]:
    """Key of an annotation -> the trait whose numbers take its place; None for keys that stay.

    All figures of a trait go together, those of another level or kind of interval too: beside new numbers the older
    ones would be wrong.
    """
    names = list(traits)
    owners = dict(zip(safe_keys(names, _FORBIDDEN), names, strict=True))
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


def beast_texts(phylogeny: Phylogeny, reconstruction: Reconstruction | None) -> pl.Series:
    """(N,) `[&mass=1.05,mass_se=0.21,mass_95%_CI={0.64,1.46}]` and what the tree came with; "" for nothing."""
    size = phylogeny.topology.size
    if reconstruction is None:
        texts = [""] * size
        for node, given in phylogeny.annotations.items():
            texts[node] = "".join(f"[{text}]" for text in given)
        return pl.Series("text", texts, dtype=pl.String)
    parts, owner = [], replaced_traits(reconstruction.traits)
    for trait in trait_texts(reconstruction):
        interval = f"{trait.key}_{interval_name(reconstruction)}"
        parts += [
            joined(f",{trait.key}=", trait.estimates),
            joined(f",{trait.key}_se=", trait.standard_errors),
            joined(f",{interval}={{", trait.lower, ",", trait.upper, "}"),
        ]
    inside, beside = [""] * size, [""] * size
    for node, given in phylogeny.annotations.items():
        # One bracket a node: Biopython fails on a second.
        inside[node] = "".join(f",{entry}" for text in given for entry in _beast_entries(text, owner))
        beside[node] = "".join(f"[{text}]" for text in given if not text.startswith("&"))
    body = joined(*parts, pl.Series(inside, dtype=pl.String)).str.slice(1)
    frame = pl.DataFrame({"body": body, "beside": pl.Series(beside, dtype=pl.String)})
    bracket = pl.when(pl.col("body") == "").then(pl.lit("")).otherwise(pl.concat_str(pl.lit("[&"), "body", pl.lit("]")))
    return frame.select(pl.concat_str(bracket, "beside").alias("text")).to_series()


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
