"""iTOL: a zip archive with a tree, the names of its nodes, and datasets: colour gradients, strips and pies."""

from __future__ import annotations

import contextlib
import re
from io import BytesIO
from typing import BinaryIO
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import polars as pl

from hxcli.errors import OptionError
from hxcli.findings import Findings
from hxcli.formats.exchange.states import NOT_SHOWN, itol_datasets
from hxcli.formats.trees.annotations import trait_texts
from hxcli.formats.trees.newick_text import joined, nesting, write_nested
from hxcli.formats.trees.node_identifiers import node_names
from hxcli.formats.trees.trait_keys import safe_keys
from hxcli.phylogeny import Phylogeny
from hxcli.state_findings import numbers_of, states_of

# What stands in a tree and in data files without quotation marks; `a|b` would be the common ancestor of two nodes.
_PLAIN = re.compile(r"[A-Za-z0-9_.\-]+")
_GRADIENT = (
    "DATASET_GRADIENT",
    "SEPARATOR TAB",
    "DATASET_LABEL\t{}",
    "COLOR\t#21918c",
    # The ends and the middle of viridis, which is even to the eye and to the colour-blind.
    "COLOR_MIN\t#440154",
    "COLOR_MID\t#21918c",
    "COLOR_MAX\t#fde725",
    "USE_MID_COLOR\t1",
    "AUTO_LEGEND\t1",
    "DATA",
    "",
)


def write_itol(stream: BinaryIO, found: Findings) -> None:
    """The archive that iTOL's batch upload takes; unpacked, its files can be dropped on the page one by one.

    `tree.tree` has an identifier at every node: the node's name where that is plain and, at an inner node, no
    number (which iTOL takes for a support value), else one that is made up. `labels.txt` then gives the name to
    be shown. `1_mass.txt` has the estimates of the first trait, `mass`; `2_habitat_strip.txt` and `2_habitat_pies.txt`
    have what the tips say of the second, a trait of states, and the probabilities. Support values stand in brackets.

    Args:
        stream: Takes the archive.
        found: A reconstruction, or findings about states.

    Raises:
        OptionError: A name that iTOL would not show as it is.
    """
    phylogeny, numbers, of_states = found.phylogeny, numbers_of(found), states_of(found)
    names = node_names(phylogeny).to_list()
    identifiers = _identifiers(phylogeny, names)
    texts = pl.Series(identifiers, dtype=pl.String)
    support = pl.Series([text or None for text in phylogeny.support.tolist()], dtype=pl.String)
    tree, brackets = BytesIO(), joined("[", support, "]")
    write_nested(tree, nesting(phylogeny, texts, notes_last=True), lambda nodes: (brackets.gather(nodes),))
    files = {"tree.tree": tree.getvalue().decode() + "\n"}
    shown = [(key, name) for key, name in zip(identifiers, names, strict=True) if key != name]
    if shown:
        _refuse_lost_names(phylogeny, [name for _, name in shown])
        files["labels.txt"] = "LABELS\nSEPARATOR TAB\nDATA\n" + "".join(f"{key}\t{name}\n" for key, name in shown)
    keys = safe_keys(found.traits, r"[^A-Za-z0-9_.\-]+")
    pairs = zip(keys, found.traits, () if numbers is None else trait_texts(numbers), strict=False)
    for number, (key, trait, figures) in enumerate(pairs, 1):
        # A new name keeps apart what differs by case only, also where it is unpacked.
        rows = joined(texts, "\t", figures.estimates, "\n")
        title = "\n".join(_GRADIENT).format(NOT_SHOWN.sub("_", trait))
        files[f"{number}_{key[:100]}.txt"] = title + "".join(rows.to_list())
    first = len(keys) - len(of_states)
    for number, (key, of_trait) in enumerate(zip(keys[first:], of_states, strict=True), first + 1):
        for name, text in itol_datasets(of_trait, identifiers, phylogeny.tips.tolist()):
            files[f"{number}_{key[:100]}_{name}.txt"] = text
    with ZipFile(stream, "w", ZIP_DEFLATED) as archive:
        for path, text in files.items():
            # No time of day, so that the same content gives the same bytes.
            about = ZipInfo(path, (1980, 1, 1, 0, 0, 0))
            about.external_attr = 0o644 << 16
            archive.writestr(about, text.encode(), ZIP_DEFLATED)


def _identifiers(phylogeny: Phylogeny, names: list[str]) -> list[str]:
    """A plain and unique identifier for every node."""
    leaf = phylogeny.topology.is_leaf.tolist()
    taken, identifiers = set(names), list(names)
    for node, name in enumerate(names):
        if _PLAIN.fullmatch(name) and (leaf[node] or not _is_number(name)):
            continue
        made = f"t{node}" if leaf[node] else f"n{node}"
        while made in taken:
            made += "_"
        identifiers[node] = made
        taken.add(made)
    return identifiers


def _is_number(text: str) -> bool:
    with contextlib.suppress(ValueError):
        float(text)
        return True
    return False


def _refuse_lost_names(phylogeny: Phylogeny, names: list[str]) -> None:
    lost = next((name for name in names if NOT_SHOWN.search(name) or name != name.strip()), None)
    if lost is not None:
        tips = set(phylogeny.tip_names.tolist())
        found = f"iTOL does not show the name of {'tip' if lost in tips else 'node'} {lost!r} as it is"
        raise OptionError(f"{found}: white space and < > have a meaning there (rename it, or leave out --itol)")
