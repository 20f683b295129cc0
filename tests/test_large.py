"""Large trees, from files to files, beside a linear-time oracle in plain numpy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from hxcli.run.inputs import InputOptions
from hxcli.run.perform import Job, perform
from tests.reference import brownian, children_of, gaussian, random_binary


def caterpillar(tips: int) -> Any:
    return np.maximum((np.arange(2 * tips - 1) - 1) // 2 * 2, 0)


def newick(parents: Any, lengths: Any) -> str:
    """The tree with node i named `i<i>`."""
    children, text = children_of(parents.tolist()), []
    # A node is met when it opens and, as its complement, when it closes.
    stack = [0]
    while stack:
        node = stack.pop()
        name = f"i{node if node >= 0 else ~node}:{lengths[node if node >= 0 else ~node]!r}"
        if node < 0:
            text += [")", name, ","]
        elif children[node]:
            # The comma behind the last child is not one.
            text.append("(")
            stack += [~node, *reversed(children[node])]
        else:
            text += [name, ","]
    return "".join(text).replace(",)", ")").rstrip(",") + ";\n"


def check(folder: Path, parents: Any) -> None:
    rng = np.random.default_rng(7)
    lengths = rng.uniform(0.1, 2.0, len(parents)).round(6)
    values = rng.normal(size=len(parents)).round(6) * 100
    tips = np.setdiff1d(np.arange(len(parents)), parents)
    (folder / "tree.nwk").write_text(newick(parents, lengths.tolist()))
    rows = pl.DataFrame({"name": [f"i{tip}" for tip in tips.tolist()], "x": values[tips]})
    rows.sample(fraction=1.0, shuffle=True, seed=1).write_csv(folder / "traits.csv")
    products = {"table": str(folder / "out.parquet"), "record": str(folder / "out.json")}
    perform(Job("ancestral", InputOptions(str(folder / "tree.nwk"), str(folder / "traits.csv")), products))

    found = pl.read_parquet(products["table"])
    node = found["node"].str.slice(1).cast(pl.Int64).to_numpy()
    above = found["parent"].fill_null("i0").str.slice(1).cast(pl.Int64).to_numpy()
    assert np.array_equal(above, parents[node])
    means, variances, rate = brownian(parents, lengths, values)
    scale = np.abs(means).max()
    np.testing.assert_allclose(found["estimate"], means[node], rtol=1e-9, atol=1e-9 * scale)
    np.testing.assert_allclose(found["se"], np.sqrt(variances * rate)[node], rtol=1e-9)
    result = json.loads(Path(products["record"]).read_text())["results"][0]["traits"][0]
    assert result["parameters"]["sigma2"]["value"] == pytest.approx(rate, rel=1e-9)


def test_the_oracle_is_that_of_dense_algebra() -> None:
    parents = random_binary(12, seed=3)
    rng = np.random.default_rng(0)
    lengths, values = rng.uniform(0.1, 2.0, len(parents)), rng.normal(size=len(parents))
    tips = np.setdiff1d(np.arange(len(parents)), parents)
    means, variances, _ = brownian(parents, lengths, values)
    # A flat root as the limit of a wide one.
    _, dense_means, dense_variances = gaussian(parents.tolist(), tips, lengths, values[tips], 1e6, 0.0)
    np.testing.assert_allclose(means, dense_means, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(variances, dense_variances, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "parents",
    [
        pytest.param(random_binary(100_000, seed=1), id="random", marks=pytest.mark.slow),
        pytest.param(caterpillar(10_000), id="caterpillar"),
        pytest.param(np.zeros(50_001, int), id="star"),
    ],
)
def test_a_hundred_thousand_tips(tmp_path: Path, parents: Any) -> None:
    check(tmp_path, parents)


@pytest.mark.slow
def test_a_million_tips(tmp_path: Path) -> None:
    check(tmp_path, random_binary(1_000_000, seed=2))
