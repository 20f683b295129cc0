"""A file's own rates on trees: one program for all trees of a size, and derivatives beside differences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hxcli.engine.topology import from_parents
from hxcli.models.edge_fields import edge_fields
from hxcli.models.file_rates import FileRates
from hxcli.models.model_file import load_model_file
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.text_columns import Texts
from tests.engine.compile_counts import compilations

FILE = """
import jax.numpy as jnp
import numpy as np
from hxcli.model import Rates, fixed, log_normal, normal

def model(edge):
    power = fixed("power", np.array([1.0, 2.0]))
    slow = log_normal("slow", median=0.5, sd=1)
    change = normal("change", sd=1, shape=(2,))
    up, down = slow * jnp.exp(change * {which})
    return Rates(jnp.array([[-up, up], [down, -down]]) * power.sum() / 3)
"""
BY_EDGE, SAME = "edge.end", "1.0"


def ladder_of(tips: int) -> tuple[Any, FloatArray]:
    """Parents and lengths of a ladder's nodes."""
    parents = np.array([0] + [2 * ((i - 1) // 2) for i in range(1, 2 * tips - 1)])
    return parents, np.concatenate([[0.0], np.linspace(0.1, 1, len(parents) - 1)])


def ends_of(tips: int) -> FloatArray:
    """Distances of the nodes from the root."""
    parents, lengths = ladder_of(tips)
    ends = np.zeros(len(parents))
    for node in range(1, len(parents)):
        ends[node] = ends[parents[node]] + lengths[node]
    return ends


def rates_of(here: Path, which: str, tips: int) -> FileRates:
    (here / "own.py").write_text(FILE.format(which=which))
    model = load_model_file(str(here / "own.py"))
    parents, lengths = ladder_of(tips)
    labels = Texts([f"t{i}" for i in range(len(parents))])
    tree = Phylogeny(from_parents(parents), lengths, labels, Texts.blank(len(parents)))
    return FileRates(model, edge_fields(tree), ("a", "b"), {}, {})


def values_of(count: int) -> FloatArray:
    random = np.random.default_rng(count)
    return np.column_stack([random.lognormal(size=count), random.normal(size=(count, 2))])


@pytest.mark.parametrize("which", [BY_EDGE, SAME])
def test_a_second_tree_of_a_size_compiles_nothing(tmp_path: Path, which: str) -> None:
    for tips in (5, 6):
        own = rates_of(tmp_path, which, tips)
        with compilations() as compiled:
            own.slopes(own.rates(values_of(3)), values_of(3))
        names = [name for name in compiled if "rates_at" in name or "slopes_at" in name]
        assert bool(names) == (tips == 5), names


@pytest.mark.parametrize("which", [BY_EDGE, SAME])
def test_rates_are_those_of_the_file_and_derivatives_those_of_differences(tmp_path: Path, which: str) -> None:
    own = rates_of(tmp_path, which, 4)
    assert own.labels == ("slow", "change(1)", "change(2)")
    assert own.by_edge == (which == BY_EDGE)
    # More than one program takes at a time.
    values = values_of(600)
    found = own.rates(values)
    speeds = values[:, :1, None] * np.exp(values[:, 1:, None] * (ends_of(4) if own.by_edge else np.ones(1)))
    up, down = speeds[:, 0], speeds[:, 1]
    expected = np.stack([np.stack([-up, up], -1), np.stack([down, -down], -1)], -2)
    np.testing.assert_allclose(found, expected if own.by_edge else expected[:, 0], rtol=1e-12)
    weights = np.random.default_rng(1).normal(size=found[:2].shape)
    slopes = own.slopes(weights, values[:2])
    for place in range(3):
        step = np.zeros((2, 3))
        step[:, place] = 1e-6
        ahead, behind = own.rates(values[:2] + step), own.rates(values[:2] - step)
        axes = tuple(range(1, found.ndim))
        np.testing.assert_allclose(slopes[:, place], ((ahead - behind) * weights).sum(axes) / 2e-6, rtol=1e-6)


def test_a_file_that_is_read_again_is_the_same_model_until_its_text_changes(tmp_path: Path) -> None:
    first, again = (rates_of(tmp_path, SAME, 3).model for _ in range(2))
    assert first is again
    other = rates_of(tmp_path, BY_EDGE, 3)
    assert other.model is not first
    assert other.by_edge
