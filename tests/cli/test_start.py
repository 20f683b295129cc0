"""The first moments of the command: Ctrl-C while modules are still being imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Sends SIGINT to its own process when the named module is first imported.
INTERRUPTED = """
import os, signal, sys
if {ignored}:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
from hxcli.cli.start import main
main(["--version"])
"""


def interrupted(module: str, *, ignored: bool = False) -> tuple[int, str, str]:
    code = INTERRUPTED.format(module=module, ignored=ignored)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("module", ["hxcli.cli.app", "typer", "hxcli.cli.ancestral"])
def test_an_interrupt_while_importing_is_quiet(module: str) -> None:
    assert interrupted(module) == (130, "", "")


def test_where_interrupts_are_ignored_they_stay_so() -> None:
    code, out, err = interrupted("typer", ignored=True)
    assert (code, err) == (0, "")
    assert out.startswith("hx ")
