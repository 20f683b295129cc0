"""What can go wrong, said once: every error carries the exit code that the command line ends with.

Library code raises these and never prints or exits; `hxcli.cli.app` is the only place that catches them.
"""

from __future__ import annotations

from typing import Self


class HxError(Exception):
    """Base of every error that hxcli raises on purpose.

    Attributes:
        exit_code: What the `hx` command exits with: 2 when the input or the options were refused, 1 otherwise.
    """

    exit_code = 1


class HxWarning(UserWarning):
    """What a user should know although the run went through; the command line says it as a note."""


class Note(str):
    """A sentence for the user beside results, in the words of the file's author; `tests/notes` provokes every one."""

    __slots__ = ()

    def about(self, what: str, end: str = "") -> Self:
        """The same sentence behind the words that say what it is about, and before some at its end."""
        return type(self)(what + self + end)


class Doubt(Note):
    """A note that makes figures untrustworthy: it is said before them."""

    __slots__ = ()


def doubted(sentence: str) -> Doubt:
    """A sentence that was made elsewhere, as a doubt."""
    return str.__new__(Doubt, sentence)


class OptionError(HxError):
    """Options that contradict each other or name something that is not there."""

    exit_code = 2


class InputError(HxError):
    """A file that is refused, with the place and the remedy.

    The message reads `FILE: line L, column C: what was found (what to do)`; parts that are not known are left out.

    Args:
        found: What was found, in the words of the file's author.
        advice: What to do about it; shown in parentheses.
        file: Path as the user gave it, or `-` for standard input.
        line: 1-based line, if known.
        column: 1-based column in characters, if known.
    """

    exit_code = 2

    def __init__(
        self,
        found: str,
        advice: str = "",
        *,
        file: str = "",
        line: int | None = None,
        column: int | None = None,
    ) -> None:
        self.found, self.advice = found, advice
        self.file, self.line, self.column = file, line, column
        super().__init__(found)

    def __str__(self) -> str:
        place = [f"line {self.line}"] if self.line is not None else []
        if self.column is not None:
            place.append(f"column {self.column}")
        parts = [part for part in (self.file, ", ".join(place), self.found) if part]
        # One refusal is one line, whatever control characters the offending file holds.
        text = ": ".join(parts) + (f" ({self.advice})" if self.advice else "")
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class DeclarationError(InputError):
    """A model's function that is refused, with the line of its declaration."""


class ModelError(HxError):
    """Data on which the model has no answer, such as two different values joined by an edge of length zero."""

    exit_code = 2


class TopologyError(HxError, ValueError):
    """Arrays that do not describe a tree."""

    exit_code = 2


class SchemaMismatch(HxError, ValueError):
    """A value whose shape or dtype is not what the field's specification says, or an undeclared write."""


class MissingField(HxError, AttributeError, KeyError):
    """A field that the tree's schema, or the sweep's declaration, does not have."""

    # KeyError.__str__ would show the message in quotes.
    __str__ = Exception.__str__
