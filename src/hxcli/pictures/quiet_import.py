"""Imports matplotlib as if nobody had set it up, whatever stands in the environment or cannot be written."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def import_quietly() -> None:
    """Imports matplotlib with its own settings, without a word, and leaves nothing behind.

    Raises:
        ImportError: It is not installed.
    """
    if sys.modules.get("matplotlib") is not None:
        return
    # Python has None for a module that is not to be imported, and find_spec an error.
    found = None if "matplotlib" in sys.modules else importlib.util.find_spec("matplotlib")
    if found is None or found.origin is None:
        raise ImportError("matplotlib")
    # Its warnings are about folders and fonts that nobody asked for.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    settings = Path(found.origin).parent / "mpl-data" / "matplotlibrc"
    with _variables(MPLBACKEND="agg", MATPLOTLIBRC=str(settings)), _away_from_settings():
        import matplotlib
        import matplotlib.font_manager

        folders = matplotlib.get_configdir(), matplotlib.get_cachedir()
    # Where the user's folders cannot be written it makes one, to be removed at an exit of Python that never comes.
    for folder in {Path(each) for each in folders}:
        if folder.parent == Path(tempfile.gettempdir()) and folder.name.startswith("matplotlib-"):
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _variables(**values: str) -> Iterator[None]:
    """Environment variables for a while; matplotlib sets one of its own, which goes too."""
    names = (*values, "MPLCONFIGDIR")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _away_from_settings() -> Iterator[None]:
    """Another current folder, where a `matplotlibrc` in this one would be read before any other."""
    if not os.path.exists("matplotlibrc"):
        yield
        return
    before = os.getcwd()
    os.chdir(Path(__file__).parent)
    try:
        yield
    finally:
        with suppress(OSError):
            os.chdir(before)
