"""A run over a sample of trees: one pass over files of any length, results told on a summary tree."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sized
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np

from hxcli import analyses
from hxcli.analyses.tree_samples.clade_counts import CladeCounts, Counted
from hxcli.analyses.tree_samples.clades import CladeIndex, nodes_of_clades
from hxcli.analyses.tree_samples.figures import BatchAnalysis, BatchFigures
from hxcli.analyses.tree_samples.ledger import Entry, Ledger
from hxcli.analyses.tree_samples.observed_names import observations_on, star_of
from hxcli.analyses.tree_samples.sample_setting import SampleSetting
from hxcli.close_names import counted
from hxcli.edge_data import OF_TREE
from hxcli.errors import Note, OptionError
from hxcli.formats.atomic_write import write_all
from hxcli.formats.sample_part import Part, write_part
from hxcli.formats.tables.read import LEFT_OUT, UnreadTable
from hxcli.formats.trees.read import TreeFile
from hxcli.formats.trees.scanner.whole_statements import Wanted
from hxcli.phylogeny import FloatArray
from hxcli.pictures.options import PictureChoices
from hxcli.run.clock import Clock, Progress
from hxcli.run.distributed import gathered, joined
from hxcli.run.inputs import Inputs, explained, missing_texts, read_trait_table
from hxcli.run.matching import match
from hxcli.run.perform import Job, Outcome, with_side_inputs
from hxcli.run.product_kinds import Result
from hxcli.run.product_notes import product_notes
from hxcli.run.products import writer_for
from hxcli.run.read_ahead import ahead
from hxcli.run.record import run_record, trait_results
from hxcli.run.runtime import prepare, started, versions
from hxcli.run.sample import Sample, open_sample
from hxcli.run.sample_options import SampleOptions
from hxcli.run.sample_result import lacking_notes, result_of
from hxcli.run.trait_notes import merged
from hxcli.traits import MatchReport, Observations, TraitTable
from hxcli.tree_batch import TreeBatch


def perform_sample(job: Job, progress: Progress = lambda stage: None) -> Outcome:
    """Reads, computes and writes: all products or none.

    Args:
        job: What to do; its `sample` says on which trees.
        progress: Told the name of every stage when it begins.

    Raises:
        HxError: The inputs or options were refused, the analysis has no answer on a tree, or a product cannot be
            written.
    """
    options = job.sample
    assert options is not None
    _refuse_options(job, options)
    clock = Clock(progress)
    writers = {kind: writer_for(path, kind) for kind, path in job.products.items() if kind != "part"}
    prepare(job.runtime)
    with ThreadPoolExecutor(1) as aside:
        # Most of the time that this takes, trees are read.
        aside.submit(importlib.import_module, "jax")
        clock.begin("reading the trees")
        sample = open_sample(options, job.inputs, clock.begin)
        clock.begin("reading the table")
        try:
            table, table_notes, sha256 = read_trait_table(job.inputs)
        except UnreadTable as refusal:
            raise explained(refusal, sample.summary) from refusal
        job, side_files = with_side_inputs(job)
    if job.analysis_options.get("edge_data") == OF_TREE:
        raise OptionError("--edge-data tree: annotations are of one tree, and --all-trees takes many (leave one out)")
    names = sample.stream.taxa.names
    star = star_of(names, float(sample.summary.lengths.max(initial=0.0)) or 1.0)
    counting = [name for name, counts in zip(names, sample.counts_tip, strict=True) if counts]
    seen, report, match_notes = match(
        star_of(counting, 1.0),
        table,
        strict=job.inputs.strict,
        replicates=job.inputs.replicates,
        texts=missing_texts(job.inputs),
    )
    if job.inputs.with_texts:
        table_notes = tuple(note for note in table_notes if not note.startswith(LEFT_OUT))
    on_star = replace(seen, nodes=np.flatnonzero(sample.counts_tip)[seen.nodes - 1] + 1)
    clock.begin("starting JAX")
    with joined(options.distributed) as group, started(job.runtime) as runtime:
        shard = (group.number + 1, group.count) if options.distributed else options.shard or (1, 1)
        clock.begin("computing")
        analysis = _batch_analysis(job, star, on_star, sample)
        part = _go_through(job, sample, analysis, on_star, clock, shard)
        device, runtime_notes = runtime.device_name, runtime.notes
        total = sum(sample.stream.counts.values())
        base = run_record(
            command=job.analysis,
            command_line=job.command_line,
            options=job.inputs,
            analysis_options={k: v for k, v in job.analysis_options.items() if k not in job.side_inputs},
            inputs=_inputs(sample, table, sha256),
            side_files=side_files,
            findings=(),
            device=device,
            precision=job.runtime.precision,
            threads=job.runtime.threads,
            libraries=versions(),
            seed=job.seed,
            notes=(),
            stages=(),
        )
        base["inputs"]["tree"] |= {"trees": total, "tree_index": None}
        base["sample"] = _sample_record(sample)
        notes = [*sample.stream.warnings, *sample.notes, *table_notes, *match_notes, *runtime_notes]
        part = replace(part, record=base, notes=tuple(notes), report=report, error_columns=table.error_columns)
        if options.distributed:
            clock.begin("collecting")
            parts = gathered(part, group)
            return finish(job, parts, clock, writers) if parts else _told_nothing(part, clock)
        if options.shard is not None:
            clock.begin("writing")
            path = job.products["part"]
            write_all({path: partial(write_part, part=part)})
            clock.end()
            return _told_part(part, path, clock)
        return finish(job, [part], clock, writers)


def finish(job: Job, parts: list[Part], clock: Clock, writers: Any = None) -> Outcome:
    """Pools the parts of a sample and writes the products.

    Args:
        job: Its products and choices; the rest is the parts'.
        parts: All parts, in any order.
        clock: That of the run.
        writers: Kind -> writer; None to find them.
    """
    if writers is None:
        writers = {kind: writer_for(path, kind) for kind, path in job.products.items()}
    clock.begin("pooling")
    first = parts[0]
    ledger = Ledger.joined([part.ledger for part in parts])
    reconstruction = result_of(job.analysis, first.setting, ledger)
    trees = len(ledger.numbers)
    told = list(dict.fromkeys(note for part in parts for note in part.notes))
    if first.setting.of_nodes:
        told += _lacking(parts, trees)
    # The frequencies of clades stand at the nodes of a picture.
    choices = {"picture": PictureChoices(support=True), **job.choices}
    notes = (*told, *product_notes(job.products, reconstruction, choices))
    clock.begin("writing")
    report = first.report
    assert report is not None

    @cache
    def record() -> dict[str, Any]:
        found = dict(first.record)
        found["sample"] = {**found["sample"], "used": trees}
        found["command_line"] = list(job.command_line)
        found["results"] = [trait_results(first.error_columns, report, reconstruction)]
        found["notes"] = list(notes)
        found["timings"] = clock.as_json()
        return found

    result = Result(reconstruction, record, choices)
    together = [job.products[kind] for kind in ("table", "tree") if kind in job.products]
    writing = {job.products[kind]: partial(write, result) for kind, write in writers.items()}
    write_all(writing, together)
    clock.end()
    written = tuple(path for path in writing if path != "-")
    notes += merged(reconstruction.warnings)
    return Outcome((reconstruction,), (report,), tuple(notes), clock.so_far(), written, result)


def _refuse_options(job: Job, options: SampleOptions) -> None:
    if not analyses.ANALYSES[job.analysis].of_samples:
        raise OptionError(
            f"--all-trees: hx {job.command or job.analysis} is about one tree (take them one by one with --tree-index; "
            "ancestral, fit, mean, posterior, regress and signal take all)"
        )
    for given, option in (
        (job.inputs.tree_index is not None, "--tree-index"),
        (job.chunk_traits is not None, "--chunk-traits"),
        (job.runtime.device == "all", "--device all"),
    ):
        if given:
            raise OptionError(f"{option} does not go with --all-trees (leave one of them out)")
    if options.shard is not None and not options.distributed and set(job.products) != {"part"}:
        raise OptionError("--shard writes PREFIX.part alone (name products when the parts are merged)")


def _batch_analysis(job: Job, star: Any, on_star: Observations, sample: Sample) -> BatchAnalysis:
    """The analysis of a batch."""
    if job.analysis == "fit":
        from hxcli.analyses.tree_samples.fits_one_by_one import FitsOneByOne

        return FitsOneByOne(on_star, sample.stream.taxa, sample.summary, job.analysis_options, job.state_options)
    if job.analysis in ("signal", "regress"):
        from hxcli.analyses.tree_samples.tables_one_by_one import TablesOneByOne

        return TablesOneByOne(job.analysis, on_star, sample.stream.taxa, sample.summary, job.analysis_options)
    if not on_star.states:
        return _of_numbers(job, star, on_star, sample, job.analysis_options)
    from hxcli.analyses.tree_samples.states_one_by_one import (
        Both,
        FittedOnOneTree,
        OnOneTree,
        StatesOneByOne,
        options_of,
    )

    on_one_tree: OnOneTree
    if job.analysis == "posterior":
        # Here, because nothing else needs posteriors' company.
        from hxcli.analyses.tree_samples.state_posteriors import posteriors_of

        on_one_tree = posteriors_of(job.state_options, bool(on_star.traits))
    else:
        on_one_tree = FittedOnOneTree(options_of(job.state_options, bool(on_star.traits)))
    of_states = StatesOneByOne(star, on_star, sample.stream.taxa, sample.summary, on_one_tree)
    if not on_star.traits:
        return of_states
    numbers = replace(on_star, states=())
    return Both(_of_numbers(job, star, numbers, sample, analyses.options_for_numbers(job.analysis_options)), of_states)


def _of_numbers(
    job: Job, star: Any, on_star: Observations, sample: Sample, analysis_options: Mapping[str, Any]
) -> BatchAnalysis:
    """For traits of numbers: swept together where it is Brownian motion, else tree by tree."""
    # What is not asked for, and Brownian motion by its name, is what is done anyway.
    usual: tuple[Any, ...] = (("bm",), None, False)
    options = {
        name: value
        for name, value in analysis_options.items()
        if name != "level" and value not in usual and (not isinstance(value, Sized) or len(value))
    }
    taxa = sample.stream.taxa
    together = {"estimator", "tau2", "weights"}
    if job.analysis in ("ancestral", "mean") and set(options) <= together and options.get("weights") != "local":
        from hxcli.analyses.tree_samples.brownian import BrownianTrees

        rest = {name: value for name, value in options.items() if name != "weights"}
        return BrownianTrees(star, on_star, taxa, every_tip=job.analysis == "ancestral", **rest)
    from hxcli.analyses.tree_samples.one_by_one import OneByOne

    known = np.full((len(taxa), len(on_star.traits)), np.nan)
    analysis = OneByOne(analyses.load(job.analysis), on_star, taxa, dict(analysis_options), known)
    if job.analysis == "together":
        from hxcli.analyses.together.tables import covariances_of

        analysis.more = covariances_of
    if job.analysis == "together under a file":
        from hxcli.analyses.together.tables import parameters_of

        # Of a sample the values are pooled, and no tree's intervals are told.
        analysis.options |= {"intervals": False}
        analysis.more = parameters_of
    return analysis


def _go_through(
    job: Job,
    sample: Sample,
    analysis: BatchAnalysis,
    on_star: Observations,
    clock: Clock,
    shard: tuple[int, int],
) -> Part:
    """Analyses every tree that is this process's."""
    summary, taxa = sample.summary, sample.summary_taxa()
    known = np.full((summary.topology.size, analysis.known.shape[1]), np.nan)
    known[taxa >= 0] = analysis.known[taxa[taxa >= 0]]
    index = CladeIndex(sample.summary_keys())
    counts = CladeCounts()
    setting: SampleSetting | None = None
    ledger: Ledger | None = None
    done = 0
    batches = sample.batches(_mine(shard))
    # One thread is one, that of the reader too.
    for batch in batches if job.runtime.threads == 1 else ahead(batches):
        keys = sample.keys(batch)
        clades = index.places(keys)
        if sample.counts is None:
            # Those of the summary are counted with their figures.
            counts.add(batch, keys, sample.ranks_of(batch), clades < 0)
        nodes = nodes_of_clades(batch, clades, len(index.keys.low))
        figures = analysis(batch)
        if setting is None or ledger is None:
            setting = SampleSetting(
                summary=summary,
                observations=observations_on(summary, on_star, sample.stream.taxa),
                known=known,
                level=float(job.analysis_options.get("level", 0.95)),
                interval="CI",
                method=analysis.method,
                columns=tuple(name for name in analysis.columns if not name.startswith("hpd_")),
                parameters=tuple(figures.parameters),
                states=tuple(trait.on(taxa) for trait in analysis.states),
                rows=analysis.rows,
                of_nodes=analysis.of_nodes,
            )
            ledger = Ledger(len(setting.open_nodes), setting.figures)
        ledger.add(_entry(batch, nodes, figures, setting))
        done += batch.count
        clock.count(done, None, "trees")
    if setting is None or ledger is None:
        raise OptionError(f"--shard {shard[0]}/{shard[1]}: there are fewer trees than parts (use fewer parts)")
    table = counts.table() if sample.counts is None else sample.counts
    whole = sample.counts is not None
    if len(table.counts):
        summarised = index.places(table.keys) >= 0
        others = np.flatnonzero(~summarised)
        table = Counted(table.keys.at(others), table.counts[others], table.tips[others], table.pairs[others])
    return Part(
        setting=setting,
        ledger=ledger,
        lacking=table,
        counted_all=whole,
        names=tuple(sorted(sample.stream.taxa.names[: len(sample.counts_tip)])),
        shard=shard,
    )


