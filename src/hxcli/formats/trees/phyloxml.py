"""phyloXML 1.20: nested clades. What is read Biopython parses once more; the numbers written are clades' properties."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import BinaryIO
from urllib.parse import quote, unquote
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

import numpy as np
import polars as pl

from hxcli.errors import HxError, Note, OptionError
from hxcli.findings import Findings
from hxcli.formats.source import Source
from hxcli.formats.trees.annotations import Entry, entries, found_texts, gathered, node_texts, owner_of, words_of
from hxcli.formats.trees.biopython_check import BIOPYTHON_LIMIT
from hxcli.formats.trees.newick_text import number_texts, pieces, unless_null, write_texts
from hxcli.formats.trees.preorder import preorder_with_ends
from hxcli.formats.trees.scanner.parse_floats import is_number
from hxcli.formats.trees.trait_keys import reserved_keys
from hxcli.formats.trees.xml_elements import (
    XmlNode,
    local_name,
    misspelt_root,
    parse_xml,
    phylogeny_from_nodes,
    squeeze,
)
from hxcli.phylogeny import Phylogeny
from hxcli.reconstruction import Reconstruction

# Biopython descends into clades by recursion.
_BIOPYTHON_DEPTH = 100
_NAMES = ("scientific_name", "code", "common_name", "id")
# What the schema's pattern for `ref` does not allow.
_FORBIDDEN = r"[^A-Za-z0-9_.\-]+"
_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<phyloxml xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns="http://www.phyloxml.org" \
xsi:schemaLocation="http://www.phyloxml.org http://www.phyloxml.org/1.20/phyloxml.xsd">
"""


def read_phyloxml(source: Source) -> tuple[list[Phylogeny], list[str]]:
    """All trees of a phyloXML text, and warnings.

    Raises:
        InputError: Not well formed, no tree, a clade with two lengths, a tip without a `<name>` (its taxonomy is
            no name), or a tree that is not sound.
    """
    root = parse_xml(source)
    trees: list[Phylogeny] = []
    warnings = misspelt_root(root, "phyloxml")
    phylogenies = [element for element in root if local_name(element) == "phylogeny"]
    for number, element in enumerate(phylogenies, 1):
        tree = f"tree {number}"
        clades = [child for child in element if local_name(child) == "clade"]
        if len(clades) != 1:
            raise source.error(f"{tree}: {len(clades)} clades at the top", "a phylogeny has one root clade")
        if any(local_name(child) == "clade_relation" for child in element):
            warnings.append(Note(f"{tree}: clade relations are ignored"))
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


def write_phyloxml(stream: BinaryIO, phylogeny: Phylogeny, reconstruction: Findings | None = None) -> None:
    """The tree as phyloXML: names, branch lengths, confidences, and `<property>` for every annotation.

    A trait `mass` gives the properties `hx:mass`, `hx:mass_se`, `hx:mass_95_CI_lower` and
    `hx:mass_95_CI_upper`; what the tree came with is written as `note:<key>`.

    Args:
        stream: Takes the text.
        phylogeny: The tree.
        reconstruction: The numbers; None writes the tree as it came.

    Raises:
        OptionError: A name with white space that no reader of phyloXML keeps.
    """
    _refuse_lost_blanks(phylogeny)
    labels = pl.Series([escape(label, _QUOTES) or None for label in phylogeny.labels.tolist()], dtype=pl.String)
    support = pl.Series([_confidences(text) for text in phylogeny.support.tolist()], dtype=pl.String)
    traits, figures = 0, None
    if reconstruction is not None:
        traits, reserved = len(reconstruction.traits), reserved_keys(phylogeny)
        figures = found_texts(reconstruction, _entries, _FORBIDDEN, _state_form, reserved)
    owner = owner_of(phylogeny, reconstruction.traits if reconstruction is not None else ())
    given = node_texts(phylogeny, lambda texts: "".join(_notes(texts, owner)))
    order, ends = preorder_with_ends(phylogeny.topology)
    counts, which = np.unique(ends, return_inverse=True)
    closing = pl.Series(["</clade>" * count for count in counts.tolist()], dtype=pl.String)
    name = f"<name>{escape(phylogeny.name, _BLANKS)}</name>" if phylogeny.name else ""
    # The schema wants a yes or no; ancestors are those of the root as it stands.
    rooted = "false" if phylogeny.rooted is False else "true"
    stream.write(f'{_HEAD}<phylogeny rooted="{rooted}">{name}\n'.encode())
    for piece in pieces(phylogeny.topology.size, traits):
        nodes = order[piece]
        texts = [
            *unless_null("<name>", labels.gather(nodes), "</name>"),
            *unless_null("<branch_length>", number_texts(phylogeny.edge_lengths[nodes]), "</branch_length>"),
            support.gather(nodes),
            *(() if figures is None else figures(nodes)),
            *gathered(given, nodes),
        ]
        write_texts(stream, "<clade>", *texts, closing.gather(which[nodes]))
    stream.write(b"\n</phylogeny>\n</phyloxml>\n")


