"""Traits together as a user asks for them: what is written, in whatever order the files are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

TREE = "(((A:1,B:1)x:0.5,C:1.5)y:0.5,(D:0.7,(E:0,F:1)z:0.4)w:1)r;"
TURNED = "(((F:1,E:0)z:0.4,D:0.7)w:1,(C:1.5,(B:1,A:1)x:0.5)y:0.5)r;"
ROWS = ["name,u,v", "A,1,4", "A,1.3,4.4", "B,2,", "B,2.2,3", "C,3.1,1.5", "D,0.5,2", "F,2.6,1.9", "F,2.2,", "E,1.9,2"]


@pytest.mark.slow
def test_all_that_a_posterior_tells_has_the_same_bytes_in_another_order(hx: Callable[..., Any], here: Path) -> None:
    pytest.importorskip("numpyro")
    (here / "pairs.csv").write_text("a,b\nx,w\n")
    tables = []
    for name, tree, rows in (("one", TREE, ROWS), ("other", TURNED, [ROWS[0], *ROWS[:0:-1]])):
        (here / "t.nwk").write_text(tree)
        (here / "t.csv").write_text("\n".join(rows) + "\n")
        done = hx(
            *(
                "posterior",
                "t.nwk",
                "t.csv",
                "--together",
                "--phenotypic",
                "--model",
                "lambda",
                "--loo",
                "--draws",
                "5",
            ),
            *("--pairs", "pairs.csv", "--chains", "1", "--samples", "100", "-o", name),
        )
        assert done.code == 0
        # So short a run is not to be trusted, which is said.
        assert "the sampler has not converged" in done.err
        loo = pl.read_csv(f"{name}.loo.csv").sort("trait", "node", "observed")
        states = pl.read_csv(f"{name}.csv", columns=["node", "trait", "estimate", "se"]).sort("trait", "node")
        draws = pl.read_parquet(f"{name}.draws.parquet")
        tables.append([loo, states, draws.select(sorted(draws.columns))])
        tables[-1] += [pl.read_csv(f"{name}.{kind}.csv") for kind in ("covariance", "within", "params", "pairs")]
    for mine, other in zip(*tables, strict=True):
        assert mine.equals(other)
    # One row for every row of the table, and of the parameter that both traits share one for each.
    assert len(tables[0][0]) == 16
    params = tables[0][5].filter(pl.col("parameter") == "lambda")
    assert params["prior"].to_list() == ["uniform(0,1)"] * 2
    assert "lambda" in tables[0][2].columns
    assert tables[0][6]["node_a"].to_list() == ["x", "x"]


@pytest.mark.slow
def test_many_trees_have_a_covariance_each(hx: Callable[..., Any], here: Path) -> None:
    (here / "two.nwk").write_text(f"{TREE}\n{TREE.replace('1.5', '2.5')}\n")
    rows = [row for row in ROWS if row not in ("A,1.3,4.4", "B,2.2,3", "F,2.2,")]
    (here / "t.csv").write_text("\n".join(rows) + "\n")
    assert hx("ancestral", "--all-trees", "two.nwk", "t.csv", "--together", "-o", "both").code == 0
    told = pl.read_csv("both.trees.csv").filter(pl.col("parameter") == "covariance(v)", pl.col("trait") == "u")
    for tree in (1, 2):
        assert hx("ancestral", "two.nwk", "t.csv", "--together", "--tree-index", str(tree), "-o", "one").code == 0
        alone = pl.read_csv("one.covariance.csv").filter(pl.col("trait_a") == "u", pl.col("trait_b") == "v")
        np.testing.assert_allclose(told["value"][tree - 1], alone["covariance"][0], rtol=1e-9)
