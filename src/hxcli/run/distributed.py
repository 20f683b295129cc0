"""Several processes that share the trees of a run, through JAX's distributed runtime."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from hxcli.errors import InputError, OptionError
from hxcli.formats.sample_part import Part, read_part, write_part

if TYPE_CHECKING:
    from collections.abc import Sequence

# Bytes that every process sends at a time.
_PIECE = 1 << 24


@dataclass(frozen=True)
class Group:
    """The processes of a run.

    Attributes:
        number: This process's, from 0; process 0 writes the products.
        count: How many there are.
    """

    number: int = 0
    count: int = 1


@contextmanager
def joined(wanted: bool) -> Iterator[Group]:
    """The group of this process: of all that run the same command, or, where that is not wanted, of itself alone.

    Raises:
        OptionError: Nothing tells which processes belong together, or they do not find each other.
    """
    if not wanted:
        yield Group()
        return
    import jax

    address, count, number = (
        os.environ.get(f"JAX_{name}") for name in ("COORDINATOR_ADDRESS", "NUM_PROCESSES", "PROCESS_ID")
    )
    try:
        with _unspoken():
            if address is None or count is None or number is None:
                # Slurm, Open MPI and the like say it in variables of their own.
                jax.distributed.initialize()
            else:
                jax.distributed.initialize(address, int(count), int(number))
            group = Group(jax.process_index(), jax.process_count())
    except (RuntimeError, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        advice = "set JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID, or use srun or mpirun"
        raise OptionError(f"--distributed: the processes do not find each other: {said} ({advice})") from error
    try:
        yield group
    finally:
        jax.distributed.shutdown()


@contextmanager
def _unspoken() -> Iterator[None]:
    """Keeps what the library of the processes' connections says out of standard output, which is for data."""
    if sys.stdout is not None:
        sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def gathered(part: Part, group: Group) -> list[Part]:
    """The parts of all processes, at process 0; none at the others.

    Raises:
        InputError: The processes have read other files.
    """
    if group.count == 1:
        return [part]
    with TemporaryDirectory() as folder:
        mine = Path(folder) / "mine"
        with mine.open("wb") as stream:
            write_part(stream, part)
        with _unspoken():
            paths = _exchanged(mine, Path(folder), group)
        parts = [read_part(str(path)) for path in paths]
        for number, other in enumerate(parts):
            if different := parts[0].foreign(other):
                found = f"the {different} of process {number} differs from that of process 0"
                raise InputError(found, "give all processes the same files and options", file="--distributed")
        # What is mapped stays there when the folder goes.
        return parts


def _exchanged(mine: Path, folder: Path, group: Group) -> Sequence[Path]:
    """The files of all processes at process 0, piece by piece; every process takes part in every exchange."""
    from jax.experimental.multihost_utils import process_allgather

    sizes = np.asarray(
        process_allgather(np.array([mine.stat().st_size], np.int32 if mine.stat().st_size < 2**31 else np.int64))
    )
    sizes = sizes.reshape(group.count)
    paths = [folder / str(number) for number in range(group.count)]
    with mine.open("rb") as stream:
        for start in range(0, int(sizes.max()), _PIECE):
            piece = np.zeros(_PIECE, np.uint8)
            data = stream.read(_PIECE)
            piece[: len(data)] = np.frombuffer(data, np.uint8)
            everyone = np.asarray(process_allgather(piece)).reshape(group.count, _PIECE)
            if group.number == 0:
                for path, size, theirs in zip(paths, sizes.tolist(), everyone, strict=True):
                    with path.open("ab") as out:
                        out.write(theirs[: max(0, min(_PIECE, size - start))].tobytes())
    return paths if group.number == 0 else ()
