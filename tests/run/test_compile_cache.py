"""The compile cache: what is shared, what is kept, what is removed."""

from __future__ import annotations

import os
import sys
import zlib
from pathlib import Path

import pytest

from hxcli.run import compile_cache
from hxcli.run.compile_cache import cache_folder, machine_key, open_cache, prune


def program(folder: Path, name: str, content: bytes = b"program") -> Path:
    path = folder / f"{name}-cache"
    path.write_bytes(zlib.compress(content))
    return path


def test_a_program_moves_from_one_session_into_the_next(tmp_path):
    first = open_cache(tmp_path)
    program(first.session, "a")
    second = open_cache(tmp_path)
    assert list(second.session.iterdir()) == []
    first.close()
    third = open_cache(tmp_path)
    assert [path.name for path in third.session.iterdir()] == ["a-cache"]
    second.close()
    third.close()
    assert [path.name for path in third.shared.glob("*-cache")] == ["a-cache"]


def test_a_run_takes_up_the_folder_of_one_that_has_ended_and_finds_in_it_what_is_kept_now(tmp_path):
    first = open_cache(tmp_path)
    for name in "ab":
        program(first.session, name)
    first.close()
    second, beside = open_cache(tmp_path), open_cache(tmp_path)
    assert second.session.name == first.session.name != beside.session.name
    program(second.session, "cut").write_bytes(zlib.compress(b"a long program" * 100)[:-3])
    second.close()
    program(beside.session, "c")
    beside.close()
    (beside.shared / "a-cache").unlink()
    third, fourth = open_cache(tmp_path), open_cache(tmp_path)
    assert {third.session.name, fourth.session.name} == {first.session.name, beside.session.name}
    for run in (third, fourth):
        assert sorted(path.name for path in run.session.iterdir()) == ["b-cache", "c-cache"] == sorted(run.known)


def test_a_few_folders_wait_for_the_next_runs(tmp_path):
    runs = [open_cache(tmp_path) for _ in range(7)]
    for run in runs:
        run.close()
    assert len(list(runs[0].shared.iterdir())) == 4


def test_a_program_that_is_removed_meanwhile_stays_with_the_session(tmp_path):
    first = open_cache(tmp_path)
    program(first.session, "a")
    first.close()
    second = open_cache(tmp_path)
    prune(tmp_path, 0)
    assert (second.session / "a-cache").read_bytes() == zlib.compress(b"program")
    second.close()
    assert list(second.shared.glob("*-cache")) == []


def test_a_program_cut_short_is_not_kept(tmp_path):
    cache = open_cache(tmp_path)
    path = program(cache.session, "a", b"a long program" * 100)
    path.write_bytes(path.read_bytes()[:-3])
    program(cache.session, "b")
    cache.close()
    assert [path.name for path in cache.shared.glob("*-cache")] == ["b-cache"]


def test_the_bound_keeps_what_was_used_last(tmp_path):
    cache = open_cache(tmp_path)
    paths = [program(cache.shared, str(i), os.urandom(1000)) for i in range(5)]
    for age, path in enumerate(paths):
        os.utime(path, (1e9 - age, 1e9 - age))
    prune(tmp_path, sum(path.stat().st_size for path in paths[:2]))
    assert sorted(path.name for path in cache.shared.glob("*-cache")) == ["0-cache", "1-cache"]


def test_sessions_of_killed_runs_are_removed(tmp_path):
    killed, running = open_cache(tmp_path), open_cache(tmp_path)
    os.utime(killed.session, (1e9, 1e9))
    last = open_cache(tmp_path)
    assert sorted(path.name for path in killed.shared.iterdir()) == sorted([running.session.name, last.session.name])


def test_another_processor_has_another_folder(monkeypatch):
    here = machine_key()
    assert machine_key() == here
    monkeypatch.setattr(compile_cache, "processor", lambda: "flags: none")
    assert machine_key() != here


def test_the_folder_is_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("HX_CACHE_DIR", str(tmp_path / "named"))
    assert cache_folder() == tmp_path / "named"
    monkeypatch.delenv("HX_CACHE_DIR")
    if sys.platform == "linux":
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert cache_folder() == tmp_path / "hxcli"


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        open_cache(tmp_path / "file" / "cache")


def test_closing_never_fails(tmp_path):
    cache = open_cache(tmp_path)
    program(cache.session, "a")
    for path in (*cache.session.iterdir(), cache.session, cache.shared):
        path.unlink() if path.is_file() else path.rmdir()
    cache.close()
    assert not cache.shared.exists()
