"""Makes the pictures of `docs/pictures.md`: `make pictures`. They are kept, because a build of the site draws nothing.

The anoles come from the reference folder beside the checkout, and the report is seen by Chromium; without the one or
the other its pictures stay as they are, and the script says so.
"""

from __future__ import annotations

import base64
import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "pictures"
REFERENCE = Path(os.environ.get("HX_SHARED", ROOT.parent / "shared")) / "reference"
SHIPPED = ROOT / "tests" / "data" / "reference" / "vertebrate"
# Name -> tree, table, trait: 11, 82 and 1,000 tips.
DATA = {
    "vertebrates": (SHIPPED / "tree.nwk", SHIPPED / "traits.csv", "ln_mass"),
    "anoles": (REFERENCE / "anole/tree.nwk", REFERENCE / "anole/traits.csv", "SVL"),
    "simulated": (ROOT / "data/simulated.nwk", ROOT / "data/simulated.csv", "slow"),
}
WAYS = {
    "contmap": ("--kind", "contmap"),
    "contmap-circular": ("--kind", "contmap", "--layout", "circular"),
    "tree": ("--kind", "tree"),
    "tree-circular": ("--kind", "tree", "--layout", "circular"),
    "traitgram": ("--kind", "traitgram"),
}
# Of the primates' activity: way -> options.
STATES = {
    "tree": (),
    "tree-circular": ("--layout", "circular"),
    "contmap": ("--kind", "contmap"),
}
# Name -> width, height, and whether it is a phone.
REPORTS = {"report": (1100, 1500, False), "report-phone": (360, 780, True)}
# Pixels of the longer side, how faithful, and bytes: enough for a screen. WebP, because a few colours are no colour
# scale, and all of them make a PNG of half a megabyte.
_LARGEST, _QUALITY, _MOST_BYTES = 1300, 88, 150_000
_FLAGS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --hide-scrollbars --disable-background-networking "
    "--disable-component-update --disable-sync"
)


def hx(*words: str) -> bytes:
    return subprocess.run([sys.executable, "-m", "hxcli", *words], check=True, capture_output=True).stdout


def keep(name: str, data: bytes) -> None:
    """Keeps a picture at the size that a page needs; smaller where it has many lines."""
    image, path, largest = Image.open(io.BytesIO(data)).convert("RGB"), FOLDER / f"{name}.webp", _LARGEST
    while largest == _LARGEST or path.stat().st_size > _MOST_BYTES:
        image.thumbnail((largest, largest), Image.Resampling.LANCZOS)
        image.save(path, quality=_QUALITY, method=6)
        largest = int(largest * 0.9)


def draw(folder: Path) -> None:
    for name, (tree, table, trait) in DATA.items():
        if not tree.is_file():
            print(f"no {tree}: the pictures of the {name} stay as they are")
            continue
        for way, options in WAYS.items():
            path = folder / f"{name}.png"
            hx("plot", str(tree), str(table), "--column", trait, *options, "-o", str(path), "-q")
            keep(f"{name}-{way}", path.read_bytes())


def draw_states(folder: Path) -> None:
    files = [str(ROOT / "data" / name) for name in ("primates.nwk", "primates_activity.csv")]
    for way, options in STATES.items():
        path = folder / "states.png"
        hx("plot", *files, "--column", "activity", *options, "-o", str(path), "-q")
        keep(f"activity-{way}", path.read_bytes())


def draw_fit(folder: Path) -> None:
    files = [str(ROOT / "data" / name) for name in ("primates.nwk", "primates.csv")]
    path = folder / "fit.png"
    hx("fit", *files, "--column", "ln_body_mass", "--plot", str(path), "--out-fits", str(folder / "f.csv"), "-q")
    keep("fit", path.read_bytes())


def show_report(folder: Path) -> None:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        print("no chromium and chromedriver: the pictures of the report stay as they are")
        return
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*_FLAGS.split(), f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    for name in ("primates.nwk", "primates.csv"):
        shutil.copy(ROOT / "data" / name, folder)
    os.chdir(folder)
    hx("ancestral", "primates.nwk", "primates.csv", "--out-table", "t.csv", "--report", "report.html", "-q")
    browser = webdriver.Chrome(options=options, service=Service(driver))
    try:
        for name, (width, height, mobile) in REPORTS.items():
            size = {"width": width, "height": height, "deviceScaleFactor": 1 + mobile, "mobile": bool(mobile)}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            browser.get((folder / "report.html").as_uri())
            keep(name, base64.b64decode(browser.execute_cdp_cmd("Page.captureScreenshot", {})["data"]))
    finally:
        browser.quit()


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        draw(Path(scratch))
        draw_states(Path(scratch))
        draw_fit(Path(scratch))
        show_report(Path(scratch))
