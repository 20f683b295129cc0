"""One run as data (`Job`) and the one function that performs it (`perform`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hxcli import prebuilt
from hxcli.formats import outputs
from hxcli.formats.annotations import replaced_notes
from hxcli.formats.record import record_bytes
from hxcli.inputs import InputOptions, read_inputs
from hxcli.products import Products
from hxcli.reconstruction import Reconstruction
from hxcli.run_record import Stage, run_record
from hxcli.runtime import RuntimeOptions, prepare, started, versions
from hxcli.traits import MatchReport

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
        model: Name of a prebuilt model, such as `ancestral`.
        inputs: What to read, and how.
        products: What to write, and where.
        model_options: The model's own options by name.
        runtime: Where and how precisely to compute.
        seed: Seed of the random numbers; None where nothing is random.
        command_line: The words that asked for the run, for its record.
    """

    model: str
    inputs: InputOptions
    products: Products
    model_options: Mapping[str, Any] = field(default_factory=dict)
    runtime: RuntimeOptions = field(default_factory=RuntimeOptions)
    seed: int | None = None
    command_line: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a run found and did.

    Attributes:
        reconstructions: One for every phylogeny.
        matches: For every phylogeny how its tips and the table's rows met.
        record: The run record as JSON values.
        notes: What the user should know, a sentence each.
        stages: What took how long.
        written: Paths of the files that were written, standard output left out.
    """

    reconstructions: tuple[Reconstruction, ...]
    matches: tuple[MatchReport, ...]
    record: Mapping[str, Any]
    notes: tuple[str, ...]
    stages: tuple[Stage, ...]
    written: tuple[str, ...]


def perform(job: Job, progress: Progress = lambda stage: None) -> Outcome:
    """Reads, computes and writes: all products or none.

    JAX is imported only once the inputs have been read and found sound.

    Args:
        job: What to do.
        progress: Told the name of every stage when it begins.

    Raises:
        HxError: The inputs or options were refused, the model has no answer, or a product cannot be written.
    """
    clock = _Clock(progress)
    writers = _writers(job.products)
    prepare(job.runtime)
    inputs = read_inputs(job.inputs, clock.begin)
    clock.begin("starting JAX")
    with started(job.runtime) as runtime:
        clock.begin("computing")
        model = prebuilt.load(job.model)
        pairs = zip(inputs.phylogenies, inputs.observations, strict=True)
        reconstructions = tuple(model(phylogeny, seen, **job.model_options) for phylogeny, seen in pairs)
        device, notes = runtime.device_name, (*inputs.notes, *runtime.notes)
    if job.products.tree is not None and outputs.writes_annotations(job.products.tree):
        notes = (*notes, *replaced_notes(reconstructions[0].phylogeny, reconstructions[0].traits))
    clock.begin("writing")
    warnings = tuple(warning for each in reconstructions for warning in each.warnings)
    rendered = {path: write(reconstructions[0]) for path, write in writers.items()}
    stages = clock.end()
    record = run_record(
        command=job.model,
        command_line=job.command_line,
        options=job.inputs,
        model_options=job.model_options,
        inputs=inputs,
        reconstructions=reconstructions,
        device=device,
        precision=job.runtime.precision,
        threads=job.runtime.threads,
        libraries=versions(),
        seed=job.seed,
        notes=notes,
        stages=stages,
    )
    if job.products.record is not None:
        rendered[job.products.record] = record_bytes(record)
    outputs.write_all(rendered)
    written = tuple(path for path in rendered if path != "-")
    return Outcome(reconstructions, inputs.matches, record, (*notes, *warnings), stages, written)


def _writers(products: Products) -> dict[str, outputs.Writer]:
    """Path -> what renders the table or the tree for it; an extension that nothing writes is refused here."""
    writers = {}
    if products.table is not None:
        writers[products.table] = outputs.writer_for(products.table, "table")
    if products.tree is not None:
        writers[products.tree] = outputs.writer_for(products.tree, "tree")
    return writers


class _Clock:
    """Measures the stages of one run, one after the other."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._stages: list[Stage] = []
        self._name, self._start = "", time.perf_counter()

    def begin(self, name: str) -> None:
        self.end()
        self._name, self._start = name, time.perf_counter()
        self._progress(name)

    def end(self) -> tuple[Stage, ...]:
        if self._name:
            self._stages.append(Stage(self._name, time.perf_counter() - self._start, peak_memory()))
            self._name = ""
        return tuple(self._stages)


def peak_memory() -> int:
    """Largest memory that this process has held so far, in bytes; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
