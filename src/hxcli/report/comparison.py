"""What the page of a comparison of models shows: weights and profiles, fits, parameters, and what simulations say."""

from __future__ import annotations

import base64
import io

from hxcli.errors import OptionError
from hxcli.findings import Findings
from hxcli.report.markup import number, rows, section, text, words

# Kind of table -> its heading, in the order of the page; those that there are.
_TABLES = {
    "fits table": "Models",
    "parameter table": "Parameters",
    "bootstrap table": "Bootstrap",
    "adequacy table": "Adequacy",
}
# Rows of a table that are shown.
_MOST = 400


def comparison_sections(found: Findings) -> list[str]:
    """The sections, as markup."""
    sections = [_picture(found)]
    for kind, title in _TABLES.items():
        table = found.tables.get(kind, {})
        lines = list(zip(*table.values(), strict=True))
        if not lines:
            continue
        body = [[_cell(value) for value in line] for line in lines[:_MOST]]
        more = f"<p>{len(lines) - _MOST:,} more rows are in the table.</p>" if len(lines) > _MOST else ""
        sections.append(section(title, rows([words(name) for name in table], body) + more, title.lower()))
    return sections


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value) if isinstance(value, float) else text(value)


def _picture(found: Findings) -> str:
    shown = found.tables.get("comparison picture", {}).get("comparisons")
    if not shown:
        return ""
    try:
        from hxcli.pictures.comparison import write_svg
    except OptionError:
        # Without matplotlib the page has the tables alone.
        return ""
    stream = io.BytesIO()
    write_svg(stream, shown)
    drawn = base64.b64encode(stream.getvalue()).decode()
    about = "Akaike weights of the models, and how far the likelihood falls as a shape parameter moves"
    return section(
        "Weights and profiles",
        f'<div class="picture"><img src="data:image/svg+xml;base64,{drawn}" alt="{text(about)}"></div>'
        f"<p>{text(about)}; the band is the interval, the dashed line the level at which it ends.</p>",
        "picture",
    )
