"""The run record as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

import orjson

_AS_WRITTEN = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE


def write_record(stream: BinaryIO, record: Mapping[str, Any]) -> None:
    """Writes a record as indented UTF-8 JSON, in the order it was built in, with a final line end.

    Numbers that are not finite become null, because JSON has no word for them; numpy's scalars and arrays
    become numbers and lists. Bytes of a file's name that are no UTF-8 are written as `\\xe9`.
    """
    try:
        data = orjson.dumps(record, _plain, _AS_WRITTEN)
    except TypeError:
        # Mostly without need: the record of many traits is long.
        data = orjson.dumps(escaped(record), _plain, _AS_WRITTEN)
    stream.write(data)


def escaped(value: Any) -> Any:
    """The same with every text as valid Unicode."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if isinstance(value, Mapping):
        return {escaped(key): escaped(item) for key, item in value.items()}
    return [escaped(item) for item in value] if isinstance(value, (list, tuple)) else value


def _plain(value: Any) -> Any:
    """What orjson does not know, as what it knows."""
    if isinstance(value, Mapping):
        return dict(value)
    # Named tuples, arrays that are not contiguous.
    return list(value) if isinstance(value, tuple) else value.tolist()