def _entries(reconstruction: Reconstruction) -> Callable[[str], tuple[Entry, ...]]:
    level = f"{100 * reconstruction.level:.10g}_{reconstruction.interval}"

    def entry(key: str, figure: str) -> Entry:
        return Entry(_opening(f"hx:{key}", "xsd:double"), (figure,), "</property>")

    return lambda key: (
        entry(key, "estimates"),
        entry(f"{key}_se", "standard_errors"),
        entry(f"{key}_{level}_lower", "lower"),
        entry(f"{key}_{level}_upper", "upper"),
    )


def _state_form(key: str, best: list[str], share: float, states: list[str], shares: list[float]) -> str:
    """The most probable state, its probability, and all states with theirs, one property each."""
    opening, text = _opening(f"hx:{key}", "xsd:string"), escape("+".join(best), _BLANKS)
    lines = [f"{opening}{text}</property>", f"{_opening(f'hx:{key}.prob', 'xsd:double')}{share!r}</property>"]
    for state, value in zip(states, shares, strict=True):
        pair = escape(f"{state}={value!r}", _BLANKS)
        lines.append(f"{_opening(f'hx:{key}.set', 'xsd:string')}{pair}</property>")
    return "".join(lines)


_QUOTES = {'"': "&quot;"}
# A parser turns plain line ends and tabs of an attribute, and some of a text, into spaces.
_BLANKS = _QUOTES | {"\n": "&#10;", "\t": "&#9;", "\r": "&#13;"}


def _refuse_lost_blanks(phylogeny: Phylogeny) -> None:
    # The schema calls names tokens: readers trim their white space and make one space of any run of it.
    lost = next((node for node, label in enumerate(phylogeny.labels.tolist()) if squeeze(label) != label), None)
    if lost is not None:
        what = "tip" if phylogeny.topology.is_leaf[lost] else "node"
        found = f"phyloXML does not keep the white space in the name of {what} {phylogeny.labels[lost]!r}"
        raise OptionError(f"{found} (write .nex, .nwk or .nhx)")


def _opening(reference: str, datatype: str) -> str:
    return f'<property ref="{reference}" datatype="{datatype}" applies_to="node">'


def _confidences(support: str) -> str:
    # The schema has numbers only: neither `98%` nor `NA`.
    values = (value.removesuffix("%") for value in support.split("/"))
    return "".join(f'<confidence type="unknown">{value}</confidence>' for value in values if is_number(value))


def _notes(given: tuple[str, ...], owner: Callable[[str], str | None]) -> list[str]:
    found = []
    for text in given:
        plain, separator = text.removeprefix("&&NHX").removeprefix("&"), ":" if text.startswith("&&NHX") else ","
        if words := words_of(plain, separator):
            # Nothing that a property could be called by; a comment cannot hold two dashes.
            found.append(f"<!-- [&{words.replace('--', '- -')}] -->")
        for entry in entries(plain, separator, owner):
            key, _, value = entry.partition("=")
            safe = "".join(c if c.isascii() and (c.isalnum() or c in "_.-") else "_" for c in key.strip()) or "_"
            found.append(f"{_opening(f'note:{safe}', 'xsd:string')}{escape(value, _BLANKS)}</property>")
    return found
