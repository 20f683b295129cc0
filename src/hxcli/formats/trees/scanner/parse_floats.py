"""Edge lengths from text, all at once, to the bits that Python's float() gives."""

from __future__ import annotations

import re
import sys

import numpy as np

from hxcli.errors import InputError
from hxcli.formats.trees.scanner.byte_positions import Offsets
from hxcli.formats.trees.scanner.codeml_marks import CODEML_ADVICE, CODEML_MARK
from hxcli.formats.trees.scanner.masking import Blanked, shorten
from hxcli.phylogeny import FloatArray

# A dot before the optional digits, so that a million digits with a letter behind are refused in one pass.
NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_NUMBER = re.compile(NUMBER)
SUPPORT = rf"{NUMBER}(?:/{NUMBER})*"
_SUPPORT = re.compile(SUPPORT)
# A percentage, or the mark of a value that is missing, beside others that are not.
_LOOSE = rf"(?:{NUMBER}%?|N/?A|n/?a|[Nn]a[Nn]|NAN|Na|-|\?)"
LOOSE_SUPPORT = rf"{_LOOSE}(?:/{_LOOSE})*"
_LOOSE_SUPPORT = re.compile(LOOSE_SUPPORT)
_INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
_CHARACTERS = b"0123456789+-.eE\n"
# From here on polars, which reads a number in a tenth of the time, pays for its import; once it is there, for a call.
_MANY, _SOME = 200_000, 2_000


def is_number(text: str) -> bool:
    """Whether the text is a number by the grammar of edge lengths: `[+-]?(\\d+\\.?\\d*|\\.\\d+)([eE][+-]?\\d+)?`."""
    return _NUMBER.fullmatch(text) is not None


def is_support(text: str) -> bool:
    """Whether the text is one number or several joined by `/`, such as `95` or `100/0.99`."""
    return _SUPPORT.fullmatch(text) is not None


def is_loose_support(text: str) -> bool:
    """Whether the text could be a support value beside others that are: `98%`, `NA`, `70/NA`, `-`."""
    return _LOOSE_SUPPORT.fullmatch(text) is not None


def read_numbers(blanked: Blanked, starts: Offsets, ends: Offsets) -> FloatArray:
    """(k,) the numbers between k pairs of offsets, of which none is empty.

    Raises:
        InputError: A text that is no number, or one too large for a double.
    """
    if not len(starts):
        return np.zeros(0)
    lines = blanked.lines(starts, ends)
    values = None
    # Made of these characters only, what float() accepts is exactly the grammar.
    if not lines.translate(None, _CHARACTERS):
        try:
            many = len(starts) >= (_SOME if "polars" in sys.modules else _MANY)
            values = _parse_many(lines) if many else np.array([float(text) for text in lines.split()])
        except ValueError:
            values = None
    if values is None or len(values) != len(starts) or not np.isfinite(values).all():
        raise _first_bad(blanked, starts, ends)
    return values


def _parse_many(lines: bytes) -> FloatArray:
    import polars as pl

    try:
        frame = pl.read_csv(lines, has_header=False, schema={"number": pl.Float64})
    except pl.exceptions.PolarsError:
        raise ValueError from None
    # A line that polars cannot read is null, hence nan.
    return frame["number"].to_numpy()


def _first_bad(blanked: Blanked, starts: Offsets, ends: Offsets) -> InputError:
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        text = blanked.slice(start, end)
        if _INFINITE.fullmatch(text):
            return blanked.source.error(f"edge length {shorten(text)} is not finite", "give a finite length", start)
        if not is_number(text):
            return blanked.source.error(f"edge length {shorten(text)} is not a number", _advice(text), start)
        if not np.isfinite(float(text)):
            return blanked.source.error(f"edge length {shorten(text)} is not finite", "give a finite length", start)
    raise AssertionError("a number was refused that Python reads")


def _advice(text: str) -> str:
    if re.fullmatch(r"[+-]?(nan|na|n/a|null|\?)", text, re.IGNORECASE):
        return "leave a missing length out, colon included"
    if text.startswith("{"):
        return "a map of states along the edge (SIMMAP) is no length: in R, phytools::read.simmap and ape::write.tree"
    if "{" in text:
        return "jplace edge numbers are not supported: remove them"
    if CODEML_MARK.search(text):
        return CODEML_ADVICE
    if "<" in text:
        return "annotations go into [&...]"
    if not text.isascii():
        return "write plain digits 0-9"
    return "write it like 0.1 or 1e-3"
