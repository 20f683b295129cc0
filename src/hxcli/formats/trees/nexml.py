"""NeXML: lists of nodes and edges. Biopython parses what was found once more, and must agree."""

from __future__ import annotations

from io import BytesIO
from urllib.parse import quote, unquote
from xml.etree.ElementTree import Element

from hxcli.errors import HxError, Note
from hxcli.formats.source import Source
from hxcli.formats.trees.biopython_check import BIOPYTHON_LIMIT
from hxcli.formats.trees.xml_elements import (
    XmlNode,
    local_name,
    misspelt_root,
    parse_xml,
    phylogeny_from_nodes,
    squeeze,
)
from hxcli.phylogeny import Phylogeny

# Biopython descends into clades by recursion.
_BIOPYTHON_DEPTH = 100


def read_nexml(source: Source) -> tuple[list[Phylogeny], list[str]]:
    """All trees of a NeXML text, and warnings.

    Tips are named by the labels of their taxonomic units, by the ids of those without a label, and else by
    their own labels.

    Raises:
        InputError: Not well formed, no tree, edges that do not make a tree, or a tree that is not sound.
    """
    root = parse_xml(source)
    units = {
        unit.get("id", ""): squeeze(unit.get("label")) or unit.get("id", "")
        for unit in root.iter()
        if local_name(unit) == "otu"
    }
    trees: list[Phylogeny] = []
    warnings = misspelt_root(root, "nexml")
    for element in root.iter():
        if local_name(element) == "network":
            warnings.append(Note("networks are ignored"))
        if local_name(element) != "tree":
            continue
        tree = f"tree {len(trees) + 1}"
        nodes, rooted = _nodes(source, element, units, tree)
        trees.append(phylogeny_from_nodes(source, nodes, squeeze(element.get("label")), rooted, tree))
        if len(source.data) <= BIOPYTHON_LIMIT and trees[-1].topology.depth <= _BIOPYTHON_DEPTH:
            _parse_again(nodes)
    if not trees:
        raise source.error("the NeXML file contains no tree", "export the tree again; networks are not supported")
    return trees, list(dict.fromkeys(warnings))


def _nodes(source: Source, tree: Element, units: dict[str, str], name: str) -> tuple[list[XmlNode], bool | None]:
    nodes: dict[str, XmlNode] = {}
    children: dict[str, list[str]] = {}
    has_parent: set[str] = set()
    rooted = None
    for element in tree:
        if local_name(element) == "node":
            key, unit = element.get("id", ""), element.get("otu")
            if key in nodes:
                raise source.error(f"{name}: node id '{key}' is given twice", "ids are unique")
            if unit and unit not in units:
                raise source.error(f"{name}: node '{key}' names an otu '{unit}' that is not there", "add the otu")
            label = squeeze(element.get("label"))
            nodes[key] = XmlNode(0, units[unit] if unit else label)
            children[key] = []
            rooted = rooted or (element.get("root") == "true" or None)
    for element in tree:
        kind = local_name(element)
        if kind not in ("edge", "rootedge"):
            continue
        target = element.get("target", "")
        parent = element.get("source", "") if kind == "edge" else None
        for end in (target, parent):
            if end is not None and end not in nodes:
                raise source.error(f"{name}: an edge names a node '{end}' that is not there", "add the node")
        nodes[target].length = squeeze(element.get("length"))
        if parent is not None:
            if target in has_parent:
                found = f"{name}: node '{target}' has two parents"
                raise source.error(found, "this is a network, which is not supported")
            has_parent.add(target)
            children[parent].append(target)
    return _listed(source, nodes, children, has_parent, name), rooted


def _listed(
    source: Source, nodes: dict[str, XmlNode], children: dict[str, list[str]], has_parent: set[str], name: str
) -> list[XmlNode]:
    """The nodes parents first, children in order."""
    roots = [key for key in nodes if key not in has_parent]
    if len(roots) != 1:
        raise source.error(f"{name}: {len(roots)} nodes without a parent", "a tree has one root")
    listed = []
    stack = [(roots[0], 0)]
    while stack:
        key, depth = stack.pop()
        nodes[key].depth = depth
        listed.append(nodes[key])
        stack.extend((child, depth + 1) for child in reversed(children[key]))
    if len(listed) != len(nodes):
        raise source.error(f"{name}: {len(nodes) - len(listed)} nodes are in a circle of edges", "export it again")
    return listed


def _parse_again(nodes: list[XmlNode]) -> None:
    """Biopython's reading of the same nodes, written so that there is one way to read them.

    Biopython keeps siblings in no order and takes a missing length for 1: what is compared is every tip's path.

    Raises:
        HxError: It differs: a defect of hxcli or of Biopython, never of the file.
    """
    from Bio.Phylo import NeXMLIO

    pieces = ['<nexml xmlns="http://www.nexml.org/2009"><trees><tree id="t">']
    edges, expected = [], {}
    path: list[tuple[int, float]] = []
    for i, node in enumerate(nodes):
        length = float(node.length) if node.length else 1.0
        del path[node.depth :]
        if path:
            edges.append(f'<edge id="e{i}" source="n{path[-1][0]}" target="n{i}" length="{length!r}"/>')
        path.append((i, length))
        is_tip = i + 1 == len(nodes) or nodes[i + 1].depth <= node.depth
        root, otu = ' root="true"' if i == 0 else "", f' otu="_{quote(node.name, safe="")}"' if is_tip else ""
        pieces.append(f'<node id="n{i}"{root}{otu}/>')
        if is_tip:
            expected[node.name] = [length for _, length in path[1:]]
    pieces += [*edges, "</tree></trees></nexml>"]
    found = {}
    (tree,) = NeXMLIO.Parser(BytesIO("".join(pieces).encode())).parse()
    stack: list[tuple[object, list[float]]] = [(tree.root, [])]
    while stack:
        clade, lengths = stack.pop()
        below = clade.clades  # type: ignore[attr-defined]
        if not below:
            found[unquote(clade.name)[1:]] = lengths  # type: ignore[attr-defined]
        stack.extend((child, [*lengths, child.branch_length]) for child in below)
    if found != expected:
        raise HxError("Biopython and hxcli read this NeXML differently: please report this")
