"""Labels in pictures: what of a name is shown, how large names are, and where they go so that none covers another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hxcli.errors import Note
from hxcli.phylogeny import FloatArray

LONGEST = 40
# Points. Below the least, print is not readable; above the number of tips, a page of readable names is too long.
_LARGEST_FONT, _LEAST_SPACING = 9.0, 4.6
_FONT_PER_SPACING = 0.85
MOST_LABELLED = 400


@dataclass(frozen=True)
class TipSpacing:
    """How the tips are set.

    Attributes:
        spacing: Points from one tip to the next.
        font: Size of the names in points.
        labelled: Whether the tips have names.
    """

    spacing: float
    font: float
    labelled: bool


def tip_spacing(tips: int, *, room: float, largest: float = 16.0) -> TipSpacing:
    """The spacing of tips in a picture that is `room` points high, higher where names need it.

    Args:
        tips: Number of tips.
        room: Points across all tips that a page has.
        largest: Points beyond which few tips do not spread.
    """
    if tips > MOST_LABELLED:
        return TipSpacing(room / tips, _LEAST_SPACING * _FONT_PER_SPACING, False)
    spacing = min(max(room / tips, _LEAST_SPACING), largest)
    return TipSpacing(spacing, min(spacing * _FONT_PER_SPACING, _LARGEST_FONT), True)


def label_note(tips: int) -> str:
    """What a picture of that many tips leaves out, as a sentence; "" where it shows every name."""
    return Note(f"{tips:,} tips: names are left out above {MOST_LABELLED}") if tips > MOST_LABELLED else ""


def printable(text: str) -> str:
    """Text whose control and direction marks are escapes, so that it can stand in any document and reads as it is."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def shown(name: str, longest: int = LONGEST) -> str:
    """A name as text that can be drawn: control and direction marks as escapes, its end cut off where it is long."""
    text = printable(name)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def spread(places: FloatArray, gap: float, low: float, high: float) -> FloatArray:
    """The places nearest to the given ones (least squares) that are `gap` apart, in the same order, within two ends.

    Args:
        places: (L,) wanted places.
        gap: Least distance; made smaller where L of them have no room.
        low, high: The ends.
    """
    from scipy.optimize import isotonic_regression

    if not len(places):
        return places
    gap = min(gap, (high - low) / max(len(places) - 1, 1))
    order = np.argsort(places, kind="stable")
    shift = gap * np.arange(len(places))
    # Moved to where equal places may touch, the question is the nearest non-decreasing sequence.
    fitted = isotonic_regression(places[order] - shift).x
    moved = np.empty(len(places))
    moved[order] = np.clip(fitted, low, high - gap * (len(places) - 1)) + shift
    return moved


def value_texts(values: FloatArray, among: FloatArray) -> list[str]:
    """Numbers with as many digits behind the point as tell apart those `among` which they stand; "" for nan."""
    known = among[np.isfinite(among)]
    largest = float(np.abs(known).max(initial=0.0))
    span = float(np.ptp(known)) if len(known) else 0.0
    span = span or largest or 1.0
    form = f".{int(np.clip(3 + np.floor(np.log10(max(largest, span)) - np.log10(span)), 3, 15))}g"
    if 1e-4 <= largest < 1e6:
        form = f".{int(np.clip(3 - np.floor(np.log10(span)), 0, 6))}f"
    return ["" if np.isnan(value) else f"{value:{form}}".replace("-", "−") for value in values]


def tick_texts(ticks: Sequence[float]) -> list[str]:
    """Numbers that are evenly apart, each with the digits that tell it from the next, `2e9` where they are large."""
    if not ticks:
        return []
    largest = max(map(abs, ticks))
    step = min((abs(b - a) for a, b in pairwise(ticks)), default=largest) or 1.0
    if largest == 0 or (1e-4 <= largest < 1e6):
        digits = int(np.clip(np.ceil(-np.log10(step) - 1e-9), 0, 12))
        return [f"{tick:.{digits}f}".replace("-", "−") for tick in ticks]
    digits = int(np.clip(np.ceil(np.log10(largest / step) - 1e-9), 0, 15))
    return [_scientific(tick, digits) for tick in ticks]


def _scientific(number: float, digits: int) -> str:
    if number == 0:
        return "0"
    mantissa, exponent = f"{number:.{digits}e}".split("e")
    bare = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{bare}e{int(exponent)}".replace("-", "−")
