"""Clades of a summary tree are found by their keys, however these lie in the table of slots."""

from __future__ import annotations

import numpy as np

from hxcli.analyses.tree_samples.clades import CladeIndex, CladeKeys


def test_keys_are_found_as_in_a_dictionary() -> None:
    random = np.random.default_rng(1)
    count = 40
    low = random.integers(0, 2**64, count, np.uint64)
    # The same slot for a third of them, equal lower halves, and a clade that stands twice.
    low[:15] = (low[:15] & ~np.uint64(0xFFFFFF)) | np.uint64(5)
    high = random.integers(0, 2**64, count, np.uint64)
    low[20], high[20] = low[3], high[3]
    index = CladeIndex(CladeKeys(low, high))
    places: dict[tuple[int, int], int] = {}
    for place, key in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
        places.setdefault(key, place)
    strange = random.integers(0, 2**64, (2, 200), np.uint64)
    strange[0, :50] = (strange[0, :50] & ~np.uint64(0xFFFFFF)) | np.uint64(5)
    strange[0, 50:60] = low[:10]
    asked = CladeKeys(np.concatenate([low, strange[0]]), np.concatenate([high, strange[1]]))
    expected = [places.get(key, -1) for key in zip(asked.low.tolist(), asked.high.tolist(), strict=True)]
    np.testing.assert_array_equal(index.places(asked), expected)
    assert (np.array(expected[count:]) == -1).all()
