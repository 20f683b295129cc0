"""Trees of DendroPy, Biopython and ete, by their Newick: names quoted, lengths to the last digit, no recursion.

Each library is known by what its trees are asked for, and none is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TreeLibrary:
    """What a library's trees are asked.

    Attributes:
        root: Of a tree.
        children: Of a node.
        name: Of a node; None or "" for none.
        support: Of a node; None for none.
        length: Of the edge above a node; None for none.
        rooted: Of a tree: what it states; None for nothing.
    """

    root: Callable[[Any], Any]
    children: Callable[[Any], Sequence[Any]]
    name: Callable[[Any], Any]
    support: Callable[[Any], Any]
    length: Callable[[Any], Any]
    rooted: Callable[[Any], bool | None] = lambda tree: None


def _confidence(clade: Any) -> Any:
    """The support of a Biopython clade; of phyloXML, which may have several, all of them."""
    several = [value.value for value in getattr(clade, "confidences", ())]
    if len(several) > 1:
        return "/".join(f"{value:.15g}" for value in several)
    return several[0] if several else getattr(clade, "confidence", None)


# Package -> how its trees are asked.
LIBRARIES = {
    "dendropy": TreeLibrary(
        root=lambda tree: tree.seed_node,
        children=lambda node: node.child_nodes(),
        name=lambda node: (node.taxon.label if node.taxon is not None else None) or node.label,
        support=lambda node: None,
        length=lambda node: node.edge.length,
        rooted=lambda tree: tree.is_rooted,
    ),
    "Bio": TreeLibrary(
        root=lambda tree: tree.root,
        children=lambda clade: clade.clades,
        name=lambda clade: clade.name,
        support=_confidence,
        length=lambda clade: clade.branch_length,
        # False is what it says of a tree whose file says nothing.
        rooted=lambda tree: tree.rooted or None,
    ),
    # Its nodes have a support of 1 and an edge of 1 where the file has none; what a root has is never from a file.
    "ete3": TreeLibrary(
        root=lambda tree: tree,
        children=lambda node: node.children,
        name=lambda node: node.name,
        support=lambda node: None if node.support == 1.0 else node.support,
        length=lambda node: None if node.up is None else node.dist,
    ),
    "ete4": TreeLibrary(
        root=lambda tree: tree,
        children=lambda node: node.children,
        name=lambda node: node.name,
        support=lambda node: node.support,
        length=lambda node: node.dist,
    ),
}


def library_of(value: Any) -> TreeLibrary | None:
    """How to ask a tree, or a list of trees, of a known library; None for anything else."""
    packages = {kind.__module__.partition(".")[0] for kind in type(value).__mro__}
    return next((library for package, library in LIBRARIES.items() if package in packages), None)


def newick_of(tree: Any, library: TreeLibrary) -> str:
    """The tree as Newick that loses no name: every name in quotes, support values where the nodes have no names."""
    pieces = [{True: "[&R] ", False: "[&U] ", None: ""}[library.rooted(tree)]]
    named = _has_inner_names(tree, library)
    # Each entry is a node to enter, or (node, None) to leave.
    root = library.root(tree)
    stack: list[tuple[Any, bool, str]] = [(root, False, "")]
    while stack:
        node, entered, before = stack.pop()
        children = library.children(node)
        if children and not entered:
            pieces += (before, "(")
            stack.append((node, True, ")"))
            stack += [(child, False, "," if place else "") for place, child in reversed(list(enumerate(children)))]
            continue
        support = None if named or not children else library.support(node)
        pieces += (before, _label(library.name(node), support), _length(library.length(node)))
    return "".join((*pieces, ";"))


def _has_inner_names(tree: Any, library: TreeLibrary) -> bool:
    """Whether an inner node has a name: a tree has such names or support values, and the names go first."""
    stack = [library.root(tree)]
    while stack:
        node = stack.pop()
        children = library.children(node)
        if children and library.name(node):
            return True
        stack += children
    return False


def _label(name: Any, support: Any) -> str:
    if name:
        return "'" + str(name).replace("'", "''") + "'"
    if support is None:
        return ""
    return f"{support:.15g}" if isinstance(support, (int, float)) else f"'{support}'"


def _length(value: Any) -> str:
    return "" if value is None else f":{float(value)!r}"
