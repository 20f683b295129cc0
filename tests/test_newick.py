"""Newick as trees to sweep over: what was read is written again, to the last digit, quote and name."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hxcli as hx

PLAIN = "(((A:1,B:1)H:0.5,(C:1,D:2)I:0.5)L:0.1,((E:1,F:1,G:1)J:0.5,K:0.5)M:0.1)N;"
HARD = "('it''s':0.1234567890123456,'a b':1e-07,(C:5e-324,D)99/0.5:12345678.9)'x:y':0;"


@pytest.mark.parametrize("text", [PLAIN, HARD, "(A:1,(B:1,C:1):1);", "(A:1,B:2)95:0.3;", "A:1.5;"])
@pytest.mark.parametrize("double", [True, False])
def test_what_is_read_is_written_again(text: str, double: bool) -> None:
    with jax.enable_x64(double):
        tree = hx.from_newick(text)
        assert hx.to_newick(tree) == text
        # Through a program, whose result has the labels of its own argument.
        renamed = hx.from_newick(text.replace("A", "Z").replace("a b", "b a"))
        same = jax.jit(lambda tree: tree.set(edge_length=tree.edge_length * 1))
        assert hx.to_newick(same(tree)) == text
        assert hx.to_newick(same(renamed)) == hx.to_newick(renamed)


def test_fields_and_names() -> None:
    tree = hx.from_newick("(A:0.5,(B:1.5,C)90:2)R;", schema={"value": (2,), "noise": ()})
    assert tree.topology.names == ("R", "A", "90", "B", "C")
    assert tree.topology.parents.tolist() == [0, 0, 0, 2, 2]
    np.testing.assert_array_equal(tree.edge_length, [0, 0.5, 2, 1.5, np.nan])
    assert tree.value.shape == (5, 2)
    assert hx.from_newick("(A:1,B:1);", schema=hx.Schema.from_dict({"x": ()})).schema.names == ("edge_length", "x")


def test_changed_lengths_are_written_as_they_are() -> None:
    tree = hx.from_newick("(A:0.1,B:0.3);")
    assert hx.to_newick(tree.set(edge_length=tree.edge_length * 3)) == "(A:0.30000000000000004,B:0.8999999999999999);"
    with jax.enable_x64(False):
        tree = hx.from_newick("(A:0.1,B:0.30000000000000004);")
        assert hx.to_newick(tree.at[1].set(edge_length=0.7)) == "(A:0.7,B:0.30000000000000004);"


def test_labels_tell_topologies_apart() -> None:
    one, other = (hx.from_newick(text) for text in ("(A:1,B:1);", "(A:1,C:1);"))
    assert one.topology == hx.from_newick("(A:2,B:2);").topology
    assert one.topology != other.topology
    assert one.topology != hx.from_parents([0, 0, 0])
    with pytest.raises(ValueError, match=r"tree\.topology"):
        jax.tree.map(jnp.add, one, other)


def test_a_sweep_runs_on_it() -> None:
    @hx.up(reads_children=("value",), writes=("value",))
    def total(node: object, children: hx.Tree, params: object) -> dict[str, jax.Array]:
        return {"value": children.value.sum(0)}

    tree = hx.from_newick("(A:1,B:1,C:1)R;", schema={"value": ()})
    swept = total(tree.at[tree.topology.is_leaf].set(value=jnp.array([10.0, 20.0, 30.0])))
    assert swept.value[0] == 60
    assert hx.to_newick(swept) == "(A:1,B:1,C:1)R;"


def test_a_file_and_names_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "tree.nwk").write_text(PLAIN)
    assert hx.to_newick(hx.from_newick(tmp_path / "tree.nwk")) == PLAIN
    assert hx.from_newick(str(tmp_path / "tree.nwk")) == hx.from_newick(PLAIN)
    bare = hx.Tree.empty(hx.Topology.from_parents([0, 0, 0]), {"edge_length": ()}).set(
        edge_length=np.array([0, 1, 2.5])
    )
    assert hx.to_newick(bare) == "(:1,:2.5);"
    assert hx.to_newick(bare, names=["", "A", "it's"]) == "(A:1,'it''s':2.5);"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(A:1,B:1", "never closed"),
        ("(A:1,A:1);", "duplicate tip name"),
        ("(A:1,B:x);", "line 1, column"),
        ("(A:1,B:1);(A:1,B:1);", "2 trees"),
        ("", "empty"),
        ("missing.nwk", "no such file"),
    ],
)
def test_what_is_no_sound_tree_is_refused(text: str, message: str) -> None:
    with pytest.raises(hx.InputError, match=message):
        hx.from_newick(text)


def test_refusals() -> None:
    with jax.enable_x64(False), pytest.raises(hx.InputError, match="1e\\+300 is too large for float32"):
        hx.from_newick("(A:1e300,B:1);")
    tree = hx.from_newick("(A:1,B:1);", schema={"value": ()})
    with pytest.raises(hx.SchemaMismatch, match="edge_length"):
        hx.to_newick(tree.drop("edge_length"))
    with pytest.raises(hx.SchemaMismatch, match="framed"):
        hx.to_newick(tree.framed())
    with pytest.raises(hx.SchemaMismatch, match="one name for each of 3 nodes, got 1"):
        hx.to_newick(tree, names=["A"])
