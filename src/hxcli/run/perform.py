"""One run as data (`Job`) and the one function that performs it (`perform`)."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any

from hxcli import analyses
from hxcli.edge_data import OF_TREE
from hxcli.errors import OptionError
from hxcli.findings import Findings
from hxcli.formats.atomic_write import write_all
from hxcli.phylogeny import Phylogeny
from hxcli.progress import listening
from hxcli.run.clock import Clock, Progress
from hxcli.run.inputs import InputOptions, read_inputs
from hxcli.run.product_kinds import KINDS, Result
from hxcli.run.product_notes import product_notes
from hxcli.run.products import prepare_products, writer_for
from hxcli.run.record import Stage, run_record
from hxcli.run.runtime import Runtime, RuntimeOptions, keep_freed_memory, prepare, started, versions
from hxcli.run.sample_options import SampleOptions
from hxcli.run.side_inputs import SideInput
from hxcli.run.trait_chunks import default_chunk, in_chunks
from hxcli.run.trait_notes import merged
from hxcli.traits import MatchReport, Observations

# Side inputs that traits of states take too.
_OF_STATES_TOO = ("edge_data",)
# Bytes of inputs that take longer to read than JAX to import.
_LONG = 1 << 24


@dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
        analysis: Name of an analysis, such as `ancestral`.
        inputs: What to read, and how.
        products: What to write: kind -> path, as `choose_products` gives it.
        analysis_options: The analysis's own options by name.
        state_options: The same for traits of states.
        choices: How products are to look, by kind; see `Result`.
        runtime: Where and how precisely to compute.
        chunk_traits: Largest number of traits to compute at a time; None to go by the size of the tree.
        seed: Seed of the random numbers; None where nothing is random.
        side_inputs: Further files, by the option of the analysis that takes what is in them.
        command_line: The words that asked for the run, for its record.
        sample: Which trees are used where many are; None for the one tree of `inputs`.
        command: Name of the command, where that is not the analysis's.
    """

    analysis: str
    inputs: InputOptions
    products: Mapping[str, str]
    analysis_options: Mapping[str, Any] = field(default_factory=dict)
    state_options: Mapping[str, Any] = field(default_factory=dict)
    choices: Mapping[str, Any] = field(default_factory=dict)
    runtime: RuntimeOptions = field(default_factory=RuntimeOptions)
    chunk_traits: int | None = None
    seed: int | None = None
    side_inputs: Mapping[str, SideInput] = field(default_factory=dict)
    command_line: tuple[str, ...] = ()
    sample: SampleOptions | None = None
    command: str = ""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a run found and did.

    Attributes:
        findings: One for every phylogeny.
        matches: For every phylogeny how its tips and the table's rows met.
        notes: What the user should know, a sentence each.
        stages: What took how long.
        written: Paths of the files that were written, standard output left out.
        result: What products are made of, for whoever wants more of them.
    """

    findings: tuple[Findings, ...]
    matches: tuple[MatchReport, ...]
    notes: tuple[str, ...]
    stages: tuple[Stage, ...]
    written: tuple[str, ...]
    result: Result


def perform(job: Job, progress: Progress = lambda stage: None) -> Outcome:
    """Reads, computes and writes: all products or none.

    Inputs of ordinary size are found sound before JAX is imported, so that a refusal comes at once.

    Args:
        job: What to do.
        progress: Told the name of every stage when it begins.

    Raises:
        HxError: The inputs or options were refused, the analysis has no answer, or a product cannot be written.
    """
    if not analyses.ANALYSES[job.analysis].by_trait:
        _refuse_parts(job)
    with ThreadPoolExecutor(1) as aside:
        return _perform(job, progress, aside)


def _perform(job: Job, progress: Progress, aside: ThreadPoolExecutor) -> Outcome:
    """`perform`, with a thread for what can be done before it is needed."""
    clock = Clock(progress)
    writers = {path: writer_for(path, kind) for kind, path in job.products.items()}
    prepare(job.runtime)
    if sum(map(os.path.getsize, filter(os.path.isfile, (job.inputs.tree, job.inputs.traits)))) > _LONG:
        # Of the time that these take to read, importing JAX needs a part only.
        aside.submit(importlib.import_module, "jax")
    # What goes wrong aside goes wrong again when it is needed.
    inputs = read_inputs(job.inputs, clock.begin, lambda tree: aside.submit(prepare_products, job.products, tree))
    job, side_files = with_side_inputs(job)
    if job.choices.get("table") == "wide" and any(seen.states for seen in inputs.observations):
        # Here, and not when all is computed.
        from hxcli.formats.tables.node_table import no_wide_states

        raise no_wide_states()
    clock.begin("starting JAX")
    with started(job.runtime) as runtime:
        clock.begin("computing")
        pairs = zip(inputs.phylogenies, inputs.observations, strict=True)
        with listening(clock.detail):
            findings = tuple(_find(job, phylogeny, seen, runtime, clock) for phylogeny, seen in pairs)
        device = runtime.device_name
        notes = (*inputs.notes, *runtime.notes, *product_notes(job.products, findings[0], job.choices))
    clock.begin("writing")

    @cache
    def record() -> dict[str, Any]:
        return run_record(
            command=job.command or job.analysis,
            command_line=job.command_line,
            options=job.inputs,
            analysis_options={k: v for k, v in job.analysis_options.items() if k not in job.side_inputs},
            inputs=inputs,
            side_files=side_files,
            findings=findings,
            device=device,
            precision=job.runtime.precision,
            threads=job.runtime.threads,
            libraries=versions(),
            seed=job.seed,
            notes=notes,
            stages=clock.so_far(),
        )

    absent = _absent_tables(job, findings[0])
    writers = {path: write for path, write in writers.items() if path not in absent}
    result = Result(findings[0], record, job.choices)
    # These two take the longest, most of it where Python lets other threads run.
    together = [job.products[kind] for kind in ("table", "tree") if job.products.get(kind) in writers]
    write_all({path: partial(write, result) for path, write in writers.items()}, together)
    clock.end()
    warnings = merged(warning for each in findings for warning in each.warnings)
    written = tuple(path for path in writers if path != "-")
    return Outcome(findings, inputs.matches, (*notes, *warnings), clock.so_far(), written, result)


def with_side_inputs(job: Job) -> tuple[Job, dict[str, dict[str, str]]]:
    """The job with what its side inputs hold among the options of the analysis, and the files for the record."""
    options, of_states, files = dict(job.analysis_options), dict(job.state_options), {}
    for option, side in job.side_inputs.items():
        options[option], sha256 = side.read(job.inputs.max_size)
        files[option] = {"file": side.path, "sha256": sha256}
        if of_states and option in _OF_STATES_TOO:
            of_states[option] = options[option]
    return replace(job, analysis_options=options, state_options=of_states), files


def _absent_tables(job: Job, found: Findings) -> set[str]:
    """Paths of the products that only runs with traits of states have, in a run without any."""
    only_states = analyses.ANALYSES[job.analysis].states_give
    return {path for kind, path in job.products.items() if KINDS[kind].of in only_states and kind not in found.tables}


def _refuse_parts(job: Job) -> None:
    for given, option in (
        (job.chunk_traits is not None, "--chunk-traits"),
        (job.runtime.device == "all", "--device all"),
    ):
        if given:
            raise OptionError(
                f"{option}: hx {job.command or job.analysis} computes all traits together, on one device (leave it out)"
            )


def _with_tree_columns(job: Job, phylogeny: Phylogeny) -> Job:
    """The job with the numbers of the tree's own annotations as those of its edges, where these are asked for."""
    if job.analysis_options.get("edge_data") != OF_TREE:
        return job
    from hxcli.formats.trees.edge_annotations import edge_annotations

    table = {"edge_data": edge_annotations(phylogeny, job.inputs.tree)}
    of_states = {**job.state_options, **table} if job.state_options else job.state_options
    return replace(job, analysis_options={**job.analysis_options, **table}, state_options=of_states)


