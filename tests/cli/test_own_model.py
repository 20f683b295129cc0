"""A model in a file, at the command line: every command that takes one, and what each refuses."""

# ruff: noqa: E501

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

MODEL = """
from hxcli.model import Gaussian, log_normal, record

RATES = ("speed",)

def model(edge):
    grown = record("grown", edge.pace * edge.length)
    return Gaussian(variance=log_normal("speed", median=1, sd=1) * grown)
"""
HEAD = "from hxcli.model import *\nfrom hxcli.model import Gaussian, Rates, Sde, log_normal, normal\nimport jax.numpy as jnp\n"
BROWNIAN = "RATES = ('s',)\ndef model(edge):\n    return Gaussian(variance=log_normal('s') * edge.length)\n"
REFUSED = {
    # Command and its options -> file, what is said.
    "fit": (
        "def model(edge):\n    return Gaussian(1, 0, log_normal('s', per='edge'))\n",
        "mine.py: line 5: 's' is one of",
    ),
    "ancestral": (
        "def model(edge):\n    return Rates(jnp.zeros((2, 2)))\n",
        "mine.py: line 5: model returns Rates, and the trait is of numbers",
    ),
    "fit --tau2 1": (
        "def model(edge):\n    return Gaussian(jnp.eye(2), jnp.zeros(2), jnp.eye(2))\n",
        "line 5: the scale of model has the shape (2, 2)",
    ),
    "fit --no-intervals": (
        BROWNIAN + "def noise(tip):\n    return -1.0\n",
        "its density is no number at any parameters",
    ),
    "ancestral --together": (
        "def model(edge):\n    return Gaussian(variance=edge.length * jnp.eye(2))\n",
        "mine.py: line 5: the variance of model has the shape (2, 2), and 1 trait is fitted together",
    ),
    "ancestral --together -q": (
        "def model(edge):\n    return Rates(jnp.zeros((2, 2)))\n",
        "mine.py: line 5: model returns Rates, and the trait is of numbers",
    ),
    "posterior --together": (
        "def model(edge):\n    return Gaussian(variance=edge.length * jnp.eye(2))\n",
        "mine.py: line 5: the variance of model has the shape (2, 2), and 1 trait is fitted together",
    ),
    "posterior --prior-tau2 lognormal(0,1)": (
        BROWNIAN + "def noise(tip):\n    return log_normal('e')\n",
        "--prior-tau2 with --model mine.py: its noise(tip) is the observation variance",
    ),
    "ancestral --loo": ("def model(edge):\n    return Sde(0.0, 1.0)\n", "--loo with --model mine"),
    "posterior --tau2 0": (
        BROWNIAN.replace("'s',", "").replace("log_normal('s')", "param('s', low=0)"),
        "mine.py: line 6: the parameter 's' has no prior and one end only",
    ),
    # A likelihood of negative variances, which rises as they vanish.
    "fit --no-intervals -q": (
        BROWNIAN.replace("RATES = ('s',)\n", "").replace("log_normal", "-log_normal"),
        "mine.py: line 5: 6 of 6 edges have a variance that is negative or no number",
    ),
    "fit -q": ("def model(edge):\n    raise SystemExit(3)\n", "mine.py: line 5: SystemExit: 3"),
    "ancestral -q": (
        "def model(edge):\n    return Sde(lambda x: -x, log_normal('s'), low=5.0, high=1.0)\n",
        "model mine: its ends are 5 and 1",
    ),
    "posterior --tau2 1": (
        BROWNIAN.replace("length)", "length + param('p') * edge.is_tip)").replace("'s',", ""),
        "with flat 'root', 'p' and the other priors the posterior has no finite integral",
    ),
}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def files(here: Path) -> Path:
    (here / "mine.py").write_text(MODEL)
    # Every edge by itself, one by a pair of tips; 2 on all, so that it is Brownian motion at half the rate.
    (here / "edges.csv").write_text("node,tip_a,tip_b,pace\n,,,2\nA,,,2\n,A,B,2\n")
    return here


def test_fit_and_ancestral_take_a_file_and_its_columns_of_edges(hx, files):
    given = ("tree.nwk", "traits.csv", "--column", "mass", "--model", "mine.py", "--edge-data", "edges.csv")
    done = hx("fit", *given, "--model", "bm", "-o", "fits")
    assert done.code == 0, done.err
    mine, bm = (
        next(each for each in rows(files / "fits.fits.csv") if each["model"] == name) for name in ("mine", "bm")
    )
    assert float(mine["log_likelihood"]) == pytest.approx(float(bm["log_likelihood"]), abs=1e-9)
    assert mine["k"] == bm["k"] == "2"
    found = {(each["model"], each["parameter"]): float(each["value"]) for each in rows(files / "fits.params.csv")}
    assert found["mine", "speed"] == pytest.approx(found["bm", "sigma2"] / 2, rel=1e-9)
    digest = hashlib.sha256(MODEL.encode()).hexdigest()
    assert digest in (files / "fits.json").read_text()

    assert hx("ancestral", *given, "-o", "own").code == 0
    assert hx("ancestral", "tree.nwk", "traits.csv", "--column", "mass", "--model", "bm", "-o", "plain").code == 0
    own, plain = rows(files / "own.csv"), rows(files / "plain.csv")
    assert [float(each["estimate"]) for each in own] == pytest.approx([float(each["estimate"]) for each in plain])
    by_label = {each["node"]: each["grown"] for each in own}
    assert (float(by_label["ab"]), float(by_label["C"])) == (2, 3)
    assert digest in json.dumps(json.loads((files / "own.json").read_text()))


