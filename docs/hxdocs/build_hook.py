"""Puts the man pages into the wheel, as share/man/man1."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ManPages(BuildHookInterface[Any]):
    """Makes the pages when a wheel is built, so that they are never out of step with the commands."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Writes the pages into a folder of their own and lists them."""
        for folder in ("src", "docs"):
            sys.path.insert(0, str(Path(self.root) / folder))
        from hxdocs.man import write

        self._folder = tempfile.TemporaryDirectory()
        for path in write(Path(self._folder.name)):
            build_data["shared_data"][str(path)] = f"share/man/man1/{path.name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Removes the folder."""
        self._folder.cleanup()
