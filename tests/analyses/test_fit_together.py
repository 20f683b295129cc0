"""Models of traits together, compared: against the analyses of one model each, and their own formulas."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest

from hxcli.analyses.together.ancestral import ancestral_together
from hxcli.analyses.together.fit import fit_together
from hxcli.errors import OptionError
from tests.analyses.test_under_file import BROWNIAN, CHASE, ROOT, read


@pytest.fixture(autouse=True)
def _precise() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


@pytest.mark.slow
def test_models_of_traits_together_are_compared_by_one_kind_of_likelihood(tmp_path: Path) -> None:
    phylogeny, seen = read(tmp_path)
    (tmp_path / "walk.py").write_text(BROWNIAN)
    (tmp_path / "chase.py").write_text(CHASE + ROOT)
    files = tuple(str(tmp_path / name) for name in ("walk.py", "chase.py"))
    found = fit_together(phylogeny, seen, models=(*files, "ou", "bm", "lambda"))
    table = found.tables["fits table"]
    rows = dict(zip(table["model"], range(5), strict=True))
    assert set(table["trait"]) == {"u+v"}
    assert rows.keys() == {"walk", "chase", "bm", "lambda", "ou"}
    cells = int((~np.isnan(seen.values)).sum())
    assert set(table["n"]) == {cells}
    # Variances and the correlation, roots, and what each has besides.
    assert {name: table["k"][row] for name, row in rows.items()} == {
        "walk": 5, "chase": 8, "bm": 5, "lambda": 6, "ou": 6
    }  # fmt: skip
    for name in ("bm", "lambda", "ou"):
        alone = ancestral_together(phylogeny, seen, model=name, estimator="ML")
        np.testing.assert_allclose(table["log_likelihood"][rows[name]], alone.about_all["log_likelihood"], atol=1e-9)
    np.testing.assert_allclose(*(table["log_likelihood"][rows[name]] for name in ("walk", "bm")), atol=1e-6)
    k, heights = np.array(table["k"]), np.array(table["log_likelihood"])
    np.testing.assert_allclose(table["aicc"], 2 * k - 2 * heights + 2 * k * (k + 1) / (cells - k - 1))
    weights = np.exp(-(np.array(table["aicc"]) - min(table["aicc"])) / 2)
    np.testing.assert_allclose(table["weight"], weights / weights.sum(), rtol=1e-6)
    assert table["delta_aicc"] == sorted(table["delta_aicc"])
    # What is the same in both forms has the same interval.
    parameters = found.tables["parameter table"]
    of = {pair: place for place, pair in enumerate(zip(parameters["model"], parameters["parameter"], strict=True))}
    for column in ("value", "lower", "upper"):
        own, built_in = (parameters[column][of[key]] for key in (("walk", "r"), ("bm", "correlation(u,v)")))
        np.testing.assert_allclose(own, built_in, atol=1e-4)
    np.testing.assert_allclose(
        parameters["value"][of["walk", "sigma(1)"]] ** 2, parameters["value"][of["bm", "sigma2(u)"]], rtol=1e-4
    )


def test_models_of_single_traits_are_none_of_traits_together(tmp_path: Path) -> None:
    phylogeny, seen = read(tmp_path)
    with pytest.raises(OptionError, match="models of traits together are bm, lambda, ou and files"):
        fit_together(phylogeny, seen, models=("eb",))
    with pytest.raises(OptionError, match="--model bm is given twice"):
        fit_together(phylogeny, seen, models=("bm", "bm"))
    with pytest.raises(OptionError, match="--start is for models in files"):
        fit_together(phylogeny, seen, start={"alpha": 1.0})
