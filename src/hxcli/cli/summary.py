"""The summary of a run for a person, on standard error: a table on a terminal, aligned plain text elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hxcli.pipeline import Outcome
    from hxcli.reconstruction import Parameter, Reconstruction
    from hxcli.run_record import Stage

_MOST_TRAITS = 20


def show_outcome(outcome: Outcome, *, verbose: bool = False) -> None:
    """Says per trait what was found, then what to know, then which files were written."""
    for reconstruction in outcome.reconstructions:
        print(headline(reconstruction), file=sys.stderr)
        _show_table(trait_rows(reconstruction))
        left_out = len(reconstruction.traits) - _MOST_TRAITS
        if left_out > 0:
            print(f"... and {left_out} more traits", file=sys.stderr)
    for note in outcome.notes:
        print(f"hx: note: {note}", file=sys.stderr)
    if verbose:
        _show_table([("stage", "seconds", "memory so far"), *(_stage_row(stage) for stage in outcome.stages)])
    if outcome.written:
        print(f"wrote {', '.join(outcome.written)}", file=sys.stderr)


def headline(reconstruction: Reconstruction) -> str:
    """What was computed, on how large a tree, with which intervals."""
    phylogeny = reconstruction.phylogeny
    size = f"{len(phylogeny.tips)} tips, {phylogeny.topology.size} nodes"
    return f"{reconstruction.method}; {size}; {reconstruction.level:.15g} {reconstruction.interval} in brackets"


def trait_rows(reconstruction: Reconstruction) -> list[tuple[str, ...]]:
    """A header and one row per trait: root with interval, the parameters, tips used and missing."""
    shown = reconstruction.traits[:_MOST_TRAITS]
    names = list(dict.fromkeys(key for trait in shown for key in reconstruction.parameters[trait]))
    # The root has a column of its own, with its interval.
    names = [name for name in names if not name.startswith("root")]
    titles = [name.replace("_", " ") for name in names]
    rows: list[tuple[str, ...]] = [("trait", "root", *titles, "tips used", "missing")]
    for column, trait in enumerate(shown):
        figures = reconstruction.parameters[trait]
        used = reconstruction.tips_used[column]
        missing = len(reconstruction.phylogeny.tips) - used
        cells = [_figure(figures.get(name)) for name in names]
        rows.append((trait, _root(reconstruction, column), *cells, str(used), str(missing)))
    return rows


def _root(reconstruction: Reconstruction, column: int) -> str:
    estimate, lower, upper = (
        array[0, column] for array in (reconstruction.estimates, reconstruction.lower, reconstruction.upper)
    )
    return f"{estimate:.6g}" if lower != lower else f"{estimate:.6g} [{lower:.6g}, {upper:.6g}]"


def _figure(parameter: Parameter | None) -> str:
    if parameter is None:
        return ""
    return f"{parameter.value:.6g} ({parameter.how})" if parameter.how else f"{parameter.value:.6g}"


def _stage_row(stage: Stage) -> tuple[str, str, str]:
    memory = f"{stage.peak_bytes / 2**20:.0f} MiB" if stage.peak_bytes else ""
    return stage.name, f"{stage.seconds:.3f}", memory


def _show_table(rows: list[tuple[str, ...]]) -> None:
    if sys.stderr.isatty():
        # Here and not above, because it takes longer to import than a small analysis to run.
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD)
        for position, title in enumerate(rows[0]):
            table.add_column(title, justify="right" if position else "left")
        for row in rows[1:]:
            # As Text, because brackets in a name are no markup.
            table.add_row(*map(Text, row))
        Console(stderr=True).print(table)
        return
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print(f"  {line}".rstrip(), file=sys.stderr)
