"""The models of states in words: what their rates are, how many, where they come from; and as tables to change."""

from __future__ import annotations

from hxcli.models.rate_patterns import PATTERNS, rate_pattern

# Number of rates of s states, and source.
_ABOUT = {
    "er": ("1", "Lewis 2001, Syst. Biol. 50:913, Mk"),
    "sym": ("s (s - 1) / 2", "Paradis, Claude and Strimmer 2004, Bioinformatics 20:289"),
    "ard": ("s (s - 1)", "Pagel 1994, Proc. R. Soc. B 255:37"),
    "f81": ("s", "Felsenstein 1981, J. Mol. Evol. 17:368; PastML's F81"),
    "ordered": ("s - 1", "Pagel 1994, with rates 0; geiger's meristic, symmetric"),
}
_SUPPORT = "1e-8 / the sum of all edges, to 50 / the shortest edge"


def state_model_lines() -> list[str]:
    """Every model of states with its number of rates and its source."""
    lines = ["models of states (traits of text, or --discrete), with s states:"]
    for name, (count, source) in _ABOUT.items():
        lines += [f"{name:11}{_summary(name)} ({source})", f"{'':11}rates q(a,b): {count}"]
    return [
        *lines,
        "",
        f"rates are changes per unit of edge length: {_SUPPORT};",
        "--hidden 2 gives every state two classes of rates; a table's file is a model of one's own.",
    ]


def state_model_text(name: str) -> str:
    """The model as the table of three states, which `--model FILE` reads, with what there is to say of it above."""
    count, source = _ABOUT[name]
    pattern = rate_pattern(name, "abc")
    said = [
        f"{name}: {_summary(name)}",
        f"source: {source}",
        f"parameters: {count} rates q(a,b) of s states, of three states {', '.join(pattern.labels)}",
        f"support: {_SUPPORT}",
        "cells with equal texts are one rate, 0 never happens; put your states in the place of a, b, c",
    ]
    rows = [",".join(["", *pattern.states])]
    for state, cells in zip(pattern.states, pattern.cells.tolist(), strict=True):
        rows.append(",".join([state, *(f"rate{cell}" if cell else "0" for cell in cells)]))
    return "".join(f"# {line}\n" for line in said) + "\n".join(rows) + "\n"


def _summary(name: str) -> str:
    text = (PATTERNS[name].__doc__ or "").split("(")[0].strip().rstrip(".")
    return text[:1].lower() + text[1:]
