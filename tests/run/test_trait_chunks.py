"""Traits in chunks: the same numbers as all at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hxcli.analyses import ANALYSES, load
from hxcli.formats.trees.read import read_trees
from hxcli.reconstruction import Reconstruction
from hxcli.run.trait_chunks import default_chunk, in_chunks
from hxcli.traits import Observations

DATA = Path(__file__).resolve().parents[2] / "data"
MATRICES = ("observed", "estimates", "standard_errors", "lower", "upper")
TRAITS = 7


@pytest.fixture(scope="module")
def given() -> tuple[Any, Observations]:
    phylogeny = read_trees(DATA / "primates.nwk").phylogenies[0]
    rng = np.random.default_rng(1)
    values = rng.normal(size=(len(phylogeny.tips), TRAITS)) * 10.0 ** np.arange(TRAITS)
    values[rng.random(values.shape) < 0.2] = np.nan
    values[:, 3] = np.nan
    names = tuple(f"x{i}" for i in range(TRAITS))
    return phylogeny, Observations(phylogeny.tips, values, np.zeros(values.shape), names)


def assert_same(found: Reconstruction, expected: Reconstruction) -> None:
    for name in MATRICES:
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-12, atol=0, equal_nan=True)
    assert list(found.columns) == list(expected.columns)
    for name, values in expected.columns.items():
        np.testing.assert_allclose(found.columns[name], values, rtol=1e-12, equal_nan=True)
    assert found.traits == expected.traits
    assert found.tips_used == expected.tips_used
    assert found.warnings == expected.warnings
    assert (found.method, found.level, found.interval) == (expected.method, expected.level, expected.interval)
    assert list(found.parameters) == list(expected.parameters)
    for trait, figures in expected.parameters.items():
        assert list(found.parameters[trait]) == list(figures)
        for name, figure in figures.items():
            assert found.parameters[trait][name].how == figure.how
            assert found.parameters[trait][name].value == pytest.approx(figure.value, rel=1e-12, nan_ok=True)


@pytest.mark.parametrize("name", [name for name, about in ANALYSES.items() if about.by_trait])
@pytest.mark.parametrize(("chunk", "multiple"), [(1, 1), (3, 1), (4, 4), (6, 1), (100, 8)])
def test_chunks_change_no_number(given: tuple[Any, Observations], name: str, chunk: int, multiple: int) -> None:
    phylogeny, observations = given
    model = load(name)
    assert_same(in_chunks(model, phylogeny, observations, chunk, multiple=multiple), model(phylogeny, observations))


def test_every_chunk_has_the_same_number_of_traits(given: tuple[Any, Observations]) -> None:
    phylogeny, observations = given
    widths, said = [], []
    model = load("mean")

    def watched(phylogeny: Any, part: Observations) -> Reconstruction:
        widths.append(part.values.shape[1])
        return model(phylogeny, part, weights="local")

    found = in_chunks(watched, phylogeny, observations, 3, progress=lambda *done: said.append(done))
    assert widths == [3, 3, 3]
    assert said == [(3, 7), (6, 7), (7, 7)]
    assert found.estimates.shape == (phylogeny.topology.size, TRAITS)


def test_the_larger_the_tree_the_fewer_traits() -> None:
    assert default_chunk(3) > default_chunk(3000) > 50
    assert default_chunk(2_000_000) == 1
    assert default_chunk(2_000_000, devices=4) == 4
