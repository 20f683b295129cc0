"""Inputs from Python: what is a file stays one, and what a program has in memory is held under a name."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from hxcli.api.tables import held_table, is_table
from hxcli.api.tree_objects import library_of, newick_of
from hxcli.formats.source import HeldFile, Source, checked_source
from hxcli.formats.trees.newick import write_newick
from hxcli.formats.trees.read import ParsedTrees, TreeFile, read_trees
from hxcli.phylogeny import Phylogeny
from hxcli.traits import TraitTable

# How the text of a tree begins, where a string is no path.
_TREE_TEXT = ("(", "[", "<")


@dataclass(frozen=True, eq=False, repr=False)
class ReadTable(TraitTable):
    """A trait table that was read, with what it was read from.

    Attributes:
        source: The file's bytes: an analysis reads them again, with its own options beside those of the reading.
        options: How it was read, by name.
    """

    source: Source | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, table: TraitTable, source: Source, options: Mapping[str, Any]) -> ReadTable:
        """The table, with where it comes from."""
        values = {each.name: getattr(table, each.name) for each in fields(TraitTable)}
        return cls(**values, source=source, options=options)


class Holder:
    """Gathers what stands for files while the arguments of one call are turned into words."""

    def __init__(self) -> None:
        self.files: dict[str, HeldFile] = {}
        self.options: dict[str, Any] = {}
        self.told: tuple[str, ...] = ()

    def named(
        self, parameter: str, value: Any, *, repeatable: bool = False, several: bool = False, tree: bool = False
    ) -> Any:
        """What the command line is given for a value: the name that holds it, or the value where nothing is to hold.

        Args:
            parameter: What the value is for; a table or tree without a name of its own goes by it.
            value: A path or several, text, a tree or several, a table; any other value comes back as it is.
            repeatable: Whether a list is values of an option and a dict its NAME=VALUE pairs, and neither is data.
            several: Whether the command takes several files.
            tree: Whether a string may be the text of a tree.
        """
        if isinstance(value, ReadTable) and value.source is not None:
            source = value.source
            self.options |= value.options
            return self._hold(source.file, lambda parquet: source)
        if tree and isinstance(value, str) and _is_tree_text(value):
            return self._hold_source(checked_source(f"<{parameter}>", value.encode()))
        if repeatable and isinstance(value, (list, tuple, Mapping)):
            return value
        if is_table(value):
            return self._hold(f"<{parameter}>", held_table(value, f"<{parameter}>"))
        if several and isinstance(value, (list, tuple)) and all(map(_is_path, value)):
            return value
        if (trees := _tree_file(value, f"<{parameter}>")) is not None:
            self.told += trees.warnings if isinstance(value, Phylogeny) else ()
            return self._hold_source(ParsedTrees(trees))
        return value

    def _hold_source(self, source: Source) -> str:
        return self._hold(source.file, lambda parquet: source)

    def _hold(self, name: str, give: HeldFile) -> str:
        self.files[name] = give
        return name


def _is_path(value: Any) -> bool:
    return isinstance(value, os.PathLike) or (isinstance(value, str) and not _is_tree_text(value))


def _is_tree_text(value: str) -> bool:
    text = value.lstrip()
    return (text.startswith(_TREE_TEXT) or text[:6].lower() == "#nexus") and not os.path.exists(value)


def _tree_file(value: Any, name: str) -> TreeFile | None:
    """The trees of a value in memory; None where it is none."""
    if isinstance(value, Phylogeny):
        return _phylogeny_file(value, name)
    if (library := library_of(value)) is not None and not _is_tree_list(value):
        return read_trees(checked_source(name, newick_of(value, library).encode()))
    if not (_is_tree_list(value) or isinstance(value, (list, tuple))):
        return None
    files = [_tree_file_of_list(each, name) for each in value]
    found = [file for file in files if file is not None]
    if not found or len(found) < len(files):
        return None
    digest = hashlib.sha256("".join(file.sha256 for file in found).encode()).hexdigest()
    return TreeFile(
        found[0].file if len({file.file for file in found}) == 1 else name,
        found[0].format,
        tuple(tree for file in found for tree in file.phylogenies),
        tuple(dict.fromkeys(warning for file in found for warning in file.warnings)),
        digest,
    )


def _tree_file_of_list(value: Any, name: str) -> TreeFile | None:
    """The trees of a list's entry, which may be text or a path too."""
    if isinstance(value, str) and _is_tree_text(value):
        return read_trees(checked_source(name, value.encode()))
    return read_trees(value) if isinstance(value, (str, os.PathLike)) else _tree_file(value, name)


def _is_tree_list(value: Any) -> bool:
    """Whether it is DendroPy's list of trees."""
    return isinstance(value, Iterable) and hasattr(value, "taxon_namespace") and not hasattr(value, "seed_node")


def _phylogeny_file(phylogeny: Phylogeny, name: str) -> TreeFile:
    if (origin := phylogeny.origin) is not None:
        return TreeFile(origin.file, origin.format, (phylogeny,), origin.notes, origin.sha256)
    digest = hashlib.sha256()

    class Hashed:
        def write(self, data: bytes) -> None:
            digest.update(data)

    write_newick(Hashed(), phylogeny)  # type: ignore[arg-type]
    return TreeFile(name, "newick", (phylogeny,), (), digest.hexdigest())
