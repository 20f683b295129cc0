"""Pictures as files: the same bytes each time, text as text, every tree of the zoo."""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgba
from PIL import Image

from hxcli import pictures
from hxcli.errors import OptionError
from hxcli.pictures import writers
from hxcli.pictures.figure import drawing_style, missing_glyphs
from hxcli.pictures.labels import shown
from hxcli.pictures.line_segments import scale_of
from hxcli.pictures.options import PictureChoices, PictureKind, PictureLayout
from hxcli.reconstruction import NodeDensities, Reconstruction
from hxcli.run.product_kinds import KINDS
from hxcli.text_columns import Texts
from tests.examples import example, make, star
from tests.pictures.subjects import HOSTILE, found_on, hostile

WAYS = [
    PictureChoices(kind, layout)
    for kind in PictureKind
    for layout in PictureLayout
    # That of densities needs a model on a grid.
    if kind != PictureKind.DENSITY and (kind, layout) != (PictureKind.TRAITGRAM, PictureLayout.CIRCULAR)
]
IDS = [f"{way.kind}-{way.layout}" for way in WAYS]


def written(extension: str, found: Reconstruction, choices: PictureChoices | None = None) -> bytes:
    stream = io.BytesIO()
    getattr(writers, f"write_{extension}")(stream, found, choices)
    return stream.getvalue()


def texts(svg: bytes) -> list[str]:
    """Every text of a picture; fails where the picture is not well-formed."""
    root = ElementTree.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return ["".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize("choices", WAYS, ids=IDS)
@pytest.mark.parametrize("name", ["single", "cherry", "star", "chain", "caterpillar", "polytomies", "zero edges"])
def test_every_tree_is_drawn_with_all_its_names(name: str, choices: PictureChoices) -> None:
    found = found_on(example(name))
    said = texts(written("svg", found, choices))
    drawn = {text.split("  ")[0] for text in said}
    assert set(found.phylogeny.tip_names) <= drawn
    assert "mass" in {text.split(",")[0] for text in said}
    assert not [text for text in said if "nan" in text]


@pytest.mark.parametrize("choices", WAYS, ids=IDS)
def test_hostile_names_are_text(choices: PictureChoices) -> None:
    svg = written("svg", hostile(), choices)
    said = texts(svg)
    assert {shown(name) for name in HOSTILE} <= {text.split("  ")[0] for text in said}
    assert any(text.startswith("$x^2$ <b>&") for text in said)
    tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(svg).iter()}
    assert not tags & {"img", "script", "foreignObject", "a"}
    assert b"onerror=alert(1)>" not in svg.replace(b"onerror=alert(1)&gt;", b"")


@pytest.mark.parametrize("choices", WAYS, ids=IDS)
@pytest.mark.parametrize("extension", ["png", "pdf"])
def test_hostile_names_can_be_drawn_elsewhere_too(choices: PictureChoices, extension: str) -> None:
    data = written(extension, hostile(), choices)
    assert data.startswith({"png": b"\x89PNG", "pdf": b"%PDF"}[extension])


@pytest.mark.parametrize("choices", WAYS, ids=IDS)
@pytest.mark.parametrize("hurt", ["no intervals", "all equal", "no root", "nothing"])
def test_figures_that_are_missing_or_equal(hurt: str, choices: PictureChoices) -> None:
    found = found_on(example("ragged"))
    none = np.full_like(found.estimates, np.nan)
    if hurt == "no intervals":
        found = replace(found, given_ends=(none, none), standard_errors=none)
    elif hurt == "all equal":
        found = found_on(example("ragged"), estimates=np.full(len(none), 2.5), width=0.0)
    elif hurt == "no root":
        found = replace(found, estimates=np.where(np.arange(len(none))[:, None] == 0, np.nan, found.estimates))
    else:
        unseen = replace(found.observations, values=found.observations.values * np.nan)
        found = replace(found, estimates=none, given_ends=(none, none), observations=unseen)
    said = texts(written("svg", found, choices))
    assert ("grey: not estimated" in said) == (hurt in ("no root", "nothing"))
    assert any("CI" in text for text in said) is False


def digests() -> list[str]:
    """Of pictures of every kind and in every format."""
    data = [written("svg", hostile(), way) for way in WAYS] + [written(end, hostile()) for end in ("pdf", "png")]
    return [hashlib.sha256(picture).hexdigest() for picture in data]


@pytest.mark.slow
def test_the_same_picture_has_the_same_bytes_in_every_process() -> None:
    # Another order of sets, and another date.
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    environment = os.environ | {"PYTHONHASHSEED": seed, "SOURCE_DATE_EPOCH": "100000000"}
    script = "from tests.pictures.test_writers import digests\nprint(*digests(), sep='\\n')"
    ran = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    here = digests()
    assert ran.stdout.splitlines() == here
    assert len(set(here)) == len(WAYS) + 2


def test_the_users_settings_of_matplotlib_are_left_out_and_left_alone() -> None:
    before = written("svg", hostile())
    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "path", "text.parse_math": True, "axes.grid": True}):
        assert written("svg", hostile()) == before
        assert matplotlib.rcParams["font.size"] == 30


