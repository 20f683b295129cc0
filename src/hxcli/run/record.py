"""The run record: everything needed to say what a run did, and to do it again, as plain JSON values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from hxcli import __version__
from hxcli.findings import Findings, plain
from hxcli.phylogeny import Phylogeny
from hxcli.run.inputs import InputOptions, Inputs
from hxcli.traits import MatchReport


@dataclass(frozen=True)
class Stage:
    """How long one part of a run took.

    Attributes:
        name: What was done, such as `reading the tree`.
        seconds: Wall time.
        peak_bytes: Largest memory of the process until the end of the stage; 0 where the system does not tell.
    """

    name: str
    seconds: float
    peak_bytes: int


def run_record(
    *,
    command: str,
    command_line: Sequence[str],
    options: InputOptions,
    analysis_options: Mapping[str, Any],
    inputs: Inputs,
    findings: Sequence[Findings],
    device: str,
    precision: int,
    threads: int | None,
    libraries: Mapping[str, str],
    seed: int | None,
    notes: Sequence[str],
    stages: Sequence[Stage],
    side_files: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> dict[str, Any]:
    """Builds the record of one run.

    Only the block `timings` differs between two runs with the same inputs, options and versions.
    """
    return {
        "version": __version__,
        "libraries": dict(libraries),
        "command": command,
        "command_line": list(command_line),
        "inputs": {**_inputs(options, inputs), **side_files},
        "options": plain(dict(analysis_options) | _reading_options(options)),
        "device": device,
        "precision": precision,
        "threads": threads,
        "seed": seed,
        "results": [
            trait_results(inputs.table.error_columns, *each) for each in zip(inputs.matches, findings, strict=True)
        ],
        "notes": list(notes),
        "timings": stage_record(stages),
    }


def stage_record(stages: Sequence[Stage]) -> dict[str, Any]:
    """How long the stages of a run took, and how much memory."""
    return {
        "stages": {stage.name: round(stage.seconds, 6) for stage in stages},
        "peak_memory_bytes_so_far": {stage.name: stage.peak_bytes for stage in stages},
        "peak_memory_bytes": max((stage.peak_bytes for stage in stages), default=0),
    }


def _inputs(options: InputOptions, inputs: Inputs) -> dict[str, Any]:
    tree_file, table = inputs.tree_file, inputs.table
    return {
        "tree": {
            "file": tree_file.file,
            "sha256": tree_file.sha256,
            "format": tree_file.format,
            "trees": len(tree_file.phylogenies),
            "tree_index": options.tree_index or 1,
            **_counts(inputs.phylogenies[0]),
        },
        "traits": {
            "file": table.file,
            "sha256": inputs.table_sha256,
            "rows": len(table.names),
            "columns": list(table.traits),
            "text_columns": list(table.text_columns),
        },
    }


def _counts(phylogeny: Phylogeny) -> dict[str, int]:
    return {"tips": len(phylogeny.tips), "nodes": phylogeny.topology.size}


def _reading_options(options: InputOptions) -> dict[str, Any]:
    """The reading options but for the paths, which stand under `inputs`."""
    names = ("id_column", "columns", "se_columns", "na", "replicates", "strict", "missing_lengths", "negative_lengths")
    of_states = ("discrete", "state_columns") if options.with_states else ()
    return {name: getattr(options, name) for name in (*names, *of_states)}


def trait_results(error_columns: Sequence[str], report: MatchReport, found: Findings) -> dict[str, Any]:
    """One phylogeny's part: how tips and rows met, and what was found for every trait."""
    tips = len(found.phylogeny.tips)
    without_data = len(report.tips_without_data)
    errors_from = dict(zip(found.traits, error_columns, strict=False))
    return {
        "tree_name": found.phylogeny.name,
        "method": found.method,
        **found.facts(),
        "tips": {
            "with_data": tips - without_data,
            "without_data": without_data,
            "matched_exactly": report.exact,
            "matched_by_underscore": len(report.by_underscore),
            "matched_by_unicode": len(report.by_unicode),
            "rows_dropped": len(report.rows_without_tip),
        },
        "traits": [
            {
                "name": name,
                "tips_used": used,
                "tips_missing": tips - used,
                "standard_errors_from": errors_from.get(name) or None,
                **found.trait_facts(number),
            }
            for number, (name, used) in enumerate(zip(found.traits, found.tips_used, strict=True))
        ],
        "warnings": list(found.warnings),
    }
