"""What the tests of the writers write: small trees, made-up reconstructions, random phylogenies."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from hxcli.engine.topology import from_parents
from hxcli.phylogeny import Phylogeny
from hxcli.reconstruction import Reconstruction
from hxcli.state_findings import StateFindings, TraitStates
from hxcli.text_columns import Texts
from hxcli.traits import Observations


def rendered(write: Callable[..., None], *parts: Any) -> bytes:
    stream = io.BytesIO()
    write(stream, *parts)
    return stream.getvalue()


def tree(parents: list[int], labels: list[str], lengths: list[float] | None = None, **more: Any) -> Phylogeny:
    size = len(parents)
    given_lengths = np.array(lengths if lengths is not None else [math.nan, *[1.0] * (size - 1)], float)
    support = Texts(more.pop("support", [""] * size))
    return Phylogeny(from_parents(parents), given_lengths, Texts(labels), support, **more)


def star(*tips: str, **more: Any) -> Phylogeny:
    return tree([0] * (len(tips) + 1), ["", *tips], **more)


def reconstruct(phylogeny: Phylogeny, traits: tuple[str, ...] = ("mass",), interval: str = "CI") -> Reconstruction:
    shape = (phylogeny.topology.size, len(traits))
    rng = np.random.default_rng(5)
    observed, estimates, errors, lower, upper = rng.normal(size=(5, *shape)) * 10.0 ** rng.integers(-9, 9, (5, *shape))
    tips = phylogeny.tips
    seen = Observations(tips, observed[tips], np.zeros((len(tips), len(traits))), traits)
    errors[-1], lower[-1] = np.nan, np.nan
    used, ends = (1,) * len(traits), (lower, upper)
    return Reconstruction(phylogeny, traits, seen, estimates, errors, 0.95, interval, {}, used, "test", given_ends=ends)


names = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn", "Zl", "Zp"]), min_size=1, max_size=10).filter(
    lambda name: name.strip() == name and not name.startswith("\ufeff")
)
lengths = st.floats(min_value=0, allow_nan=False, allow_infinity=False)


@st.composite
def phylogenies(draw: st.DrawFn) -> Phylogeny:
    steps = draw(st.lists(st.integers(0, 3), max_size=8))
    parents = [0]
    for step in steps:
        # Never less than the parent before, so that the numbers stay in breadth-first order.
        parents.append(min(parents[-1] + step, len(parents) - 1))
    children = set(parents[1:])
    labels = [""] * len(parents)
    tips = [node for node in range(len(parents)) if node not in children]
    for tip, name in zip(tips, draw(st.lists(names, min_size=len(tips), max_size=len(tips), unique=True)), strict=True):
        labels[tip] = name
    return tree(parents, labels, [draw(lengths) for _ in parents])


LANDS = ("land", "sea", "air")


def with_states(
    phylogeny: Phylogeny, numbers: Reconstruction | None = None, states: tuple[str, ...] = LANDS
) -> StateFindings:
    """Made-up findings about the trait `habitat`: the first tip may have two states, the last says nothing."""
    shares = np.random.default_rng(3).dirichlet(np.ones(len(states)), phylogeny.topology.size)
    texts = np.full(len(shares), "", object)
    tips = phylogeny.tips
    for number, tip in enumerate(tips[:-1]):
        texts[tip] = states[number % len(states)] if number else f"{states[0]}|{states[-1]}"
        if number:
            shares[tip] = np.eye(len(states))[number % len(states)]
    # The root is as probably the first as the second.
    shares[0] = 0
    shares[0, :2] = 0.5
    trait = TraitStates(
        "habitat", states, Texts(texts), shares, "er", -1.0, (), 1, ("flat", shares[0]), len(tips) - 1
    )  # fmt: skip
    return StateFindings(phylogeny, (trait,), numbers, "made up")
