"""A slow, obvious reader of Newick and NEXUS trees: one character at a time, plain lists, no code of hxcli's readers.

It is lenient where that is simpler: it must read all that hxcli accepts, and read it the same; what it does not
understand it refuses with `RefusalError`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

WHITE = " \t\n\r\v\f"


class RefusalError(Exception):
    """The text is no tree to the oracle."""


@dataclass
class Node:
    """A node with its children."""

    label: str = ""
    length: str | None = None
    children: list[Node] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    support: str = ""
    named: bool = False

    def walk(self) -> list[tuple[Node, int]]:
        """All nodes, level by level, each with the index of its parent; the root is its own."""
        found = [(self, 0)]
        for i, (node, _) in enumerate(found):
            found.extend((child, i) for child in node.children)
        return found


@dataclass
class Tree:
    """A tree with its name and what it says of its root."""

    root: Node
    name: str = ""
    rooted: bool | None = None


# An item is ("char", c), ("quoted", label) or ("comment", text).
Item = tuple[str, str]


def lex(text: str, label_breaks: str) -> list[Item]:
    """Characters, quoted labels and comments."""
    items: list[Item] = []
    i = 0
    while i < len(text):
        if text[i] == "[":
            depth, j = 1, i + 1
            while depth:
                if j == len(text):
                    raise RefusalError("comment never closed")
                depth += {"[": 1, "]": -1}.get(text[j], 0)
                j += 1
            items.append(("comment", text[i + 1 : j - 1]))
            i = j
        elif text[i] == "]":
            raise RefusalError("stray ]")
        elif text[i] == "'" and (i == 0 or text[i - 1] in WHITE + label_breaks + "(),:;]"):
            label, j = "", i + 1
            while True:
                if j == len(text):
                    raise RefusalError("quote never closed")
                if text[j : j + 2] == "''":
                    label += "'"
                    j += 2
                elif text[j] == "'":
                    break
                else:
                    label += text[j]
                    j += 1
            items.append(("quoted", label))
            i = j + 1
        else:
            items.append(("char", text[i]))
            i += 1
    return items


def split(items: Sequence[Item], character: str) -> list[list[Item]]:
    """The parts between occurrences of a character."""
    parts: list[list[Item]] = [[]]
    for item in items:
        if item == ("char", character):
            parts.append([])
        else:
            parts[-1].append(item)
    return parts


def is_white(items: Sequence[Item]) -> bool:
    """Nothing but white space and comments."""
    return all(kind == "comment" or (kind == "char" and value in WHITE) for kind, value in items)


def words(items: Sequence[Item], delimiters: str) -> list[Item]:
    """Labels, delimiters and comments: ("word", text), ("quoted", text), ("sign", c), ("comment", text)."""
    found: list[Item] = []
    open_word = False
    after_quote = False
    for kind, value in items:
        if kind == "char" and value not in WHITE and value not in delimiters:
            if after_quote:
                raise RefusalError("text behind a quoted label")
            if open_word:
                found[-1] = ("word", found[-1][1] + value)
            else:
                found.append(("word", value))
            open_word = True
            continue
        open_word, after_quote = False, kind == "quoted"
        if kind == "char" and value in delimiters:
            found.append(("sign", value))
        elif kind != "char":
            found.append((kind, value))
    return found


def is_number(text: str) -> bool:
    """`[+-]?(digits[.digits] | .digits)([eE][+-]?digits)?`, ASCII digits."""
    digits = "0123456789"
    i = 1 if text[:1] in ("+", "-") and text else 0
    start = i
    while i < len(text) and text[i] in digits:
        i += 1
    whole = i - start
    fraction = 0
    if i < len(text) and text[i] == ".":
        i += 1
        start = i
        while i < len(text) and text[i] in digits:
            i += 1
        fraction = i - start
    if whole + fraction == 0:
        return False
    if i < len(text) and text[i] in "eE":
        i += 1
        if i < len(text) and text[i] in "+-":
            i += 1
        start = i
        while i < len(text) and text[i] in digits:
            i += 1
        if i == start:
            return False
    return i == len(text)


def is_support(text: str) -> bool:
    """Numbers joined by slashes."""
    return all(is_number(part) for part in text.split("/"))


def may_be_support(text: str) -> bool:
    """As `is_support`, with percentages and marks of missing values among the numbers."""
    marks = ("NA", "Na", "na", "N/A", "n/a", "NaN", "nan", "Nan", "naN", "NAN", "-", "?")
    for mark in ("N/A", "n/A", "N/a", "n/a"):
        text = text.replace(mark, "NA")
    return all(part in marks or is_number(part.removesuffix("%")) for part in text.split("/"))


def parse_tree(items: Sequence[Item], head: Sequence[Item] = ()) -> Tree | None:
    """One tree without its semicolon; None where there is none."""
    tree = Tree(Node())
    # `current` is the node that has just been closed or named, None where a node must begin.
    stack: list[Node] = []
    current: Node | None = None
    root: Node | None = None
    waiting: list[str] = []
    expects_length = False
    for kind, value in [item for item in words(head, "") if item[0] == "comment"] + words(items, "(),:"):
        if kind == "comment":
            if root is None:
                if value.strip().lower() in ("&r", "&u"):
                    tree.rooted = value.strip().lower() == "&r"
            elif current is not None:
                current.comments.append(value)
            else:
                waiting.append(value)
            continue
        if expects_length:
            if kind != "word" or not is_number(value) or abs(float(value)) == float("inf"):
                raise RefusalError(f"length {value!r}")
            assert current is not None
            current.length, expects_length = value, False
        elif value == "(" and kind == "sign":
            if current is not None or (root is not None and not stack):
                raise RefusalError("( behind a node")
            node = Node()
            if stack:
                stack[-1].children.append(node)
            root = root or node
            stack.append(node)
            waiting = []
        elif kind == "sign" and value in ",)":
            if current is None or not stack:
                raise RefusalError(f"{value} without a node")
            current = stack.pop() if value == ")" else None
            waiting = []
        elif kind == "sign":
            if current is None or current.length is not None:
                raise RefusalError("stray colon")
            expects_length = True
        elif current is None:
            current = Node(value, comments=waiting)
            waiting = []
            if not stack and root is not None:
                raise RefusalError("two roots")
            root = root or current
            if stack:
                stack[-1].children.append(current)
        elif current.children and not current.label and current.length is None and not current.named:
            current.label = value
            current.named = True
        else:
            raise RefusalError(f"text {value!r} beside a label")
    if stack or expects_length:
        raise RefusalError("unfinished tree")
    if root is None:
        return None
    tree.root = root
    return tree


def finish(tree: Tree) -> Tree:
    """Support values out of internal labels or bracketed numbers."""
    nodes = [node for node, _ in tree.root.walk()]
    inner = [node for node in nodes if node.children]
    below = [node for node in inner if node is not tree.root]
    numbers = [node.label for node in inner if node is not tree.root or may_be_support(node.label)]
    if all(may_be_support(label) for label in numbers if label) and any(c.isdigit() for c in "".join(numbers)):
        for node in inner:
            if node is not tree.root or may_be_support(node.label):
                node.support, node.label = node.label, ""
    elif not any(node.label for node in below):
        plain = {
            id(node): [c.strip() for c in node.comments if not c.startswith("&") and is_support(c.strip())]
            for node in nodes
        }
        if not any(plain[id(node)] for node in nodes if not node.children):
            # A root with a name has no support.
            for node in (node for node in inner if not node.label):
                node.support = plain[id(node)][-1] if plain[id(node)] else ""
    return tree


def read_newick(text: str) -> list[Tree]:
    """All trees of a Newick text."""
    trees = [parse_tree(part) for part in split(lex(text, ""), ";")]
    return [finish(tree) for tree in trees if tree is not None]


def read_nexus(text: str) -> list[Tree]:
    """All trees of a NEXUS text."""
    items = lex(text, "=")
    while items and (items[0][0] == "comment" or items[0][1] in WHITE):
        items.pop(0)
    block, trees = "", []
    taxa: list[tuple[str, list[str]]] = []
    title, link = "", ""
    translate: dict[str, str] = {}
    for command in split(items[len("#nexus") :], ";"):
        first, rest = _first_word(command)
        if first == "BEGIN":
            block, title, link, translate = _first_word(rest)[0], "", "", {}
        elif first in ("END", "ENDBLOCK"):
            block = ""
        elif block in ("TAXA", "DATA", "CHARACTERS") and first == "TITLE":
            title = _plain(rest)
        elif block in ("TAXA", "DATA", "CHARACTERS") and first == "TAXLABELS":
            taxa.append((title, [value for kind, value in words(rest, "") if kind != "comment"]))
        elif block == "TREES" and first == "LINK":
            link = _plain(rest).partition("=")[2].strip()
        elif block == "TREES" and first == "TRANSLATE":
            pairs = [words(part, "") for part in split(rest, ",")]
            pairs = [[item for item in pair if item[0] != "comment"] for pair in pairs]
            translate = {pair[0][1]: pair[1][1] for pair in pairs if pair}
        elif block == "TREES" and first in ("TREE", "UTREE"):
            at = rest.index(("char", "="))
            tree = parse_tree(rest[at + 1 :], rest[:at])
            assert tree is not None
            if first == "UTREE" and tree.rooted is None:
                tree.rooted = False
            names = [item for item in words(rest[:at], "*") if item[0] != "comment"]
            while names and names[0] == ("sign", "*"):
                names.pop(0)
            tree.name = names[0][1] if len(names) == 1 else ""
            linked = [labels for name, labels in taxa if link and name.casefold() == link.casefold()]
            rename(tree.root, translate, linked or [labels for _, labels in taxa])
            trees.append(finish(tree))
    return trees


def _plain(items: list[Item]) -> str:
    return " ".join("".join(" " if kind == "comment" else value for kind, value in items).replace("'", "").split())


def _first_word(command: list[Item]) -> tuple[str, list[Item]]:
    i = 0
    while i < len(command) and (command[i][0] == "comment" or command[i][1] in WHITE):
        i += 1
    start = i
    while i < len(command) and command[i][0] == "char" and command[i][1] not in WHITE + ",=()":
        i += 1
    return "".join(value for _, value in command[start:i]).upper(), command[i:]


def rename(root: Node, translate: dict[str, str], taxa: list[list[str]]) -> None:
    """Applies TRANSLATE, or numbers into TAXLABELS."""
    nodes = [node for node, _ in root.walk()]
    tips = [node for node in nodes if not node.children]
    inner = [node for node in nodes if node.children and node.label]
    if translate:
        used = [node.label for node in tips]
        keys = [node.label for node in inner if node.label in translate]
        unique = len(set(keys)) == len(keys) and not set(keys) & set(used)
        mixed = len(keys) < len(inner) and all(is_support(node.label) for node in inner)
        for node in tips + (inner if unique and not mixed else []):
            node.label = translate.get(node.label, node.label)
    elif taxa:
        known = {label for labels in taxa for label in labels}
        if any(label.isdigit() for label in known):
            return
        for node in tips:
            if node.label.isascii() and node.label.isdigit() and node.label not in known:
                node.label = taxa[0][int(node.label) - 1]


def read(text: str) -> list[Tree]:
    """All trees of a text in either format; comments may come before `#NEXUS`."""
    text = text.removeprefix("\ufeff")
    start = text.lstrip(WHITE)
    while start.startswith("[") and "]" in start:
        start = start[start.index("]") + 1 :].lstrip(WHITE)
    return read_nexus(text) if start[:6].lower() == "#nexus" else read_newick(text)
