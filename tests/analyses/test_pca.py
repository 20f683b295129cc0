"""Phylogenetic principal components: against their definitions by dense matrices."""

from __future__ import annotations

import io
from typing import Any

import jax
import numpy as np
import pytest

from hxcli.analyses.pca.pca import pca
from hxcli.errors import OptionError
from hxcli.traits import Observations
from tests.analyses.test_together import read
from tests.reference import shared_paths


@pytest.fixture(autouse=True)
def _precise() -> Any:
    with jax.enable_x64(True):
        yield


@pytest.mark.shared
@pytest.mark.parametrize("correlation", [False, True])
def test_components_of_complete_data_are_those_of_revell(correlation: bool) -> None:
    phylogeny, seen = read("together_pair25")
    found = pca(phylogeny, seen, correlation=correlation)
    paths = shared_paths(list(phylogeny.topology.parents), phylogeny.lengths)
    inverse = np.linalg.inv(paths[np.ix_(seen.nodes, seen.nodes)])
    root = inverse.sum(0) @ seen.values / inverse.sum()
    away = seen.values - root
    rate = away.T @ inverse @ away / (len(away) - 1)
    deviation = np.sqrt(np.diag(rate))
    scale = deviation if correlation else np.ones(2)
    values, vectors = np.linalg.eigh(rate / scale / scale[:, None])
    explained = found.tables["explained table"]
    np.testing.assert_allclose(explained["variance"], values[::-1], rtol=1e-10)
    np.testing.assert_allclose(explained["proportion"], values[::-1] / values.sum(), rtol=1e-10)
    scores = found.scores[seen.nodes]
    np.testing.assert_allclose(np.abs(scores), np.abs(away / scale @ vectors[:, ::-1]), rtol=1e-8, atol=1e-10)
    # Loadings are evolutionary correlations of traits with scores.
    loadings = away.T @ inverse @ scores / (len(away) - 1) / deviation[:, None] / np.sqrt(values[::-1])
    table = found.tables["loadings table"]
    np.testing.assert_allclose(np.c_[table["PC1"], table["PC2"]], loadings, rtol=1e-8, atol=1e-10)
    # Two traits have loadings of one size where correlations are taken: the first of the largest is positive.
    assert (loadings[np.abs(loadings).round(10).argmax(0), [0, 1]] > 0).all()
    np.testing.assert_allclose(found.scores[0], 0, atol=1e-12)
    assert found.tables["scores table"]["tip"] == list(phylogeny.tip_names)
    # An ancestor lies where its states are.
    weights = paths[np.ix_(range(len(paths)), seen.nodes)] @ inverse
    ancestors = weights @ away
    np.testing.assert_allclose(np.abs(found.scores), np.abs(ancestors / scale @ vectors[:, ::-1]), atol=1e-8)


@pytest.mark.shared
def test_the_picture_is_the_same_again() -> None:
    pytest.importorskip("matplotlib")
    from hxcli.pictures.ordination import write_svg

    phylogeny, seen = read("together_pair25")
    streams = [io.BytesIO(), io.BytesIO()]
    for stream in streams:
        write_svg(stream, pca(phylogeny, seen))
    assert streams[0].getvalue() == streams[1].getvalue()
    for word in (b"phylomorphospace", b"biplot", b"mass", b"t03"):
        assert word in streams[0].getvalue()


@pytest.mark.shared
def test_one_trait_has_no_components() -> None:
    phylogeny, seen = read("together_pair25")
    one = Observations(seen.nodes, seen.values[:, :1], seen.standard_errors[:, :1], seen.traits[:1])
    with pytest.raises(OptionError, match="one trait only"):
        pca(phylogeny, one)
