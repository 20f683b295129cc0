"""phyloXML: nested clades. Biopython parses what was found once more, and must agree."""

from __future__ import annotations

from io import BytesIO
from urllib.parse import quote, unquote
from xml.etree.ElementTree import Element

from hxcli.errors import HxError
from hxcli.formats.biopython import BIOPYTHON_LIMIT
from hxcli.formats.source import Source
from hxcli.formats.xml_text import XmlNode, local_name, parse_xml, phylogeny_from_nodes, squeeze
from hxcli.phylogeny import Phylogeny

# Biopython descends into clades by recursion.
_BIOPYTHON_DEPTH = 100
_NAMES = ("scientific_name", "code", "common_name", "id")


def read_phyloxml(source: Source) -> tuple[list[Phylogeny], list[str]]:
    """All trees of a phyloXML text, and warnings.

    Raises:
        InputError: Not well formed, no tree, a clade with two lengths, a tip without a `<name>` (its taxonomy is
            no name), or a tree that is not sound.
    """
    root = parse_xml(source)
    trees, warnings = [], []
    phylogenies = [element for element in root if local_name(element) == "phylogeny"]
    for number, element in enumerate(phylogenies, 1):
        tree = f"tree {number}"
        clades = [child for child in element if local_name(child) == "clade"]
        if len(clades) != 1:
            raise source.error(f"{tree}: {len(clades)} clades at the top", "a phylogeny has one root clade")
        if any(local_name(child) == "clade_relation" for child in element):
            warnings.append(f"{tree}: clade relations are ignored")
        name = next((squeeze(child.text) for child in element if local_name(child) == "name"), "")
        nodes = _nodes(source, clades[0], tree)
        rooted = {"true": True, "1": True, "false": False, "0": False}.get(element.get("rooted", "").strip())
        trees.append(phylogeny_from_nodes(source, nodes, name, rooted, tree))
        if len(source.data) <= BIOPYTHON_LIMIT and trees[-1].topology.depth <= _BIOPYTHON_DEPTH:
            _parse_again(nodes)
    if not trees:
        raise source.error("the phyloXML file contains no phylogeny", "export the tree again")
    return trees, warnings


def _nodes(source: Source, root: Element, tree: str) -> list[XmlNode]:
    nodes = []
    stack = [(root, 0)]
    while stack:
        clade, depth = stack.pop()
        node = XmlNode(depth)
        lengths = {squeeze(clade.get("branch_length"))} - {""}
        children, taxonomy = [], ""
        for child in clade:
            kind = local_name(child)
            if kind == "clade":
                children.append(child)
            elif kind == "name":
                node.name = node.name or squeeze(child.text)
            elif kind == "branch_length":
                lengths.add(squeeze(child.text))
            elif kind == "confidence":
                node.support.append(squeeze(child.text))
            elif kind == "taxonomy":
                taxonomy = taxonomy or _taxonomy(child)
        if not children and not node.name:
            about = f"; its taxonomy says '{taxonomy}'" if taxonomy else ""
            raise source.error(f"{tree}: a tip has no <name>{about}", "give every tip a <name>")
        if len(lengths) > 1:
            found = f"{tree}: clade '{node.name}' has two edge lengths: {', '.join(sorted(lengths))}"
            raise source.error(found, "keep one")
        node.length = lengths.pop() if lengths else ""
        nodes.append(node)
        stack.extend((child, depth + 1) for child in reversed(children))
    return nodes


def _taxonomy(element: Element) -> str:
    found = {local_name(child): squeeze(child.text) for child in element}
    return next((found[kind] for kind in _NAMES if found.get(kind)), "")


def _parse_again(nodes: list[XmlNode]) -> None:
    """Biopython's reading of the same nodes, written so that there is one way to read them.

    Raises:
        HxError: It differs: a defect of hxcli or of Biopython, never of the file.
    """
    from Bio.Phylo import PhyloXMLIO

    pieces = ['<phyloxml xmlns="http://www.phyloxml.org"><phylogeny rooted="true">']
    for i, node in enumerate(nodes):
        length = f"<branch_length>{float(node.length)!r}</branch_length>" if node.length else ""
        pieces.append(f"<clade><name>_{quote(node.name, safe='')}</name>{length}")
        following = nodes[i + 1].depth if i + 1 < len(nodes) else 0
        pieces.append("</clade>" * (node.depth + 1 - following))
    pieces.append("</phylogeny></phyloxml>")
    parsed = []
    (phylogeny,) = PhyloXMLIO.Parser(BytesIO("".join(pieces).encode())).parse()
    stack = [(phylogeny.root, 0)]
    while stack:
        clade, depth = stack.pop()
        parsed.append((depth, unquote(clade.name)[1:], clade.branch_length))
        stack.extend((child, depth + 1) for child in reversed(clade.clades))
    if parsed != [(node.depth, node.name, float(node.length) if node.length else None) for node in nodes]:
        raise HxError("Biopython and hxcli read this phyloXML differently: please report this")
