"""Programs that are kept between processes: the same results, found again where nothing they depend on has changed."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hxcli.engine import program as programs
from hxcli.engine.program import forget_programs, kept_by, program
from hxcli.engine.topology import from_parents
from hxcli.engine.tree import Tree

traced = []


class Pair(NamedTuple):
    total: jax.Array
    rest: dict[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class Choice:
    power: int
    name: str = ""


@program(static_argnums=1, static_argnames="times")
def powers(values, choice, times=1):
    traced.append(choice)
    return Pair(jnp.sum(values["x"] ** choice.power), {"times": values["y"] * times})


@program()
def drawn(key, scale):
    return scale * jax.random.normal(key, (3,))


@program()
def of_tree(tree):
    traced.append("tree")
    return tree.set(x=tree["x"] * 2)


class Shelf:
    """A keeper in memory."""

    def __init__(self):
        self.held = {}

    def get(self, name):
        return self.held.get(name)

    def put(self, name, data):
        self.held[name] = data


@pytest.fixture
def shelf(monkeypatch):
    # The functions of a test are as good as those of the package, whose place is known.
    monkeypatch.setattr(programs, "_PACKAGES", (*programs._PACKAGES, __name__.partition(".")[0]))
    forget_programs()
    traced.clear()
    with jax.enable_x64(True), kept_by(found := Shelf(), jax.devices()[0]):
        yield found


VALUES = {"x": np.arange(4.0), "y": np.array([0.1, 0.2])}


def anew(function, *arguments, **named):
    """What another process would find; the call, and how often it traced."""
    forget_programs()
    traced.clear()
    return function(*arguments, **named), len(traced)


def test_a_program_that_was_kept_is_not_traced_again_and_gives_the_same(shelf):
    first, count = anew(powers, VALUES, Choice(3), times=2)
    assert count > 0
    second, count = anew(powers, VALUES, Choice(3), times=2)
    assert count == 0
    plain = powers._jitted(VALUES, Choice(3), times=2)
    for found in (first, second):
        assert isinstance(found, Pair)
        jax.tree.map(np.testing.assert_array_equal, found, plain)
    np.testing.assert_allclose(second.total, 36)


def test_a_static_argument_may_be_given_by_place_or_by_name(shelf):
    by_name, _ = anew(powers, VALUES, choice=Choice(3), times=2)
    by_place, count = anew(powers, VALUES, Choice(3), 2)
    assert count > 0
    assert len(shelf.held) == 2
    jax.tree.map(np.testing.assert_array_equal, by_name, by_place)


@pytest.mark.parametrize(
    ("values", "choice", "named"),
    [
        (VALUES, Choice(2), {"times": 2}),
        (VALUES, Choice(3, "other"), {"times": 2}),
        (VALUES, Choice(3), {"times": 3}),
        (VALUES, Choice(3), {}),
        ({**VALUES, "x": np.arange(5.0)}, Choice(3), {"times": 2}),
        ({**VALUES, "x": np.arange(4)}, Choice(3), {"times": 2}),
        ({**VALUES, "x": np.arange(4, dtype=np.float32)}, Choice(3), {"times": 2}),
        ({**VALUES, "x": 3.0}, Choice(3), {"times": 2}),
        ({**VALUES, "z": 1.0}, Choice(3), {"times": 2}),
    ],
)
def test_whatever_differs_is_another_program(shelf, values, choice, named):
    powers(VALUES, Choice(3), times=2)
    found, count = anew(powers, values, choice, **named)
    assert count > 0
    np.testing.assert_allclose(found.total, np.sum(np.asarray(values["x"], float) ** choice.power))
    np.testing.assert_allclose(found.rest["times"], values["y"] * named.get("times", 1))


def test_other_sources_or_settings_make_other_programs(shelf, monkeypatch):
    device = jax.devices()[0]
    powers(VALUES, Choice(3))
    with monkeypatch.context() as patch:
        patch.setattr(programs, "_sources", lambda: "another text")
        with kept_by(shelf, device):
            assert anew(powers, VALUES, Choice(3))[1] > 0
    with jax.numpy_dtype_promotion("strict"), kept_by(shelf, device):
        assert anew(powers, VALUES, Choice(3))[1] > 0
    with kept_by(shelf, device):
        assert anew(powers, VALUES, Choice(3))[1] == 0


def test_trees_of_one_size_class_share_a_kept_program(shelf):
    def framed(parents):
        return Tree.from_data(from_parents(parents), {"x": np.arange(float(len(parents)))}).framed()

    first, _ = anew(of_tree, framed([0, 0, 0, 1, 1]))
    second, count = anew(of_tree, framed([0, 0, 0, 2, 2]))
    assert count == 0
    np.testing.assert_array_equal(first["x"][:5], 2 * np.arange(5.0))
    np.testing.assert_array_equal(second["x"][:5], 2 * np.arange(5.0))
    np.testing.assert_array_equal(second.topology.schedule.has_children[:5], [True, False, True, False, False])


def test_a_tree_of_fixed_shape_is_left_to_jit(shelf):
    tree = Tree.from_data(from_parents([0, 0, 0]), {"x": np.arange(3.0)})
    np.testing.assert_array_equal(of_tree(tree)["x"], 2 * np.arange(3.0))
    assert not shelf.held


def test_a_key_of_random_numbers_is_left_to_jit(shelf):
    np.testing.assert_array_equal(drawn(jax.random.key(1), 2.0), 2 * jax.random.normal(jax.random.key(1), (3,)))
    assert not shelf.held


def test_transformations_see_through_a_program(shelf):
    slopes = jax.grad(lambda x: powers({"x": x, "y": x}, Choice(3)).total)(jnp.arange(3.0))
    np.testing.assert_allclose(slopes, 3 * np.arange(3.0) ** 2)
    columns = jax.vmap(lambda x: powers({"x": x, "y": x}, Choice(2)).total)(jnp.ones((2, 3)))
    np.testing.assert_allclose(columns, [3, 3])
    assert not shelf.held


def test_what_no_other_process_could_find_is_left_to_jit(shelf):
    @program(static_argnums=1)
    def inner(x, scale):
        return x * scale

    np.testing.assert_allclose(inner(np.ones(2), 3.0), [3, 3])
    found = powers(VALUES, type("Made", (), {"power": 3}))
    np.testing.assert_allclose(found.total, 36)
    assert not shelf.held


def test_a_damaged_program_is_made_again(shelf):
    powers(VALUES, Choice(3))
    (name,) = shelf.held
    whole = shelf.held[name]
    middle = len(whole) // 2
    changed = whole[:middle] + bytes([whole[middle] ^ 0xFF]) + whole[middle + 1 :]
    for damaged in (b"", whole[:-5], changed, b"nothing"):
        shelf.held[name] = damaged
        found, count = anew(powers, VALUES, Choice(3))
        np.testing.assert_allclose(found.total, 36)
        assert count > 0
        assert anew(powers, VALUES, Choice(3))[1] == 0


@pytest.mark.slow
def test_a_kept_program_that_calls_lapack_runs_in_a_process_that_has_lowered_none(tmp_path):
    command = [sys.executable, "-m", "tests.engine.kept_program", str(tmp_path)]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n") for _ in range(2)]
    assert runs[0][0] == "traced"
    assert runs[1][0] == runs[0][-2] == "[[2.0, 0.0], [1.0, 2.0]]"


def test_an_error_of_the_function_is_its_own(shelf):
    with pytest.raises(KeyError, match="y"):
        powers({"x": np.ones(2)}, Choice(1))


def test_nothing_is_kept_while_looking_for_nan(shelf):
    with jax.debug_nans(True), kept_by(other := Shelf(), jax.devices()[0]):
        assert float(powers(VALUES, Choice(3)).total) == 36
    assert not other.held


def test_without_a_place_it_is_jit():
    traced.clear()
    forget_programs()
    for _ in range(2):
        np.testing.assert_allclose(powers({"x": np.arange(4.0), "y": 0.5}, Choice(2)).total, 14)
    assert not powers._found
