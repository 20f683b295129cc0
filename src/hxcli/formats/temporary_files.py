"""Products on their way: hidden files beside the products, locked as long as their writer lives.

A writer that is killed (SIGKILL, a machine out of memory) leaves its file behind. The kernel lets go of its lock, and
so a later run can tell it from the file of a writer at work, and remove it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import stat
from functools import cache
from typing import BinaryIO

try:
    import fcntl
except ImportError:
    # Without it nothing is locked, and nothing that others left behind is removed.
    fcntl = None  # type: ignore[assignment]


class Part:
    """A file that will be a product.

    Args:
        final: The product's path.

    Attributes:
        final: The product's path.
        path: The hidden file's.
    """

    def __init__(self, final: str) -> None:
        self.final = final
        self._folder = os.path.dirname(final)
        self._kernel = _running_kernel()
        self._stream: BinaryIO | None = None
        self._name()

    def _name(self) -> None:
        mark = f"{self._kernel}-" if self._kernel else ""
        self.path = os.path.join(self._folder, f".hx-{mark}{secrets.token_hex(8)}.part")

    def open(self) -> BinaryIO:
        """Makes the file, empty and locked."""
        while True:
            # Stays open, and so locked, until it has its final name.
            self._stream = open(self.path, "xb")  # noqa: SIM115
            if not self._kernel:
                return self._stream
            try:
                fcntl.flock(self._stream, fcntl.LOCK_EX)
            except OSError:
                # A file system without locks: under a name that no other run removes.
                self.discard()
                self._kernel = ""
                self._name()
                continue
            # Another run may have removed the file before it was locked.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(self._stream.fileno()), os.stat(self.path)):
                    return self._stream
            self._stream.close()
            self._name()

    def publish(self) -> None:
        """Gives the file its final name."""
        os.replace(self.path, self.final)
        self._close()

    def discard(self) -> None:
        """Removes the file, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self._close()

    def _close(self) -> None:
        # Last, because it lets go of the lock. What could not be written has been said by the one who wrote it.
        if self._stream is not None:
            with contextlib.suppress(OSError):
                self._stream.close()


def remove_abandoned(folder: str) -> None:
    """Removes the files that killed writers have left in a folder; what cannot be told or removed stays.

    Only those of this kernel since it started: there a lock that can be had has no holder, on any file system. A file
    from another machine, or from before a restart, looks the same whether its writer lives or not.
    """
    kernel = _running_kernel()
    if not kernel:
        return
    ours = re.compile(rf"\.hx-{kernel}-[0-9a-f]{{16}}\.part")
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if ours.fullmatch(entry.name):
                with contextlib.suppress(OSError):
                    _remove_unlocked(entry.path)


def _remove_unlocked(path: str) -> None:
    # A link would lead elsewhere, and a pipe would wait for somebody to write.
    handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if stat.S_ISREG(os.fstat(handle).st_mode):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)
    finally:
        os.close(handle)


@cache
def _running_kernel() -> str:
    """A mark of this machine between two starts; "" where there is none, or no locks."""
    if fcntl is None:
        return ""
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb") as stream:
            return hashlib.sha256(stream.read().strip()).hexdigest()[:16]
    except OSError:
        return ""
