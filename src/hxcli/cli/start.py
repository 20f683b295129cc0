"""Where the `hx` command begins. What it imports takes a while, in which Ctrl-C is as quiet as later."""

from __future__ import annotations

# The built-in part of signal: the module itself builds enumerations first, in which Ctrl-C could fall.
import _signal as signal  # type: ignore[import-not-found]
import gc
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import NoReturn


def main(arguments: list[str] | None = None) -> NoReturn:
    """Runs the command line and exits the process; see `hxcli.cli.app.main`."""
    # Imports and tracing make objects that stay: searching them for garbage takes a sixth of a small run. Arrays are
    # given back without it, as soon as nobody refers to them.
    gc.disable()
    # Not where Ctrl-C is ignored, as in a script's background.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    from hxcli.cli import app

    app.main(arguments)


def _leave(signal_number: int, frame: FrameType | None) -> None:
    # Nothing has been written yet.
    os._exit(130)
