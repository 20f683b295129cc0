"""Whole runs as processes of their own: pipes, signals, parallel starts, what the environment decides."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

# Slow: each starts processes of its own, and streams and signals break rarely.
pytestmark = pytest.mark.slow

HX = (sys.executable, "-m", "hxcli")
DATA = Path(__file__).parents[2] / "data"


def test_a_pipeline_is_clean_and_quiet_when_it_closes(here):
    tree, table = DATA / "simulated.nwk", DATA / "simulated.csv"
    command = [*HX, "ancestral", "-", str(table), "--out-table", "-"]
    pipe = subprocess.PIPE
    with tree.open("rb") as stdin, subprocess.Popen(command, stdin=stdin, stdout=pipe, stderr=pipe) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        first = run.stdout.readline()
        run.stdout.close()
        said = run.stderr.read().decode()
    assert first == b"node,parent,tip_a,tip_b,n_tips,trait,observed,estimate,se,lower,upper\n"
    assert (run.returncode, said) == (141, "")
    assert sorted(path.name for path in here.iterdir()) == ["traits.csv", "tree.nwk"]


def test_the_tree_may_come_from_standard_input(hx_process, here):
    streamed = hx_process("ancestral", "-", "traits.csv", "--out-table", "-", stdin=(here / "tree.nwk").read_text())
    assert streamed.code == 0
    named = hx_process("ancestral", "tree.nwk", "-", "-o", "run", stdin=(here / "traits.csv").read_text())
    assert (named.code, named.out) == (0, "")
    assert (here / "run.csv").read_text() == streamed.out


# Sends a signal to its own process at the moment when the second file has been written beside its final place.
INTERRUPTED = """
import os, signal, sys
from hxcli.cli.app import main
real, calls = os.fsync, []
def fsync(handle):
    real(handle)
    calls.append(handle)
    if len(calls) == 2:
        os.kill(os.getpid(), {signal})
os.fsync = fsync
main(["ancestral", "tree.nwk", "traits.csv", "-o", "run"])
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_while_writing_leaves_the_older_products(here, number, code):
    for extension in ("csv", "nex", "json"):
        (here / f"run.{extension}").write_text("older")
    before = {path.name: path.read_bytes() for path in here.iterdir()}
    command = [sys.executable, "-c", INTERRUPTED.format(signal=int(number))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")
    assert {path.name: path.read_bytes() for path in here.iterdir()} == before


# Sends a signal to its own process while an object is destroyed, where Python drops what a handler raises.
DROPPED = """
import os, time
from hxcli.cli import app
class Object:
    def __del__(self):
        os.kill(os.getpid(), {signal})
def run(arguments):
    try:
        Object()
        time.sleep(60)
    except app.Terminated:
        return 143
app.run = run
app.main([])
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_request_to_end_is_heard_where_python_drops_it(number, code):
    command = [sys.executable, "-c", DROPPED.format(signal=int(number))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


def test_an_interrupt_while_reading_is_quiet(here):
    command = [*HX, "ancestral", "-", "traits.csv"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        assert run.stdin is not None
        # More than a pipe holds: once it is written, hx is reading.
        run.stdin.write(b" " * 200_000)
        run.stdin.flush()
        run.send_signal(signal.SIGINT)
        _, said = run.communicate()
    assert (run.returncode, said) == (130, b"")
    assert sorted(path.name for path in here.iterdir()) == ["traits.csv", "tree.nwk"]


def test_a_wrong_tree_is_refused_before_a_table_that_is_still_being_piped(here):
    Path("wrong.nwk").write_text("((a:1,b:1);\n")
    command = [sys.executable, "-m", "hxcli", "ancestral", "wrong.nwk", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        # Nothing is written into the pipe, and it stays open.
        assert run.wait(timeout=60) == 2
        assert run.stderr.read().startswith("hx: wrong.nwk: line 1,")


def test_precision_threads_and_flags_reach_jax(hx_process, here):
    done = hx_process(
        *("ancestral", "tree.nwk", "traits.csv", "-o", "run", "--precision", "32", "--threads", "1", "--device", "cpu"),
        XLA_FLAGS="--xla_force_host_platform_device_count=2",
    )
    assert done.code == 0
    assert "hx: " not in done.err
    assert json.loads((here / "run.json").read_text())["precision"] == 32
    listed = hx_process("devices", XLA_FLAGS="--xla_force_host_platform_device_count=2", JAX_PLATFORMS="cpu")
    assert [line.split("\t")[0] for line in listed.out.splitlines()] == ["cpu:0", "cpu:1"]


def test_a_platform_that_is_not_there_is_refused_and_not_an_empty_list(hx_process, here):
    for command in (("devices",), ("ancestral", "tree.nwk", "traits.csv")):
        done = hx_process(*command, JAX_PLATFORMS="nosuch")
        assert (done.code, done.out) == (2, "")
        assert "hx: JAX cannot start: Unable to initialize backend 'nosuch'" in done.err


def test_a_second_run_on_another_tree_compiles_nothing(hx_process, here, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cold")
    (here / "other.nwk").write_text("(((A:1,B:2)x:1,C:2.5)y:0.5,D:3)z;\n")
    programs = []
    for tree in ("tree.nwk", "other.nwk"):
        done = hx_process("ancestral", tree, "traits.csv", "-q", HX_CACHE_DIR=str(folder))
        assert (done.code, done.err) == (0, "")
        kept = (path.name for path in folder.rglob("*") if path.name.endswith(("-cache", "-program")))
        programs.append(sorted(kept))
    assert programs[0]
    assert programs[0] == programs[1]
    assert not list(folder.rglob("session-*"))


@pytest.mark.parametrize("count", [4, pytest.param(16, marks=pytest.mark.slow)])
def test_processes_that_start_at_once_share_a_cold_cache(here, tmp_path_factory, count):
    folder = tmp_path_factory.mktemp("cold")
    environment = os.environ | {"HX_CACHE_DIR": str(folder)}
    command = [*HX, "ancestral", "tree.nwk", "traits.csv", "--out-table", "-", "-q"]
    runs = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) for _ in range(count)
    ]
    found = {(*run.communicate(timeout=300), run.returncode) for run in runs}
    assert len(found) == 1
    out, err, code = found.pop()
    assert (err, code) == (b"", 0)
    assert out.count(b"\n") == 15
    assert not list(folder.rglob("session-*"))


def in_shell(redirection: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs `hx` with its streams as the shell's redirection leaves them."""
    command = shlex.join([*HX, "ancestral", "tree.nwk", "traits.csv", *arguments])
    return subprocess.run(
        ["sh", "-c", f"{command} {redirection}"], capture_output=True, text=True, timeout=120, check=False
    )


def test_a_closed_standard_output_is_said_when_it_is_needed(here):
    done = in_shell(">&-", "--out-table", "-", "--out-json", "run.json", "-q")
    message = "hx: standard output is closed (stream to an open one, or name a file)\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", message)
    assert not (here / "run.json").exists()
    done = in_shell(">&-", "--out-table", "run.csv", "-q")
    assert (done.returncode, done.stderr) == (0, "")
    assert (here / "run.csv").read_text().startswith("node,parent,")


@pytest.mark.parametrize("redirection", ["2>&-", "<&- 2>&-", "2>/dev/full"])
def test_a_run_needs_no_standard_error(here, redirection):
    done = in_shell(redirection, "--out-table", "-", "--out-json", "run.json", "-v")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("node,parent,")
    assert done.stdout.count("\n") == 15
    assert json.loads((here / "run.json").read_text())["command"] == "ancestral"
    assert in_shell(redirection, "--column", "absent").returncode == 2