@pytest.mark.slow
def test_supports_without_ends_and_rates_that_are_solved_for(hx, here):
    """What is recorded is at the estimates; an interval has no end where the likelihood never falls."""
    (here / "powers.py").write_text(
        "from hxcli.model import Gaussian, log_normal, record\nRATES = ('sigma2',)\n"
        "def model(edge):\n    power = log_normal('power', median=1, sd=1)\n"
        "    rate = record('rate', log_normal('sigma2', median=0.05, sd=2))\n"
        "    return Gaussian(variance=rate * edge.length**power)\n"
    )
    (here / "bounded.py").write_text((here / "powers.py").read_text().replace("sd=1)", "sd=1, low=1e-4, high=1e3)"))
    data = Path(__file__).parents[2] / "data"
    given = (str(data / "primates.nwk"), str(data / "primates.csv"), "--column", "ln_body_mass")
    found = {}
    for name in ("powers", "bounded"):
        assert hx("fit", *given, "--model", f"{name}.py", "-o", name).code == 0
        found[name] = {row["parameter"]: row for row in rows(here / f"{name}.params.csv")}
    for parameter, row in found["powers"].items():
        for end in ("lower", "upper"):
            other = found["bounded"][parameter][end]
            assert row[end] == other == "" or float(row[end]) == pytest.approx(float(other), rel=1e-3)
    assert hx("ancestral", *given, "--model", "powers.py", "-o", "states").code == 0
    # Of no edge in particular, so it is in the record.
    rate = json.loads((here / "states.json").read_text())["results"][0]["traits"][0]["recorded"]["rate"]
    assert rate == pytest.approx(float(found["powers"]["sigma2"]["value"]))
    assert "rate" not in rows(here / "states.csv")[0]


@pytest.mark.parametrize(
    "returned",
    [
        "Gaussian(variance=log_normal('v', shape=(2,))[edge.pace] * edge.length)",
        "Gaussian(variance=jnp.array([1.0, 2.0])[edge.pace] * log_normal('v') * edge.length)",
        "Sde(lambda x: normal('m', shape=(2,))[edge.pace] - x, log_normal('v'))",
    ],
)
def test_an_index_beyond_what_it_is_of_is_not_the_last(hx, files, returned: str):
    """Kinds of edges that are numbered from 1: JAX would take the last entry for both."""
    (files / "mine.py").write_text(HEAD + f"def model(edge):\n    return {returned}\n")
    (files / "edges.csv").write_text("node,pace\n,1\nA,2\n")
    given = ("tree.nwk", "traits.csv", "--column", "mass", "--model", "mine.py", "--edge-data", "edges.csv")
    done = hx("check", *given)
    assert done.code == 2
    assert (
        "hx: mine.py: line 5: an index is 2 on some edge, and there are 2 entries, the first of which is 0" in done.err
    )
    (files / "edges.csv").write_text("node,pace\n,0\nA,1\n")
    assert hx("check", *given).code == 0


def test_check_looks_at_a_model(hx, files):
    done = hx("check", "tree.nwk", "traits.csv", "--model", "mine.py", "--edge-data", "edges.csv")
    assert done.code == 0
    assert "model    mine: returns Gaussian, so the exact Gaussian sweeps" in done.err
    assert "param    speed: param, 0 to inf, prior log_normal(median=1, sd=1), value 1" in done.err
    assert "edges    variance 1 to 3, none negative" in done.err
    assert "gradient agrees with differences" in done.err
    (files / "mine.py").write_text(HEAD + BROWNIAN + "def noise(tip):\n    return log_normal('e') * tip.length\n")
    done = hx("check", "tree.nwk", "traits.csv", "--model", "mine.py")
    assert "noise    variance 0.5 to 1.5 of what is observed of a tip" in done.err


