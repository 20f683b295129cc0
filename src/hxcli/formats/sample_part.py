"""Parts of a sample: what one of several runs found on its share of the trees, in one file.

The file is a line of JSON with everything but long arrays, whose names, kinds and shapes it lists; the arrays' bytes
follow, each from a multiple of 64 on, so that a reader may look at a piece of one and leave the rest on the disk.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np

from hxcli.analyses.tree_samples.clade_counts import Counted
from hxcli.analyses.tree_samples.clades import CladeKeys
from hxcli.analyses.tree_samples.figures import SampledStates
from hxcli.analyses.tree_samples.ledger import Entry, Ledger
from hxcli.analyses.tree_samples.sample_setting import SampleSetting
from hxcli.engine.topology import Topology
from hxcli.errors import InputError
from hxcli.formats.source import reading
from hxcli.phylogeny import Phylogeny
from hxcli.text_columns import Texts
from hxcli.traits import MatchReport, Observations

_FORMAT = "hx part of a sample, 2"
_STEP = 64
_OF_STATES = ("name", "states", "observed", "model", "root_prior", "rates", "count", "fitted")


@dataclass(frozen=True, eq=False)
class Part:
    """What was found on some of the trees of a sample.

    Attributes:
        setting: What the result is made of but the figures of the trees.
        ledger: The figures of the trees.
        lacking: The clades that the summary lacks, in these trees, or in all if `counted_all`.
        counted_all: Whether they were counted in all trees, not only in these.
        names: The tips' names, in code-point order.
        shard: (k, n): that this is the k-th of n parts.
        record: What the run record has but results, notes and timings.
        notes: What the user should know, a sentence each.
        report: How the tips and the table's rows met.
        error_columns: Of the table.
    """

    setting: SampleSetting
    ledger: Ledger
    lacking: Counted
    counted_all: bool
    names: tuple[str, ...]
    shard: tuple[int, int] = (1, 1)
    record: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    report: MatchReport | None = None
    error_columns: tuple[str, ...] = ()

    def foreign(self, other: Part) -> str:
        """What is not the same in two parts that cannot belong together; "" where they may."""
        mine, others = (_identity(part) for part in (self, other))
        return next((name for name in mine if mine[name] != others[name]), "")


def _identity(part: Part) -> dict[str, Any]:
    record = part.record
    sample, setting = record.get("sample", {}), part.setting
    return {
        "number of parts": part.shard[1],
        "version of hx": record.get("version"),
        "analysis": record.get("command"),
        "trees": [(file["sha256"], file["trees"]) for file in sample.get("files", ())],
        "table": record.get("inputs", {}).get("traits", {}).get("sha256"),
        "options": {**record.get("options", {}), **{k: v for k, v in sample.items() if k != "files"}},
        "seed": record.get("seed"),
        "precision": record.get("precision"),
        "traits": (*setting.observations.traits, *(trait.name for trait in setting.states)),
        "figures": setting.rows,
        "summary tree": _bytes_of(setting.summary),
    }


def _bytes_of(summary: Phylogeny) -> tuple[bytes, bytes, str]:
    return summary.topology.parents.tobytes(), summary.edge_lengths.tobytes(), summary.labels.lines()


def write_part(stream: BinaryIO, part: Part) -> None:
    """Writes a part."""
    setting, ledger = part.setting, part.ledger
    summary, seen = setting.summary, setting.observations
    arrays: dict[str, Any] = {
        "parents": [summary.topology.parents],
        "depths": [summary.topology.node_depths],
        "edge_lengths": [summary.edge_lengths],
        "observed_nodes": [seen.nodes.astype(np.int64)],
        "observed_values": [seen.values],
        "observed_errors": [np.ascontiguousarray(seen.standard_errors)],
        "known": [setting.known],
        **{f"known_states_{number}": [trait.known] for number, trait in enumerate(setting.states)},
        "numbers": [ledger.numbers],
        "parameters": [ledger.parameters],
        "present": [ledger.present],
        "clades_low": [part.lacking.keys.low],
        "clades_high": [part.lacking.keys.high],
        "clades_counts": [part.lacking.counts],
        "clades_tips": [part.lacking.tips],
        "clades_pairs": [part.lacking.pairs],
        **{f"figures_{number}": [block] for number, block in enumerate(ledger.blocks)},
    }
    listed = {name: (str(blocks[0].dtype), list(blocks[0].shape)) for name, blocks in arrays.items()}
    report = part.report
    header = {
        "format": _FORMAT,
        "shard": part.shard,
        "record": part.record,
        "notes": part.notes,
        "report": None if report is None else [getattr(report, name) for name in report.__dataclass_fields__],
        "error_columns": part.error_columns,
        "names": part.names,
        "counted_all": part.counted_all,
        "traits": seen.traits,
        "level": setting.level,
        "interval": setting.interval,
        "method": setting.method,
        "columns": setting.columns,
        "of_nodes": setting.of_nodes,
        "rows": setting.rows,
        "states": [{name: getattr(trait, name) for name in _OF_STATES} for trait in setting.states],
        "parameters": setting.parameters,
        "summary": {
            "labels": summary.labels.tolist(),
            "support": summary.support.tolist(),
            "annotations": sorted((node, list(texts)) for node, texts in summary.annotations.items()),
            "rooted": summary.rooted,
            "name": summary.name,
            "header": list(summary.header),
        },
        "arrays": listed,
    }
    line = json.dumps(header, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
    stream.write(line)
    place = len(line)
    for blocks in arrays.values():
        place += stream.write(b"\0" * (-place % _STEP))
        for block in blocks:
            place += stream.write(np.ascontiguousarray(block).tobytes())


def read_part(path: str) -> Part:
    """Reads a part; the figures of its trees stay on the disk.

    Raises:
        InputError: Not a part, cut short, or one of another version.
    """
    with reading(path), open(path, "rb") as stream:
        line = stream.readline()
        size = stream.seek(0, 2)
    try:
        header = json.loads(line)
        known = header.get("format") == _FORMAT
    except (ValueError, AttributeError):
        known = False
    if not known:
        raise InputError("not a part that hx --shard has written", "name the prefixes of the parts", file=path)
    arrays, place = {}, len(line)
    for name, (kind, shape) in header["arrays"].items():
        place += -place % _STEP
        count = int(np.prod(shape, dtype=np.int64)) * np.dtype(kind).itemsize
        if place + count > size:
            raise InputError("the file is cut short", "run this part again", file=path)
        arrays[name] = np.memmap(path, kind, "r", place, tuple(shape)) if count else np.zeros(shape, kind)
        place += count
    held = {name: np.array(values) for name, values in arrays.items() if not name.startswith("figures_")}
    return _part(header, held, [arrays[name] for name in arrays if name.startswith("figures_")])


def _part(header: dict[str, Any], arrays: dict[str, Any], blocks: list[Any]) -> Part:
    given = header["summary"]
    summary = Phylogeny(
        Topology(arrays["parents"], arrays["depths"]),
        arrays["edge_lengths"],
        Texts(given["labels"]),
        Texts(given["support"]),
        {node: tuple(texts) for node, texts in given["annotations"]},
        given["rooted"],
        given["name"],
        header=tuple(given["header"]),
    )
    traits = tuple(header["traits"])
    seen = Observations(
        arrays["observed_nodes"].astype(np.intp), arrays["observed_values"], arrays["observed_errors"], traits
    )
    setting = SampleSetting(
        summary=summary,
        observations=seen,
        known=arrays["known"],
        level=header["level"],
        interval=header["interval"],
        method=header["method"],
        columns=tuple(header["columns"]),
        parameters=tuple(header["parameters"]),
        states=tuple(
            SampledStates(known=arrays[f"known_states_{number}"], **_tupled(about))
            for number, about in enumerate(header["states"])
        ),
        rows=tuple((trait, model, name) for trait, model, name in header["rows"]),
        of_nodes=header["of_nodes"],
    )
    ledger = Ledger(len(setting.open_nodes), setting.figures)
    first = 0
    for block in blocks:
        last = first + block.shape[2]
        present = arrays["present"] if not first else np.zeros_like(arrays["present"])
        ledger.add(Entry(arrays["numbers"][first:last], block, arrays["parameters"][:, first:last], present))
        first = last
    lacking = Counted(
        CladeKeys(arrays["clades_low"], arrays["clades_high"]),
        arrays["clades_counts"],
        arrays["clades_tips"],
        arrays["clades_pairs"],
    )
    report = header["report"]
    return Part(
        setting=setting,
        ledger=ledger,
        lacking=lacking,
        counted_all=header["counted_all"],
        names=tuple(header["names"]),
        shard=tuple(header["shard"]),
        record=header["record"],
        notes=tuple(header["notes"]),
        report=None if report is None else MatchReport(report[0], *(_tuples(each) for each in report[1:])),
        error_columns=tuple(header["error_columns"]),
    )


def _tupled(values: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def _tuples(values: list[Any]) -> tuple[Any, ...]:
    return tuple(tuple(value) if isinstance(value, list) else value for value in values)