def test_no_global_state_of_pyplot() -> None:
    script = (
        "import sys\nfrom tests.pictures.test_writers import hostile\n"
        "from hxcli.pictures.writers import write_png\nimport io\n"
        "write_png(io.BytesIO(), hostile())\nassert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_pdf_embeds_its_fonts_and_no_date() -> None:
    data = written("pdf", found_on(example("cherry")))
    assert b"/FontFile2" in data
    assert b"CreationDate" not in data
    assert b"<dc:date>" not in written("svg", found_on(example("cherry")))


def test_colours_at_the_tips_are_those_of_their_values() -> None:
    found = found_on(example("random binary"))
    with drawing_style():
        figure = writers.draw(found, PictureChoices(colormap="cividis"))
    paper = figure.axes[0]
    scale = scale_of(found.estimates[:, 0])
    names = {text.get_text(): text for text in paper.texts}
    for tip in found.phylogeny.tips:
        text = names[found.phylogeny.labels[tip]]
        nearest = min(
            (np.hypot(*(np.array(text.get_position()) - point)), tuple(colour))
            for lines in paper.collections
            if lines.get_linewidth()[0] > 1
            for path, colour in zip(lines.get_paths(), lines.get_edgecolor(), strict=True)
            for point in path.vertices
        )
        expected = to_rgba(matplotlib.colormaps["cividis"](float(scale.part(found.estimates[tip, 0]))))
        assert nearest[0] < 5
        # One of 128 steps.
        assert nearest[1] == pytest.approx(expected, abs=0.02)


def test_names_of_many_tips_are_left_out_with_a_note() -> None:
    found = found_on(make("star", star(401)))
    for choices in WAYS:
        said = texts(written("svg", found, choices))
        assert "401 tips: names are left out above 400" in said
        assert not [text for text in said if text.startswith("tip")]


def test_support_values_on_request() -> None:
    found = found_on(example("symmetric"))
    support = Texts(["", "95", "100/0.99", *[""] * 12])
    found = replace(found, phylogeny=replace(found.phylogeny, support=support))
    for choices in WAYS:
        assert "100/0.99" in texts(written("svg", found, replace(choices, support=True)))
        assert "100/0.99" not in texts(written("svg", found, choices))
    without = texts(written("svg", found_on(example("symmetric")), PictureChoices(support=True)))
    assert "the tree has no support values" in without


def test_a_time_axis_where_tips_are_level_and_a_scale_bar_elsewhere() -> None:
    uneven = found_on(example("symmetric"))
    even = replace(uneven, phylogeny=replace(uneven.phylogeny, edge_lengths=np.where(np.arange(15) > 0, 2.0, 0.0)))
    assert "edge length before the tips" in texts(written("svg", even))
    assert "edge length before the tips" not in texts(written("svg", uneven))
    rounded = texts(written("svg", even, PictureChoices(layout=PictureLayout.CIRCULAR)))
    assert "edge length before the tips" not in rounded
    assert "5" in rounded


def test_png_is_as_large_as_print_needs() -> None:
    image = Image.open(io.BytesIO(written("png", found_on(example("symmetric")))))
    assert image.info["dpi"] == pytest.approx((200, 200), abs=0.1)
    assert min(image.size) > 400


def test_unknown_colour_map() -> None:
    with pytest.raises(OptionError, match=re.escape("no colour map is called 'virids' (did you mean 'viridis'?)")):
        writers.colour_map("virids")


def test_a_round_traitgram_is_refused() -> None:
    with pytest.raises(OptionError, match="cannot be circular"):
        PictureChoices(PictureKind.TRAITGRAM, PictureLayout.CIRCULAR)


def test_densities_are_drawn_where_there_are_some() -> None:
    found, choices = found_on(example("caterpillar")), PictureChoices(PictureKind.DENSITY)
    with pytest.raises(OptionError, match="states under this model are normal"):
        written("svg", found, choices)
    states = np.linspace(found.lower.min(), found.upper.max(), 60)
    density = np.exp(-((states - found.estimates) ** 2))
    density[found.phylogeny.tips] = np.nan
    trait = found.traits[0]
    svg = written("svg", replace(found, densities={trait: NodeDensities(states, density)}), choices)
    said = texts(svg)
    assert set(found.phylogeny.tip_names) <= set(said)
    assert "shade: where lineages are likely to be, straight between nodes; outlines: densities of the nodes" in said
    assert b"<image" in svg


def test_characters_without_a_glyph_are_counted() -> None:
    assert missing_glyphs(["Homo é Ελ"]) == ""
    # A code point that is never assigned.
    assert missing_glyphs(["a\ufdd0"]) == "\ufdd0"


def test_every_picture_sets_matplotlib_up_before_it_imports_it() -> None:
    """Else MPLBACKEND, a matplotlibrc or a folder that cannot be written speak up, and its absence has no words."""
    modules = {
        writer.partition(":")[0]
        for kind in KINDS.values()
        for writer in kind.writers.values()
        if writer.startswith("hxcli.pictures.")
    }
    assert len(modules) > 3
    for module in modules:
        source = Path(pictures.__file__).with_name(f"{module.rpartition('.')[2]}.py").read_text(encoding="utf-8")
        ready = re.search(r"^(?:from hxcli.pictures import writers|    import_quietly\(\))", source, re.MULTILINE)
        needed = re.search(r"^(?:import|from) (?:matplotlib|hxcli.pictures.figure)", source, re.MULTILINE)
        assert ready is not None, module
        assert needed is not None, module
        assert ready.start() < needed.start(), module