def test_check_looks_at_a_model_with_what_is_given_of_it(hx, files):
    given = ("tree.nwk", "traits.csv", "--column", "mass", "--regimes", "regimes.csv")
    held = ("--set", "s(a)=0.5", "--set", "s(b)=2", "--set", "root=1.5")
    (files / "regimes.csv").write_text("node,regime\nA,a\nB,b\n,a\n")
    (files / "mine.py").write_text(
        HEAD + "RATES = ('s',)\ndef model(edge):\n    s = log_normal('s', shape=(2,)) @ edge.regime\n"
        "    return Gaussian(variance=s * edge.length)\n"
    )
    assert hx("fit", *given, "--model", "mine.py", *held, "-o", "held").code == 0
    (fitted,) = rows(files / "held.fits.csv")
    done = hx("check", *given, "--model", "mine.py", *held)
    assert done.code == 0
    assert f"usual    log likelihood {float(fitted['log_likelihood']):.6g}" in done.err
    assert "given    s(b): 2" in done.err
    done = hx("check", *given, "--model", "mine.py", "--set", "t=1")
    assert done.code == 2
    assert "--set t: no model here has such a parameter (they have s(a), s(b), root" in done.err
    done = hx("check", *given[:4], "--set", "s=1")
    assert done.code == 2
    assert "--set is of a model (add --model NAME)" in done.err


def test_a_negative_variance_is_impossible_and_a_search_turns_back(hx, here):
    for name, support in (("plain", "start=0.0"), ("bounded", "low=0, start=1.0")):
        declared = f"from hxcli.model import Gaussian, param\ndef model(edge):\n    s = param('s', {support})\n"
        (here / f"{name}.py").write_text(declared + "    return Gaussian(variance=s * edge.length)\n")
    given = ("tree.nwk", "traits.csv", "--column", "mass")
    assert hx("fit", *given, "--model", "plain.py", "--model", "bounded.py", "-o", "both").code == 0
    one, other = (
        {row["parameter"]: row for row in rows(here / "both.params.csv") if row["model"] == name}
        for name in ("plain", "bounded")
    )
    for parameter, end in (("s", "value"), ("s", "lower"), ("s", "upper"), ("root", "value")):
        assert float(one[parameter][end]) == pytest.approx(float(other[parameter][end]), rel=1e-6)
    done = hx("check", *given, "--model", "plain.py", "--json", "told.json")
    assert (done.code, done.err) == (0, "")
    told = json.loads((here / "told.json").read_text())
    assert any("impossible: " in line and "variance that is negative" in line for line in told["model"])
    assert "note     a variance is 0 or more: give its parameter low=0, or write it as log_normal" in told["model"]
    assert any(line.startswith("gradient agrees") for line in told["model"])


@pytest.mark.slow
def test_models_of_one_name_are_refused_and_names_of_built_in_ones_mean_nothing(hx, here):
    plain = "from hxcli.model import Gaussian, log_normal\ndef model(edge):\n    return Gaussian(variance=log_normal('s') * edge.length)\n"
    for name in ("bm", "acdc", "oum"):
        (here / f"{name}.py").write_text(plain)
    given = ("fit", "tree.nwk", "traits.csv", "--column", "mass")
    done = hx(*given, "--model", "bm.py", "--model", "bm", "-o", "run")
    assert done.code == 2
    assert "--model bm.py and --model bm are both called bm in tables" in done.err
    assert hx(*given, "--model", "bm.py", "--model", "./bm.py", "-o", "run").code == 2
    # Not the model without regimes that is refused, nor the one that equals ou, nor the one to compare with.
    done = hx(*given, "--model", "acdc.py", "--model", "oum.py", "-o", "run")
    assert done.code == 0, done.err
    assert len({row["log_likelihood"] for row in rows(here / "run.fits.csv")}) == 1
    done = hx(*given, "--model", "bm.py", "--bootstrap", "20", "--seed", "1", "-o", "null")
    assert done.code == 0, done.err
    assert rows(here / "null.bootstrap.csv")[0]["quantity"] == "likelihood_ratio"


@pytest.mark.slow
def test_means_of_every_column_of_edges_are_solved_for(hx, here):
    text = (
        "import jax.numpy as jnp\nfrom hxcli.model import Gaussian, log_normal, normal\nMEANS = ('theta',)\n"
        "def model(edge):\n    theta = normal('theta', mean=0, sd=10, shape=(2,))\n    kept = jnp.exp(-0.5 * edge.length)\n"
        "    return Gaussian(kept, theta[edge.wet] * (1 - kept), log_normal('s') * (1 - kept**2))\n"
    )
    (here / "wet.py").write_text(text)
    (here / "searched.py").write_text(text.replace("MEANS = ('theta',)\n", ""))
    (here / "edges.csv").write_text("node,wet\n,0\nA,1\nB,1\n")
    given = ("tree.nwk", "traits.csv", "--column", "mass", "--edge-data", "edges.csv")
    done = hx("fit", *given, "--model", "wet.py", "--model", "searched.py", "-o", "both")
    assert done.code == 0, done.err
    one, other = rows(here / "both.fits.csv")
    assert float(one["log_likelihood"]) == pytest.approx(float(other["log_likelihood"]), abs=1e-6)
    assert one["k"] == other["k"] == "4"
    said = "intervals of nodes take the estimate of 'theta' for the true one: with MEANS = ('theta',) in the file they do not"
    for name in ("wet", "searched"):
        done = hx("ancestral", *given, "--model", f"{name}.py", "-o", name)
        assert done.code == 0, done.err
        assert (said in done.err) == (name == "searched")
    wide, narrow = (float(rows(here / f"{name}.csv")[0]["se"]) for name in ("wet", "searched"))
    assert wide > 1.1 * narrow


