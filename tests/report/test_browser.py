"""The page in a real Chromium: no errors, the right figures under the pointer, sorting, filtering, a phone, paper."""

from __future__ import annotations

import base64
import csv
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hxcli.run.inputs import InputOptions
from tests.examples import make, random_binary
from tests.pictures.subjects import HOSTILE, found_on, hostile
from tests.report.pages import page_of, written

webdriver = pytest.importorskip("selenium.webdriver", reason="DID NOT RUN: the browser tests need selenium")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
# Slow: a browser starts, and what it shows changes with the page alone.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="DID NOT RUN: the browser tests need chromium and chromedriver on the PATH"
    ),
]
ROOT = Path(__file__).resolve().parents[2]
FLAGS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=1280,900"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def primates(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[dict[str, str]]]:
    """The report on the shipped primates, and the rows of the table of the same run."""
    data = ROOT / "data"
    page, table = written(tmp_path_factory.mktemp("run"), str(data / "primates.nwk"), str(data / "primates.csv"))
    with open(table, newline="") as stream:
        return page, list(csv.DictReader(stream))


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Callable[[str], Any]]:
    """Opens a page, given as path or as text; afterwards nothing has failed and nothing was loaded."""

    def open_page(page: str) -> Any:
        if page.startswith("<!doctype"):
            (tmp_path / "page.html").write_text(page)
            page = str(tmp_path / "page.html")
        browser.get(f"file://{page}")
        return browser

    browser.get_log("browser")
    yield open_page
    assert browser.get_log("browser") == []
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0


def six(value: str) -> str:
    """A figure of the table as the page has it."""
    return f"{float(value):.6g}".replace("-", "−") if value else ""


def cells(browser: Any, column: int) -> list[str]:
    script = "return [...document.querySelectorAll('#table tbody tr')].map(row => row.cells[arguments[0]].textContent)"
    return browser.execute_script(script, column)


def headings(browser: Any) -> list[str]:
    return browser.execute_script("return [...document.querySelectorAll('#table th button')].map(b => b.textContent)")


def point_at(browser: Any, name: str) -> str:
    """Moves the pointer to a node of the picture; what the page says about it."""
    x, y = browser.execute_script(
        """
        const data = JSON.parse(document.getElementById("data").textContent), svg = document.getElementById("tree");
        const node = data.names.indexOf(arguments[0]), place = () =>
          new DOMPoint(data.x[node], data.y[node]).matrixTransform(svg.getScreenCTM());
        const box = svg.parentElement;
        box.scrollTop += place().y - box.getBoundingClientRect().top - box.clientHeight / 2;
        scrollBy({ top: place().y - innerHeight / 2, behavior: "instant" });
        return [place().x, place().y];
        """,
        name,
    )
    browser.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": "mouseMoved", "x": x, "y": y})
    return browser.execute_script(
        """
        const tip = document.getElementById("tip");
        return tip.hidden ? "" : [...tip.children].map((line) => line.textContent).join("\\n");
        """
    )


@pytest.mark.parametrize("name", ["Primates", "Hominini", "Homo_sapiens", "Gorilla_gorilla", "Saguinus_imperator"])
def test_pointing_shows_the_figures_of_the_table(opened: Any, primates: Any, name: str) -> None:
    page, rows = primates
    row = next(row for row in rows if row["node"] == name and row["trait"] == "ln_body_mass")
    expected = [name, f"ln_body_mass: {six(row['estimate'])}"]
    if row["lower"] != row["upper"]:
        expected.append(f"95% CI: {six(row['lower'])} to {six(row['upper'])}")
    if row["observed"]:
        expected.append(f"observed: {six(row['observed'])}")
    if row["n_tips"] != "1":
        expected.append(f"{row['n_tips']} tips; ancestor of {row['tip_a']} and {row['tip_b']}")
    assert point_at(opened(page), name).split("\n") == expected


def test_the_table_has_the_rows_of_the_table_and_sorts(opened: Any, primates: Any) -> None:
    page, rows = primates
    browser, mine = opened(page), [row for row in rows if row["trait"] == "ln_body_mass"]
    columns = headings(browser)
    assert columns[:6] == ["node", "observed", "estimate", "se", "lower", "upper"]
    for number, column in enumerate(columns[:6]):
        assert cells(browser, number) == [row[column] if column == "node" else six(row[column]) for row in mine]

    def press(column: str) -> list[str]:
        browser.execute_script(
            "document.querySelectorAll('#table th button')[arguments[0]].click()", columns.index(column)
        )
        return cells(browser, columns.index(column))

    def sort_key(row: dict[str, str]) -> float:
        return float(row["estimate"])

    assert press("estimate") == [six(row["estimate"]) for row in sorted(mine, key=sort_key)]
    assert press("estimate") == [six(row["estimate"]) for row in sorted(mine, key=sort_key, reverse=True)]
    assert press("node") == sorted(row["node"] for row in mine)
    observed = sorted(float(row["observed"]) for row in mine if row["observed"])
    # What is missing comes last both ways.
    assert press("observed") == [f"{value:.6g}" for value in observed] + [""] * (len(mine) - len(observed))
    assert press("observed")[: len(observed)] == [f"{value:.6g}" for value in observed[::-1]]
    states = browser.execute_script("return [...document.querySelectorAll('#table th')].map(th => th.ariaSort)")
    assert states[columns.index("observed")] == "descending"


