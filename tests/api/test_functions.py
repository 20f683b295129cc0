"""`hx.mean(...)` is `hx mean ...`: options, defaults, products, notes and refusals."""

from __future__ import annotations

import inspect
import json
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import pytest

import hxcli as hx
from hxcli.api.command_words import command_of, python_name, request_of, words
from hxcli.cli.app import run
from hxcli.run.product_kinds import KINDS

FILES = ("tree.nwk", "traits.csv")
NAMES = ("ancestral", "mean", "posterior", "signal", "fit", "regress", "simulate", "check")
CALLS: dict[str, dict[str, Any]] = {
    "ancestral": {"estimator": "ml", "level": 0.9, "tau2": 0.25, "column": ["size", "mass"]},
    "mean": {"weights": "local", "na": "3.5"},
    "posterior": {"sigma2": 0.5, "no_noise": True, "draws": 5, "loo": True, "seed": 3, "root": "normal:2,100"},
    "regress": {"formula": "mass ~ size", "model": "white"},
    "simulate": {"model": ["bm"], "set": {"sigma2": 1, "root": 2}, "number": 3, "seed": 4},
    "signal": {"permutations": 99, "seed": 2, "level": 0.9},
}


def without_timings(record: Any) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in ("timings", "command_line")}


# Slow: two compile for long, and are written by what writes the others.
SLOW = ("regress", "signal")


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in CALLS])
def test_gives_what_the_command_writes(here, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", hx.HxWarning)
        files = {"tree": FILES[0]} | ({} if name == "simulate" else {"traits": FILES[1]})
        done = getattr(hx, name)(**files, **CALLS[name])
    command = words(name, files | CALLS[name])
    assert done.record()["command_line"] == list(command)
    assert run([*command[1:], "-o", "theirs", "-q"]) == 0
    written = done.write_all("ours")
    assert len(written) == len(done.products)
    for path in map(here.joinpath, written):
        twin = path.with_name(path.name.replace("ours", "theirs", 1))
        if path.suffix != ".json":
            assert path.read_bytes() == twin.read_bytes()
    ours, theirs = (json.loads((here / f"{whose}.json").read_text()) for whose in ("ours", "theirs"))
    assert without_timings(ours) == without_timings(theirs)
    assert done.table().write_csv().encode() == (here / written[0].replace("ours", "theirs")).read_bytes()
    if "table" in done.products:
        assert done.table("table", wide=True).height == 7


@pytest.mark.parametrize("name", NAMES)
def test_has_the_options_of_the_command(name):
    signature = inspect.signature(getattr(hx, name))
    known = {python_name(parameter): parameter for parameter in command_of(name).params}
    assert set(signature.parameters) <= set(known)
    # Where products go, what is said, and what a process does.
    products = {kind.option for kind in KINDS.values()} | {"--out", "--wide", "--json"}
    of_processes = {"--quiet", "--verbose", "--debug", "--threads", "--shard", "--distributed"}
    left_out = {max(known[each].opts, key=len) for each in set(known) - set(signature.parameters)}
    assert left_out <= products | of_processes | {"more"}
    given = {"tree": FILES[0], "traits": FILES[1], "formula": "mass ~ size"}
    given = {each: value for each, value in given.items() if each in known}
    defaults = {each.name: each.default for each in signature.parameters.values() if each.name not in given}
    assert request_of(words(name, given | defaults)) == request_of(words(name, given))
    documented = getattr(hx, name).__doc__
    assert all(f"    {each}: " in documented for each in signature.parameters)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": 2}, r"Invalid value for '--level': '2' is not between 0 and 1 .* \(see help\(hx.ancestral\)\)"),
        ({"estimator": "best"}, "Invalid value for '--estimator'"),
        ({"tree_index": 0}, "--tree-index"),
        ({"column": "no"}, r"traits.csv: .*no column 'no'"),
        ({"device": "none"}, "no such kind of device"),
    ],
)
def test_refuses_what_the_command_refuses_in_its_words(here, capsys, options, message):
    with pytest.raises(hx.HxError, match=message) as refused:
        hx.ancestral(*FILES, **options)
    assert refused.value.exit_code == 2
    assert run(list(words("ancestral", {"tree": FILES[0], "traits": FILES[1], **options}))[1:]) == 2
    said = str(refused.value).split(" (see ")[0]
    assert capsys.readouterr().err.startswith(f"hx: {said}")


def test_refuses_what_no_command_line_could_say(here):
    with pytest.raises(TypeError, match=r"ancestral\(\): .* 'levle'"):
        hx.ancestral(*FILES, levle=0.9)
    with pytest.raises(TypeError, match="strict is True or False"):
        hx.ancestral(*FILES, strict="yes")
    with pytest.raises(TypeError, match="level cannot be"):
        hx.ancestral(*FILES, level=object())


def test_notes_are_warnings_at_the_line_of_the_caller(here):
    with pytest.warns(hx.HxWarning, match="1 of 4 tips without a row") as told:
        done = hx.mean("tree.nwk", {"A_a": 1.5, "B b": 2.5, "C": 4.0}, weights="local")
    assert [str(warning.message) for warning in told] == list(done.notes)
    assert {warning.filename for warning in told} == {__file__}
    assert "1 note>" in repr(done)


def test_a_session_in_single_precision_gets_doubles_and_stays_as_it_is(here):
    before = hx.mean(*FILES).table()
    was = jax.config.read("jax_enable_x64")
    jax.config.update("jax_enable_x64", False)
    try:
        double = jax.jit(lambda x: 2 * x)
        assert double(jnp.arange(3.0)).dtype == jnp.float32
        assert hx.mean(*FILES).table().equals(before)
        assert double(jnp.arange(3.0)).dtype == jnp.float32
        assert jnp.zeros(2).dtype == jnp.float32
    finally:
        jax.config.update("jax_enable_x64", was)


def test_check_gives_the_report_and_raises_for_the_tree_alone(here):
    found = hx.check(*FILES)
    assert found.obstacle is None
    assert repr(found).splitlines()[0] == "tree     tree.nwk: newick, 1 tree"
    assert isinstance(hx.check("tree.nwk", {"Z": 1.0}).obstacle, hx.InputError)
    with pytest.raises(hx.InputError, match="<tree>: line 1, column 8"):
        hx.check("(A:1,B:x);")


def test_the_names_are_there_and_cost_nothing_until_used():
    assert set(NAMES) | {"read_tree", "read_trees", "read_traits", "Analysis", "HxWarning"} <= set(dir(hx))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert hx.mean is hx.mean