@pytest.mark.slow
def test_a_branch_with_another_slope_is_found(hx, here):
    text = (
        "import jax.numpy as jnp\nfrom hxcli.model import Gaussian, log_normal, param\n"
        "def model(edge):\n    a = param('a', low=-2, high=2)\n    grown = GROWN\n"
        "    return Gaussian(variance=log_normal('s') * grown)\n"
    )
    (here / "root.py").write_text(text.replace("GROWN", "edge.length * jnp.exp(jnp.sqrt(a**2))"))
    (here / "branch.py").write_text(
        text.replace("GROWN", "jnp.where(a == 0, edge.length, jnp.expm1(a * edge.length) / jnp.where(a == 0, 1, a))")
    )
    given = ("check", "tree.nwk", "traits.csv", "--column", "mass", "--model")
    for name, said in (("root", "is no number at its usual values"), ("branch", "is not that of its density")):
        done = hx(*given, f"{name}.py")
        assert done.code == 2
        assert f"model {name}: its gradient {said}" in done.err


def test_what_a_refused_model_is_checked_on_is_not_ready(hx, here):
    (here / "negative.py").write_text(
        "from hxcli.model import Gaussian\ndef model(edge):\n    return Gaussian(variance=-edge.length)\n"
    )
    given = ("check", "tree.nwk", "traits.csv", "--column", "mass", "--model", "negative.py")
    done = hx(*given)
    assert done.code == 2
    assert "ready" not in done.err
    assert done.err.splitlines()[-1].startswith(
        "hx: negative.py: line 3: 6 of 6 edges have a variance that is negative"
    )
    assert hx(*given, "--json", "told.json").code == 2
    told = json.loads((here / "told.json").read_text())
    assert told["ready"] is False
    assert "variance that is negative" in told["obstacle"]
    (here / "plain.py").write_text(
        "from hxcli.model import Gaussian\ndef model(edge):\n    return Gaussian(variance=edge.length)\n"
    )
    done = hx(*given[:-1], "plain.py", "-q")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_a_fixed_number_is_given_to_a_posterior_too(hx, here):
    text = (
        "from hxcli.model import Gaussian, fixed, log_normal\nRATES = ('s',)\n"
        "def model(edge):\n    return Gaussian(variance=log_normal('s', median=1, sd=1) * edge.length ** fixed('p', 1.0))\n"
    )
    (here / "fixed.py").write_text(text)
    (here / "other.py").write_text(text.replace("1.0", "0.5"))
    given = ("posterior", "tree.nwk", "traits.csv", "--column", "mass", "--no-noise")
    assert hx(*given, "--model", "fixed.py", "-o", "usual").code == 0
    assert hx(*given, "--model", "fixed.py", "--set", "p=0.5", "-o", "set").code == 0
    assert hx(*given, "--model", "other.py", "-o", "written").code == 0
    assert (here / "set.csv").read_text() == (here / "written.csv").read_text() != (here / "usual.csv").read_text()


@pytest.mark.slow
def test_a_copied_model_gives_the_posterior_of_the_built_in_one(hx, here):
    assert hx("models", "show", "ou").code == 0
    (here / "my_ou.py").write_text(hx("models", "show", "ou").out)
    given = ("posterior", "tree.nwk", "traits.csv", "--column", "mass", "--no-noise")
    for name, prior in (("my_ou.py", ()), ("ou", ("--prior-sigma2", "lognormal(0,2)"))):
        done = hx(*given, "--model", name, *prior, "-o", name.removesuffix(".py"))
        assert done.code == 0, done.err
    assert (here / "my_ou.csv").read_text() == (here / "ou.csv").read_text()
    assert (here / "my_ou.params.csv").read_text() == (here / "ou.params.csv").read_text()


