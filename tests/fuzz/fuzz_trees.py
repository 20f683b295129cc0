"""Mutated tree files: nothing but a refusal may be raised, nothing may hang, and what is accepted must be read right.

python -m tests.fuzz.fuzz_trees --count 100000 --seed 0
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
import warnings
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from hxcli.errors import InputError
from hxcli.formats.source import Source, checked_source, held_files
from hxcli.formats.text_stream import PART
from hxcli.formats.trees.read import read_trees
from hxcli.formats.trees.scanner.whole_statements import Wanted
from hxcli.formats.trees.tree_stream import TreeStream
from hxcli.phylogeny import Phylogeny
from tests.formats import oracle
from tests.formats.agreement import as_large, differences

ROOT = Path(__file__).resolve().parents[2]
# Seconds that one small input may take before it counts as hanging.
TIME_LIMIT = 5
LARGEST_SEED = 4000
# Bytes of a part of a sample, besides the usual ones: a text becomes many parts.
SMALL_PART = 9
PIECES = (
    *b"()[],:;'=&\"#\\ \t\n\r\0\x01\x80/_-+.0e*<>{}",
    b"''",
    b"[&r=1]",
    b"[&R]",
    b"[95]",
    b"((((",
    b"))))",
    b":1e400",
    b":-1",
    b":.5e-3",
    b":nan",
    b":1_0",
    b"#NEXUS\n",
    b"begin trees;",
    b"end;",
    b"tree x=",
    b"translate 1 A,2 B;",
    b"taxlabels A B C;",
    b"'it''s'",
    b"1",
    b"99",
    b"100/0.9",
    b"\xef\xbb\xbf",
    "é\u00a0\u200b".encode(),
    b"#H1",
    b"<!DOCTYPE",
    b"<clade>",
    b"\r\n",
)


class HangError(Exception):
    """An input took longer than `TIME_LIMIT`."""


def seeds() -> list[bytes]:
    """Small tree files of the repository, and of the shared corpus where there is one."""
    shared = Path(os.environ.get("HX_SHARED", ROOT.parent / "shared")) / "corpus"
    folders = [ROOT / "tests" / "data" / "trees", shared / "good", shared / "bad"]
    paths = sorted(path for folder in folders if folder.is_dir() for path in folder.iterdir() if path.is_file())
    return [data for data in (path.read_bytes() for path in paths) if len(data) <= LARGEST_SEED]


def mutate(chance: random.Random, corpus: list[bytes]) -> bytes:
    """A seed with a few things deleted, doubled, moved, inserted, or taken from another seed."""
    data = bytearray(chance.choice(corpus))
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        at = chance.randrange(len(data) + 1)
        length = min(chance.choice((1, 1, 2, 5, 30)), len(data) - at)
        match chance.randrange(7):
            case 0:
                del data[at : at + length]
            case 1:
                data[at:at] = data[at : at + length]
            case 2 | 3:
                piece = chance.choice(PIECES)
                data[at : at + chance.randrange(2)] = bytes([piece]) if isinstance(piece, int) else piece
            case 4:
                other = chance.choice(corpus)
                start = chance.randrange(len(other) + 1)
                data[at:at] = other[start : start + chance.choice((1, 5, 40))]
            case 5:
                del data[at + chance.randrange(200) :]
            case 6:
                other_at = chance.randrange(len(data) + 1)
                piece = data[at : at + length]
                del data[at : at + length]
                data[other_at:other_at] = piece
    return bytes(data)


def outcome(data: bytes) -> str:
    """`refused`, `accepted`, or what is wrong.

    Raises:
        HangError: It takes too long.
        Exception: Whatever is raised that is no refusal.
    """
    try:
        source: Source = checked_source("fuzz", data)
    except InputError as error:
        return _refused(error)
    refusal = found = None
    try:
        found = read_trees(source)
    except InputError as error:
        refusal = error
    try:
        with as_large():
            again = read_trees(source)
        if again != found:
            return f"read otherwise as a large text: {again}, not {found or refusal}"
    except InputError as error:
        if refusal is None or str(error) != str(refusal):
            return f"refused otherwise as a large text: {error!s}, not {refusal!s}"
    if found is not None and found.format not in ("newick", "nexus"):
        return "accepted"
    for size in (PART, SMALL_PART):
        problem = sample_problem(source, size, found.phylogenies if found is not None else None)
        if problem:
            return f"{problem} as a sample in parts of {size} bytes; alone {found or refusal}"
    if found is None:
        return _refused(refusal)
    problems = differences(found.phylogenies, oracle.read(source.text))
    return f"misread: {problems[0]}" if problems else "accepted"


def sample_problem(source: Source, size: int, alone: tuple[Phylogeny, ...] | None) -> str:
    """What is wrong with the text read as a sample of trees; "" for nothing.

    Args:
        size: Bytes of a part.
        alone: Its trees as `read_trees` reads them; None where it refuses them.
    """
    with held_files({source.file: lambda parquet: source}):
        stream = TreeStream([source.file])
        try:
            trees = _sampled(stream, None, size)
            parts = [
                _sampled(stream, lambda place, rest=rest: place % 2 == rest, size) for rest in range(min(2, len(trees)))
            ]
        except InputError as error:
            return "" if alone is None else f"refused otherwise: {error}"
    if alone is None:
        return f"accepted otherwise: {len(trees)} trees"
    if [_compared(tree) for tree in trees] != [_compared(tree) for tree in alone]:
        return f"misread: {trees}"
    halves = [[_compared(tree) for tree in part] for part in parts]
    same = all(half == [_compared(tree) for tree in alone[rest::2]] for rest, half in enumerate(halves))
    return "" if same else f"misread in two parts: {parts}"


def _sampled(stream: TreeStream, mine: Wanted | None, size: int) -> list[Phylogeny]:
    """The trees of a sample of which a run has a part; None for all."""
    return [batch.phylogeny(i, stream.taxa) for batch in stream.batches(mine, size=size) for i in range(batch.count)]


def _compared(tree: Phylogeny) -> tuple[Any, ...]:
    """What a tree of a sample shares with one that is read alone: internal labels and annotations are left out."""
    lengths = [repr(length) for length in tree.edge_lengths.tolist()]
    return tree.topology.parents.tolist(), tree.tip_names.tolist(), lengths, tree.rooted, tree.name


def _refused(error: InputError | None) -> str:
    assert error is not None
    if "\n" in str(error) or not error.found:
        return f"a refusal that is not one line: {error!s}"
    return "refused"


def _hang(_signal: int, _frame: FrameType | None) -> None:
    raise HangError


def run(count: int, seed: int) -> tuple[Counter[str], list[tuple[bytes, str]]]:
    """Counts of outcomes, and every input that went wrong with what happened."""
    chance, corpus = random.Random(seed), seeds()
    counts: Counter[str] = Counter()
    failures: list[tuple[bytes, str]] = []
    signal.signal(signal.SIGALRM, _hang)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(count):
            data = mutate(chance, corpus)
            signal.setitimer(signal.ITIMER_REAL, TIME_LIMIT)
            try:
                result = outcome(data)
            except HangError:
                result = "hang"
            except Exception as error:
                result = f"traceback: {type(error).__name__}: {error}"
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            if result not in ("refused", "accepted"):
                failures.append((data, result))
                result = result.split(":")[0]
            counts[result] += 1
    return counts, failures


def main() -> int:
    """Runs the fuzzer from the command line; 1 if anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began = time.perf_counter()
    counts, failures = run(options.count, options.seed)
    for data, problem in failures[:20]:
        sys.stdout.write(f"{problem[:500]}\n    {data!r}\n")
    shown = ", ".join(f"{number} {what}" for what, number in counts.most_common())
    took = time.perf_counter() - began
    sys.stdout.write(f"trees: {sum(counts.values())} inputs, seed {options.seed}: {shown}; {took:.0f} s\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
