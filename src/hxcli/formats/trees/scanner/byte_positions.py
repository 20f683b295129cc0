"""Where bytes stand in a text that is an array."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
# Byte offsets: 32-bit where the text allows it.
Offsets = NDArray[np.signedinteger]

# Bytes looked at together: what is made of them stays in the processor's cache.
_PIECE = 1 << 18


def offset_type(size: int) -> type[np.signedinteger]:
    """The integer type that offsets into a text of this size are kept in."""
    return np.int32 if size < 2**31 - 1 else np.int64


def positions(data: Bytes, *characters: int) -> Offsets:
    """Ascending offsets of the bytes that are one of the characters."""
    # Memory behind the last one is never touched.
    found, count = np.empty(len(data), offset_type(len(data))), 0
    for begin in range(0, len(data), _PIECE):
        piece = data[begin : begin + _PIECE]
        mask = piece == characters[0]
        for character in characters[1:]:
            mask |= piece == character
        some = np.flatnonzero(mask)
        np.add(some, begin, out=found[count : count + len(some)], casting="same_kind")
        count += len(some)
    return found[:count]