@pytest.mark.slow
def test_a_posterior_on_a_grid_has_the_products_of_others_and_whole_densities(hx, here):
    (here / "walk.py").write_text("from hxcli.model import Sde\ndef model(edge):\n    return Sde(0.0, 0.8)\n")
    given = ("posterior", "tree.nwk", "traits.csv", "--column", "mass", "--no-noise")
    done = hx(*given, "--model", "walk.py", "--density", "d.csv", "--plot", "p.svg", "-o", "walk")
    assert done.code == 0, done.err
    assert hx(*given, "--sigma2", "0.64", "-o", "bm").code == 0
    mine, others = rows(here / "walk.csv"), rows(here / "bm.csv")
    for name in ("estimate", "se", "lower", "upper", "hpd_lower", "hpd_upper"):
        for one, other in zip(mine, others, strict=True):
            assert float(one[name]) == pytest.approx(float(other[name]), abs=2e-2)
    assert {row["modes"] for row in mine} == {"1.0"}
    root = [row for row in rows(here / "d.csv") if row["node"] == mine[0]["node"]]
    x, density = (np.array([float(row[name]) for row in root]) for name in ("x", "density"))
    assert np.trapezoid(density, x) == pytest.approx(1, abs=1e-3)
    assert "mass_95%_HPD={" in (here / "walk.nex").read_text()
    assert (here / "p.svg").stat().st_size > 1000
    told = json.loads((here / "walk.json").read_text())["results"][0]["traits"][0]["posterior"]
    assert told["grid_error"] < 1e-2
    assert told["log_evidence_grid_error"] < 1e-2
    assert told["files"][0]["path"] == "walk.py"


@pytest.mark.parametrize("command", REFUSED)
def test_what_a_command_does_not_take_is_one_line(hx, here, command: str):
    text, said = REFUSED[command]
    (here / "mine.py").write_text(HEAD + text)
    name, *options = command.split()
    done = hx(name, "tree.nwk", "traits.csv", "--column", "mass", "--model", "mine.py", *options, "-o", "run")
    assert done.code == 2, done.err
    assert said in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_a_model_without_a_parameter_is_fitted_by_its_root_alone(hx, here):
    (here / "mine.py").write_text(HEAD + "def model(edge):\n    return Gaussian(variance=edge.length)\n")
    done = hx("fit", "tree.nwk", "traits.csv", "--column", "mass", "--model", "mine.py", "--model", "bm", "-o", "run")
    assert done.code == 0, done.err
    mine, bm = (next(each for each in rows(here / "run.fits.csv") if each["model"] == name) for name in ("mine", "bm"))
    assert (mine["k"], bm["k"]) == ("1", "2")
    assert float(mine["log_likelihood"]) <= float(bm["log_likelihood"]) + 1e-9
    roots = [each["value"] for each in rows(here / "run.params.csv") if each["parameter"] == "root"]
    assert float(roots[0]) == pytest.approx(float(roots[1]), rel=1e-9)


RATES = """
def model(edge):
    up, down = log_normal("up", median=0.5, sd=2), log_normal("down", median=0.5, sd=2)
    q = jnp.array([[-up, up], [down, -down]])
    return Rates(q * edge.pace if "pace" in edge else q)
"""
STATES = "name,habitat\nA,sea\nB,sea\nC,air\nD,air\n"


@pytest.fixture
def states(here: Path) -> Path:
    (here / "mine.py").write_text(HEAD + RATES)
    (here / "edges.csv").write_text("node,tip_a,tip_b,pace\n,,,2\nA,,,2\n,A,B,2\n")
    (here / "own.csv").write_text("node,pace\n,2\nA,3\n")
    (here / "states.csv").write_text(STATES)
    return here


def test_a_file_that_returns_rates_is_a_model_of_states(hx, states):
    given = ("tree.nwk", "states.csv", "--column", "habitat")
    assert hx("fit", *given, "--model", "mine.py", "--model", "ard", "-o", "fits").code == 0
    mine, ard = (
        next(each for each in rows(states / "fits.fits.csv") if each["model"] == name) for name in ("mine", "ard")
    )
    assert float(mine["log_likelihood"]) == pytest.approx(float(ard["log_likelihood"]), abs=1e-7)
    assert (mine["k"], mine["n"]) == (ard["k"], ard["n"]) == ("2", "4")
    assert hashlib.sha256((HEAD + RATES).encode()).hexdigest() in (states / "fits.json").read_text()
    # Twice the pace on all edges: half the rates. Held at the best rates, the states are those of the built-in model.
    found = {(each["model"], each["parameter"]): each["value"] for each in rows(states / "fits.params.csv")}
    held = [f"up={float(found['ard', 'q(air,sea)']) / 2}", f"down={float(found['ard', 'q(sea,air)']) / 2}"]
    options = ("--model", "mine.py", "--edge-data", "edges.csv", "--set", held[0], "--set", held[1])
    done = hx("ancestral", *given, *options, "-o", "own")
    assert done.code == 0, done.err
    assert hx("ancestral", *given, "--model", "ard", "-o", "plain").code == 0
    chances = [[float(each["probability"]) for each in rows(states / f"{name}.csv")] for name in ("own", "plain")]
    assert chances[0] == pytest.approx(chances[1], abs=1e-6)
    done = hx("maps", *given, "--model", "mine.py", "-n", "3", "-o", "maps")
    assert done.code == 0, done.err


