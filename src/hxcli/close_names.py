"""Names that nearly match: what a person most likely meant by a name that is not there."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

# Beyond this many candidates only spelling variants are looked up, so that a refusal never takes longer than the run.
_SEARCH_LIMIT = 200_000
_COMPARED = 2_000


class NameIndex:
    """The names that exist, ready to be asked for the closest one.

    Args:
        names: The names; of several that differ only by case and punctuation the first is offered.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names: Sequence[str] = list(names)
        self._folded: dict[str, str] = {}
        for name in self._names:
            self._folded.setdefault(_folded(name), name)

    def closest(self, name: str) -> str | None:
        """The one name that differs by case, punctuation or accents, else by one or two edits; None without one."""
        folded = _folded(name)
        if folded and (same := self._folded.get(folded)) is not None:
            return same
        if len(self._names) > _SEARCH_LIMIT or len(name) > 200:
            return None
        allowed = 0 if len(folded) < 3 else 1 if len(folded) < 6 else 2
        if not allowed:
            return None
        # `allowed` edits leave one of `allowed + 1` pieces as it is.
        size = len(folded) // (allowed + 1)
        pieces = [folded[i * size : (i + 1) * size] for i in range(allowed)] + [folded[allowed * size :]]
        best: tuple[int, str] | None = None
        compared = 0
        for other, original in self._folded.items():
            if abs(len(other) - len(folded)) > allowed or not any(piece in other for piece in pieces):
                continue
            distance = edit_distance(folded, other)
            if distance <= allowed and (best is None or distance < best[0]):
                best = (distance, original)
            compared += 1
            if compared == _COMPARED:
                break
        return best[1] if best else None


def closest_name(name: str, names: Iterable[str]) -> str | None:
    """The name among `names` that `name` most likely stands for; None without a good one."""
    return NameIndex(names).closest(name)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """`did you mean 'mass'?`, or "" without a good candidate."""
    found = closest_name(name, names)
    return f"did you mean {found!r}?" if found is not None else ""


def listed(names: Sequence[str], limit: int = 5) -> str:
    """The first `limit` names in quotes, and how many more there are."""
    shown = ", ".join(repr(name) for name in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def counted(number: int, noun: str, several: str = "") -> str:
    """`1 tip`, `2 tips`; `several` where the plural has no s behind the noun."""
    return f"{number} {noun}" if number == 1 else f"{number} {several or noun + 's'}"


def edit_distance(first: str, second: str) -> int:
    """Insertions, deletions, replacements and swaps of neighbours that turn one text into the other (Damerau 1964)."""
    before: list[int] = []
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        above, row, older = row, [i], before
        for j, b in enumerate(second, 1):
            cost = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a != b))
            if i > 1 and j > 1 and a == second[j - 2] and first[i - 2] == b:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
        before = above
    return row[-1]


def _folded(name: str) -> str:
    text = name if name.isascii() else unicodedata.normalize("NFKD", name)
    return "".join(filter(str.isalnum, text.casefold()))
