"""Reconstructions to draw: trees of the zoo with made-up figures, and names that are not nice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hxcli.phylogeny import Phylogeny
from hxcli.reconstruction import Reconstruction
from hxcli.state_findings import StateFindings, TraitStates
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


def states_on(
    tree: Example, states: Sequence[str] = ("land", "sea", "air"), names: Sequence[str] = ()
) -> StateFindings:
    """Made-up states: tips have them one after the other, the second two of them, the third none; nodes are unsure."""
    phylogeny = found_on(tree, names).phylogeny
    size, count, tips = tree.topology.size, len(states), np.flatnonzero(tree.topology.is_leaf)
    shares = np.random.default_rng(1).dirichlet(np.ones(count), size)
    observed = np.full(size, "", object)
    for number, tip in enumerate(tips):
        observed[tip] = states[number % count]
        shares[tip] = np.eye(count)[number % count]
    for tip, text in zip(tips[1:3], (f"{states[0]}|{states[1]}", ""), strict=False):
        observed[tip] = text
        shares[tip] = np.full(count, 1 / count)
    trait = TraitStates(
        name="habitat",
        states=tuple(states),
        observed=Texts(observed),
        probabilities=shares,
        model="er",
        log_likelihood=-1.5,
        rates=((f"q({states[0]},{states[1]})", 0.5, 0.25, 1.0, "ML"),),
        count=1,
        root_prior=("flat", np.full(count, 1 / count)),
        tips_used=len(tips),
        flags=("many_parameters",),
    )
    return StateFindings(phylogeny, (trait,), None, "made up")