@pytest.mark.slow
def test_rates_of_every_edge_are_drawn_fitted_and_checked(hx, states):
    given = ("--model", "mine.py", "--edge-data", "own.csv")
    done = hx("check", "tree.nwk", "states.csv", "--column", "habitat", *given)
    assert done.code == 0, done.err
    assert "model    mine: returns Rates, so the sweeps of discrete states" in done.err
    assert "rates    of the states air, sea, one matrix an edge" in done.err
    done = hx("fit", "tree.nwk", "states.csv", "--column", "habitat", *given, "--no-intervals", "-o", "own")
    assert done.code == 0, done.err
    draw = ("simulate", "tree.nwk", *given, "--set", "up=1", "--set", "down=2", "--states", "air,sea", "-n", "400")
    for name in ("one", "two"):
        assert hx(*draw, "-o", name).code == 0
    assert (states / "one.csv").read_bytes() == (states / "two.csv").read_bytes()
    drawn = {each.pop("node"): list(each.values()) for each in rows(states / "one.csv")}
    assert set(drawn["A"]) == {"air", "sea"}
    # Of edges of length 2 and more, nearly the stationary shares, 2 / 3 and 1 / 3.
    assert drawn["A"].count("air") / 400 == pytest.approx(2 / 3, abs=0.1)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return Rates(jnp.ones((2, 2)))", "line 5: the row of 'air' in Q sums to 2"),
        (
            "return Rates(jnp.array([[1.0, -1.0], [1.0, -1.0]]))",
            "line 5: Q has a rate below 0 where the search begins: -1",
        ),
        ("return Rates(jnp.zeros((3, 3)))", "line 5: Q is 3 by 3, and the trait has 2 states: air, sea"),
        ("return Rates(jnp.full((2, 2), jnp.nan))", "line 5: Q has cells that are no numbers"),
        ("return Rates(jnp.zeros(2))", "line 5: the Q of Rates has the shape (2,)"),
        ("return Rates('fast')", "line 5: the Q of Rates is no array: a str"),
        ("return Gaussian(variance=edge.length)", "line 5: model returns Gaussian, and the trait is of states"),
        (
            "return Rates(jnp.zeros((2, 2)))\ndef root():\n    return Gaussian(mean=0, variance=0)",
            "line 6: root goes with",
        ),
        ("return Rates(jnp.zeros((2, 2)))\nRATES = ('s',)", "RATES goes with models that return a Gaussian"),
    ],
)
def test_what_are_no_rates_is_refused(hx, states, body: str, said: str):
    (states / "mine.py").write_text(f"{HEAD}def model(edge):\n    {body}\n")
    done = hx("ancestral", "tree.nwk", "states.csv", "--column", "habitat", "--model", "mine.py", "-o", "run")
    assert done.code == 2, done.err
    assert f"mine.py: {said}" in done.err
    assert len(done.err.strip().splitlines()) == 1


CLOCK = """
from hxcli.model import Gaussian, log_normal
RATES = ("sigma2",)
def model(edge):
    return Gaussian(variance=log_normal("sigma2", median=1, sd=2) * edge.rate * edge.length)
"""
ANNOTATED = (
    "((A[&rate=0.5]:1,B[&rate=2.0,x=1]:1.5)[&rate=1.5,posterior=1]:1,"
    "(C[&rate=1,height_95%_HPD={0,1}]:1,D[&rate=3]:2)[&rate=0.1,posterior=0.9]:0.5)[&height=3];"
)


def test_the_rates_of_a_trees_own_annotations_are_those_of_a_tree_with_other_lengths(hx, here: Path):
    (here / "clock.py").write_text(CLOCK)
    (here / "clock.nex").write_text(f"#NEXUS\nBEGIN TREES;\nTREE one = [&R] {ANNOTATED}\nEND;\n")
    (here / "turned.nwk").write_text(
        "((D[&rate=3]:2,C[&rate=1]:1)[&rate=0.1]:0.5,(B[&rate=2]:1.5,A[&rate=.5]:1)[&rate=1.5]:1);"
    )
    (here / "scaled.nwk").write_text("((A:0.5,B:3):1.5,(C:1,D:6):0.05);")
    (here / "x.csv").write_text("tip,x\nA,1\nB,2.5\nC,0.3\nD,4\n")
    given = ("--model", "clock.py", "--edge-data", "tree")
    assert hx("ancestral", "clock.nex", "x.csv", *given, "-o", "own").code == 0
    assert hx("ancestral", "turned.nwk", "x.csv", *given, "-o", "turned").code == 0
    assert hx("ancestral", "scaled.nwk", "x.csv", "--estimator", "ml", "-o", "scaled").code == 0
    found = {
        name: {(r["tip_a"], r["tip_b"]): r for r in rows(here / f"{name}.csv")} for name in ("own", "turned", "scaled")
    }
    for name in ("turned", "own"):
        for pair, row in found["scaled"].items():
            for column in ("estimate", "se"):
                assert float(found[name][pair][column]) == pytest.approx(float(row[column]), rel=1e-9)
    assert json.loads((here / "own.json").read_text())["options"]["edge_data"] == "tree"


