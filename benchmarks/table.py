"""The rows of the benchmark's table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sweeps import OURS, THEIRS

# Library -> figure -> value.
Answers: TypeAlias = Mapping[str, Mapping[str, float]]


def seconds_text(seconds: float) -> str:
    """Three digits with a unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:#.3g}".rstrip(".") + f" {unit}"
    return f"{seconds * 1e9:.0f} ns"


def rate(bytes_per_second: float) -> str:
    """Gigabytes a second."""
    return f"{bytes_per_second / 1e9:.1f} GB/s"


@dataclass(frozen=True)
class Row:
    """One line of the table: two values, their ratio, and what it should be.

    Attributes:
        name: What was measured.
        ours, theirs: The values; None where there is none.
        target: The largest ratio wanted, None where the value itself is judged or nothing is.
        text: How a value is written.
        bound: The largest own value wanted.
        bound_text: The bound in words.
        compared: Whether the ratio of the two values means anything.
    """

    name: str
    ours: float | None
    theirs: float | None = None
    target: float | None = None
    text: Callable[[float], str] = seconds_text
    bound: float | None = None
    bound_text: str = ""
    compared: bool = True

    @classmethod
    def of_times(
        cls,
        name: str,
        answers: Answers,
        what: str,
        target: float | None,
        text: Callable[[float], str] = seconds_text,
    ) -> Row:
        """One figure of both libraries."""
        ours, theirs = (answers.get(library, {}).get(what) for library in (OURS, THEIRS))
        return cls(name, ours, theirs, target, text)

    @classmethod
    def of_counts(cls, name: str, answers: Answers, bound: int) -> Row:
        """Numbers of compiled programs."""
        ours, theirs = (answers.get(library, {}).get("compiled") for library in (OURS, THEIRS))
        return cls(name, ours, theirs, text=str, bound=bound, bound_text=str(bound), compared=False)

    @classmethod
    def of_factors(cls, name: str, answers: Answers, over: str, under: str, bound: float) -> Row:
        """How many times one figure of a library is another one."""
        factors = {library: figures[over] / figures[under] for library, figures in answers.items()}
        ours, theirs = factors.get(OURS), factors.get(THEIRS)
        return cls(name, ours, theirs, text="{:.2f}x".format, bound=bound, bound_text=f"≤ {bound:g}x", compared=False)

    @property
    def ratio(self) -> float | None:
        """Ours / theirs."""
        return self.ours / self.theirs if self.compared and self.ours is not None and self.theirs else None

    @property
    def missed(self) -> bool:
        """Whether there is a target and it was not reached, or not even measured in time."""
        if self.ours is None:
            return self.target is not None or self.bound is not None
        beyond = self.target is not None and self.ratio is not None and self.ratio > self.target
        return beyond or (self.bound is not None and self.ours > self.bound)

    def cells(self, judged: bool) -> list[str]:
        """The five cells."""
        wanted = self.bound_text or (f"≤ {self.target:g}" if self.target is not None else "")
        return [
            self.name,
            "-" if self.ours is None else self.text(self.ours),
            "-" if self.theirs is None else self.text(self.theirs),
            "-" if self.ratio is None else f"{self.ratio:.3g}",
            f"{wanted} **missed**" if judged and self.missed else wanted,
        ]


def markdown(rows: Sequence[Row], *, judged: bool) -> str:
    """The table, its columns aligned for a reader of the source.

    Args:
        rows: Its lines.
        judged: Whether to say which targets are missed.
    """
    lines = [["measurement", "ours", "Hyperiax", "ratio", "target"], *(row.cells(judged) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(5)]
    lines.insert(1, ["-" * width for width in widths])
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in padded)
