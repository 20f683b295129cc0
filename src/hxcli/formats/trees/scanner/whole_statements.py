"""Where the statements of a text end, found without blanking it: for those that nobody is going to read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import numpy as np

from hxcli.formats.trees.scanner.byte_positions import Bytes
from hxcli.formats.trees.scanner.masking import CLOSE, OPEN, QUOTE, label_openers

# Whether a tree is to be read, by its place in its file, from 0.
Wanted = Callable[[int], bool]


def unwanted_trees(
    data: bytes, begins: re.Pattern[bytes], first: int, wanted: Wanted, label_breaks: bytes = b""
) -> Iterator[tuple[int, int]]:
    """Where the trees begin and end that nobody wants, among those that a text begins with.

    Args:
        data: The text.
        begins: What every statement with a tree begins with.
        first: The place of the first of them in the file.
        wanted: Which are wanted.
        label_breaks: Of `blank_out`.
    """
    for place, span in enumerate(whole_statements(data, begins, label_breaks), first):
        if not wanted(place):
            yield span


def whole_statements(data: bytes, begins: re.Pattern[bytes], label_breaks: bytes = b"") -> Iterator[tuple[int, int]]:
    """Where the statements begin and end that a text begins with, as far as that is certain at a glance.

    It ends in front of the first statement that does not begin as is asked, or that has a `;` of which only following
    its comments and quotes from byte to byte can tell whether it ends it.

    Args:
        data: The text; it begins outside of comments and quotes.
        begins: What a statement begins with; at least one byte.
        label_breaks: Of `blank_out`.
    """
    array = np.frombuffer(data, np.uint8)
    plain = not any(character in data for character in (b"[", b"]", b"'"))
    openers = label_openers(label_breaks)
    start = 0
    while (end := data.find(b";", start)) >= 0 and begins.match(data, start, end):
        if not plain and not _is_whole(data, array, start, end, openers):
            return
        yield start, end + 1
        start = end + 1


def _is_whole(data: bytes, array: Bytes, start: int, end: int, openers: np.ndarray) -> bool:
    """Whether a text that begins outside of comments and quotes also ends there; false where that is not certain."""
    piece = array[start:end]
    if data.find(b"'", start, end) < 0:
        return np.count_nonzero(piece == OPEN) == np.count_nonzero(piece == CLOSE)
    if data.find(b"[", start, end) >= 0 or data.find(b"]", start, end) >= 0:
        return False
    # Every other quote opens a label, or is the second of two that stand for one; the others close it.
    quotes = np.flatnonzero(piece == QUOTE)
    opening = quotes[::2]
    again = np.zeros(len(opening), bool)
    again[1:] = opening[1:] == quotes[1:-1:2] + 1
    return len(quotes) % 2 == 0 and bool((openers[piece[opening - 1]] | again).all())
