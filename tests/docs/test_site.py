"""The site's pages: all are in its navigation, and those of the commands say what the command line says."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest
from hxdocs import site
from hxdocs.pages import page
from hxdocs.reference import Command, Parameter, commands, program

from hxcli.cli.app import COMMANDS

ALL = [program(), *commands()]


def named(command: Command) -> dict[str, Parameter]:
    return {name: option for option in command.options for name in option.names}


def test_gathered_pages_are_all_in_the_navigation(tmp_path: Path) -> None:
    site.gather(tmp_path / "docs")
    assert site.unlisted(tmp_path / "docs") == []
    named = re.findall(r": (\S+\.md)$", (tmp_path / "docs" / "mkdocs.yml").read_text(), flags=re.MULTILINE)
    assert len(set(named)) == len(named)
    assert {path.stem for path in (tmp_path / "docs" / "docs" / "commands").iterdir()} == set(COMMANDS)
    (tmp_path / "docs" / "docs" / "stray.md").write_text("# Stray\n")
    assert site.unlisted(tmp_path / "docs") == ["stray.md"]


def test_an_element_that_another_host_serves_is_found(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text('<script src="own.js"></script><script defer src="https://elsewhere/x.js">')
    assert site.loads_from_elsewhere(tmp_path) == ['page.html: <script defer src="https://elsewhere/x.js">']


@pytest.mark.parametrize("command", commands(), ids=lambda command: command.name)
def test_a_command_page_has_every_option_with_its_help(command: Command) -> None:
    text = unescape(re.sub(r"`|\\\\|</?code>", "", page(command)))
    assert command.summary in text
    assert all(example in text for example in command.examples)
    assert len(command.examples) >= 1
    for parameter in (*command.arguments, *command.options):
        assert re.sub(r" *\[default: .*", "", parameter.help) in text
        for name in parameter.names:
            assert re.search(rf"{re.escape(name)}(?![\w-])", text)


def test_the_reference_knows_defaults_choices_and_what_is_required() -> None:
    options = {command.name: named(command) for command in ALL}
    assert options["hx ancestral"]["--level"].default == "0.95"
    assert options["hx ancestral"]["--estimator"].choices == ("reml", "ml")
    assert options["hx ancestral"]["-o"].names == ("-o", "--out")
    assert options["hx ancestral"]["--column"].repeatable
    assert not options["hx ancestral"]["--strict"].metavar
    assert "--version" in options["hx"]
