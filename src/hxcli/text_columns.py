"""Texts: one for each of many nodes or rows, as Python strings or as one polars column, whichever is asked for.

To make and to give back a million strings takes longer than to read the text that they stand in, so that what only
passes through stays a column.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, overload

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import polars as pl

# numpy's object dtype keeps fancy indexing and costs one pointer a text.
TextArray = NDArray[np.object_]
# From here on polars takes a fraction of the time; for few texts a call of it takes longer than a loop.
MANY = 20_000


class Texts:
    """n texts that do not change; "" stands for none.

    Args:
        values: (n,) the texts: strings, or a polars column of strings without nulls.
    """

    def __init__(self, values: Sequence[str] | TextArray | pl.Series) -> None:
        self._count = len(values)
        # What is there is found as if it had been asked for before.
        if isinstance(values, np.ndarray):
            self.__dict__["array"] = _read_only(values)
        elif isinstance(values, (list, tuple)):
            self.__dict__["array"] = _read_only(_array_of(values))
        else:
            self.__dict__["column"] = values

    @classmethod
    def blank(cls, count: int) -> Texts:
        """That many times ""."""
        texts = cls(())
        del texts.__dict__["array"]
        texts._count = count
        return texts

    @classmethod
    def joined(cls, *parts: Texts) -> Texts:
        """All texts of the parts, in order."""
        if any(part.is_column for part in parts):
            import polars as pl

            return cls(pl.concat([part.column.alias("text") for part in parts], rechunk=True))
        return cls(np.concatenate([part.array for part in parts]))

    @cached_property
    def array(self) -> TextArray:
        """(n,) the texts as Python strings."""
        if "column" in self.__dict__:
            return _read_only(_array_of(self.column.to_list()))
        return _read_only(np.full(self._count, "", object))

    @cached_property
    def column(self) -> pl.Series:
        """(n,) the texts as a polars column."""
        import polars as pl

        if "array" in self.__dict__:
            return pl.Series("text", self.array.tolist(), dtype=pl.String)
        return pl.Series("text", [""]).new_from_index(0, self._count)

    @property
    def is_column(self) -> bool:
        """Whether there is a polars column and no Python string."""
        return "column" in self.__dict__ and "array" not in self.__dict__

    def any(self) -> bool:
        """Whether one of them is not ""."""
        if self.is_column:
            return bool((self.column != "").any())
        return "array" in self.__dict__ and bool(self.array.any())

    def containing(self, part: str) -> NDArray[np.intp]:
        """Places of the texts in which another stands."""
        if self.is_column:
            return np.flatnonzero(self.column.str.contains(part, literal=True).to_numpy())
        return np.array([place for place, text in enumerate(self.array.tolist()) if part in text], np.intp)

    def places_among(self, others: Texts) -> NDArray[np.intp]:
        """(n,) where each of the texts stands among others, which differ from each other; -1 where it does not."""
        if len(self) < MANY:
            place = others._index if len(self) else {}
            return np.array([place.get(text, -1) for text in self], np.intp)
        import polars as pl

        places = pl.DataFrame({"text": others.column, "place": np.arange(len(others))})
        found = pl.DataFrame({"text": self.column}).join(places, on="text", how="left", maintain_order="left")
        return found["place"].fill_null(-1).to_numpy().astype(np.intp)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {text: place for place, text in enumerate(self)}

    def lines(self) -> str:
        """The texts, one a line."""
        return str(self.column.str.join("\n").item()) if self.is_column else "\n".join(self.array.tolist())

    def __contains__(self, text: object) -> bool:
        return bool((self.column == text).any()) if self.is_column else text in self.array.tolist()

    def tolist(self) -> list[str]:
        """The texts as a list of Python strings."""
        return self.column.to_list() if self.is_column else self.array.tolist()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        return iter(self.tolist())

    @overload
    def __getitem__(self, place: int | np.integer) -> str: ...

    @overload
    def __getitem__(self, place: slice | NDArray[np.integer]) -> Texts: ...

    def __getitem__(self, place: int | np.integer | slice | NDArray[np.integer]) -> str | Texts:
        """One text, or those of a slice or of an array of places."""
        if isinstance(place, (int, np.integer)):
            return str(self.column[int(place)] if self.is_column else self.array[place])
        if not self.is_column:
            return Texts(self.array[place])
        return Texts(self.column[place] if isinstance(place, slice) else self.column.gather(place))

    def __eq__(self, other: object) -> bool:
        """True for the same texts in the same order."""
        return isinstance(other, Texts) and len(self) == len(other) and self.tolist() == other.tolist()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Texts({self[:5].tolist()}{', ...' if len(self) > 5 else ''})"


def _array_of(values: Sequence[str]) -> TextArray:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _read_only(array: TextArray) -> TextArray:
    array.setflags(write=False)
    return array
