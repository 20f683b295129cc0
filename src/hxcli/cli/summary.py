"""The summary of a run for a person, on standard error: aligned text, in colours on a terminal."""

from __future__ import annotations

import sys
from itertools import chain
from typing import TYPE_CHECKING

from hxcli.close_names import counted

if TYPE_CHECKING:
    from hxcli.reconstruction import Parameter, Reconstruction
    from hxcli.run.perform import Outcome
    from hxcli.run.record import Stage

_MOST_TRAITS = 20


def show_outcome(outcome: Outcome, *, verbose: bool = False) -> None:
    """Says per trait what was found, then what to know, then which files were written."""
    for reconstruction in outcome.reconstructions:
        _say(headline(reconstruction))
        _say_table(trait_rows(reconstruction))
        left_out = len(reconstruction.traits) - _MOST_TRAITS
        if left_out > 0:
            _say(f"... and {left_out} more traits")
    for note in outcome.notes:
        _say(f"hx: note: {note}", style="yellow")
    if verbose:
        _say_table([("stage", "seconds", "memory so far"), *map(_stage_row, outcome.stages)])
    if outcome.written:
        _say(f"wrote {', '.join(outcome.written)}")


def headline(reconstruction: Reconstruction) -> str:
    """What was computed, on how large a tree, with which intervals (none where they are nan)."""
    phylogeny = reconstruction.phylogeny
    tips, nodes = len(phylogeny.tips), phylogeny.topology.size
    parts = [reconstruction.method, f"{counted(tips, 'tip')}, {counted(nodes, 'node')}"]
    if any(upper == upper for upper in reconstruction.named(slice(0, 1))[1][0]):
        parts.append(f"{reconstruction.level:.15g} {reconstruction.interval} in brackets")
    return "; ".join(parts)


def trait_rows(reconstruction: Reconstruction) -> list[tuple[str, ...]]:
    """A header and one row per trait: root with interval, the parameters, tips used and missing.

    How a parameter was obtained stands in its header where it is the same for all traits.
    """
    shown = reconstruction.traits[:_MOST_TRAITS]
    parameters = [reconstruction.parameters[trait] for trait in shown]
    # The root has a column of its own, with its interval.
    names = [name for name in dict.fromkeys(chain(*parameters)) if not name.startswith("root")]
    names = [name for name in names if any(_tells(figures.get(name)) for figures in parameters)]
    hows = {name: {figures[name].how for figures in parameters if name in figures} for name in names}
    titles = [_title(name, hows[name]) for name in names]
    rows: list[tuple[str, ...]] = [("trait", "root", *titles, "tips", "missing")]
    for column, (trait, figures) in enumerate(zip(shown, parameters, strict=True)):
        used = reconstruction.tips_used[column]
        missing = len(reconstruction.phylogeny.tips) - used
        cells = [_figure(figures.get(name), with_how=len(hows[name]) > 1) for name in names]
        rows.append((trait, _root(reconstruction, column), *cells, str(used), str(missing)))
    return rows


def _tells(parameter: Parameter | None) -> bool:
    """False for an observation variance that nobody asked for."""
    return parameter is not None and (parameter.value != 0 or parameter.how != "given")


def _title(name: str, hows: set[str]) -> str:
    words = name.replace("_", " ")
    if len(hows) > 1:
        return words
    (how,) = hows
    return how if set(words.split()) <= set(how.replace(",", "").split()) else f"{words} ({how})"


def _root(reconstruction: Reconstruction, column: int) -> str:
    estimate = reconstruction.estimates[0, column]
    lower, upper = (ends[0, column] for ends in reconstruction.named(slice(0, 1)))
    return f"{estimate:.6g}" if lower != lower else f"{estimate:.6g} [{lower:.6g}, {upper:.6g}]"


def _figure(parameter: Parameter | None, *, with_how: bool) -> str:
    if parameter is None:
        return ""
    return f"{parameter.value:.6g} ({parameter.how})" if with_how else f"{parameter.value:.6g}"


def _stage_row(stage: Stage) -> tuple[str, str, str]:
    memory = f"{stage.peak_bytes / 2**20:.0f} MiB" if stage.peak_bytes else ""
    return stage.name, f"{stage.seconds:.3f}", memory


def _say_table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        _say(f"  {line}".rstrip(), style="" if number else "bold")


def _say(line: str, style: str = "") -> None:
    if not (style and sys.stderr.isatty()):
        print(line, file=sys.stderr)
        return
    # Here and not above, because it takes longer to import than a small analysis to run.
    from rich.console import Console
    from rich.text import Text

    # As Text, because brackets in a name are no markup.
    Console(stderr=True).print(Text(line, style=style), soft_wrap=True)
