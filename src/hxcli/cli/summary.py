"""The summary of a run for a person, on standard error: aligned text, in colours on a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from hxcli.errors import Doubt

if TYPE_CHECKING:
    from hxcli.findings import Findings
    from hxcli.run.perform import Outcome
    from hxcli.run.record import Stage

MOST_TRAITS = 20


def show_outcome(outcome: Outcome, *, verbose: bool = False) -> None:
    """Says what casts doubt on the figures, per trait what was found, what else to know, which files were written."""
    for note in outcome.notes:
        if isinstance(note, Doubt):
            _say(f"hx: note: {note}", style="yellow")
    for found in outcome.findings:
        _say(found.headline())
        _say_table(found.summary(MOST_TRAITS))
        for line in left_out(found):
            _say(line)
    for note in outcome.notes:
        if not isinstance(note, Doubt):
            _say(f"hx: note: {note}", style="yellow")
    if verbose:
        _say_table([("stage", "seconds", "memory so far"), *map(_stage_row, outcome.stages)])
    if outcome.written:
        _say(f"wrote {', '.join(outcome.written)}")


def left_out(found: Findings) -> tuple[str, ...]:
    """What the rows of a summary leave out, a line; nothing where that is nothing."""
    more = len(found.traits) - MOST_TRAITS
    return (f"... and {more} more traits",) if more > 0 else ()


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
