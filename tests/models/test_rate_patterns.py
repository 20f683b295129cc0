"""Models of states as tables: which transitions share a rate."""

from __future__ import annotations

import numpy as np
import pytest

from hxcli.errors import OptionError
from hxcli.models.rate_patterns import pattern_of_table, rate_pattern

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
        assert pattern.slopes(by_cells)[0, place] == pytest.approx((by_cells * moved).sum())


def test_an_unknown_model_is_refused_with_the_closest_name() -> None:
    with pytest.raises(OptionError, match="use ard, or one of er"):
        rate_pattern("adr", STATES)
