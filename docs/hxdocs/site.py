"""Builds the site: gathers the pages, makes those of the commands, and runs Zensical strictly.

    PYTHONPATH=docs python -m hxdocs.site [FOLDER]

The pages are gathered in FOLDER (default: build/docs), where the site is then in FOLDER/site.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from hxdocs import pages
from hxdocs.reference import commands

DOCS = Path(__file__).resolve().parents[1]
# What a browser would load from elsewhere as soon as a page is opened.
_LOADED = re.compile(r"<(?:script|img|iframe|link rel=\"?stylesheet\"?)[^>]*?(?:src|href)=\"?(?:https?:)?//[^>]*>")


def gather(folder: Path) -> None:
    """Puts the configuration, the written pages and the pages of the commands into an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(DOCS, folder / "docs", ignore=shutil.ignore_patterns("hxdocs", "*.yml", "__pycache__"))
    (folder / "docs" / "commands").mkdir()
    lines = ["  - Commands:"]
    for command in commands():
        path = f"commands/{command.name.removeprefix('hx ')}.md"
        (folder / "docs" / path).write_text(pages.page(command), encoding="utf-8")
        lines.append(f"      - {command.name}: {path}")
    configuration = (DOCS / "mkdocs.yml").read_text(encoding="utf-8")
    assert configuration.count("  - Commands: COMMANDS\n") == 1
    configuration = configuration.replace("  - Commands: COMMANDS", "\n".join(lines))
    (folder / "mkdocs.yml").write_text(configuration, encoding="utf-8")


def unlisted(folder: Path) -> list[str]:
    """Pages that the navigation does not name."""
    configuration = (folder / "mkdocs.yml").read_text(encoding="utf-8")
    named = set(re.findall(r": (\S+\.md)$", configuration, flags=re.MULTILINE))
    written = {path.relative_to(folder / "docs").as_posix() for path in (folder / "docs").rglob("*.md")}
    return sorted(written - named)


def loads_from_elsewhere(site: Path) -> list[str]:
    """Elements of the built pages that a browser would fetch from another host."""
    found = [(path, _LOADED.findall(path.read_text(encoding="utf-8"))) for path in sorted(site.rglob("*.html"))]
    return [f"{path.relative_to(site)}: {element}" for path, elements in found for element in elements]


def build(folder: Path) -> int:
    """Gathers and builds; returns the exit code."""
    gather(folder)
    if names := unlisted(folder):
        print(f"not in nav of docs/mkdocs.yml: {', '.join(names)}", file=sys.stderr)
        return 1
    done = subprocess.run([sys.executable, "-m", "zensical", "build", "--strict", "--clean"], cwd=folder)
    if done.returncode:
        return done.returncode
    if elements := loads_from_elsewhere(folder / "site"):
        print("\n".join(["these would be loaded from elsewhere:", *elements]), file=sys.stderr)
        return 1
    site = folder / "site"
    print(f"the site is in {site} (its search works where it is served: python -m http.server -d {site})")
    return 0


if __name__ == "__main__":
    raise SystemExit(build(Path(sys.argv[1] if len(sys.argv) > 1 else "build/docs").resolve()))
