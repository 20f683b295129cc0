"""The compile cache: programs that JAX compiled in earlier runs, kept on disk and safe to share between processes.

JAX's own persistent cache does the reading and writing, but it writes its files in place, so that a process can
meet another one's half-written program (jax-ml/jax#22718), and its size bound takes a lock on every read. So each
run gives JAX a folder of its own, filled with hard links to the shared programs, and what the run adds moves
into the shared folder by renaming: whole or not at all, without a lock. A run that ends in order leaves its folder
for the next one, which then links only what is new.

Beside them lie hxcli's own programs (`hxcli.engine.program`), which are read and written one by one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import sys
import tempfile
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from hxcli import __version__

MAX_BYTES = 256 * 2**20
# A program of JAX's cache, and one of hxcli's own.
_PROGRAM, _OWN_PROGRAM = "*-cache", "-program"
_SESSION = "session-"
# Folders of runs that have ended in order; more than so many are not kept for runs side by side.
_READY, _MOST_READY = "ready-", 4
# A session folder this old belongs to a run that was killed.
_STALE_SECONDS = 86_400.0


@dataclass(frozen=True)
class CompileCache:
    """One run's view of the compile cache.

    Attributes:
        shared: Folder of programs that this machine and these versions can run.
        session: Folder of this run alone; what JAX is told to use.
        known: Names of JAX's programs that were there when the run began.
        added: Names of hxcli's own programs that this run has added.
    """

    shared: Path
    session: Path
    known: frozenset[str]
    added: list[str] = field(default_factory=list)

    def get(self, name: str) -> bytes | None:
        """One of hxcli's own programs; None where it is not there."""
        try:
            return (self.shared / f"{name}{_OWN_PROGRAM}").read_bytes()
        except OSError:
            return None

    def put(self, name: str, data: bytes) -> None:
        """Keeps one of hxcli's own programs, whole or not at all; never raises."""
        with contextlib.suppress(OSError):
            handle, path = tempfile.mkstemp(dir=self.session)
            with open(handle, "wb") as file:
                file.write(data)
            os.replace(path, self.shared / f"{name}{_OWN_PROGRAM}")
            self.added.append(name)

    def close(self, max_bytes: int = MAX_BYTES) -> None:
        """Moves the run's new programs into the shared folder, removes the session, keeps the size bound.

        Never raises: a cache that cannot be written costs time in the next run, not this run's result.
        """
        with contextlib.suppress(OSError):
            added = [path for path in self.session.glob(_PROGRAM) if path.name not in self.known and _is_whole(path)]
            for path in added:
                os.replace(path, self.shared / path.name)
            if added or self.added:
                prune(self.shared.parent, max_bytes)
            if len(list(self.shared.glob(f"{_READY}*"))) < _MOST_READY:
                os.rename(self.session, self.shared / self.session.name.replace(_SESSION, _READY, 1))
                return
        shutil.rmtree(self.session, ignore_errors=True)


def cache_folder() -> Path:
    """The folder that holds the cache: `$HX_CACHE_DIR`, else `hxcli` in the user's cache folder.

    Raises:
        RuntimeError: The user has no home folder.
    """
    if named := os.environ.get("HX_CACHE_DIR"):
        return Path(named).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "hxcli" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "hxcli"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hxcli"


def open_cache(root: Path) -> CompileCache:
    """Opens a session on the cache below `root`, which is made when it is not there.

    Raises:
        OSError: The folder cannot be made or written.
    """
    shared = root / machine_key()
    # For this user alone: a program in the cache is code that the next run executes.
    shared.mkdir(mode=0o700, parents=True, exist_ok=True)
    _sweep(shared)
    session = _ready_session(shared) or Path(tempfile.mkdtemp(prefix=_SESSION, dir=shared))
    kept, held = _programs(shared), _programs(session)
    for name in held - kept:
        # Pruned, or cut short.
        (session / name).unlink(missing_ok=True)
    known = held & kept
    for name in kept - held:
        # Another process may have pruned it since it was listed.
        with contextlib.suppress(FileNotFoundError):
            _link(shared / name, session / name)
            known.add(name)
    return CompileCache(shared, session, frozenset(known))


def prune(root: Path, max_bytes: int) -> None:
    """Removes the programs that were not used for longest until all of them together take at most `max_bytes`."""
    programs = []
    for path in (*root.glob(f"*/{_PROGRAM}"), *root.glob(f"*/*{_OWN_PROGRAM}")):
        with contextlib.suppress(FileNotFoundError):
            status = path.stat()
            programs.append((max(status.st_atime, status.st_mtime), status.st_size, path))
    excess = sum(size for _, size, _ in programs) - max_bytes
    for _, size, path in sorted(programs):
        if excess <= 0:
            return
        path.unlink(missing_ok=True)
        excess -= size


def machine_key() -> str:
    """Names the versions and the processor for which a program is compiled, so that no other ever runs it."""
    import jax
    import jaxlib.version

    versions = f"hxcli {__version__}, jax {jax.__version__}, jaxlib {jaxlib.version.__version__}, Python {sys.version}"
    facts = "\n".join([versions, sys.platform, platform.machine(), processor()])
    return hashlib.sha256(facts.encode()).hexdigest()[:20]


def processor() -> str:
    """The processor's model and features, as far as the system tells them without a further process."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            facts = []
            for line in lines:
                # The first processor speaks for all; a large machine lists hundreds.
                if not line.strip():
                    break
                if line.split(":")[0].strip() in {"model name", "flags", "CPU implementer", "CPU part", "Features"}:
                    facts.append(line.strip())
            return "\n".join(facts)
    except OSError:
        return os.environ.get("PROCESSOR_IDENTIFIER") or platform.version()


def _ready_session(shared: Path) -> Path | None:
    """The folder that an earlier run has left, which is this one's from now on; None where there is none."""
    for ready in shared.glob(f"{_READY}*"):
        session = shared / ready.name.replace(_READY, _SESSION, 1)
        # Another process may take it first.
        with contextlib.suppress(OSError):
            os.utime(ready)
            os.rename(ready, session)
            return session
    return None


def _programs(folder: Path) -> set[str]:
    return {name for name in os.listdir(folder) if name.endswith(_PROGRAM.removeprefix("*"))}


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)


def _is_whole(path: Path) -> bool:
    """False for a program cut short by a full disk; JAX would meet it again and again and never replace it."""
    data = path.read_bytes()
    if data[:1] != b"\x78":
        # Compressed by zstandard, where JAX has it.
        return bool(data)
    try:
        zlib.decompress(data)
    except zlib.error:
        return False
    return True


def _sweep(shared: Path) -> None:
    """Removes the folders that killed runs have left, and those that no run has taken up again."""
    for folder in (*shared.glob(f"{_SESSION}*"), *shared.glob(f"{_READY}*")):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
