"""The run record as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np


def write_record(stream: BinaryIO, record: Mapping[str, Any]) -> None:
    """Writes a record as indented UTF-8 JSON, in the order it was built in, with a final line end.

    Numbers that are not finite become null, because JSON has no word for them; numpy's scalars and arrays
    become numbers and lists.
    """
    stream.write((json.dumps(_plain(record), ensure_ascii=False, allow_nan=False, indent=2) + "\n").encode())


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
