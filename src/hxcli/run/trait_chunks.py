"""Many traits: an analysis that takes each by itself runs on some of them at a time, so that memory stays bounded."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import numpy as np

from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.reconstruction import Reconstruction
from hxcli.traits import Observations

# Nodes times traits that are computed together: a field of the tree then takes 2 MiB, which processors have room for.
_NUMBERS = 1 << 18
_MATRICES = ("estimates", "standard_errors")

Analysis = Callable[..., Reconstruction]


def default_chunk(nodes: int, devices: int = 1) -> int:
    """How many traits are computed at a time on a tree of that many nodes, on that many devices together."""
    return max(1, _NUMBERS // nodes) * devices


def in_chunks(
    analysis: Analysis,
    phylogeny: Phylogeny,
    observations: Observations,
    chunk: int,
    *,
    multiple: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
    **options: Any,
) -> Reconstruction:
    """What the analysis finds for all traits, computed a chunk of traits after the other.

    All chunks have one size, so that they share one compiled program: the last is filled up with its last trait.

    Args:
        analysis: Takes every trait by itself, without random numbers.
        phylogeny: N nodes.
        observations: Of D traits.
        chunk: Largest number of traits in a chunk.
        multiple: What the number of traits in a chunk is a multiple of.
        progress: Told how many traits are done, of how many.
        options: The analysis's own.
    """
    total = len(observations.traits)
    size = -(-total // -(-total // chunk))
    size = -(-size // multiple) * multiple
    if size == total:
        return analysis(phylogeny, observations, **options)
    merged: dict[str, Any] = {}
    columns: dict[str, FloatArray] = {}
    tables: dict[str, dict[str, list[Any]]] = {}
    found: list[Reconstruction] = []
    for start, part in _parts(observations, size):
        each = analysis(phylogeny, part, **options)
        width = min(size, total - start)
        for target, matrices in ((merged, _matrices(each)), (columns, each.columns)):
            for name, matrix in matrices.items():
                whole = target.setdefault(name, np.empty((len(matrix), total)))
                whole[:, start : start + width] = matrix[:, :width]
        for kind, table in each.tables.items():
            # Trait by trait; those that fill the last chunk up are its last one once more.
            again = table["trait"].count(part.traits[-1]) // (size - width + 1) * (size - width)
            for name, values in table.items():
                rows = len(values) - again
                tables.setdefault(kind, {}).setdefault(name, []).extend(values[:rows])
        # The numbers are kept once.
        nothing: dict[str, Any] = dict.fromkeys(_MATRICES, np.zeros((0, 0)))
        found.append(dataclasses.replace(each, observations=observations, columns={}, given_ends=None, **nothing))
        progress(start + width, total)
    ends = merged.pop("lower", None), merged.pop("upper", None)
    return dataclasses.replace(
        found[0],
        traits=observations.traits,
        parameters={trait: figures for each in found for trait, figures in each.parameters.items()},
        details={trait: about for each in found for trait, about in each.details.items()},
        densities={trait: each for part in found for trait, each in part.densities.items()},
        tips_used=tuple(chain.from_iterable(each.tips_used for each in found))[:total],
        columns=columns,
        tables=tables,
        given_ends=None if ends[0] is None else ends,
        warnings=tuple(dict.fromkeys(chain.from_iterable(each.warnings for each in found))),
        **merged,
    )


def _parts(observations: Observations, size: int) -> Iterator[tuple[int, Observations]]:
    """Where every chunk begins, and its observations."""
    total = len(observations.traits)
    for start in range(0, total, size):
        which = np.minimum(np.arange(start, start + size), total - 1)
        yield (
            start,
            Observations(
                nodes=observations.nodes,
                values=observations.values[:, which],
                standard_errors=observations.standard_errors[:, which],
                traits=tuple(observations.traits[i] for i in which.tolist()),
            ),
        )


def _matrices(found: Reconstruction) -> dict[str, FloatArray]:
    matrices = {name: getattr(found, name) for name in _MATRICES}
    return matrices | dict(zip(("lower", "upper"), found.given_ends or (), strict=False))
