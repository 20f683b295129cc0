"""Reading for Python: trees and tables as records, from files, text, frames and other libraries' trees."""

from __future__ import annotations

from typing import Any

from hxcli.api.functions import asked
from hxcli.api.held_inputs import Holder, ReadTable
from hxcli.api.notes import tell
from hxcli.formats.source import held_files, read_source
from hxcli.formats.trees.read import TreeFile, pick_tree
from hxcli.phylogeny import Origin, Phylogeny, relabel
from hxcli.run.inputs import read_trait_table, read_tree_file


def read_tree(tree: Any, *, tree_index: int | None = None, max_size: str | int | None = None) -> Phylogeny:
    """One tree, checked as every command checks it.

    Args:
        tree: Path of a Newick, NEXUS, phyloXML or NeXML file, the text of one, or a tree of DendroPy, Biopython or ete.
        tree_index: Which tree of several, from 1.
        max_size: Largest input, such as `4G`.

    Raises:
        InputError: The tree is refused; the message says where and why.
    """
    file = _tree_file(tree, tree_index=tree_index, max_size=max_size)
    return _with_origin(pick_tree(file, tree_index), file)


def read_trees(trees: Any, *, max_size: str | int | None = None) -> tuple[Phylogeny, ...]:
    """All trees of a file, of a text, or of a list of trees; otherwise as `read_tree`.

    Raises:
        InputError: A tree is refused.
    """
    file = _tree_file(trees, max_size=max_size)
    return tuple(_with_origin(tree, file) for tree in file.phylogenies)


def read_traits(
    traits: Any,
    *,
    column: str | list[str] | None = None,
    id_column: str | None = None,
    se_column: str | list[str] | dict[str, str] | None = None,
    na: str | list[str] | None = None,
    max_size: str | int | None = None,
) -> ReadTable:
    """A trait table, checked as every command checks it.

    An analysis of it reads the same bytes with these options and its own.

    Args:
        traits: Path of a CSV, TSV or Parquet file, a polars or pandas frame, or a dict.
        column: Trait column, or several; None for every numeric one.
        id_column: Column of tip names; None for the first.
        se_column: Column of known standard errors, or trait -> column; None for `<trait>_se` where there is one.
        na: Further mark of a missing value, or several.
        max_size: Largest input, such as `4G`.

    Raises:
        InputError: The table is refused; the message says where and why.
    """
    options = {"column": column, "id_column": id_column, "se_column": se_column, "na": na, "max_size": max_size}
    options = {name: value for name, value in options.items() if value is not None}
    holder = Holder()
    request, _ = asked("check", {"tree": "", "traits": traits, **options}, holder)
    inputs = request.inputs
    with held_files(holder.files):
        source = read_source(inputs.traits, max_size=inputs.max_size, parquet=True)
        with held_files({inputs.traits: lambda parquet: source}):
            table, notes, _ = read_trait_table(inputs)
    tell(notes, 2)
    return ReadTable.of(table, source, options)


def _tree_file(trees: Any, **options: Any) -> TreeFile:
    holder = Holder()
    request, _ = asked("check", {"tree": trees, **options}, holder)
    with held_files(holder.files):
        file = read_tree_file(request.inputs)
    tell((note for note in file.warnings if note not in holder.told), 3)
    return file


def _with_origin(phylogeny: Phylogeny, file: TreeFile) -> Phylogeny:
    if phylogeny.origin is not None:
        return phylogeny
    return relabel(phylogeny, origin=Origin(file.file, file.format, file.sha256, file.warnings))
