"""Which writer serves which file name, and files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import gzip
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from typing import Literal

from hxcli.errors import HxError, OptionError
from hxcli.formats.newick import write_newick
from hxcli.formats.nexus import write_nexus
from hxcli.formats.nhx import write_nhx
from hxcli.formats.phyloxml import write_phyloxml
from hxcli.formats.table_writer import write_csv, write_parquet, write_tsv
from hxcli.phylogeny import Phylogeny
from hxcli.reconstruction import Reconstruction

Writer = Callable[[Reconstruction], bytes]
TreeWriter = Callable[[Phylogeny, Reconstruction | None], bytes]

TREE_WRITERS: Mapping[str, TreeWriter] = {
    ".nex": write_nexus,
    ".nexus": write_nexus,
    ".nwk": write_newick,
    ".newick": write_newick,
    ".tree": write_newick,
    ".nhx": write_nhx,
    ".xml": write_phyloxml,
}
TABLE_WRITERS: Mapping[str, Writer] = {".csv": write_csv, ".tsv": write_tsv, ".parquet": write_parquet}
_STREAMED = {"table": ".csv", "tree": ".nex"}
# Parquet compresses its own pages.
_NEVER_GZIPPED = {".parquet"}


def writer_for(path: str, kind: Literal["table", "tree"]) -> Writer:
    """The function that renders a reconstruction for a path: its extension decides, `-` is CSV or NEXUS.

    Args:
        path: Where the product goes; `.gz` after a text format's extension compresses it.
        kind: `table` or `tree`.

    Raises:
        OptionError: An extension that no writer of this kind has.
    """
    lowered = path.lower()
    zipped = lowered.endswith(".gz")
    extension = _STREAMED[kind] if path == "-" else os.path.splitext(lowered.removesuffix(".gz"))[1]
    known = TABLE_WRITERS if kind == "table" else TREE_WRITERS
    if extension not in known or (zipped and extension in _NEVER_GZIPPED):
        found = (
            f"{path}: no {kind} is written as {extension + '.gz' * zipped!r}" if extension else f"{path}: no extension"
        )
        raise OptionError(f"{found} (use one of {' '.join(known)}; text also with .gz)")
    render = TABLE_WRITERS[extension] if kind == "table" else _tree_renderer(TREE_WRITERS[extension])
    return _zipped(render) if zipped else render


def writes_annotations(path: str) -> bool:
    """Whether the tree that is written to `path`, which `writer_for` accepts, has more than labels and lengths."""
    extension = os.path.splitext(path.lower().removesuffix(".gz"))[1]
    return TREE_WRITERS.get(extension) is not write_newick


def write_whole(path: str, data: bytes) -> None:
    """Writes one file so that it appears whole or not at all; `-` is standard output. See `write_all`."""
    write_all({path: data})


def write_all(products: Mapping[str, bytes]) -> None:
    """Writes several files: all are complete on the disk before the first takes its name.

    Whatever goes wrong until then, an interrupt too, older files stay as they are and nothing is left behind.
    Missing folders are made. A symbolic link keeps pointing where it does.

    Args:
        products: Path -> content; the path `-` is standard output, written last.

    Raises:
        HxError: A folder or file that cannot be written, or standard output is closed.
    """
    # Python has None for a stream that was closed when it started.
    if "-" in products and sys.stdout is None:
        raise HxError("standard output is closed (stream to an open one, or name a file)")
    ready: list[tuple[str, str]] = []
    path = ""
    try:
        for path, data in products.items():
            if path != "-":
                _write_beside(path, data, ready)
        while ready:
            temporary, path = ready[0]
            os.replace(temporary, path)
            del ready[0]
    except OSError as error:
        raise HxError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        for temporary, _ in ready:
            _remove(temporary)
    if "-" in products:
        rest = memoryview(products["-"])
        # Unbuffered (PYTHONUNBUFFERED), one call may write a part only, as when the reader goes away.
        while rest:
            rest = rest[sys.stdout.buffer.write(rest) :]
        sys.stdout.buffer.flush()


def _write_beside(path: str, data: bytes, ready: list[tuple[str, str]]) -> None:
    """Writes `data` to a hidden file in the folder of `path` and notes the pair in `ready`."""
    # A device or a pipe has no place to rename a file to.
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "wb") as stream:
            stream.write(data)
        return
    final = os.path.realpath(path)
    folder = os.path.dirname(final)
    os.makedirs(folder, exist_ok=True)
    temporary = os.path.join(folder, f".hx-{os.getpid()}-{secrets.token_hex(4)}.part")
    # Noted first, so that an interrupt in between leaves nothing behind.
    ready.append((temporary, final))
    with open(temporary, "xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    # A new file has the permissions that the user's mask gives it; an older one passes on its own.
    with contextlib.suppress(FileNotFoundError):
        os.chmod(temporary, os.stat(final).st_mode & 0o777)


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _tree_renderer(write: TreeWriter) -> Writer:
    return lambda reconstruction: write(reconstruction.phylogeny, reconstruction)


def _zipped(render: Writer) -> Writer:
    # No time and no name inside, so that the same content gives the same bytes.
    return lambda reconstruction: gzip.compress(render(reconstruction), compresslevel=6, mtime=0)
