"""What the README shows is there: its library example, its table of commands. Its console examples: tests/docs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from hxcli.cli.app import COMMANDS

README = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")


def test_library_example_runs() -> None:
    example = next(block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "import jax" in block)
    *statements, last = example.strip().splitlines()
    names: dict[str, object] = {}
    exec("\n".join(statements), names)
    assert np.allclose(eval(last, names), 0.125)  # type: ignore[arg-type]


def test_every_command_is_in_the_table() -> None:
    for command in COMMANDS:
        assert f"| `hx {command}" in README