def _mine(shard: tuple[int, int]) -> Wanted | None:
    number, of = shard
    return None if of == 1 else lambda place: place % of == number - 1


def _entry(batch: TreeBatch, nodes: Any, figures: BatchFigures, setting: SampleSetting) -> Entry:
    """What the ledger takes of a batch."""
    chosen = nodes[setting.open_nodes]
    there = chosen >= 0
    distances = batch.root_distances
    highest = np.zeros(batch.count)
    np.maximum.at(highest, batch.trees[batch.tips], distances[batch.tips])
    # Rounding must not put the youngest tip below itself.
    ages = np.maximum(highest[batch.trees] - distances, 0.0)
    columns: list[FloatArray] = []
    for name in ("estimate", "se", *setting.columns) if figures.matrices else ():
        columns += list(figures.matrices[name].T)
    for probabilities in figures.probabilities:
        columns += list(probabilities.T)
    columns.append(ages)
    block = np.stack([np.where(there, column[chosen], np.nan) for column in columns], axis=1)
    parameters = [figures.parameters[name].T for name in setting.parameters]
    parameters += [] if figures.rows is None else [figures.rows]
    return Entry(
        numbers=np.asarray(batch.numbers, np.int64),
        figures=block,
        parameters=np.concatenate(parameters).reshape(-1, batch.count),
        present=(nodes >= 0).sum(1).astype(np.int64),
    )


