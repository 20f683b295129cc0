"""The parameters in the run record that `hx fit` writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from hxcli.errors import InputError
from hxcli.formats.source import Source


def read_fit(source: Source) -> dict[str, dict[str, float]]:
    """Model -> parameter -> value, of the record of a fit of one trait; models in their order there.

    Raises:
        InputError: It is no such record, or one of several traits.
    """
    try:
        record: Mapping[str, Any] = orjson.loads(source.data)
        traits = record["results"][0]["traits"] if record["command"] == "fit" else []
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError):
        traits = []
    if not traits:
        raise InputError("this is not the record of a fit", "give the PREFIX.json of hx fit", file=source.file)
    if len(traits) > 1:
        names = ", ".join(each["name"] for each in traits)
        raise InputError(f"the fit has several traits: {names}", "fit one with --column", file=source.file)
    return {
        each["model"]: {
            name: float(figures["value"])
            for name, figures in each["parameters"].items()
            if figures["value"] is not None
        }
        for each in traits[0]["models"]
    }
