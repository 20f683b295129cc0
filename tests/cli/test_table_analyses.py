"""The commands whose answer is tables: their files, what they say, and the picture of a regression."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import Result

TREE = "(((A:1,B:1):1,C:2):1,((D:1,E:1):1,(F:1,G:0.5):1):1);\n"
TABLE = """name,y,x,diet
A,1.5,10,leaf
B,2.5,20,seed
C,3.5,24,leaf
D,5.5,40,seed
E,,35,leaf
F,4.0,28,seed
G,3.1,,leaf
"""


def test_signal_and_contrasts(here: Path, hx: Callable[..., Result]) -> None:
    (here / "tree.nwk").write_text(TREE)
    (here / "traits.csv").write_text(TABLE)
    done = hx("signal", "tree.nwk", "traits.csv", "--permutations", "19", "-o", "out")
    assert done.code == 0
    header, *rows = (here / "out.signal.csv").read_text().splitlines()
    assert header == (
        "trait,n,k_statistic,k_p,k_one_p,lambda,lambda_lower,lambda_upper,log_likelihood,log_likelihood_zero,lambda_p"
    )
    assert [row.split(",")[:2] for row in rows] == [["y", "6"], ["x", "6"]]
    record = json.loads((here / "out.json").read_text())
    assert record["results"][0]["traits"][0]["k_p"] > 0
    # The same numbers again, whatever else is asked.
    again = hx("signal", "tree.nwk", "traits.csv", "--permutations", "19", "--column", "y", "--out-signal", "-", "-q")
    assert again.out.splitlines()[1] == rows[0]
    done = hx("contrasts", "tree.nwk", "traits.csv", "--out-contrasts", "-", "--column", "y", "-q")
    header, *rows = done.out.splitlines()
    assert header.startswith("node,parent,tip_a,tip_b,n_tips,trait,children,contrast,standard_deviation,sum_of_squares")
    assert len(rows) == 5


def test_regression_and_its_picture(here: Path, hx: Callable[..., Result]) -> None:
    (here / "tree.nwk").write_text(TREE)
    (here / "traits.csv").write_text(TABLE)
    done = hx("regress", "tree.nwk", "traits.csv", "y ~ x", "-o", "out", "--plot", "line.svg")
    assert done.code == 0
    assert "1 row left out, because a predictor is missing: 'G'" in done.err
    assert (here / "out.coefficients.csv").read_text().startswith("term,estimate,se,t,df,p,lower,upper\nIntercept,")
    whole = (here / "out.regression.csv").read_text()
    assert whole.startswith("formula,model,n,k,sigma2,log_likelihood,aic,aicc,r_squared\ny ~ x,bm,5,3,")
    rest = [line.split(",") for line in (here / "out.residuals.csv").read_text().splitlines()]
    assert [row[0] for row in rest if row[5] and row[0] != "tip"] == ["E"]
    picture = (here / "line.svg").read_text()
    assert ">y<" in picture
    assert ">x<" in picture
    assert not (here / "out.comparison.csv").exists()
