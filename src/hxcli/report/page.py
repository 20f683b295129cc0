"""A run as one HTML page: summary, warnings, parameters, picture, table, diagnostics and the command to repeat it."""

from __future__ import annotations

import base64
import hashlib
import os
import shlex
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, BinaryIO

import numpy as np

from hxcli.findings import Findings
from hxcli.formats.json_record import escaped
from hxcli.pictures.layout import lay_out
from hxcli.report.comparison import comparison_sections
from hxcli.report.data import interval_name, page_data, report_names, traits_shown
from hxcli.report.markup import any_value, definitions, embedded_json, number, rows, section, text, words
from hxcli.report.state_parameters import STATE_FACTS, state_parameters
from hxcli.report.tree_svg import sheet_for, tree_svg
from hxcli.state_findings import numbers_of, states_of

# What the page has a place for; whatever else a record holds is shown as diagnostics.
_KNOWN_OF_RECORD = {
    "version", "libraries", "command", "command_line", "inputs", "options", "device", "precision", "threads", "seed",
    "results", "notes", "timings",
}  # fmt: skip
_KNOWN_OF_RESULT = {"tree_name", "method", "interval", "tips", "traits", "warnings"}
_KNOWN_OF_TRAIT = {"name", "tips_used", "tips_missing", "standard_errors_from", "root", "parameters", *STATE_FACTS}

# Tips of a picture that is shown at once; a larger one scrolls inside its frame.
_MOST_AT_ONCE = 60
# Traits whose parameters are listed.
_MOST_TRAITS = 200


def write_report(stream: BinaryIO, found: Findings, record: Mapping[str, Any]) -> None:
    """Writes the page; the same bytes for the same run, because it leaves out how long the run took."""
    stream.write(report_page(found, escaped(record)).encode())


def report_page(found: Findings, record: Mapping[str, Any]) -> str:
    """The page as text."""
    if "fits table" in found.tables:
        return comparison_page(found, record)
    shown, numbers = traits_shown(found), numbers_of(found)
    estimates = []
    if numbers is not None:
        estimates = [(name, numbers.estimates[:, i]) for i, name in enumerate(numbers.traits[:shown])]
    of_states = states_of(found)[: shown - len(estimates)]
    sheet, names = sheet_for(lay_out(found.phylogeny), of_states), report_names(found)
    data = embedded_json(page_data(found, names, sheet.points()))
    result = record["results"][0]
    title = page_title(record)
    sections = [
        summary_section(found, record, result),
        warnings_section(found, record, result, shown),
        _parameters([trait for trait in result["traits"] if "states" not in trait]),
        state_parameters(result["traits"]),
        _picture(found, tree_svg(sheet, names, estimates, of_states), shown),
        _TABLE,
        _diagnostics(found, record, result),
        repeat_section(record),
    ]
    return whole_page(
        title, found.method, sections, record, f'<script type="application/json" id="data">{data}</script>'
    )


def page_title(record: Mapping[str, Any]) -> str:
    """The tree and the command."""
    return f"{os.path.basename(record['inputs']['tree']['file'])}: hx {record['command']}"


def comparison_page(found: Findings, record: Mapping[str, Any]) -> str:
    """The page of a comparison of models as text."""
    result = record["results"][0]
    sections = [
        summary_section(found, record, result),
        warnings_section(found, record, result, len(found.traits)),
        *comparison_sections(found),
        repeat_section(record),
    ]
    return whole_page(page_title(record), found.method, sections, record)


