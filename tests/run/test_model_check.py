"""Draws of the prior, at which `hx check` looks at a model."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hxcli.engine.topology import from_parents
from hxcli.models import named_model
from hxcli.models.edge_fields import edge_fields
from hxcli.phylogeny import Phylogeny
from hxcli.run import model_check
from hxcli.text_columns import Texts

MODEL = """
from hxcli.model import Gaussian, fixed, log_normal, normal, param, uniform
def model(edge):
    a, b, c = log_normal("a", median=2, sd=0.5), normal("b", mean=1, sd=3, shape=(2,)), uniform("c", -1, 4)
    d, e = param("d", start=7.0), fixed("e", 1.0)
    return Gaussian(scale=c, shift=b.sum() + d, variance=a * edge.length * e)
"""


def test_draws_are_those_of_the_prior(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(MODEL)
    tree = Phylogeny(from_parents([0, 0, 0]), np.array([0.0, 1, 2]), Texts(("", "a", "b")), Texts(("",) * 3))
    bound = named_model(str(tmp_path / "mine.py")).on(edge_fields(tree))
    monkeypatch.setattr(model_check, "_DRAWS", 2000)
    drawn = model_check._prior_draws(bound.coordinates, bound.declarations)
    names = [each.name for each in bound.coordinates]
    assert names == ["a", "b(1)", "b(2)", "c", "d"]
    priors = [stats.lognorm(0.5, scale=2), stats.norm(1, 3), stats.norm(1, 3), stats.uniform(-1, 5)]
    for prior, own in zip(priors, drawn.T[:4], strict=True):
        assert stats.kstest(own, prior.cdf).pvalue > 1e-4
    assert abs(np.corrcoef(drawn.T)[1, 2]) < 0.1
    # Without a prior: around the start.
    assert drawn[:, 4].mean() == pytest.approx(7.0, abs=0.1)
