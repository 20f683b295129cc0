"""Notes as Python's warnings."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from hxcli.errors import HxWarning


def tell(notes: Iterable[str], stack_level: int) -> None:
    """Warns of every note as if the caller that many frames up had done so; 1 is the caller of this function."""
    for note in notes:
        warnings.warn(note, HxWarning, stacklevel=stack_level + 1)
