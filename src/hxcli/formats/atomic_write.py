"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

from hxcli.errors import HxError
from hxcli.formats.temporary_files import Part, remove_abandoned

Render = Callable[[BinaryIO], None]


def write_whole(path: str, write: Render) -> None:
    """Writes one file so that it appears whole or not at all; `-` is standard output. See `write_all`."""
    write_all({path: write})


def write_all(products: Mapping[str, Render], together: Collection[str] = ()) -> None:
    """Writes several files: all are complete on the disk before the first takes its name.

    Whatever goes wrong until then, an interrupt too, older files stay as they are and nothing is left behind; what a
    killed run has left in the same folder is removed.
    Missing folders are made. A symbolic link keeps pointing where it does.

    Args:
        products: Path -> function that writes the content into a binary stream, called in this order; what goes to
            the path `-`, standard output, is kept until the files have their names.
        together: Paths of files that are written at the same time, each in a thread of its own, before those behind.

    Raises:
        HxError: A folder or file that cannot be written, or standard output is closed.
    """
    # Python has None for a stream that was closed when it started.
    if "-" in products and sys.stdout is None:
        raise HxError("standard output is closed (stream to an open one, or name a file)")
    ready: list[Part] = []
    streamed, path = io.BytesIO(), ""
    try:
        with ThreadPoolExecutor(max(len(together), 1)) as threads:
            files = [path for path in together if path != "-" and not _is_stream(path)]
            begun = {path: threads.submit(_write_beside, path, products[path], ready) for path in files}
            for path, write in products.items():
                if path in begun:
                    begun[path].result()
                elif path == "-":
                    write(streamed)
                else:
                    _write_beside(path, write, ready)
        while ready:
            path = ready[0].final
            ready[0].publish()
            del ready[0]
    except (FileExistsError, NotADirectoryError) as error:
        raise HxError(f"{path}: cannot be written: {_file_above(path)} is a file, no folder") from error
    except OSError as error:
        raise HxError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        for part in ready:
            part.discard()
    if "-" in products:
        rest = streamed.getbuffer()
        # Unbuffered (PYTHONUNBUFFERED), one call may write a part only, as when the reader goes away.
        while rest:
            rest = rest[sys.stdout.buffer.write(rest) :]
        sys.stdout.buffer.flush()


def _file_above(path: str) -> str:
    """The file that stands where a path wants a folder."""
    above = os.path.dirname(path)
    while above != os.path.dirname(above) and (os.path.isdir(above) or not os.path.lexists(above)):
        above = os.path.dirname(above)
    return above or "its folder"


def _is_stream(path: str) -> bool:
    """Whether a path is a device or a pipe, which have no place to rename a file to."""
    return os.path.exists(path) and not os.path.isfile(path)


def _write_beside(path: str, write: Render, ready: list[Part]) -> None:
    """Writes to a hidden file in the folder of `path` and notes it in `ready`."""
    if _is_stream(path):
        with open(path, "wb") as stream:
            write(stream)
        return
    final = os.path.realpath(path)
    folder = os.path.dirname(final)
    os.makedirs(folder, exist_ok=True)
    if all(os.path.dirname(part.final) != folder for part in ready):
        remove_abandoned(folder)
    part = Part(final)
    # Noted first, so that an interrupt in between leaves nothing behind.
    ready.append(part)
    hidden = part.open()
    write(hidden)
    hidden.flush()
    os.fsync(hidden.fileno())
    # A new file has the permissions that the user's mask gives it; an older one passes on its own.
    with contextlib.suppress(FileNotFoundError):
        os.chmod(part.path, os.stat(final).st_mode & 0o777)
