"""Markup: the only place where text becomes HTML or SVG, so that no name can become an element."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hxcli.pictures.labels import printable

# Entries of a long list that are shown.
_MOST = 24


def text(value: object) -> str:
    """A value as text between or inside tags."""
    return html.escape(printable(str(value)))


def number(value: float | None) -> str:
    """A figure with six digits; a dash where there is none."""
    return "–" if value is None or value != value else text(f"{value:.6g}".replace("-", "−"))


def rows(header: Sequence[str], body: Iterable[Sequence[str]], css: str = "") -> str:
    """A table; the cells are markup already, the header is text."""
    head = "".join(f'<th scope="col">{text(cell)}</th>' for cell in header)
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in line)}</tr>" for line in body)
    classes = f' class="{css}"' if css else ""
    return f'<div class="wide"><table{classes}><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'


def section(title: str, body: str, name: str) -> str:
    """A section with its heading; the body is markup."""
    return f'<section id="{name}"><h2>{text(title)}</h2>{body}</section>'


def definitions(pairs: Iterable[tuple[str, str]]) -> str:
    """Terms, which are text, with what they are, which is markup."""
    return "<dl>" + "".join(f"<dt>{text(term)}</dt><dd>{what}</dd>" for term, what in pairs) + "</dl>"


def any_value(value: Any) -> str:
    """A JSON value of any kind: mappings as definitions, mappings in lists as tables, long lists cut short."""
    if isinstance(value, Mapping):
        return definitions((words(key), any_value(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        if not value:
            return "none"
        more = f" … ({len(value):,} in all)" if len(value) > _MOST else ""
        if all(isinstance(item, Mapping) for item in value):
            keys = list(dict.fromkeys(key for item in value for key in item))
            body = [[any_value(item.get(key, "")) for key in keys] for item in value[:_MOST]]
            return rows([words(key) for key in keys], body) + text(more)
        return ", ".join(any_value(item) for item in value[:_MOST]) + text(more)
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value) if isinstance(value, float) else text(value)


def words(key: object) -> str:
    """A key of the record as words."""
    return str(key).replace("_", " ")


def embedded_json(value: Any) -> str:
    """JSON that can stand inside a script element: ASCII, without any character that begins markup."""
    plain = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return plain.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