def _lacking(parts: list[Part], trees: int) -> list[str]:
    """What is told of clades that the summary lacks."""
    counts = CladeCounts()
    for part in parts[:1] if parts[0].counted_all else parts:
        counts.take(part.lacking)
    table = counts.table()
    return lacking_notes(table, np.zeros(len(table.counts), bool), trees, parts[0].names)


def _inputs(sample: Sample, table: TraitTable, sha256: str) -> Inputs:
    stream, summary = sample.stream, sample.summary
    tree_file = TreeFile(stream.files[0], stream.formats[stream.files[0]], (summary,), (), stream.sha256[0])
    return Inputs(tree_file, table, sha256, (summary,), (), (), ())


def _sample_record(sample: Sample) -> dict[str, Any]:
    stream, options = sample.stream, sample.options
    return {
        "files": [
            {"file": file, "sha256": sha256, "format": stream.formats[file], "trees": stream.counts[file]}
            for file, sha256 in zip(stream.files, stream.sha256, strict=True)
        ],
        "burn_in": options.burn_in,
        "thin": options.thin,
        "summary_tree": options.summary_tree,
        "missing_tips": options.missing_tips,
        "tips": int(sample.counts_tip.sum()),
    }


def _told_nothing(part: Part, clock: Clock) -> Outcome:
    """What a process says that only computes."""
    clock.end()
    empty: Any = None
    return Outcome((), (part.report or MatchReport(0, (), (), (), ()),), (), clock.so_far(), (), empty)


def _told_part(part: Part, path: str, clock: Clock) -> Outcome:
    number, of = part.shard
    note = Note(
        f"part {number} of {of}: {counted(len(part.ledger.numbers), 'tree')}; hx merge makes the whole of all parts"
    )
    report = part.report or MatchReport(0, (), (), (), ())
    empty: Any = None
    return Outcome((), (report,), (*part.notes, note), clock.so_far(), (path,), empty)
