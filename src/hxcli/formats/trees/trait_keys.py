"""Keys of traits' figures in trees: apart from each other, and from keys that mean something else there."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence

from hxcli.errors import Note
from hxcli.phylogeny import Phylogeny

# What keys cannot hold.
FORBIDDEN = r"""[\s:,;\[\]{}()="'&!]+"""
# What follows a trait's key in the keys of its figures, whatever the level and the format.
_FIGURES = r"(_se|_[0-9.e+-]+%?_(CI|HPD)(_lower|_upper)?|\.prob|\.set|\.set\.prob)"
_FIGURE_KEY = re.compile(f"(.+){_FIGURES}", re.DOTALL)
# What follows a quantity's key in the keys of its statistics, in trees of BEAST, MrBayes, SumTrees and hx.
_STATISTIC = re.compile(
    r"([_.]([0-9.e+-]+%?_?(HPD|CI|CrI|PI)|(HPD|CI|quant|q|hpd|ci)[0-9._]*|median|mean|mode|s\.?d|std(dev|ev)?|var(iance)?|"
    r"se|ess|prob(ability|s)?|range|set|min|max|lower|upper)|\+-sd|\(percent\))$",
    re.IGNORECASE,
)
# Keys with a meaning of their own in NHX (Zmasek and Eddy 2001) and in what ETE makes of it: every key becomes an
# attribute of ETE's nodes, beside those that they have.
# fmt: off
NHX_MEANINGS = frozenset({
    "AC", "B", "C", "Co", "CO", "D", "DD", "DS", "E", "Fi", "Fk", "FK", "GN", "L", "MB", "ND", "O", "On", "S", "SN",
    "SO", "Sl", "Sw", "T", "TR", "W", "XB", "XN", "add_child", "add_face", "add_feature", "add_features",
    "add_sister", "check_monophyly", "children", "common_ancestor", "compare", "complex", "convert_to_ultrametric",
    "copy", "del_feature", "delete", "describe", "detach", "dist", "evoltype", "faces", "features",
    "from_parent_child_table", "img_style", "is_leaf", "iter_leaves", "iter_prepostorder", "ladderize", "lineage",
    "name", "named_lineage", "ncbi_compare", "phonehome", "populate", "prune", "rank", "render", "resolve_polytomy",
    "robinson_foulds", "sci_name", "search_nodes", "sequence", "set_outgroup", "set_species_naming_function",
    "set_style", "show", "sort_descendants", "sp_code", "species", "standardize", "support", "swap_children", "taxid",
    "traverse", "unroot", "up", "write",
})
# fmt: on


def safe_keys(names: Iterable[str], forbidden: str, reserved: Collection[str] = ()) -> list[str]:
    """One key for each name, without what `forbidden` matches; no key is another's or begins a figure of another.

    `mass` has the figures `mass_se` and `mass_95%_CI`, so a trait that is itself called `mass_se` becomes
    `mass_se_2`; `S` becomes `trait_S` where that key is reserved.
    """
    keys: list[str] = []
    taken: set[str] = set()
    owners: set[str] = set()
    latest: dict[str, int] = {}
    for name in names:
        plain = re.sub(forbidden, "_", name).strip("_") or "trait"
        plain = f"trait_{plain}" if plain in reserved else plain
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


def quantity_of(key: str) -> str:
    """The key without the names of statistics at its end: `height` of `height_95%_HPD` and of `height_median`."""
    while (found := _STATISTIC.search(key)) is not None and found.start():
        key = key[: found.start()]
    return key


def replaced_traits(
    traits: Sequence[str], keys: Iterable[str], reserved: Collection[str]
) -> Callable[[str], str | None]:
    """Key of an annotation -> the trait whose numbers take its place; None for keys that stay.

    All statistics of a quantity go together, those of another level or kind of interval too: beside new numbers the
    older ones would be wrong, and beside a trait called `height` the range of a node's age would be taken for the
    trait's.

    Args:
        traits: Names of the traits.
        keys: All keys of the tree's annotations.
        reserved: Keys that no trait has.
    """
    owners: dict[str, str] = {}
    for trait, key in zip(traits, safe_keys(traits, FORBIDDEN, reserved), strict=True):
        owners.setdefault(key, trait)
    present = set(keys) if any(quantity_of(key) != key for key in owners) else set()
    for key, trait in list(owners.items()):
        # A trait called like one of its statistics takes the place of the whole quantity.
        if key in present:
            owners.setdefault(quantity_of(key), trait)
        if not key.endswith("s"):
            owners.setdefault(f"{key}s", trait)

    def owner(key: str) -> str | None:
        return owners.get(key) or owners.get(quantity_of(key))

    return owner


def reserved_keys(phylogeny: Phylogeny) -> frozenset[str]:
    """Keys that no trait has in any tree, because the tree's own NHX gives them a meaning."""
    found = {
        key
        for texts in phylogeny.annotations.values()
        for text in texts
        if text.startswith("&&NHX")
        for key in re.findall(r":([^:=]+)=", text)
    }
    return NHX_MEANINGS & found


def renamed_notes(traits: Sequence[str], reserved: Collection[str]) -> tuple[str, ...]:
    """A sentence for every trait whose key is not its name because that has another meaning."""
    pairs = zip(traits, safe_keys(traits, FORBIDDEN, reserved), safe_keys(traits, FORBIDDEN), strict=True)
    return tuple(
        Note(f"trait {trait!r} is called {key!r} in the tree: {usual!r} means something else there")
        for trait, key, usual in pairs
        if key != usual
    )
