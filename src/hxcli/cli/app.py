"""The `hx` command: its table of commands, and the only place that catches errors and exits."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterable
from functools import cache, wraps
from types import FrameType
from typing import Annotated, Any, NoReturn, TextIO

import typer

from hxcli import __version__
from hxcli.cli.environment import settle_environment, too_little_memory
from hxcli.errors import HxError

# Name -> module that holds a function of the same name. These modules import nothing heavy before they are called.
COMMANDS = {
    "ancestral": "hxcli.cli.ancestral",
    "maps": "hxcli.cli.maps",
    "mean": "hxcli.cli.mean",
    "posterior": "hxcli.cli.posterior",
    "signal": "hxcli.cli.signal",
    "pca": "hxcli.cli.pca",
    "contrasts": "hxcli.cli.contrasts",
    "regress": "hxcli.cli.regress",
    "fit": "hxcli.cli.fit",
    "models": "hxcli.cli.models",
    "simulate": "hxcli.cli.simulate",
    "plot": "hxcli.cli.plot",
    "merge": "hxcli.cli.merge",
    "check": "hxcli.cli.check",
    "devices": "hxcli.cli.devices",
}


_NO_MEMORY = "the machine has not enough memory for this"
# How the system, its linker, XLA and C++ say so.
_WITHOUT_MEMORY = re.compile(
    "can't start new thread|failed to map segment|cannot allocate memory|RESOURCE_EXHAUSTED|bad_alloc", re.IGNORECASE
)


class Terminated(BaseException):
    """The process was asked to end; like KeyboardInterrupt, nothing but clean-up may catch it."""


class ReaderGone(BaseException):
    """Whoever read standard output has closed it. Not an OSError, because typer would turn that into exit code 1."""


def make_app(names: Iterable[str] = tuple(COMMANDS)) -> typer.Typer:
    """The application with these commands, all unless told otherwise."""
    # Plain help: rendering it with rich takes longer than everything else that `hx --help` does.
    app = typer.Typer(name="hx", rich_markup_mode=None, pretty_exceptions_enable=False)
    app.callback()(_hx)
    for name in names:
        app.command(name)(_telling_reader_gone(getattr(importlib.import_module(COMMANDS[name]), name)))
    return app


@cache
def _program(command: str | None) -> Callable[..., Any]:
    """What runs a command line that begins with this command; with anything else, None."""
    # Reading what all the others say of their options takes a tenth of a second.
    return typer.main.get_command(make_app(COMMANDS if command is None else [command]))


def _telling_reader_gone(command: Callable[..., None]) -> Callable[..., None]:
    @wraps(command)
    def told(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
            _flush_standard_output()
        except BrokenPipeError as error:
            raise ReaderGone from error

    return told


def main(arguments: list[str] | None = None) -> NoReturn:
    """Runs the command line and exits the process.

    Exit codes: 0 done, 2 the input or the options were refused, 130 Ctrl-C, 141 the reader of standard output
    went away, 143 terminated, 1 anything else.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    settle_environment()
    if "--debug" not in arguments:
        # What concerns the user comes as a note or a refusal; warnings are for whoever works on the program.
        warnings.simplefilter("ignore")
    _guard_streams()
    sys.unraisablehook = _end_all_the_same
    with contextlib.suppress(ValueError):
        # Only the main thread may do this.
        signal.signal(signal.SIGTERM, _terminate)
    code = 130
    try:
        if callable(signal.getsignal(signal.SIGINT)):
            # From here on Ctrl-C lets go of what is held; the start of the command may have set it otherwise.
            signal.signal(signal.SIGINT, signal.default_int_handler)
        code = run(arguments)
        _flush_standard_output()
        sys.stderr.flush()
    except KeyboardInterrupt:
        pass
    except OSError:
        code = code or 141
    # Not sys.exit: taking down JAX and polars piece by piece takes half a second, and nothing is left to be done.
    os._exit(code)


