"""Further input files of an analysis: regimes, pairs of nodes, tables of rates and the like."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from hxcli.formats.source import read_source


@dataclass(frozen=True)
class SideInput:
    """A file that an option of an analysis names.

    Attributes:
        path: The file.
        reader: `module:function` that reads its `Source`, imported on use.
    """

    path: str
    reader: str

    def read(self, max_size: int) -> tuple[Any, str]:
        """What is in the file, and the hex digest of its bytes.

        Raises:
            InputError: The file is refused.
        """
        module, function = self.reader.split(":")
        source = read_source(self.path, max_size=max_size)
        return getattr(importlib.import_module(module), function)(source), source.sha256
