"""Option groups: a command names a dataclass, and its fields become options of the command."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from typing import Any, get_type_hints


def with_groups(command: Callable[..., Any]) -> Callable[..., Any]:
    """Replaces every parameter that is annotated with a dataclass by the dataclass's fields.

    A field may be a group in turn. typer has no option groups, and a list of thirty options repeated in every command
    would drift apart.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, type] = {}
    parameters = []
    for name, parameter in inspect.signature(command).parameters.items():
        annotation = hints[name]
        if _is_group(annotation):
            groups[name] = annotation
            parameters += _parameters_of(annotation)
        else:
            kind = inspect.Parameter.KEYWORD_ONLY
            parameters.append(parameter.replace(annotation=annotation, kind=kind))

    @wraps(command)
    def expanded(**values: Any) -> Any:
        return command(**values | {name: _gathered(group, values) for name, group in groups.items()})

    expanded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    expanded.__annotations__ = {p.name: p.annotation for p in parameters}
    del expanded.__wrapped__
    return expanded


def _is_group(annotation: Any) -> bool:
    return isinstance(annotation, type) and is_dataclass(annotation)


def _gathered(group: type, values: dict[str, Any]) -> Any:
    """The group, of the options in `values`, which are taken out."""
    hints = get_type_hints(group, include_extras=True)
    members = [field.name for field in fields(group)]
    return group(
        **{name: _gathered(hints[name], values) if _is_group(hints[name]) else values.pop(name) for name in members}
    )


def _parameters_of(group: type) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    parameters = []
    for field in fields(group):
        if _is_group(hints[field.name]):
            parameters += _parameters_of(hints[field.name])
            continue
        default = inspect.Parameter.empty if field.default is MISSING else field.default
        kind = inspect.Parameter.KEYWORD_ONLY
        parameters.append(inspect.Parameter(field.name, kind, default=default, annotation=hints[field.name]))
    return parameters