class _Unfailing:
    """Standard error whose reader may be gone and whose disk may be full: what cannot be said is left unsaid."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _guard_streams() -> None:
    """Makes a closed standard stream, or a standard error that cannot be written, no reason to fail."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # Else the next file that is opened gets the number, and with it what is meant for the stream.
            os.open(os.devnull, os.O_RDWR)
    # Python has None for a stream that was closed when it started.
    stream = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)
    sys.stderr = _Unfailing(stream)


def _flush_standard_output() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()


def run(arguments: list[str]) -> int:
    """Runs the command line and returns its exit code; every error ends here, as one line on standard error."""
    debug = "--debug" in arguments
    computes = bool(arguments) and arguments[0] in COMMANDS and not {"--help", "-h"} & {*arguments}
    if computes and (little := too_little_memory()) is not None:
        return _refuse(MemoryError(), little, 1, debug=False)
    try:
        program = _program(arguments[0] if arguments and arguments[0] in COMMANDS else None)
        returned = program(arguments, prog_name="hx", standalone_mode=False)
        return returned if isinstance(returned, int) else 0
    except (ReaderGone, BrokenPipeError):
        # Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return 130
    except Terminated:
        return 143
    except HxError as error:
        return _refuse(error, str(error), error.exit_code, debug)
    except OSError as error:
        if error.errno == errno.ENOMEM:
            return _refuse(error, _NO_MEMORY, 1, debug)
        return _refuse(error, f"{error.filename or 'standard output'}: {error.strerror or error}", 1, debug)
    except Exception as error:
        if isinstance(error, MemoryError) or _WITHOUT_MEMORY.search(str(error)):
            return _refuse(error, _NO_MEMORY, 1, debug)
        if (message := usage_message(error)) is not None:
            return _refuse(error, message, 2, debug)
        text = " ".join(str(error).split()) or "no message"
        hint = "" if debug else " (run again with --debug to see where)"
        return _refuse(error, f"internal error: {type(error).__name__}: {text[:300]}{hint}", 1, debug)


def _refuse(error: BaseException, message: str, exit_code: int, debug: bool) -> int:
    if debug:
        import traceback

        traceback.print_exception(error)
    print(f"hx: {message}", file=sys.stderr)
    return exit_code


def usage_message(error: Exception) -> str | None:
    """What typer says about a wrong command line, as one line; None for an error that is not typer's."""
    # Newer versions of typer carry click's classes under another name: known by what they can do.
    if not hasattr(error, "format_message"):
        return None
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "hx"
    # Left by some versions of typer: the name of no environment variable, and pydantic's opening words.
    text = error.format_message().replace(" (env var: 'None')", "").replace("Value error, ", "")
    message = " ".join(text.split()).rstrip(".")
    return f"{message} (see {command} --help)"


def _terminate(signal_number: int, frame: FrameType | None) -> None:
    raise Terminated


def _end_all_the_same(lost: Any) -> None:
    """Asks the process again to end where Python has dropped the request.

    An exception of a signal's handler is lost where it falls into a destructor or a callback of a weak reference, as
    imports have many; the process would go on as if nothing had been asked.
    """
    if not isinstance(lost.exc_value, Terminated | KeyboardInterrupt):
        sys.__unraisablehook__(lost)
        return
    again = signal.SIGTERM if isinstance(lost.exc_value, Terminated) else signal.SIGINT
    handler = signal.getsignal(again)
    if callable(handler):
        # In a moment, outside of whatever swallowed it.
        signal.signal(signal.SIGALRM, lambda _, frame: handler(again, frame))
        signal.setitimer(signal.ITIMER_REAL, 0.001)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"hx {__version__}")
        raise typer.Exit


def _hx(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Ancestral states from a phylogeny and a trait table.

    \b
    hx check data/primates.nwk data/primates.csv       what would be used
    hx ancestral data/primates.nwk data/primates.csv   the states of all ancestors
    """


def __getattr__(name: str) -> Any:
    if name == "app":
        return make_app()
    raise AttributeError(name)