JOINT = """
def model(edge):
    s, r = log_normal("s", shape=(2,)), param("r", low=-1, high=1, start=0.1)
    return Gaussian(variance=jnp.outer(s, s) * jnp.array([[1.0, r], [r, 1.0]]) * edge.length)
def noise(tip):
    return 0.25 * jnp.eye(2)
"""


@pytest.mark.slow
def test_a_file_of_two_traits_is_checked_and_drawn(hx, here: Path):
    (here / "mine.py").write_text(HEAD + JOINT)
    (here / "two.csv").write_text("name,u,v\nA,1,2\nB,2,\nC,4,1\nD,3,3\n")
    done = hx("check", "tree.nwk", "two.csv", "--model", "mine.py")
    assert done.code == 0, done.err
    assert "model    mine: returns Gaussian with matrices, so the exact Gaussian sweeps of traits together" in done.err
    assert "param    s: param, shape (2,), 0 to inf" in done.err
    assert "edges    variance of u 0.5 to 1.5, v 0.5 to 1.5, all covariances" in done.err
    assert "gradient agrees with differences" in done.err
    given = [f"--set={each}" for each in ("s(1)=1", "s(2)=2", "r=0.5", "root(1)=5", "root(2)=-3")]
    draw = ("simulate", "tree.nwk", "--model", "mine.py", *given, "-n", "4000")
    for name in ("one", "two"):
        done = hx(*draw, "-o", name)
        assert done.code == 0, done.err
    assert (here / "one.csv").read_bytes() == (here / "two.csv").read_bytes()
    drawn = {each.pop("node"): [float(value) for value in each.values()] for each in rows(here / "one.csv")}
    assert list(rows(here / "one.csv")[0])[:3] == ["node", "trait1_1", "trait2_1"]
    first, second = (np.array([drawn[tip][trait::2] for tip in ("A", "B")]) for trait in (0, 1))
    tree = hx("check", "tree.nwk", "two.csv")
    assert tree.code == 0
    np.testing.assert_allclose([first.mean(), second.mean()], [5, -3], atol=0.2)
    # Of one tip both traits covary by half the product of their standard deviations, errors left out.
    for tip in (0, 1):
        covariance = np.cov(first[tip], second[tip])
        depth = covariance[0, 1]
        np.testing.assert_allclose(covariance[0, 0], depth + 0.25, rtol=0.15)
        np.testing.assert_allclose(covariance[1, 1], 4 * depth + 0.25, rtol=0.15)


SPANS = """
def model(edge):
    first, second = edge.trait_high - edge.trait_low
    return Gaussian(variance=log_normal("s", median=1, sd=1) * edge.length * jnp.diag(jnp.array([first, second])))
"""


@pytest.mark.slow
def test_a_file_that_asks_for_the_figures_of_all_traits_is_seen_to_be_of_several(hx, here: Path):
    (here / "mine.py").write_text(HEAD + SPANS)
    (here / "two.csv").write_text("name,u,v\nA,1,2\nB,2,\nC,4,1\nD,3,3\n")
    done = hx("check", "tree.nwk", "two.csv", "--model", "mine.py")
    assert done.code == 0, done.err
    assert "model    mine: returns Gaussian with matrices, so the exact Gaussian sweeps of traits together" in done.err
    # Spans of 3 and 2, over edges of lengths 0.5 to 1.5.
    assert "edges    variance of u 1.5 to 4.5, v 1 to 3, all covariances" in done.err
    done = hx("simulate", "tree.nwk", "--model", "mine.py", "--set", "s=1", "-o", "drawn")
    assert done.code == 2
    assert "an edge has no 'trait_high'" in done.err


@pytest.mark.slow
def test_a_file_of_traits_together_is_fitted_on_every_tree_of_a_sample(hx, here: Path):
    (here / "mine.py").write_text(HEAD + JOINT.partition("def noise")[0])
    first = (here / "tree.nwk").read_text().strip()
    (here / "two.nwk").write_text(f"{first}\n{first.replace(':1', ':1.5', 1)}\n")
    (here / "two.csv").write_text("name,u,v\nA,1,2\nB,2,\nC,4,1\nD,3,3\n")
    given = ("two.csv", "--together", "--model", "mine.py")
    done = hx("ancestral", "two.nwk", *given, "--all-trees", "-o", "all")
    assert done.code == 0, done.err
    found = {(r["tree"], r["trait"], r["parameter"]): float(r["value"]) for r in rows(here / "all.trees.csv")}
    for tree in ("1", "2"):
        assert hx("ancestral", "two.nwk", *given, "--tree-index", tree, "-o", "one").code == 0
        alone = {row["parameter"]: float(row["value"]) for row in rows(here / "one.params.csv")}
        for name in ("s(1)", "s(2)", "r"):
            for trait in ("u", "v"):
                assert found[tree, trait, name] == pytest.approx(alone[name], rel=1e-6)
    assert found["1", "u", "s(1)"] != pytest.approx(found["2", "u", "s(1)"], rel=1e-3)


