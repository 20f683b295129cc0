"""What all runs found, on one page that loads nothing. Snakemake runs this."""

import json
import os
from html import escape
from typing import Any

HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Ancestral states of all runs</title>
<style>
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem auto; max-width: 75rem; padding: 0 1rem; color: #222 }
div { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { padding: .35rem .6rem; text-align: left; border-bottom: 1px solid #ddd; vertical-align: top }
th { position: sticky; top: 0; background: #fff }
td.number, th.number { text-align: right; white-space: nowrap }
li { margin: .2rem 0 }
@media print { th { position: static } }
</style>
</head>
<body>
"""
NUMBERS = ("tips", "missing", "root", "sigma2", "log likelihood or evidence")


def main(records: list[str], runs: list[str], page: str) -> None:
    """Writes the HTML file `page` from the run records `records`, whose `RUN/ANALYSIS` are in `runs`.

    Every run's name leads to its own page.
    """
    rows, said = [], []
    for path, name in zip(records, runs, strict=True):
        with open(path, encoding="utf-8") as stream:
            record = json.load(stream)
        found = record["results"][0]
        said += [(name, text) for text in (*record["notes"], *found["warnings"])]
        rows += [_row(name, record, trait) for trait in found["traits"]]
    titles = ("run", "analysis", "trait", *NUMBERS)
    header = "".join(f"<th{_class(title)}>{title}</th>" for title in titles)
    body = "\n".join(
        "<tr>" + "".join(f"<td{_class(title)}>{row[title]}</td>" for title in titles) + "</tr>" for row in rows
    )
    notes = "\n".join(f"<li><b>{escape(name)}</b>: {escape(text)}</li>" for name, text in said)
    parts = [
        HEAD,
        f"<h1>Ancestral states of all runs</h1>\n<p>{len(runs)} analyses, {len(rows)} traits.</p>\n",
        f"<div><table>\n<thead><tr>{header}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>\n",
        f"<h2>Notes and warnings</h2>\n<ul>\n{notes}\n</ul>\n" if said else "",
        "</body>\n</html>\n",
    ]
    # Beside, then renamed: cut off at any moment, it is the older file or the whole new one.
    with open(f"{page}.part", "w", encoding="utf-8") as stream:
        stream.write("".join(parts))
    os.replace(f"{page}.part", page)


def _row(name: str, record: dict[str, Any], trait: dict[str, Any]) -> dict[str, str]:
    run, analysis = name.split("/")
    parameters, root = trait["parameters"], trait["root"]
    interval = f" [{_text(root['lower'])}, {_text(root['upper'])}]" if root["lower"] is not None else ""
    words = ("likelihood", "evidence")
    likelihood = next((value for key, value in parameters.items() if key.endswith(words)), {"value": None})
    return {
        "run": f'<a href="{escape(run)}/{escape(analysis)}.html">{escape(run)}</a>',
        "analysis": escape(analysis),
        "trait": escape(trait["name"]),
        "tips": str(trait["tips_used"]),
        "missing": str(trait["tips_missing"]),
        "root": _text(root["estimate"]) + interval,
        "sigma2": _text(parameters.get("sigma2", {"value": None})["value"]),
        "log likelihood or evidence": _text(likelihood["value"]),
    }


def _text(number: float | None) -> str:
    return "" if number is None else f"{number:.6g}"


def _class(title: str) -> str:
    return ' class="number"' if title in NUMBERS else ""


main(list(snakemake.input), list(snakemake.params.runs), snakemake.output[0])
