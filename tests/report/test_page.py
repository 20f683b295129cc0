"""The page as text: what it holds, what it never holds, and that names are no markup."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from hxcli.pictures.labels import printable, shown
from hxcli.report import data
from hxcli.report.markup import any_value, embedded_json, number, text
from hxcli.report.page import report_page
from hxcli.report.tree_svg import COLOURS, palette
from tests.examples import NAMES, example, make, random_binary
from tests.pictures.subjects import HOSTILE, found_on, hostile
from tests.report.pages import Elements, page_of, record, written

ROOT = Path(__file__).resolve().parents[2]
PRIMATES = (str(ROOT / "data" / "primates.nwk"), str(ROOT / "data" / "primates.csv"))


def data_of(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


@pytest.mark.parametrize("name", NAMES)
def test_every_tree_has_a_page_with_all_its_names(name: str) -> None:
    found = found_on(example(name))
    page = page_of(found)
    drawn = Elements(page).texts
    assert set(found.phylogeny.tip_names) <= set(drawn)
    assert data_of(page)["traits"][0]["columns"]["estimate"] == found.estimates[:, 0].tolist()
    assert len(data_of(page)["x"]) == found.phylogeny.topology.size


def test_hostile_names_are_text_everywhere() -> None:
    found = hostile()
    page = page_of(found, notes=list(HOSTILE), sampler={name: [name] for name in HOSTILE})
    plain = page_of(found_on(example("random binary")), notes=["note"] * 8, sampler={"a": ["b"]})
    seen, expected = Elements(page), Elements(plain)
    # The same elements as with harmless names, but for those of the longer lists.
    assert set(seen.tags) == set(expected.tags)
    assert seen.tags.count("script") == 2
    assert not [name for name, _ in seen.attributes if name.startswith("on") or name == "style"]
    assert {shown(name, 34) for name in HOSTILE} <= set(seen.texts)
    assert set(map(printable, HOSTILE)) <= set(data_of(page)["names"])
    assert "\u2028" not in page
    assert page.count("</script>") == 2


@pytest.mark.parametrize("value", [*HOSTILE, "</ScRiPt>", "<!--", "]]>", "\u2028\u2029", {"a": [1.5, None, True]}])
def test_embedded_json_holds_no_markup_and_reads_back(value: object) -> None:
    embedded = embedded_json(value)
    assert not set("<>&\u2028\u2029") & set(embedded)
    assert embedded.isascii()
    assert json.loads(embedded) == value


def test_text_is_escaped_for_elements_and_attributes() -> None:
    assert text("<a b='c' d=\"e\">&\x00\u202e") == "&lt;a b=&#x27;c&#x27; d=&quot;e&quot;&gt;&amp;\\x00\\u202e"


def test_nothing_is_loaded_and_only_the_pages_own_script_and_style_run() -> None:
    page = page_of(hostile())
    assert not re.search(r"""(src|href|action)\s*=\s*["']?\s*(https?:)?//""", page)
    assert "@import" not in page
    assert "url(" not in page
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)[1].replace("&#x27;", "'")
    for element in ("style", "script"):
        content = re.search(rf"<{element}>(.*?)</{element}>", page, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_the_command_can_be_copied_into_a_shell() -> None:
    assert "<pre>hx ancestral &#x27;a b.nwk&#x27; &#x27;$(rm)&#x27;</pre>" in page_of(hostile())


def test_diagnostics_of_any_kind_are_shown() -> None:
    found = found_on(example("cherry"))
    assert 'id="diagnostics"' not in page_of(found)
    page = page_of(
        found,
        sampler={"chains": 4, "rhat": 1.0012345678, "divergences": [], "draws": list(range(100)), "converged": True},
        parameters=[{"name": "sigma2", "ess_bulk": 812.5}, {"name": "tau2", "ess_bulk": None}],
    )
    seen = Elements(page).texts
    assert {"sampler", "chains", "4", "1.00123", "ess bulk", "812.5", "yes"} <= set(seen)
    assert "(100 in all)" in page


def test_a_posteriors_tables_and_details_are_shown_under_the_traits_own_name() -> None:
    found = replace(
        found_on(example("cherry"), trait="body_mass"),
        tables={
            "table of parameters": {"parameter": ["sigma2", "<b>"], "rhat": np.array([1.0012345678, np.nan])},
            "draws": {"sigma2": np.zeros(1000)},
            "states": {"sigma2": np.zeros(2), "nodes": np.zeros((2, 3))},
        },
    )
    told = record(found)
    told["results"][0]["traits"][0]["posterior"] = {"error_bound": 4.25e-6}
    told["results"][0]["traits"][0]["root"] |= {"estimate": 2.0, "hpd_lower": 1.0, "hpd_upper": 3.0}
    page = report_page(found, told)
    seen = Elements(page).texts
    assert {"body_mass", "error bound", "4.25e−06", "table of parameters", "1.00123", "<b>"} <= set(seen)
    assert not {"draws", "states"} & set(seen)
    assert "2 [1, 3]" in seen


def test_figures_and_values() -> None:
    assert (number(None), number(float("nan")), number(-1234567.0)) == ("–", "–", "−1.23457e+06")
    assert any_value({"suspects": []}) == "<dl><dt>suspects</dt><dd>none</dd></dl>"
    assert any_value([{"a": "<b>"}]).count("<td>&lt;b&gt;</td>") == 1


def test_the_page_of_a_run_says_what_was_done_and_repeats_byte_for_byte(tmp_path: Path) -> None:
    pages = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        path, _ = written(tmp_path / name, *PRIMATES)
        pages.append(Path(path).read_text())
    assert pages[0] == pages[1]
    seen = set(Elements(pages[0]).texts)
    assert {"ln_body_mass", "7.08125 [5.54203, 8.62047]", "0.0457718", "REML", "37"} <= seen
    assert any("hx ancestral" in line and "'a b.html'" in line for line in seen)


def test_only_as_many_traits_as_a_page_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    found = found_on(example("cherry"))
    names = ("estimates", "standard_errors")
    seen = found.observations
    many = replace(
        found,
        traits=tuple("abcde"),
        given_ends=None,
        observations=replace(seen, values=np.repeat(seen.values, 5, axis=1)),
        parameters={name: {} for name in "abcde"},
        **{name: np.repeat(getattr(found, name), 5, axis=1) for name in names},
    )
    assert len(data_of(page_of(many))["traits"]) == 5
    monkeypatch.setattr(data, "_MOST_ROWS", 6)
    page = page_of(many)
    assert [trait["name"] for trait in data_of(page)["traits"]] == ["a", "b"]
    assert "this page shows the first 2 of 5 traits in picture and table" in page


def test_missing_figures_and_posteriors_of_their_own() -> None:
    found = found_on(example("ladder"))
    none = np.full_like(found.estimates, np.nan)
    empty = data_of(page_of(replace(found, estimates=none, given_ends=(none, none), standard_errors=none)))
    assert set(empty["traits"][0]["columns"]["estimate"]) == {None}
    columns = {"hpd_lower": found.lower - 1, "hpd_upper": found.upper + 1, "n_effective": none}
    with_hpd = data_of(page_of(replace(found, interval="HPD", columns=columns)))["traits"][0]["columns"]
    assert list(with_hpd) == ["observed", "estimate", "se", "lower", "upper", "n_effective"]
    assert with_hpd["lower"] == (found.lower[:, 0] - 1).tolist()


def test_names_of_many_tips_are_left_to_the_pointer() -> None:
    seen = Elements(page_of(found_on(make("many", random_binary(401))))).texts
    assert "401 tips: point at the tree to see their names" in seen
    assert "tip7" not in seen


def test_the_colours_are_those_of_the_other_pictures() -> None:
    places = (np.arange(COLOURS) + 0.5) / COLOURS
    expected = matplotlib.colormaps["viridis"](places)[:, :3]
    assert np.array([to_rgb(colour) for colour in palette()]) == pytest.approx(expected, abs=4 / 255)
