"""What a built-in model declares on another tree, found without tracing it, is what tracing finds."""

from __future__ import annotations

import numpy as np
import pytest

from hxcli.model import abstract_edge, discover, discovered_again
from hxcli.model.discovered_again import discover_again
from hxcli.models import GRID_MODELS, MODELS, named_model

OF_REGIMES = ("bms", "oum", "oumv", "ouma", "oumva")
# Those that `hx fit` compares: on a sample of trees, what is done with each tree counts.
USUAL = ("bm", "white", "ou", "eb", "lambda", "kappa", "delta")


def _edge(name, height, regimes=2):
    fields = {each: np.ones(4) for each in ("length", "start", "end")} | {"is_tip": np.ones(4, bool)}
    fields |= {"tree_height": height, "trait_low": 0.5, "trait_high": 2 + height, "trait_mean": 1.5, "trait_sd": 0.7}
    return abstract_edge(fields | ({"regime": np.ones((4, regimes))} if name in OF_REGIMES else {}))


@pytest.mark.parametrize("name", [*MODELS, *GRID_MODELS])
def test_as_tracing_finds_it(name):
    model = named_model(name).edge
    discover_again(model, _edge(name, 3.0))
    for regimes in (2, 3):
        edge = _edge(name, 7.25, regimes)
        again, traced = discover_again(model, edge), discover(model, edge)
        assert list(again.declarations) == list(traced.declarations)
        for one, other in zip(again.declarations.values(), traced.declarations.values(), strict=True):
            assert one.alike(other)
            assert one.site == other.site
        assert again.returned == traced.returned
        assert again.recorded == traced.recorded


@pytest.mark.parametrize("name", USUAL)
def test_without_tracing(name, monkeypatch):
    model = named_model(name).edge
    discover_again(model, _edge(name, 3.0))
    monkeypatch.setattr(discovered_again, "discover", None)
    assert discover_again(model, _edge(name, 5.0)).declarations
