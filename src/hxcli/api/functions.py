"""The functions of the front door: `function("ancestral")` is what `hx.ancestral` is."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from functools import cache
from typing import Any

from hxcli.analyses import ANALYSES
from hxcli.api.analysis import Analysis
from hxcli.api.command_words import command_of, is_argument, parameters_of, python_name, request_of, words
from hxcli.api.held_inputs import Holder
from hxcli.api.notes import tell
from hxcli.cli.analysis import AnalysisRequest
from hxcli.cli.check import CheckRequest
from hxcli.formats.source import held_files


@cache
def function(name: str) -> Callable[..., Any]:
    """The Python function of a command.

    Its signature and its documentation are those of the command, without what only a command line can be told.
    """
    signature = _signature(name)

    def call(*places: Any, **options: Any) -> Any:
        try:
            given = signature.bind(*places, **options).arguments
        except TypeError as error:
            raise TypeError(f"{name}(): {error}") from None
        return _answer(name, given)

    call.__name__ = call.__qualname__ = name
    call.__module__ = "hxcli"
    call.__signature__ = signature  # type: ignore[attr-defined]
    call.__doc__ = _documentation(name)
    return call


def asked(name: str, given: dict[str, Any], holder: Holder) -> tuple[Any, tuple[str, ...]]:
    """The request that a command makes of Python's values, and the words that would ask for it.

    Args:
        name: Of the command.
        given: Parameter -> value.
        holder: Takes what stands for files.
    """
    known = {python_name(each): each for each in command_of(name).params}
    values = {}
    for parameter, value in given.items():
        about = known[parameter]
        values[parameter] = holder.named(
            parameter,
            value,
            repeatable=getattr(about, "multiple", False),
            several="more" in known,
            tree="TREE" in (about.metavar or ""),
        )
    # Of a table that was read, the options of its reading come first.
    reading = {option: value for option, value in holder.options.items() if option in known}
    said = words(name, reading | values)
    return request_of(said), said


def _answer(name: str, given: dict[str, Any]) -> Any:
    holder = Holder()
    request, said = asked(name, given, holder)
    with held_files(holder.files):
        found, notes = _ANSWERS[type(request)](request, said)
    tell((note for note in notes if note not in holder.told), 3)
    return found


def _analysed(request: AnalysisRequest, said: tuple[str, ...]) -> tuple[Analysis, tuple[str, ...]]:
    runtime = replace(request.job.runtime, own_process=False)
    job = replace(request.job, products={}, runtime=runtime, command_line=said)
    outcome = replace(request, job=job).outcome()
    return Analysis(job, outcome, tuple(request.job.products)), outcome.notes


def _checked(request: CheckRequest, said: tuple[str, ...]) -> tuple[Any, tuple[str, ...]]:
    # Its notes are its answer.
    return request.look(), ()


# Kind of request -> what answers it, and what the user should know.
_ANSWERS: dict[type, Callable[[Any, tuple[str, ...]], tuple[Any, tuple[str, ...]]]] = {
    AnalysisRequest: _analysed,
    CheckRequest: _checked,
}


def _signature(name: str) -> inspect.Signature:
    parameters = []
    defaults = inspect.signature(command_of(name).callback).parameters
    for called, each in parameters_of(name).items():
        default = defaults[each.name].default
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD if is_argument(each) else inspect.Parameter.KEYWORD_ONLY
        if default is not inspect.Parameter.empty:
            default = _plain(default)
        parameters.append(inspect.Parameter(called, kind, default=default))
    return inspect.Signature(parameters)


def _plain(default: Any) -> Any:
    """A default as one would write it."""
    if isinstance(default, Enum):
        return int(default.value) if default.value.isdigit() else default.value
    return default if default is None or isinstance(default, (bool, int, float, str)) else str(default)


def _documentation(name: str) -> str:
    command = command_of(name)
    about = re.sub(r"\n\s*\x08.*", "", inspect.cleandoc(command.help or ""), flags=re.DOTALL).strip()
    lines = [f"    {called}: {each.help or ''}{_choices(each)}" for called, each in parameters_of(name).items()]
    gives = ["", "Returns:", "    hx.Analysis: what the command writes, as frames, figures and files."]
    return "\n".join([about, "", *_IN_MEMORY, "", "Args:", *lines, *(gives if name in ANALYSES else [])])


_IN_MEMORY = (
    "A tree may also be the text of one, what `hx.read_tree` gives, or a tree of DendroPy, Biopython or ete; a table",
    "may be what `hx.read_traits` gives, a polars or pandas frame, or a dict. Repeatable options take a list.",
)


def _choices(parameter: Any) -> str:
    choices = getattr(parameter.type, "choices", ())
    return f" ({', '.join(str(getattr(each, 'value', each)) for each in choices)})" if choices else ""