def whole_page(title: str, about: str, sections: Sequence[str], record: Mapping[str, Any], data: str = "") -> str:
    """The page around its sections, which are markup; with the script, where there is data for it."""
    files = resources.files("hxcli.report")
    style, script = (files.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    scripts = f"'{_hash(script)}'" if data else "'none'"
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src {scripts}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{text(policy)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light">'
        f'<link rel="icon" href="data:,"><title>{text(title)}</title><style>{style}</style></head><body>'
        f"<header><h1>{text(title)}</h1><p>{text(about)}</p></header><main>{''.join(sections)}</main>"
        f"<footer>Written by hx {text(record['version'])}.</footer>"
        f"{data}{f'<script>{script}</script>' if data else ''}</body></html>\n"
    )


def _hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def summary_section(found: Findings, record: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """What was read."""
    tree, table = record["inputs"]["tree"], record["inputs"]["traits"]
    tips, numbers = result["tips"], numbers_of(found)
    pairs = [
        ("tree", f"{text(tree['file'])}<br><small>{text(tree['format'])}, {tree['tips']:,} tips, "
                 f"{tree['nodes']:,} nodes, tree {tree['tree_index']} of {tree['trees']}</small>"),
        ("traits", f"{text(table['file'])}<br><small>{table['rows']:,} rows, traits: {len(table['columns'])}</small>"),
        ("tips with data", f"{tips['with_data']:,} of {tree['tips']:,}"),
        ("rows left out", f"{tips['rows_dropped']:,}"),
        *([] if numbers is None else [("interval", text(interval_name(numbers)))]),
        ("seed", text(record["seed"])) if record["seed"] is not None else ("precision", f"{record['precision']} bits"),
    ]  # fmt: skip
    return section("Summary", definitions(pairs), "summary")


def warnings_section(found: Findings, record: Mapping[str, Any], result: Mapping[str, Any], shown: int) -> str:
    """What to know, the first `shown` traits being on the page."""
    said = [*result["warnings"], *record["notes"]]
    if shown < len(found.traits):
        said.append(f"this page shows the first {shown} of {len(found.traits):,} traits in picture and table")
    if not said:
        return ""
    items = "".join(f"<li>{text(sentence)}</li>" for sentence in dict.fromkeys(said))
    return section("Warnings and notes", f"<ul>{items}</ul>", "warnings")


def _parameters(traits: Sequence[Mapping[str, Any]]) -> str:
    if not traits:
        return ""
    listed = traits[:_MOST_TRAITS]
    keys = dict.fromkeys(key for trait in listed for key in trait["parameters"] if not key.startswith("root"))
    body = []
    for trait in listed:
        root, parameters = trait["root"], trait["parameters"]
        # A posterior has an interval of its own beside the one of equal tails.
        low, high = (root.get(f"hpd_{end}", root[end]) for end in ("lower", "upper"))
        ends = f" [{number(low)}, {number(high)}]" if low is not None else ""
        body.append(
            [f"<b>{text(trait['name'])}</b>", f"{number(root['estimate'])}{ends}"]
            + [_parameter(key, parameters.get(key)) for key in keys]
            + [f"{trait['tips_used']:,}", f"{trait['tips_missing']:,}"]
        )
    table = rows(["trait", "root", *map(words, keys), "tips", "missing"], body)
    left_out = len(traits) - len(listed)
    more = f"<p>{left_out:,} more traits are in the run record.</p>" if left_out > 0 else ""
    return section("Parameters", table + more, "parameters")


def _parameter(key: str, figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return ""
    how = f"<br><small>{text(figure['how'])}</small>" if figure["how"] != words(key) else ""
    return f"{number(figure['value'])}{how}"


def _picture(found: Findings, svg: str, shown: int) -> str:
    options = "".join(f'<option value="{i}">{text(name)}</option>' for i, name in enumerate(found.traits[:shown]))
    hidden = "" if shown > 1 else " hidden"
    tall = " tall" if len(found.phylogeny.tips) > _MOST_AT_ONCE else ""
    choice = f'<p class="controls"{hidden}><label>Trait <select id="trait">{options}</select></label></p>'
    body = f'{choice}<div class="picture{tall}" tabindex="0">{svg}</div><div id="tip" role="status" hidden></div>'
    return section("Picture", body, "picture")


def _diagnostics(found: Findings, record: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """Whatever the record and the tables of a posterior hold beside what has a place of its own."""
    parts = {key: record[key] for key in record if key not in _KNOWN_OF_RECORD}
    parts |= {key: result[key] for key in result if key not in _KNOWN_OF_RESULT}
    parts = {key: value for key, value in parts.items() if value not in ({}, [], None)}
    said = any_value(parts) if parts else ""
    for trait in result["traits"][:_MOST_TRAITS]:
        if further := {key: trait[key] for key in trait if key not in _KNOWN_OF_TRAIT}:
            said += f"<h3>{text(trait['name'])}</h3>{any_value(further)}"
    for kind, table in found.tables.items():
        # Draws, of all nodes or by the thousand, are a file of their own.
        if kind == "draws" or any(np.ndim(column) != 1 for column in table.values()):
            continue
        # Rates have a place of their own, but for the quantiles of a posterior.
        if kind == "parameter table" and any(trait.fitted == "log_likelihood" for trait in states_of(found)):
            continue
        body = list(zip(*map(list, table.values()), strict=True))
        if 0 < len(body) <= _MOST_TRAITS:
            cells = [[any_value(float(cell) if isinstance(cell, float) else cell) for cell in line] for line in body]
            said += f"<h3>{text(kind)}</h3>{rows([words(name) for name in table], cells)}"
    return section("Diagnostics", said, "diagnostics") if said else ""


def repeat_section(record: Mapping[str, Any]) -> str:
    """How to do it again."""
    tree, table = record["inputs"]["tree"], record["inputs"]["traits"]
    pairs = [
        ("command", f"<pre>{text(shlex.join(record['command_line']))}</pre>"),
        (f"sha256 of {os.path.basename(tree['file'])}", f"<code>{text(tree['sha256'])}</code>"),
        (f"sha256 of {os.path.basename(table['file'])}", f"<code>{text(table['sha256'])}</code>"),
        ("versions", text(", ".join(f"{name} {version}" for name, version in
                                    {"hx": record["version"], **record["libraries"]}.items()))),
        ("device", text(record["device"])),
    ]  # fmt: skip
    return section("Do it again", definitions(pairs), "repeat")


_TABLE = section(
    "Table",
    '<noscript><p>The table needs scripts; the file of results has the same rows.</p></noscript><div class="controls">'
    '<label>Filter <input id="filter" type="search" placeholder="name of a node or tip" autocomplete="off"></label>'
    '<label>Show <select id="which"><option value="all">all nodes</option><option value="inner">ancestors</option>'
    '<option value="tips">tips</option></select></label></div><div class="wide"><table id="table"><thead></thead>'
    '<tbody></tbody></table></div><p class="controls"><button id="back" type="button">Back</button>'
    '<button id="next" type="button">Next</button> <span id="shown" role="status"></span></p>',
    "nodes",
)
