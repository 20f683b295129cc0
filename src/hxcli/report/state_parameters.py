"""The parameters of traits of states on a report: models, roots, flags, and rates with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hxcli.report.markup import number, rows, text

# What this part of the page says of a trait's record.
STATE_FACTS = {"states", "model", "root_prior", "log_likelihood", "log_evidence", "k", "flags"}
# Rates of a trait that are listed, and states of a root.
_MOST_RATES, _MOST_STATES = 60, 6


def state_parameters(traits: Sequence[Mapping[str, Any]]) -> str:
    """A section with a table of the traits of states and one of their rates; "" without any.

    Args:
        traits: What the run record says of every trait.
    """
    of_states = [trait for trait in traits if "states" in trait]
    if not of_states:
        return ""
    fitted = "log_evidence" if "log_evidence" in of_states[0] else "log_likelihood"
    header = ["trait", "root", "model", fitted.replace("_", " "), "k", "tips", "missing", "flags"]
    body = [
        [
            f"<b>{text(trait['name'])}</b>",
            _root(trait["root"]["probabilities"]),
            text(trait["model"]),
            number(trait[fitted]),
            text(trait["k"]),
            f"{trait['tips_used']:,}",
            f"{trait['tips_missing']:,}",
            text(", ".join(flag.replace("_", " ") for flag in trait["flags"]) or "–"),
        ]
        for trait in of_states
    ]
    tables = rows(header, body) + "".join(map(_rates, of_states))
    return f'<section id="rates"><h2>States and rates</h2>{tables}</section>'


def _root(shares: Mapping[str, float]) -> str:
    ranked = sorted(shares.items(), key=lambda pair: -pair[1])
    more = f"<br>and {len(ranked) - _MOST_STATES} more" if len(ranked) > _MOST_STATES else ""
    return "<br>".join(f"{text(state)} {number(share)}" for state, share in ranked[:_MOST_STATES]) + more


def _rates(trait: Mapping[str, Any]) -> str:
    """Every rate with its interval and how it was found."""
    figures = {name: figure for name, figure in trait["parameters"].items() if name.startswith("q(")}
    body = [
        [text(name), number(figure["value"]), number(figure.get("lower")), number(figure.get("upper")),
         text(figure["how"].replace("_", " "))]
        for name, figure in list(figures.items())[:_MOST_RATES]
    ]  # fmt: skip
    left_out = len(figures) - len(body)
    more = f"<p>{left_out:,} more rates are in the run record.</p>" if left_out > 0 else ""
    return f"<h3>{text(trait['name'])}</h3>{rows(['rate', 'value', 'lower', 'upper', 'found by'], body)}{more}"
