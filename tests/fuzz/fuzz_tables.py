"""Mutated trait tables: every one is read or refused, and what is read agrees with Python's csv module and float().

Run as `python -m tests.fuzz.fuzz_tables --count 100000 --seed 0`. Without the shared corpus the seeds are those
of tests/data/traits.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import math
import random
import re
import sys
import time
from pathlib import Path

from hxcli.errors import HxError
from hxcli.formats.source import checked_source
from hxcli.formats.tables.read import read_table
from hxcli.traits import TraitTable

ROOT = Path(__file__).parents[1]
FOLDERS = (ROOT / "data" / "traits", ROOT.parents[1] / "shared" / "corpus" / "traits")
TOKENS = [
    *(b",", b";", b"\t", b" ", b'"', b'""', b"'", b"\n", b"\r\n", b"\r", b"#", b"\n#", b"\\", b"|", b"\x00", b"\xff"),
    *(
        b"NA",
        b"nan",
        b"inf",
        b"1e400",
        b"1_0",
        b"1,5",
        b"-",
        b"?",
        b"1e-400",
        b"0x1",
        b".5",
        b"5.",
        b"+1",
        b"\xef\xbb\xbf",
    ),
    *(
        "é".encode(),
        "\u00a0".encode(),
        "１".encode(),
        "\u2028".encode(),
        b"_se",
        b"species",
        b"\n\n",
        b",,",
        b"1" * 400,
    ),
]
SLOW_SECONDS = 5.0
NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def seeds() -> list[bytes]:
    """The bytes of all small seed tables, in the order of their names."""
    found = []
    for folder in FOLDERS:
        for path in sorted(folder.glob("*")):
            data = path.read_bytes()
            data = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
            if len(data) < 20_000 and not data.startswith(b"PAR1"):
                found.append(data)
    return found


def mutate(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """One to four changes: a token put in, a piece cut, doubled, swapped for another file's, a byte replaced."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        start = rng.randint(0, len(data))
        stop = min(len(data), start + rng.choice((0, 1, 1, 2, 5, 20)))
        middle = rng.choice(
            (
                lambda: rng.choice(TOKENS),
                lambda: b"",
                lambda piece=data[start:stop]: piece * 2,
                lambda: bytes([rng.randrange(256)]),
                lambda: (other := rng.choice(others))[(at := rng.randint(0, len(other))) : at + 30],
            )
        )()
        data = data[:start] + middle + data[stop:]
    return data


def disagreement(data: bytes, table: TraitTable) -> str:
    """How a table differs from what the csv module reads; "" where it does not, or where the two are not comparable."""
    text = data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    delimiters = [mark for mark in "\t;," if mark in text]
    # With comments, blank rows, white-space columns or several delimiters the csv module has no opinion.
    if len(delimiters) != 1 or "#" in text or delimiters[0] not in text.strip("\n ").split("\n")[0]:
        return ""
    rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiters[0]) if any(cell.strip() for cell in row)]
    header, rows = [cell.strip() for cell in rows[0]], rows[1:]
    if [row[0].strip() for row in rows] != list(table.names):
        return f"names {[row[0] for row in rows]} read as {list(table.names)}"
    for position, trait in enumerate(table.traits):
        column = header.index(trait)
        for row, value in zip(rows, table.values[:, position].tolist(), strict=True):
            cell = row[column].strip()
            same = float(cell) == value if NUMBER.fullmatch(cell) else math.isnan(value)
            if not same:
                return f"{cell!r} in column {trait!r} read as {value!r}"
    return ""


def run(count: int, seed: int, seconds: float = math.inf) -> dict[str, int]:
    """Reads `count` mutated tables, or as many as fit into the time.

    Returns:
        How many were read and refused.

    Raises:
        AssertionError: A traceback, a slow input or a misreading, with the input.
    """
    rng, files = random.Random(seed), seeds()
    counts = {"read": 0, "refused": 0}
    end = time.monotonic() + seconds
    for _ in range(count):
        if time.monotonic() > end:
            break
        data = mutate(rng.choice(files), files, rng)
        begin = time.monotonic()
        try:
            table, _notes = read_table(checked_source("fuzz", data), text_only=True)
        except HxError as error:
            if "\n" in str(error):
                raise AssertionError(f"a refusal of several lines for {data!r}") from error
            counts["refused"] += 1
            continue
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error} for {data!r}") from error
        assert time.monotonic() - begin < SLOW_SECONDS, f"slow: {data!r}"
        wrong = disagreement(data, table)
        assert not wrong, f"{wrong} for {data!r}"
        counts["read"] += 1
    return counts


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    counts = run(options.count, options.seed)
    sys.stdout.write(f"tables: {counts['read']} read, {counts['refused']} refused, 0 tracebacks, 0 misread\n")


if __name__ == "__main__":
    main()
