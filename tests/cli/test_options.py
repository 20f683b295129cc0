"""What a wrong command line gets: one line on standard error and exit code 2."""

from __future__ import annotations

import subprocess
import sys

import pytest

FILES = ("tree.nwk", "traits.csv")
REFUSED = {
    "command": (["nope"], "No such command 'nope' (see hx --help)"),
    "no command": ([], "Missing command (see hx --help)"),
    "argument": (["ancestral"], "Missing argument 'TREE' (see hx ancestral --help)"),
    "level": (
        ["ancestral", *FILES, "--level", "95"],
        "Invalid value for '--level': '95' is not between 0 and 1 (write 0.95 for 95 %) (see hx ancestral --help)",
    ),
    "percent": (
        ["ancestral", *FILES, "--level", "95%"],
        "Invalid value for '--level': '95%' is not between 0 and 1 (write 0.95 for 95 %) (see hx ancestral --help)",
    ),
    "digit": (
        ["ancestral", *FILES, "--tau2", "\N{FULLWIDTH DIGIT ONE}"],
        "Invalid value for '--tau2': '\N{FULLWIDTH DIGIT ONE}' is not a finite number (see hx ancestral --help)",
    ),
    "number": (
        ["ancestral", *FILES, "--tau2", "1_0"],
        "Invalid value for '--tau2': '1_0' is not a finite number (see hx ancestral --help)",
    ),
    "overflow": (
        ["ancestral", *FILES, "--missing-lengths", "1e999"],
        "Invalid value for '--missing-lengths': '1e999' is not a finite number (see hx ancestral --help)",
    ),
    "size": (
        ["check", "tree.nwk", "--max-size", "lots"],
        "Invalid value for '--max-size': 'lots' is not a size (write 500M, 4G or a number of bytes) "
        "(see hx check --help)",
    ),
    "simulate": (
        ["simulate", "tree.nwk", "--out-table", "x.csv"],
        "No such option: --out-table (Possible options: --ou-root, --out) (see hx simulate --help)",
    ),
    **{
        f"{command} {option}": (
            [command, *FILES, option, f"x{end}"],
            f"{option}: hx {command} finds no states of nodes to write (leave it out)",
        )
        for command in ("fit", "maps")
        for option, end in (
            ("--out-table", ".csv"),
            ("--out-tree", ".nex"),
            ("--itol", ".zip"),
            ("--auspice", ".json"),
            ("--node-data", ".json"),
            ("--named-tree", ".nwk"),
        )
    },
    "maps --report": (
        ["maps", *FILES, "--report", "x.html"],
        "--report: hx maps finds no states of nodes to write (leave it out)",
    ),
    "prior": (
        ["posterior", *FILES, "--sigma2", "1", "--root", "normal:1"],
        "Invalid value for '--root': 'normal:1' is not a prior (write flat, fixed:STATE, or normal:MEAN,VARIANCE such "
        "as normal:0,100) (see hx posterior --help)",
    ),
    "noise and none": (
        ["posterior", *FILES, "--no-noise", "--tau2", "1"],
        "Invalid value: --no-noise says that there is no observation variance (leave it or the other out) (see hx "
        "posterior --help)",
    ),
    "a prior of what is given": (
        ["posterior", *FILES, "--tau2", "1", "--prior-tau2", "halfnormal(1)"],
        "tau2 is given, so it has no prior (leave one of the two out)",
    ),
    "device": (
        ["ancestral", *FILES, "--device", "abacus"],
        "--device abacus: no such kind of device (use cpu, gpu, gpu:1, tpu or all)",
    ),
    "two inputs from stdin": (
        ["ancestral", "-", "-"],
        "TREE and TRAITS cannot both be standard input (name a file for one of them)",
    ),
    "two products to stdout": (
        ["ancestral", *FILES, "--out-table", "-", "--out-json", "-"],
        "--out-table and --out-json both go to standard output (name two places)",
    ),
    "two products to one file": (
        ["ancestral", *FILES, "--out-table", "x.csv", "--out-tree", "./x.csv"],
        "--out-table and --out-tree both go to ./x.csv (name two places)",
    ),
    "product over input": (
        ["ancestral", *FILES, "-o", "traits"],
        "--out-table traits.csv would replace the input traits.csv (name another file)",
    ),
    "prefix to stdout": (
        ["ancestral", *FILES, "-o", "-"],
        "-o -: a prefix names files (use --out-table - to stream the table)",
    ),
    "format": (
        ["ancestral", *FILES, "--out-table", "table.docx"],
        "table.docx: no table is written as '.docx' (use one of .csv .tsv .parquet; text also with .gz)",
    ),
    "missing file": (["ancestral", "none.nwk", "traits.csv"], "none.nwk: no such file (check the path)"),
    "tree index": (
        ["ancestral", *FILES, "--tree-index", "2"],
        "--tree-index 2: tree.nwk holds 1 tree; indices begin at 1",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refusal_is_one_line(hx, here, arguments, message):
    before = sorted(path.name for path in here.iterdir())
    done = hx(*arguments)
    assert (done.code, done.out, done.err) == (2, "", f"hx: {message}\n")
    assert sorted(path.name for path in here.iterdir()) == before


def test_debug_shows_where(hx):
    done = hx("ancestral", "none.nwk", "traits.csv", "--debug")
    assert done.code == 2
    assert "Traceback" in done.err
    assert done.err.endswith("hx: none.nwk: no such file (check the path)\n")


def test_what_hx_did_not_foresee_is_one_line(hx, monkeypatch):
    import hxcli.run.checking

    def fail(options):
        raise ZeroDivisionError("nobody\nthought of it")

    monkeypatch.setattr(hxcli.run.checking, "check", fail)
    done = hx("check", "tree.nwk")
    assert done.code == 1
    assert done.err == (
        "hx: internal error: ZeroDivisionError: nobody thought of it (run again with --debug to see where)\n"
    )


def test_version(hx):
    from hxcli import __version__

    assert hx("--version") == type(hx("--version"))(0, f"hx {__version__}\n", "")


def test_every_command_has_help_with_an_example(hx):
    from hxcli.cli.app import COMMANDS

    listed = hx("--help").out
    for name in COMMANDS:
        text = hx(name, "--help").out
        assert f"  {name} " in listed
        assert "Example:" in text
        assert f"hx {name}" in text.split("Example:")[1]


def test_help_and_refusals_import_nothing_heavy(here):
    code = """
import sys
from hxcli.cli.app import run
assert run(["--help"]) == 0 and run(["ancestral", "--help"]) == 0
heavy = {"jax", "numpy", "polars", "Bio", "rich"} & set(sys.modules)
assert not heavy, heavy
assert run(["ancestral", "tree.nwk", "none.csv"]) == 2
assert run(["check", "tree.nwk", "traits.csv"]) == 0
assert not {"jax", "rich"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
