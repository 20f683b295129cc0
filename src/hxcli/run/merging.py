"""Merging: the parts of a sample of trees become the result of the whole, whose bytes are those of one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hxcli.analyses import ANALYSES
from hxcli.close_names import counted, listed
from hxcli.errors import InputError, OptionError
from hxcli.formats.sample_part import Part, read_part
from hxcli.run.clock import Clock, Progress
from hxcli.run.inputs import InputOptions
from hxcli.run.many_trees import finish
from hxcli.run.perform import Job, Outcome
from hxcli.run.products import choose_products
from hxcli.run.runtime import RuntimeOptions, started


@dataclass(frozen=True)
class MergeJob:
    """One merge.

    Attributes:
        parts: Prefixes or paths of the parts, in any order.
        out: Prefix of the products; None where they are named one by one.
        named: Kind of product -> path, None for one that is not named.
        choices: How products are to look.
        command_line: The words that asked for it.
    """

    parts: tuple[str, ...]
    out: str | None = None
    named: Mapping[str, str | None] = field(default_factory=dict)
    choices: Mapping[str, Any] = field(default_factory=dict)
    command_line: tuple[str, ...] = ()


def merge(job: MergeJob, progress: Progress = lambda stage: None) -> Outcome:
    """Reads the parts, pools them and writes: all products or none.

    Raises:
        InputError: A part that cannot be read, is missing, there twice, or of another run.
    """
    clock = Clock(progress)
    clock.begin("reading the parts")
    paths = [path if path.endswith(".part") else f"{path}.part" for path in job.parts]
    parts = [read_part(path) for path in paths]
    refuse_strangers(paths, parts)
    # Notes come in the order of the parts' numbers, whatever that on the command line.
    parts.sort(key=lambda part: part.shard)
    record = parts[0].record
    analysis, precision = str(record["command"]), int(record["precision"])
    gives = ANALYSES[analysis].of_samples
    whole = Job(
        analysis=analysis,
        inputs=InputOptions(tree=paths[0]),
        products=choose_products(analysis, tuple(paths), out=job.out, named=job.named, gives=gives),
        choices=job.choices,
        runtime=RuntimeOptions(precision=precision),
        command_line=job.command_line,
    )
    clock.begin("starting JAX")
    with started(whole.runtime):
        return finish(whole, parts, clock)


def refuse_strangers(paths: Sequence[str], parts: Sequence[Part]) -> None:
    """Raises unless the parts are all parts of one run, each once.

    Raises:
        InputError: Names the part and what is wrong with it.
        OptionError: Parts are missing.
    """
    for path, part in zip(paths[1:], parts[1:], strict=True):
        if different := parts[0].foreign(part):
            found = f"a part of another run than {paths[0]}: the {different} differs"
            raise InputError(found, "merge the parts of one run", file=path)
    of = parts[0].shard[1]
    owner: dict[int, str] = {}
    for path, part in zip(paths, parts, strict=True):
        number = part.shard[0]
        if number in owner:
            raise InputError(f"part {number} of {of}, as {owner[number]} is", "name every part once", file=path)
        owner[number] = path
    if missing := [number for number in range(1, of + 1) if number not in owner]:
        which = listed([f"{number}/{of}" for number in missing])
        raise OptionError(
            f"{counted(len(missing), 'part')} missing: {which} (make them with --shard, and name them all)"
        )
    numbers = np.concatenate([part.ledger.numbers for part in parts])
    if len(np.unique(numbers)) < len(numbers):
        raise InputError("a tree is in two parts", "make the parts again", file=paths[0])