def _find(job: Job, phylogeny: Phylogeny, observations: Observations, runtime: Runtime, clock: Clock) -> Findings:
    """Runs the analysis, on some traits at a time where it takes each by itself."""
    # Imports JAX, which has to be set up first.
    from hxcli.prebuilt.device_placement import spread_over

    job = _with_tree_columns(job, phylogeny)
    if observations.states:
        numbers = None
        if observations.traits:
            analyses.refuse_both_kinds(job.analysis, job.state_options)
            options = analyses.options_for_numbers(job.analysis_options)
            alone = replace(job, analysis_options=options)
            numbers = _find(alone, phylogeny, replace(observations, states=()), runtime, clock)
        return analyses.load_of_states(job.analysis)(phylogeny, observations, numbers, **job.state_options)
    analysis, devices = analyses.load(job.analysis), len(runtime.devices)
    if not analyses.ANALYSES[job.analysis].by_trait:
        return analysis(phylogeny, observations, **job.analysis_options)
    chunk = job.chunk_traits or default_chunk(phylogeny.topology.size, devices)
    if chunk < len(observations.traits):
        keep_freed_memory()
    with spread_over(runtime.devices):
        return in_chunks(
            analysis, phylogeny, observations, chunk, multiple=devices, progress=clock.count, **job.analysis_options
        )
