"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from typing import BinaryIO

from hxcli.errors import HxError

Render = Callable[[BinaryIO], None]


def write_whole(path: str, write: Render) -> None:
    """Writes one file so that it appears whole or not at all; `-` is standard output. See `write_all`."""
    write_all({path: write})


def write_all(products: Mapping[str, Render]) -> None:
    """Writes several files: all are complete on the disk before the first takes its name.

    Whatever goes wrong until then, an interrupt too, older files stay as they are and nothing is left behind.
    Missing folders are made. A symbolic link keeps pointing where it does.

    Args:
        products: Path -> function that writes the content into a binary stream, called in this order; what goes to
            the path `-`, standard output, is kept until the files have their names.

    Raises:
        HxError: A folder or file that cannot be written, or standard output is closed.
    """
    # Python has None for a stream that was closed when it started.
    if "-" in products and sys.stdout is None:
        raise HxError("standard output is closed (stream to an open one, or name a file)")
    ready: list[tuple[str, str]] = []
    streamed, path = io.BytesIO(), ""
    try:
        for path, write in products.items():
            if path == "-":
                write(streamed)
            else:
                _write_beside(path, write, ready)
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
        rest = streamed.getbuffer()
        # Unbuffered (PYTHONUNBUFFERED), one call may write a part only, as when the reader goes away.
        while rest:
            rest = rest[sys.stdout.buffer.write(rest) :]
        sys.stdout.buffer.flush()


def _write_beside(path: str, write: Render, ready: list[tuple[str, str]]) -> None:
    """Writes to a hidden file in the folder of `path` and notes the pair in `ready`."""
    # A device or a pipe has no place to rename a file to.
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "wb") as stream:
            write(stream)
        return
    final = os.path.realpath(path)
    folder = os.path.dirname(final)
    os.makedirs(folder, exist_ok=True)
    temporary = os.path.join(folder, f".hx-{os.getpid()}-{secrets.token_hex(4)}.part")
    # Noted first, so that an interrupt in between leaves nothing behind.
    ready.append((temporary, final))
    with open(temporary, "xb") as stream:
        write(stream)
        stream.flush()
        os.fsync(stream.fileno())
    # A new file has the permissions that the user's mask gives it; an older one passes on its own.
    with contextlib.suppress(FileNotFoundError):
        os.chmod(temporary, os.stat(final).st_mode & 0o777)


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
