"""Models of states as tables: which transitions share a rate."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from hxcli.errors import InputError, OptionError
from hxcli.formats.tables.rate_tables import read_rate_table
from hxcli.models.rate_patterns import PATTERNS, pattern_of_table, rate_pattern
from hxcli.models.state_listing import state_model_lines, state_model_text

STATES = ("a", "b", "c")


@pytest.mark.parametrize(("name", "count"), [("er", 1), ("sym", 3), ("ard", 6), ("f81", 3), ("ordered", 2)])
def test_every_model_has_its_number_of_rates(name: str, count: int) -> None:
    pattern = rate_pattern(name, STATES)
    assert pattern.count == count
    rates = pattern.rates(np.arange(1.0, count + 1)[None])[0]
    np.testing.assert_allclose(rates.sum(1), 0)
    assert all(rates[a, b] > 0 for a in range(3) for b in range(3) if a != b and name != "ordered")


def test_f81_forgets_where_a_change_began_and_sym_does_not_care() -> None:
    f81 = rate_pattern("f81", STATES).rates(np.array([[1.0, 2.0, 3.0]]))[0]
    assert f81[0, 2] == f81[1, 2]
    sym = rate_pattern("sym", STATES).rates(np.array([[1.0, 2.0, 3.0]]))[0]
    np.testing.assert_array_equal(sym, sym.T)


def test_equal_cells_of_a_table_are_one_rate_and_0_is_never() -> None:
    pattern = pattern_of_table("mine", STATES, [["", "gain", "0"], ["loss", "", "gain"], ["0", "loss", ""]])
    assert pattern.labels == ("q(a,b)", "q(b,a)")
    assert dict(pattern.transitions) == {"q(a,b)": 0, "q(b,a)": 1, "q(b,c)": 0, "q(c,b)": 1}


def test_hidden_classes_have_rates_of_their_own_and_one_for_every_change_of_class() -> None:
    pattern = rate_pattern("er", STATES).hidden(2)
    assert pattern.states == ("a.1", "b.1", "c.1", "a.2", "b.2", "c.2")
    assert pattern.count == 4
    rates = pattern.rates(np.array([[1.0, 10.0, 0.1, 0.2]]))[0]
    assert rates[0, 1] == 1
    assert rates[3, 4] == 10
    assert rates[0, 3] == 0.1
    assert rates[0, 4] == 0


def test_slopes_follow_the_rates() -> None:
    pattern = rate_pattern("f81", STATES)
    by_cells = np.random.default_rng(0).normal(size=(1, 3, 3))
    for place in range(3):
        step = np.eye(3)[place][None]
        moved = pattern.rates(step) - pattern.rates(0 * step)
        slopes = pattern.slopes(by_cells, np.ones((1, pattern.count)))
        assert slopes[0, place] == pytest.approx((by_cells * moved).sum())


def test_an_unknown_model_is_refused_with_the_closest_name() -> None:
    with pytest.raises(OptionError, match="use ard, or one of er"):
        rate_pattern("adr", STATES)


@pytest.mark.parametrize("name", PATTERNS)
def test_the_table_that_is_shown_is_the_model_and_can_be_read(name: str, tmp_path: Path) -> None:
    text = state_model_text(name)
    (tmp_path / "mine.csv").write_text(text)
    states, cells = read_rate_table(str(tmp_path / "mine.csv"))
    mine, built_in = pattern_of_table("mine.csv", states, cells), rate_pattern(name, STATES)
    np.testing.assert_array_equal(mine.cells, built_in.cells)
    assert all(label in text for label in built_in.labels)
    assert "source: " in text
    # The number of rates that is listed is that of the pattern.
    listed = state_model_lines()
    count = next(below for line, below in pairwise(listed) if line.startswith(f"{name} ")).partition(": ")[2]
    assert {"1": 1, "s": 3, "s - 1": 2, "s (s - 1)": 6, "s (s - 1) / 2": 3}[count] == built_in.count


def test_a_mistake_below_remarks_has_its_line(tmp_path: Path) -> None:
    (tmp_path / "wrong.csv").write_text("# a remark\n# another\n,a,b\na,0,x\nb,y\n")
    with pytest.raises(InputError, match="line 5: 1 cell for 2 states"):
        read_rate_table(str(tmp_path / "wrong.csv"))
