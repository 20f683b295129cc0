"""XML text to elements, without entities and without surprises; and nodes found in it to a Phylogeny."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np

from hxcli.errors import InputError, Note
from hxcli.formats.source import Source
from hxcli.formats.trees.scanner.breadth_first import from_preorder
from hxcli.formats.trees.scanner.labels import refuse_bad_names, support_among
from hxcli.formats.trees.scanner.masking import shorten
from hxcli.formats.trees.scanner.parse_floats import is_number, is_support
from hxcli.phylogeny import Phylogeny
from hxcli.text_columns import Texts

_ENCODING = re.compile(rb"""<\?xml[^>]*?encoding\s*=\s*["']([^"']+)["']""")
# White space as XML means it: a no-break space is none.
_SPACES = re.compile(r"[ \t\r\n]+")


@dataclass
class XmlNode:
    """One node: its depth, names, length and support values as the text has them, and nothing else."""

    depth: int
    name: str = ""
    length: str = ""
    support: list[str] = field(default_factory=list)


def parse_xml(source: Source) -> Element:
    """The root element.

    Raises:
        InputError: Not well formed, a document type with declarations, or an encoding that is not the text's.
    """
    doctype = source.data.find(b"<!DOCTYPE")
    if doctype >= 0 or b"<!ENTITY" in source.data:
        offset = doctype if doctype >= 0 else source.data.find(b"<!ENTITY")
        raise source.error("a document type declaration", "remove it: entities are not read", offset)
    declared = _ENCODING.match(source.data.lstrip())
    if declared and not source.is_ascii and declared[1].lower() not in (b"utf-8", b"utf8"):
        found = f"the file says that it is {declared[1].decode('ascii', 'replace')}, but it is UTF-8"
        raise source.error(found, "write encoding='UTF-8'")
    try:
        return ElementTree.fromstring(source.data.lstrip())
    except ElementTree.ParseError as error:
        line, column = error.position
        what = str(error).split(":")[0]
        skipped = source.data[: len(source.data) - len(source.data.lstrip())].count(b"\n")
        advice = "is the file cut short?" if "no element" in what or "unclosed" in what else "export it again"
        found = f"the XML is not well formed: {what}"
        raise InputError(found, advice, file=source.file, line=line + skipped, column=column + 1) from None
    except (ValueError, LookupError) as error:
        raise source.error(f"the XML cannot be read: {error}", "write it as UTF-8") from None


def local_name(element: Element) -> str:
    """The element's name without its namespace."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def misspelt_root(root: Element, name: str) -> list[str]:
    """A sentence where the root element's name differs by the case of its letters; else none."""
    found = local_name(root)
    return [Note(f"the root element is called '{found}' where it should be '{name}'")] if found != name else []


def squeeze(text: str | None) -> str:
    """Text with white space trimmed, and runs of it made one space."""
    return _SPACES.sub(" ", text or "").strip(" ")


def phylogeny_from_nodes(source: Source, nodes: list[XmlNode], name: str, rooted: bool | None, tree: str) -> Phylogeny:
    """The tree of nodes that are listed parents first, children in order.

    Support values of a tree whose internal nodes are named become annotations (`&confidence=95`).

    Raises:
        InputError: A length that is no finite number, an unnamed tip, a repeated tip name.
    """
    topology, place = from_preorder([node.depth for node in nodes])
    labels = np.full(topology.size, "", object)
    support = np.full(topology.size, "", object)
    lengths = np.full(topology.size, np.nan)
    labels[place] = [node.name for node in nodes]
    for node, number in zip(nodes, place.tolist(), strict=True):
        if node.length:
            lengths[number] = _length(source, node, tree)
    tips = place[topology.is_leaf[place]]

    def refuse(i: int, found: str, advice: str) -> InputError:
        return source.error(f"{tree}: {found}", advice)

    refuse_bad_names(Texts(labels[tips]), refuse)
    inner = place[~topology.is_leaf[place]]
    values = {number: node.support for node, number in zip(nodes, place.tolist(), strict=True) if node.support}
    annotations: dict[int, tuple[str, ...]] = {}
    # The root last, as in the files that name it so.
    inner = np.sort(inner)[::-1]
    is_value = support_among(Texts(labels[inner]), bool(inner.size))
    if is_value is not None:
        values_at = inner[is_value]
        support[values_at], labels[values_at] = labels[values_at], ""
    bare = not any(labels[inner[:-1]]) and not any(support[inner])
    for number, found in values.items():
        if bare and not topology.is_leaf[number] and all(map(is_support, found)):
            support[number] = "/".join(found)
        else:
            shown = found[0] if len(found) == 1 else "{" + ",".join(found) + "}"
            annotations[number] = (f"&confidence={shown}",)
    return Phylogeny(topology, lengths, Texts(labels), Texts(support), annotations, rooted, name)


def _length(source: Source, node: XmlNode, tree: str) -> float:
    if not is_number(node.length) or not np.isfinite(float(node.length)):
        found = f"{tree}: edge length {shorten(node.length)} of {shorten(node.name)} is not a finite number"
        raise source.error(found, "write it like 0.1 or 1e-3")
    return float(node.length)
