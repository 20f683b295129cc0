"""The summary of a run as HTML, for notebooks: what the command says on standard error."""

from __future__ import annotations

from html import escape

from hxcli.cli.summary import MOST_TRAITS, left_out
from hxcli.run.perform import Outcome


def summary_html(outcome: Outcome) -> str:
    """Headline, one row a trait, and the notes; without styles or scripts, so that a notebook's own hold."""
    parts = []
    for found in outcome.findings:
        header, *rows = found.summary(MOST_TRAITS)
        parts += [
            f"<p>{escape(found.headline())}</p>",
            f"<table><thead>{_row(header, 'th')}</thead>",
            f"<tbody>{''.join(_row(row, 'td') for row in rows)}</tbody></table>",
            *(f"<p>{escape(line)}</p>" for line in left_out(found)),
        ]
    if outcome.notes:
        parts.append(f"<ul>{''.join(f'<li>{escape(note)}</li>' for note in outcome.notes)}</ul>")
    return "".join(parts)


def _row(cells: tuple[str, ...], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"
