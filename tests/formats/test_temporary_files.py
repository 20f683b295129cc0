"""What killed writers leave is removed by the next run in the folder; what writers at work have is not."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hxcli.formats import atomic_write, temporary_files
from hxcli.formats.temporary_files import Part, remove_abandoned

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="locks and marks of a kernel are looked up as on Linux")

# Writes a product and stops half way, until a line comes on standard input.
WRITER = """
import sys
from hxcli.formats.atomic_write import write_all
def write(stream):
    stream.write(b"half")
    stream.flush()
    print("half", flush=True)
    sys.stdin.readline()
    stream.write(b" and half")
write_all({sys.argv[1]: write})
"""


@pytest.fixture
def writer(tmp_path: Path) -> Any:
    """A process in the midst of writing `mine`."""
    command = [sys.executable, "-c", WRITER, str(tmp_path / "mine")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        yield process
        process.kill()


def write(path: Path, data: bytes = b"whole") -> None:
    atomic_write.write_whole(str(path), lambda stream: stream.write(data) and None)


def hidden(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.startswith(".hx-")]


def test_the_file_of_a_killed_writer_is_removed(tmp_path: Path, writer: Any) -> None:
    writer.send_signal(signal.SIGKILL)
    writer.wait(timeout=60)
    assert len(hidden(tmp_path)) == 1
    write(tmp_path / "other")
    assert os.listdir(tmp_path) == ["other"]


def test_the_file_of_a_writer_at_work_stays(tmp_path: Path, writer: Any) -> None:
    (before,) = hidden(tmp_path)
    for number in range(3):
        write(tmp_path / f"other{number}")
    assert hidden(tmp_path) == [before]
    writer.communicate("go on\n", timeout=60)
    assert writer.returncode == 0
    assert (tmp_path / "mine").read_bytes() == b"half and half"
    assert hidden(tmp_path) == []


def test_only_what_is_surely_abandoned_is_removed(tmp_path: Path) -> None:
    mark = re.fullmatch(r"\.hx-([0-9a-f]{16})-[0-9a-f]{16}\.part", Path(Part(str(tmp_path / "x")).path).name)
    assert mark is not None
    ours = f".hx-{mark[1]}-{'0' * 15}"
    stay = [
        # Of another kernel, of a file system without locks, of an older version, of somebody else.
        f".hx-{'0' * 16}-{'0' * 16}.part",
        f".hx-{'0' * 16}.part",
        ".hx-123-00000000.part",
        f"{ours}0.part.bak",
        "x.part",
    ]
    for name in stay:
        (tmp_path / name).write_bytes(b"kept")
    (tmp_path / f"{ours}1.part").symlink_to(stay[0])
    (tmp_path / f"{ours}2.part").mkdir()
    os.mkfifo(tmp_path / f"{ours}3.part")
    (tmp_path / f"{ours}4.part").write_bytes(b"gone")
    remove_abandoned(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == sorted([*stay, *(f"{ours}{number}.part" for number in (1, 2, 3))])
    assert (tmp_path / stay[0]).read_bytes() == b"kept"


def test_a_file_removed_before_it_was_locked_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = temporary_files.fcntl.flock, []

    def flock(handle: Any, how: int) -> None:
        calls.append(how)
        if len(calls) == 1:
            # What another run does in this moment.
            remove_abandoned(str(tmp_path))
        real(handle, how)

    monkeypatch.setattr(temporary_files.fcntl, "flock", flock)
    write(tmp_path / "x", b"1")
    # To lock, to look for abandoned files, to lock anew.
    assert len(calls) == 3
    assert (tmp_path / "x").read_bytes() == b"1"
    assert os.listdir(tmp_path) == ["x"]


def test_without_locks_nothing_is_at_risk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: Any, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    seen: list[str] = []
    monkeypatch.setattr(temporary_files.fcntl, "flock", refuse)
    atomic_write.write_whole(str(tmp_path / "x"), lambda stream: seen.extend(hidden(tmp_path)))
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["x"]
    assert re.fullmatch(r"\.hx-[0-9a-f]{16}\.part", seen[0])
    (tmp_path / seen[0]).write_bytes(b"of a writer at work, perhaps")
    remove_abandoned(str(tmp_path))
    assert hidden(tmp_path) == seen
