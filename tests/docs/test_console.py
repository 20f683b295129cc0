"""Every command that the README and the pages show prints what they show."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hxdocs import console
from hxdocs.reference import commands, program

from tests.docs.commands import plain_words, run

ROOT = Path(__file__).resolve().parents[2]
# Refusals are run in one process by test_refusals.py.
PAGES = [path for path in console.pages() if not path.name.startswith("refusals")]
OPTIONS = {name for command in [program(), *commands()] for option in command.options for name in option.names}


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.name, marks=[pytest.mark.slow] * (path.name not in ("README.md", "tutorial.md")))
        for path in PAGES
    ],
)
def test_every_command_of_a_page_prints_what_is_shown(path: Path, tmp_path: Path) -> None:
    console.prepare(tmp_path)
    # The README's commands are processes of their own, as a reader runs them.
    run_block = console.run if path.name == "README.md" else run
    for steps in console.blocks(path.read_text(encoding="utf-8")):
        outcomes = run_block(steps, tmp_path)
        for step, outcome in zip(steps, outcomes, strict=True):
            # `make docs-outputs` rewrites what is shown; look at the difference before you commit it.
            assert console.agree(outcome.printed, step.shown), f"$ {step.command}{outcome.printed}"
            refused = outcome.exit_code == 2 and re.search("^hx: ", outcome.printed, re.MULTILINE)
            assert outcome.exit_code == 0 or refused, step.command


def test_the_readme_and_the_tutorial_show_commands() -> None:
    assert {"README.md", "tutorial.md"} <= {path.name for path in PAGES}


@pytest.mark.slow
@pytest.mark.parametrize("command", commands(), ids=lambda command: command.name)
def test_the_examples_of_a_help_page_run(command: object, tmp_path: Path) -> None:
    console.prepare(tmp_path)
    outcomes = run([console.Step(example + "\n", "") for example in command.examples], tmp_path)  # type: ignore[attr-defined]
    assert outcomes
    assert all(outcome.exit_code == 0 for outcome in outcomes), outcomes


@pytest.mark.parametrize(
    "path", [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))], ids=lambda path: path.name
)
def test_options_that_a_page_names_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    # In code that calls hx, or that begins with the option itself.
    code = re.findall(r"`(?:hx [^`\n]*|--?[a-z][^`\n]*)`", text)
    code += [line for line in text.splitlines() if re.match(r"(\$ )?hx ", line)]
    named = {name for part in code for name in re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", part.split("|")[0])}
    # The page about refusals shows what happens with one that does not.
    assert named - {"--zzzzzz"} <= OPTIONS


def test_a_run_in_this_process_prints_what_a_process_prints(tmp_path: Path) -> None:
    lines = [
        "printf '(A:1,B:2);' > t.nwk; printf 'n,x\\nA,1\\nB,2\\n' > t.csv",
        "hx ancestral t.nwk t.csv -o out",
        "hx mean t.nwk t.csv -q --out-table -",
        "hx ancestral t.nwk none.csv",
        "echo $?; cat out.csv",
        "hx mean t.nwk t.csv --no-such-option",
    ]
    steps = [console.Step(line + "\n", "") for line in lines]
    assert [plain_words(line) is not None for line in lines] == [False, True, True, True, False, True]
    outcomes = run(steps, tmp_path)
    assert outcomes == console.run(steps, tmp_path)
    assert [outcome.exit_code for outcome in outcomes] == [0, 0, 0, 2, 0, 2]
    assert outcomes[4].printed.startswith("2\nnode,parent,")


def test_a_difference_is_seen(tmp_path: Path) -> None:
    (steps,) = console.blocks("text\n```console\n$ printf '%s\\n' \\\n> 1.5 2\n1.5\n3\n$ false\n```\n")
    assert steps == [console.Step("printf '%s\\n' \\\n1.5 2\n", "1.5\n3\n"), console.Step("false\n", "")]
    printed = console.run(steps, tmp_path)
    assert printed == [console.Outcome("1.5\n2\n", 0), console.Outcome("", 1)]
    assert not console.agree(printed[0].printed, steps[0].shown)
    assert console.agree("0.12345678901234567", "0.12345678901234568")
    assert not console.agree("0.12345678", "0.12345679")


def test_rewriting_puts_in_what_is_printed(tmp_path: Path) -> None:
    page = "a\n```console\n$ echo \\\n> b\n$ echo c\nd\n```\n"
    assert console.rewritten(page, tmp_path) == "a\n```console\n$ echo \\\n> b\nb\n$ echo c\nc\n```\n"
