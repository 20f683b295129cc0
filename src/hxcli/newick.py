"""Newick as trees to sweep over, and back: `from_newick` and `to_newick`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO

import jax
import numpy as np

from hxcli.engine.schema import FieldSpec, Schema, SpecLike
from hxcli.engine.static_topology import register_topology
from hxcli.engine.topology import Topology
from hxcli.engine.tree import Tree
from hxcli.errors import InputError, SchemaMismatch
from hxcli.formats.source import checked_source
from hxcli.formats.trees.newick_text import newick_nesting, number_texts, plain_texts, unless_null, write_nested
from hxcli.formats.trees.read import read_trees
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.text_columns import Texts


@dataclass(frozen=True, eq=False, repr=False)
class LabelledTopology(Topology):
    """A topology with what the file says about its nodes; equal only to one with the same labels.

    The labels are constants of a program that is traced with them. `tree.framed()` leaves them behind, and a sweep that
    is called directly never sees them.

    Attributes:
        names: (N,) labels or support values; "" for none.
        lengths: (N,) edge lengths in double precision; nan where the file gives none.
    """

    names: tuple[str, ...]
    lengths: FloatArray

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, LabelledTopology)
            and np.array_equal(self.parents, other.parents)
            and self.names == other.names
        )

    __hash__ = Topology.__hash__


register_topology(LabelledTopology)


def from_newick(source: str | os.PathLike[str], *, schema: Schema | Mapping[str, SpecLike] | None = None) -> Tree:
    """A tree from Newick, with the field `edge_length`; the labels are `tree.topology.names`.

    Read as strictly as by `hx`: comments, quotes and support values mean what they mean there. Lengths are in JAX's
    default precision.

    Args:
        source: Newick text, with a bracket or a `;` in it, or the path of a file with one tree.
        schema: Further fields, made of zeros.

    Returns:
        A tree on a `LabelledTopology`. An edge without a length has nan, so that no result hides it; the root has 0.

    Raises:
        InputError: Not one sound tree; line and column say where. A length that is too large for the precision.
        SchemaMismatch: The schema has a field `edge_length` with another shape.
    """
    text = isinstance(source, str) and (not source.strip() or any(mark in source for mark in "(;"))
    found = read_trees(checked_source("Newick text", str(source).encode()) if text else source)
    if len(found.phylogenies) > 1:
        raise InputError(f"{len(found.phylogenies)} trees", "give one tree", file=found.file)
    phylogeny = found.phylogenies[0]
    shape, lengths = phylogeny.topology, phylogeny.edge_lengths
    largest = np.nanmax(lengths, initial=0.0)
    if largest > np.finfo(FieldSpec().dtype).max:
        advice = 'jax.config.update("jax_enable_x64", True)'
        raise InputError(f"edge length {largest} is too large for {FieldSpec().dtype}", advice, file=found.file)
    topology = LabelledTopology(shape.parents, shape.node_depths, tuple(plain_texts(phylogeny).to_list()), lengths)
    specs = dict(schema if isinstance(schema, Schema) else Schema.from_dict(schema or {}))
    tree = Tree.empty(topology, {"edge_length": (), **specs})
    return tree.set(edge_length=_at_root(lengths, 0.0))


def to_newick(tree: Tree, *, names: Sequence[str] | None = None) -> str:
    """A tree with a field `edge_length` as Newick, without a line end.

    Every length is the shortest text that reads back as the number in the field, or the file's own number where the
    field still holds it in a lower precision. Labels are in quotes where Newick needs that.

    Args:
        tree: The tree, not framed.
        names: (N,) labels in the place of those of `from_newick`; "" for none.

    Raises:
        SchemaMismatch: There is no such field, or not one name a node; a framed tree.
    """
    topology = tree.topology
    if not isinstance(topology, Topology):
        raise SchemaMismatch("a framed tree has no labels and more nodes than the tree: write the tree it was made of")
    if "edge_length" not in tree.schema or tree.schema["edge_length"].shape:
        raise SchemaMismatch(
            "to_newick writes the field 'edge_length', one number a node, and the tree has "
            f"{tree!r}: add it with tree.update(edge_length=...)"
        )
    if names is None:
        names = topology.names if isinstance(topology, LabelledTopology) else ("",) * topology.size
    if len(names) != topology.size:
        raise SchemaMismatch(f"expected one name for each of {topology.size} nodes, got {len(names)}")
    lengths = number_texts(_digits(np.asarray(jax.device_get(tree.data["edge_length"])), topology))
    lengths = lengths.str.strip_suffix(".0")
    bare = Phylogeny(topology, np.full(topology.size, np.nan), Texts(list(names)), Texts.blank(topology.size))
    stream = BytesIO()
    write_nested(stream, newick_nesting(bare), lambda nodes: unless_null(":", lengths.gather(nodes)))
    return stream.getvalue().decode()


def _digits(held: FloatArray, topology: Topology) -> FloatArray:
    """(N,) the lengths in double precision: the file's where they round to those held; no length of 0 at the root."""
    # Through its shortest text, because a number of single precision has digits in double precision that nobody gave.
    exact = held if held.dtype == np.float64 else np.array([float(str(value)) for value in held.ravel()])
    missing = _at_root(exact, np.nan) if exact[0] == 0 else exact.copy()
    if not isinstance(topology, LabelledTopology):
        return missing
    given = topology.lengths
    with np.errstate(over="ignore"):
        same = held == _at_root(given, 0.0).astype(held.dtype)
    return np.where(same, given, missing)


def _at_root(lengths: FloatArray, value: float) -> FloatArray:
    """The lengths; where the root has none, or 0, it has this value."""
    changed = lengths.copy()
    if np.isnan(changed[0]) or changed[0] == 0:
        changed[0] = value
    return changed