PACED = """
def model(edge):
    s, r = log_normal("s", median=1, sd=1, shape=(2,)), param("r", low=-1, high=1, start=0.1)
    pace = record("pace", edge.rate * edge.length)
    return Gaussian(variance=jnp.outer(s, s) * jnp.array([[1.0, r], [r, 1.0]]) * pace)
"""


@pytest.mark.slow
@pytest.mark.parametrize("more", [["--samples", "200", "--chains", "2"], ["--set", "r=0.3"]], ids=["sampled", "summed"])
def test_a_posterior_of_traits_together_is_the_same_for_a_turned_tree(hx, here: Path, more: list[str]):
    pytest.importorskip("numpyro")
    (here / "mine.py").write_text(HEAD + PACED)
    (here / "own.nex").write_text(f"#NEXUS\nBEGIN TREES;\nTREE one = [&R] {ANNOTATED}\nEND;\n")
    (here / "turned.nwk").write_text(
        "((D[&rate=3]:2,C[&rate=1]:1)[&rate=0.1]:0.5,(B[&rate=2]:1.5,A[&rate=.5]:1)[&rate=1.5]:1);"
    )
    (here / "x.csv").write_text("tip,u,v\nA,1,2\nB,2.5,\nC,0.3,1\nD,4,3\n")
    (here / "y.csv").write_text("tip,u,v\nD,4,3\nC,0.3,1\nB,2.5,\nA,1,2\n")
    found = []
    for tree, table in (("own.nex", "x.csv"), ("turned.nwk", "y.csv")):
        given = ("--together", "--model", "mine.py", "--edge-data", "tree", "--draws", "5", *more)
        done = hx("posterior", tree, table, *given, "-o", "run")
        assert done.code == 0, done.err
        assert "priors: s(1) log_normal(median=1, sd=1), s(2)" in done.err
        drawn = pl.read_parquet("run.draws.parquet").select("draw", "trait", "s(1)", "r", "A", "B", "C", "D")
        record = json.loads((here / "run.json").read_text())
        result = record["results"][0]
        assert result["file"]["sha256"] == hashlib.sha256((here / "mine.py").read_bytes()).hexdigest()
        assert result["file"]["text"] == HEAD + PACED
        assert record["seed"] == 0
        assert "u_95%_HPD={" in (here / "run.nex").read_text()
        keys = ("tip_a", "tip_b", "trait", "estimate", "se", "lower", "upper", "hpd_lower", "hpd_upper", "pace")
        states = sorted(tuple(row[key] for key in keys) for row in rows(here / "run.csv"))
        found.append((states, rows(here / "run.params.csv"), drawn.rows(), result["posterior"]))
    assert found[0] == found[1]
    assert ("A", "A", "u", "1.0", "0.0") in {each[:5] for each in found[0][0]}
    # Every row is of a parameter of both traits, or of the root of one.
    named = {(row["trait"], row["parameter"]) for row in found[0][1]}
    assert named == {("u+v", "s(1)"), ("u+v", "s(2)"), ("u+v", "r"), ("u", "root"), ("v", "root")}
    posterior = found[0][3]
    assert posterior["root"] == "flat"
    if "--set" in more:
        assert posterior["method"] == "quadrature"
        assert posterior["error_bound"] < 1e-4
    else:
        assert posterior["method"] == "independence"
        assert posterior["log_evidence_error"] > 0
        assert set(posterior["diagnostics"]["r"]) == {"rhat", "ess_bulk", "ess_tail"}


@pytest.mark.slow
def test_a_parameter_that_no_tip_tells_is_no_clear_maximum(hx, here):
    """One step up on every way to a tip is the root's own height: what curvature there is, is rounding."""
    (here / "step.py").write_text(
        HEAD + "def model(edge):\n    b = normal('b', sd=0.05) * edge.is_tip\n    s = log_normal('s')\n"
        "    return Gaussian(jnp.eye(2), jnp.array([0.0, 1.0]) * b, s * edge.length * jnp.eye(2))\n"
    )
    (here / "two.csv").write_text("species,u,v\nA,1,2\nB,2,1\nC,4,3\nD,3,5\n")
    done = hx("fit", "tree.nwk", "two.csv", "--together", "--model", "step.py", "--no-intervals", "-o", "step")
    assert done.code == 0, done.err
    assert done.err.index("optimum_not_certain (step)") < done.err.index("log likelihood")
