"""Files appear whole or not at all."""

from __future__ import annotations

import io
import os
import stat
import sys
import threading
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from hxcli.errors import HxError
from hxcli.formats import atomic_write


def giving(data: bytes) -> atomic_write.Render:
    return lambda stream: stream.write(data) and None


def test_parent_folders_are_made_and_nothing_else_is_left(tmp_path: Path) -> None:
    atomic_write.write_all({str(tmp_path / "a" / "b" / "x.csv"): giving(b"1"), str(tmp_path / "y.nex"): giving(b"2")})
    assert (tmp_path / "a" / "b" / "x.csv").read_bytes() == b"1"
    assert sorted(os.listdir(tmp_path)) == ["a", "y.nex"]
    assert os.listdir(tmp_path / "a" / "b") == ["x.csv"]


def test_permissions_are_those_of_a_plain_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        atomic_write.write_whole(str(tmp_path / "x"), giving(b"1"))
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(tmp_path / "x").st_mode) == 0o640
    os.chmod(tmp_path / "x", 0o600)
    atomic_write.write_whole(str(tmp_path / "x"), giving(b"2"))
    assert stat.S_IMODE(os.stat(tmp_path / "x").st_mode) == 0o600
    assert (tmp_path / "x").read_bytes() == b"2"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("at", ["fsync", "replace"])
def test_a_failure_leaves_the_older_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, at: str
) -> None:
    products = {str(tmp_path / name): giving(b"new") for name in ("a.csv", "b.nex", "c.json")}
    for path in products:
        Path(path).write_bytes(b"old")
    calls = 0
    real = getattr(os, at)

    def fail(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        # Before anything is renamed, or the very first renaming.
        if calls == (3 if at == "fsync" else 1):
            raise error
        return real(*arguments)

    monkeypatch.setattr(atomic_write.os, at, fail)
    with pytest.raises(HxError if isinstance(error, OSError) else KeyboardInterrupt):
        atomic_write.write_all(products)
    monkeypatch.undo()
    assert [Path(path).read_bytes() for path in products] == [b"old"] * 3
    assert sorted(os.listdir(tmp_path)) == ["a.csv", "b.nex", "c.json"]


def test_files_that_are_written_together_meet_and_come_before_the_next(tmp_path: Path) -> None:
    meeting = threading.Barrier(2, timeout=30)
    written: list[str] = []

    def render(name: str) -> atomic_write.Render:
        def write(stream: BinaryIO) -> None:
            if name != "c":
                # Passed only by two at once.
                meeting.wait()
            stream.write(name.encode())
            written.append(name)

        return write

    paths = {name: str(tmp_path / name) for name in "abc"}
    atomic_write.write_all({path: render(name) for name, path in paths.items()}, [paths["a"], paths["b"]])
    assert sorted(written[:2]) == ["a", "b"]
    assert written[2:] == ["c"]
    assert {name: (tmp_path / name).read_text() for name in "abc"} == {name: name for name in "abc"}


@pytest.mark.parametrize("bad", ["a", "b"])
def test_one_of_two_that_fails_leaves_neither(tmp_path: Path, bad: str) -> None:
    def fail(stream: BinaryIO) -> None:
        raise OSError(28, "No space left on device")

    paths = {name: str(tmp_path / name) for name in "ab"}
    products = {path: fail if name == bad else giving(b"1") for name, path in paths.items()}
    with pytest.raises(HxError, match=f"{paths[bad]}: cannot be written: No space left"):
        atomic_write.write_all(products, list(products))
    assert os.listdir(tmp_path) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file" / "x.csv", tmp_path):
        with pytest.raises(HxError, match=f"{path}: cannot be written: .*(irectory|is a file, no folder)"):
            atomic_write.write_whole(str(path), giving(b"1"))
    assert os.listdir(tmp_path) == ["file"]


def test_links_and_devices_stay(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"old")
    os.symlink("target", tmp_path / "link")
    atomic_write.write_whole(str(tmp_path / "link"), giving(b"new"))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"
    atomic_write.write_whole("/dev/null", giving(b"gone"))
    assert not stat.S_ISREG(os.stat("/dev/null").st_mode)


def test_a_dash_is_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", stream)
    atomic_write.write_whole("-", giving(b"1,2\n"))
    assert stream.buffer.getvalue() == b"1,2\n"  # type: ignore[attr-defined]