def test_filtering(opened: Any, primates: Any) -> None:
    page, rows = primates
    browser = opened(page)
    wanted = browser.find_element("id", "filter")
    wanted.send_keys("HOMO")
    mine = [row for row in rows if row["trait"] == "ln_body_mass"]
    expected = [row["node"] for row in mine if "homo" in f"{row['node']} {row['tip_a']} {row['tip_b']}".lower()]
    assert cells(browser, 0) == expected
    assert "Homo_sapiens" in expected
    assert len(expected) < 10
    browser.execute_script(
        "const which = document.getElementById('which'); which.value = 'tips'; which.dispatchEvent(new Event('change'))"
    )
    assert cells(browser, 0) == ["Homo_sapiens"]
    wanted.send_keys("nothing")
    assert cells(browser, 0) == []
    assert browser.find_element("id", "shown").text == "no such node"


def test_another_trait_and_a_row_that_is_found(opened: Any, primates: Any) -> None:
    page, rows = primates
    browser = opened(page)
    browser.execute_script(
        "const trait = document.getElementById('trait'); trait.value = '1'; trait.dispatchEvent(new Event('change'))"
    )
    assert cells(browser, 2) == [six(row["estimate"]) for row in rows if row["trait"] == "ln_brain_volume"]
    drawn = browser.execute_script(
        "return [...document.querySelectorAll('.trait')].map(g => getComputedStyle(g).display !== 'none')"
    )
    assert drawn == [False, True]
    browser.execute_script("document.querySelector('#table tbody tr').click()")
    assert browser.find_element("id", "mark").get_attribute("visibility") == "visible"
    assert browser.find_element("id", "tip").text.startswith("Primates\nln_brain_volume: 2.91493")


def test_states_are_shown_with_their_probabilities(opened: Any, tmp_path: Path) -> None:
    data = ROOT / "data"
    activity = InputOptions(
        str(data / "primates.nwk"), str(data / "primates_activity.csv"), columns=("activity",), with_states=True
    )
    page, table = written(tmp_path, activity.tree, activity.traits, inputs=activity)
    with open(table, newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["node"] == "Lemur_catta"]
    shares = sorted(rows, key=lambda row: -float(row["probability"]))
    shares = [row for row in shares if float(row["probability"]) >= 0.001]
    browser = opened(page)
    expected = [f"{row['state']}: {six(row['probability'])}" for row in shares]
    expected[0] = f"activity: {expected[0]}"
    observed = f"observed: {rows[0]['observed']}"
    assert point_at(browser, "Lemur_catta").split("\n") == ["Lemur_catta", *expected, observed]
    assert headings(browser)[:4] == ["node", "observed", "state", "probability"]


def test_hostile_names_are_text(opened: Any) -> None:
    from hxcli.pictures.labels import printable

    browser = opened(page_of(hostile()))
    assert set(map(printable, HOSTILE)) <= set(cells(browser, 0))
    for name in ("img", "b", "script"):
        found = browser.execute_script("return document.querySelectorAll(arguments[0]).length", name)
        # The page's own two scripts, and the trait's name in bold.
        assert found == {"img": 0, "b": 1, "script": 2}[name]
    for name in HOSTILE:
        assert point_at(browser, printable(name)).split("\n")[0] == printable(name)
    # An alert would have stopped the script above.
    assert browser.title == "t.nwk: hx ancestral"


@pytest.mark.parametrize("which", ["primates", "hostile"])
def test_a_phone_never_scrolls_sideways(opened: Any, browser: Any, primates: Any, which: str) -> None:
    size = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        opened(primates[0] if which == "primates" else page_of(hostile()))
        assert browser.execute_script("return [innerWidth, document.documentElement.scrollWidth]") == [360, 360]
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_five_thousand_tips_are_usable(opened: Any) -> None:
    found = found_on(make("large", random_binary(5000)))
    browser = opened(page_of(found))
    assert len(cells(browser, 0)) == 100
    assert browser.find_element("id", "shown").text == "1 to 100 of 9999"
    browser.execute_script("document.getElementById('next').click()")
    assert browser.find_element("id", "shown").text == "101 to 200 of 9999"
    browser.find_element("id", "filter").send_keys("tip4711")
    assert "tip4711" in cells(browser, 0)
    assert point_at(browser, "tip4711").startswith("tip4711\n")


def test_paper_has_the_whole_table_and_no_buttons(opened: Any, primates: Any) -> None:
    browser = opened(primates[0])
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert len(cells(browser, 0)) == 79
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        script = "return getComputedStyle(document.getElementById(arguments[0])).display"
        assert [browser.execute_script(script, name) for name in ("next", "tip")] == ["none", "none"]
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    pdf = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {})["data"])
    assert pdf.startswith(b"%PDF")
