"""Completion in real shells: commands, options and their values; without JAX."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hxcli.cli.app import COMMANDS

# Slow: shells start, and completion changes with the options alone.
pytestmark = pytest.mark.slow

ENVIRONMENT = {
    **os.environ,
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    # `hx --show-completion` then takes the shell's name instead of looking who called it.
    "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
}
# What stands on the line, the word under the cursor last; `complete LINE` prints what the shell would offer.
SHELLS = {
    "bash": """
        source <(hx --show-completion bash)
        complete -p hx > /dev/null || exit 1
        read -ra COMP_WORDS <<< "$1"; COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _hx_completion hx; printf '%s\\n' "${COMPREPLY[@]}"
        # What the shell itself does where the function offers nothing.
        [[ ${#COMPREPLY[@]} -eq 0 && $(complete -p hx) == *"-o default"* ]] && compgen -f "${COMP_WORDS[COMP_CWORD]}"
    """,
    "zsh": """
        compdef() { :; }; _arguments() { print -r -- "$@"; }; _files() { print -l *; }
        source <(hx --show-completion zsh)
        words=(${=1}); CURRENT=${#words}; _hx_completion
    """,
    "fish": "hx --show-completion fish | source; complete -C $argv[1]",
}


def complete(shell: str, line: str, folder: Path | None = None) -> str:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    call = [shell, "-c", SHELLS[shell], *([] if shell == "fish" else [shell]), line]
    done = subprocess.run(call, env=ENVIRONMENT, cwd=folder, capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_a_command_is_completed(shell: str) -> None:
    offered = complete(shell, "hx an")
    assert "ancestral" in offered
    assert not any(other in offered for other in set(COMMANDS) - {"ancestral"})


@pytest.mark.parametrize("shell", SHELLS)
def test_an_option_and_its_value_are_completed(shell: str) -> None:
    assert "--estimator" in complete(shell, "hx ancestral --est")
    offered = complete(shell, "hx ancestral --estimator r")
    assert "reml" in offered


@pytest.mark.parametrize("shell", SHELLS)
def test_files_are_completed_where_one_is_due(shell: str, tmp_path: Path) -> None:
    (tmp_path / "trait tree.nwk").touch()
    (tmp_path / "traits.csv").touch()
    assert "traits.csv" in complete(shell, "hx ancestral tra", tmp_path)


def test_completing_imports_nothing_heavy() -> None:
    environment = ENVIRONMENT | {"_HX_COMPLETE": "complete_bash", "COMP_WORDS": "hx posterior --lev", "COMP_CWORD": "2"}
    call = [sys.executable, "-X", "importtime", "-c", "from hxcli.cli.app import main; main()"]
    done = subprocess.run(call, env=environment, capture_output=True, text=True)
    imported = {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if "|" in line}
    assert done.stdout.split() == ["--level"]
    assert "hxcli.cli.app" in imported
    assert imported.isdisjoint({"jax", "numpy", "polars", "Bio", "matplotlib", "pydantic"})
