"""The run record as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

import orjson

_AS_WRITTEN = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE


def write_record(stream: BinaryIO, record: Mapping[str, Any]) -> None:
    """Writes a record as indented UTF-8 JSON, in the order it was built in, with a final line end.

    Numbers that are not finite become null, because JSON has no word for them; numpy's scalars and arrays
    become numbers and lists.
    """
    stream.write(orjson.dumps(record, _plain, _AS_WRITTEN))


def _plain(value: Any) -> Any:
    """What orjson does not know, as what it knows."""
    if isinstance(value, Mapping):
        return dict(value)
    # Named tuples, arrays that are not contiguous.
    return list(value) if isinstance(value, tuple) else value.tolist()
