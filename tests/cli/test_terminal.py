"""What `hx` shows on a terminal."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

pty = pytest.importorskip("pty", reason="no pseudo-terminals on this system")


def on_a_terminal(*arguments: str, until: bytes = b"", wait: float = 0) -> tuple[int, str]:
    """Exit code, and what a terminal on standard error got.

    The tree comes on standard input, but only after a wait and once the terminal has got `until`.
    """
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "hxcli", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=theirs) as run:
        os.close(theirs)
        assert run.stdin is not None
        time.sleep(wait)
        shown = b""
        while until not in shown:
            shown += os.read(ours, 4096)
        with open("tree.nwk", "rb") as tree, run.stdin as stdin:
            stdin.write(tree.read())
        # A pseudo-terminal whose other end is closed gives an error, not an end.
        try:
            while piece := os.read(ours, 4096):
                shown += piece
        except OSError:
            pass
    os.close(ours)
    return run.returncode, shown.decode()


def test_a_long_stage_is_named_and_the_summary_has_a_header(here, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    code, shown = on_a_terminal("ancestral", "-", "traits.csv", "--out-table", "out.csv", until=b"reading the tree (")
    assert code == 0
    assert "\x1b[1m  trait " in shown
    assert shown.endswith("wrote out.csv\r\n")


def test_quiet_is_quiet_on_a_terminal_too(here):
    assert on_a_terminal("ancestral", "-", "traits.csv", "--out-table", "out.csv", "-q", wait=4) == (0, "")
