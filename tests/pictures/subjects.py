"""Reconstructions to draw: trees of the zoo with made-up figures, and names that are not nice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hxcli.phylogeny import Phylogeny
from hxcli.reconstruction import Reconstruction
from hxcli.text_columns import Texts
from hxcli.traits import Observations
from tests.examples import Example, example

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "$\\frac{a}{b}$",
    "</script><script>alert(2)</script>",
    "a\x07b\x1b[31m",
    "long_" * 40,
    "日本語",
    "x\u202eevil\u2028",
    "&amp;\"'",
)


def found_on(
    tree: Example,
    names: Sequence[str] = (),
    *,
    estimates: np.ndarray | None = None,
    width: float = 0.5,
    trait: str = "mass",
) -> Reconstruction:
    """A reconstruction with the tree's own values; inner nodes have intervals of the given half width."""
    size, leaf = tree.topology.size, tree.topology.is_leaf
    labels = np.full(size, "", object)
    labels[leaf] = list(names) or [f"tip{number}" for number in range(leaf.sum())]
    phylogeny = Phylogeny(tree.topology, tree.lengths.copy(), Texts(labels), Texts.blank(size))
    values = (tree.values if estimates is None else estimates)[:, None]
    half = np.where(leaf, 0.0, width)[:, None]
    return Reconstruction(
        phylogeny=phylogeny,
        traits=(trait,),
        observations=Observations(np.flatnonzero(leaf), values[leaf], np.zeros((leaf.sum(), 1)), (trait,)),
        estimates=values,
        standard_errors=half / 1.96,
        given_ends=(values - half, values + half),
        level=0.95,
        interval="CI",
        parameters={trait: {}},
        tips_used=(int(leaf.sum()),),
        method="made up",
    )


def hostile() -> Reconstruction:
    """Eight tips whose names, like their trait's, are markup, formulas, control characters and very long."""
    return found_on(example("random binary"), HOSTILE, trait="$x^2$ <b>&")
