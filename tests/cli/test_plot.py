"""`hx plot` and `--plot`."""

from __future__ import annotations

import subprocess
import sys
from xml.etree import ElementTree

import pytest

FILES = ("tree.nwk", "traits.csv")


def test_plot_writes_the_picture_and_nothing_else(hx, here):
    before = {path.name for path in here.iterdir()}
    done = hx("plot", *FILES, "--column", "size", "-o", "out/x.svg")
    assert (done.code, done.out) == (0, "")
    assert {path.name for path in here.iterdir()} - before == {"out"}
    assert "wrote out/x.svg" in done.err
    assert "note: picture" not in done.err
    words = {"".join(text.itertext()) for text in ElementTree.parse(here / "out/x.svg").iter() if "text" in text.tag}
    assert {"A", "B", "C", "D", "size"} <= words


@pytest.mark.parametrize("extension", ["svg", "svg.gz", "pdf", "png"])
@pytest.mark.parametrize("kind", ["contmap", "traitgram", "tree"])
def test_kinds_and_formats(hx, here, kind, extension):
    assert hx("plot", *FILES, "--kind", kind, "-o", f"x.{extension}", "-q").code == 0
    magic = {"svg": b"<?xml", "svg.gz": b"\x1f\x8b", "pdf": b"%PDF", "png": b"\x89PNG"}
    assert (here / f"x.{extension}").read_bytes().startswith(magic[extension])


def test_the_picture_is_streamed(hx):
    done = hx("plot", *FILES, "-o", "-", "-q", "--layout", "circular", "--colormap", "cividis")
    assert done.code == 0
    assert ElementTree.fromstring(done.out).tag.endswith("svg")


@pytest.mark.parametrize(("command", "more"), [("ancestral", ()), ("posterior", ("--sigma2", "1", "--no-noise"))])
def test_a_picture_comes_beside_the_other_products(hx, here, command, more):
    done = hx(command, *FILES, *more, "-o", "a", "--plot", "a.png")
    assert done.code == 0
    assert {path.name for path in here.glob("a.*")} >= {"a.csv", "a.nex", "a.json", "a.png"}
    assert "picture: 'mass', the first of 2 traits (hx plot --column draws another)" in done.err
    done = hx(command, *FILES, *more, "--out-table", "b.csv", "--plot", "b.svg")
    assert {path.name for path in here.glob("b.*")} == {"b.csv", "b.svg"}


REFUSED = {
    "format": (
        ("-o", "x.gif"),
        "x.gif: no picture is written as '.gif' (use one of .svg .pdf .png; text also with .gz)",
    ),
    "gzip": (
        ("-o", "x.png.gz"),
        "x.png.gz: no picture is written as '.png.gz' (use one of .svg .pdf .png; text also with .gz)",
    ),
    "colours": (("-o", "x.svg", "--colormap", "cividi"), "no colour map is called 'cividi' (did you mean 'cividis'?)"),
    "circle": (
        ("-o", "x.svg", "--kind", "traitgram", "--layout", "circular"),
        "a traitgram is time against trait and cannot be circular (leave --layout out)",
    ),
    "nowhere": ((), "Missing option '--out' / '-o' (see hx plot --help)"),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refusals_come_before_anything_is_read(hx, here, options, message):
    before = sorted(here.iterdir())
    done = hx("plot", "none.nwk", "none.csv", *options)
    assert (done.code, done.out, done.err) == (2, "", f"hx: {message}\n")
    assert sorted(here.iterdir()) == before


@pytest.mark.parametrize("command", [("plot", "-o"), ("ancestral", "--plot")])
def test_without_matplotlib_pictures_are_refused(here, command):
    name, option = command
    code = (
        "import sys\nsys.modules['matplotlib'] = None\nfrom hxcli.cli.app import run\n"
        f"sys.exit(run(['{name}', 'tree.nwk', 'traits.csv', '{option}', 'x.svg']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "hx: pictures need matplotlib, which is not installed (pip install 'hxcli[plot]')\n"
    assert {path.name for path in here.iterdir()} == set(FILES)


def test_help_does_not_import_matplotlib(here):
    code = (
        "import sys\nfrom hxcli.cli.app import run\nassert run(['plot', '--help']) == 0\n"
        "assert not {'matplotlib', 'numpy', 'jax'} & set(sys.modules)\n"
        "assert run(['ancestral', 'tree.nwk', 'traits.csv', '-q']) == 0\n"
        # What takes a tenth of a second to import waits until it is asked for.
        "assert not {'matplotlib', 'scipy.special', 'scipy.optimize', 'pandas', 'numpyro'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_traits_of_states_have_pies_and_squares(hx, here):
    (here / "s.csv").write_text("name,habitat,mass\nA,sea,1\nB,sea|air,2\nC,air,3\nD,,4\n")
    assert hx("plot", "tree.nwk", "s.csv", "--column", "habitat", "-o", "x.svg").code == 0
    words = {"".join(text.itertext()) for text in ElementTree.parse(here / "x.svg").iter() if "text" in text.tag}
    assert {"A", "B", "C", "D", "habitat", "air", "sea"} <= words
    done = hx("ancestral", "tree.nwk", "s.csv", "--column", "habitat", "--out-table", "b.csv", "--plot", "b.svg")
    assert done.code == 0
    assert (here / "b.svg").read_bytes() == (here / "x.svg").read_bytes()
    # Of numbers and states together, the first trait is drawn, and the other when it is named.
    done = hx("ancestral", "tree.nwk", "s.csv", "--column", "habitat", "--column", "mass", "-o", "c", "--plot", "c.svg")
    assert "picture: 'mass', the first of 2 traits (hx plot --column draws another)" in done.err
    done = hx("plot", "tree.nwk", "s.csv", "--column", "habitat", "--kind", "traitgram", "-o", "y.svg")
    assert (done.code, (here / "y.svg").exists()) == (2, False)
    assert "--kind traitgram: 'habitat' has states, not numbers (use tree or contmap)" in done.err
