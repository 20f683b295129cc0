"""Densities along the tree: edge length against trait, dark where lineages are likely to be; nodes as outlines."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import Colormap
from matplotlib.figure import Figure

from hxcli.errors import OptionError
from hxcli.phylogeny import FloatArray
from hxcli.pictures.figure import INK
from hxcli.pictures.options import PictureChoices
from hxcli.pictures.picture_data import Subject
from hxcli.pictures.traitgram import time_against_trait

# Steps of the picture along the tree and across the trait.
_ALONG, _ACROSS = 240, 300
# Probabilities whose quantiles are followed along an edge.
_LEVELS = np.linspace(0, 1, 101)
# Width of a known value, as a share of the trait's axis; of an outline, of the tree's height.
_POINT, _OUTLINE = 0.008, 0.07
# Inner nodes above which no outlines are drawn.
_MOST_OUTLINES = 80
# The palest and darkest part of the colour map that is used, reversed where dark stands for little.
_FAINTEST = 0.02


def density_gram(subject: Subject, choices: PictureChoices, colours: Colormap, small_print: list[str]) -> Figure:
    """Draws the picture.

    Raises:
        OptionError: The states are normal: there are no densities beside means and errors.
    """
    if subject.densities is None:
        raise OptionError(
            "--kind density draws whole densities, and states under this model are normal (use --kind traitgram, or a "
            "model on a grid, such as --model doublewell)"
        )
    inner = int((~subject.layout.topology.is_leaf).sum())
    said = [*small_print, f"shade: where lineages are likely to be, straight between nodes{_of_outlines(inner)}"]
    return time_against_trait(subject, choices, colours, said, _draw)


def _of_outlines(inner: int) -> str:
    return "; outlines: densities of the nodes" if inner <= _MOST_OUTLINES else f"; {inner} nodes without outlines"


def _draw(plot: Axes, subject: Subject, colours: Colormap) -> None:
    layout = subject.layout
    low, high = plot.get_ylim()
    states = low + (np.arange(_ACROSS) + 0.5) * (high - low) / _ACROSS
    at_nodes = _at(subject, states, _POINT * (high - low))
    shade = _along(subject, states, at_nodes)
    # Brightness by the root: a density of two lineages is seen beside that of many.
    strength = np.sqrt(shade / max(float(shade.max()), 1e-300))
    dark = colours if sum(colours(1.0)[:3]) < sum(colours(0.0)[:3]) else colours.reversed()
    image = dark(np.clip(strength, _FAINTEST, 1.0))
    image[..., 3] = np.clip(3 * strength, 0, 1)
    plot.imshow(
        image, extent=(0, layout.height, low, high), origin="lower", aspect="auto", interpolation="bilinear", zorder=0
    )
    nodes = np.flatnonzero(~layout.topology.is_leaf)
    if len(nodes) <= _MOST_OUTLINES:
        outlines = []
        for node in nodes:
            width = at_nodes[node] / at_nodes[node].max() * _OUTLINE * layout.height
            seen = at_nodes[node] > 0.003 * at_nodes[node].max()
            here = np.full(int(seen.sum()), layout.depths[node])
            right = np.stack([here + width[seen], states[seen]], 1)
            outlines.append(np.concatenate([np.stack([here, states[seen]], 1), right[::-1]]))
        plot.add_collection(PolyCollection(outlines, facecolors=(1, 1, 1, 0.35), edgecolors=INK, linewidths=0.4))
    tips = subject.tips[subject.measured[subject.tips]]
    plot.plot(layout.depths[tips], subject.estimates[tips], "o", color=INK, markersize=1.6, clip_on=False)


def _at(subject: Subject, states: FloatArray, point: float) -> FloatArray:
    """(N, k) densities of all nodes at some states; a known value as a narrow one."""
    assert subject.densities is not None
    found = np.empty((subject.layout.topology.size, len(states)))
    for node, density in enumerate(subject.densities.density):
        if np.isfinite(density).all():
            found[node] = np.interp(states, subject.densities.states, density, left=0, right=0)
        else:
            found[node] = np.exp(-(((states - subject.estimates[node]) / point) ** 2) / 2) / (point * 2.5066)
    return np.nan_to_num(found)


def _along(subject: Subject, states: FloatArray, at_nodes: FloatArray) -> FloatArray:
    """(k, steps) mean density of the lineages at every step from the root.

    Along an edge every quantile runs straight from one node to the other: a lineage moves, and does not fade out
    at one place to appear at another.
    """
    layout = subject.layout
    times = (np.arange(_ALONG) + 0.5) * layout.height / _ALONG
    width = states[1] - states[0]
    walls = np.append(states - width / 2, states[-1] + width / 2)
    at_levels = np.stack([_quantiles(density, walls) for density in at_nodes])
    total, lineages = np.zeros((_ALONG, len(states))), np.zeros(_ALONG)
    parents = layout.topology.parents
    for node in range(1, layout.topology.size):
        start, end = layout.depths[parents[node]], layout.depths[node]
        for step in np.flatnonzero((times >= start) & (times < end)):
            share = (times[step] - start) / (end - start)
            between = (1 - share) * at_levels[parents[node]] + share * at_levels[node]
            total[step] += np.diff(np.interp(walls, between, _LEVELS)) / width
            lineages[step] += 1
    return (total / np.maximum(lineages, 1)[:, None]).T


def _quantiles(density: FloatArray, walls: FloatArray) -> FloatArray:
    """Where a density (k,) between k + 1 walls has the probabilities `_LEVELS`."""
    below = np.append(0.0, np.cumsum(density))
    if not below[-1] > 0:
        return np.linspace(walls[0], walls[-1], len(_LEVELS))
    return np.interp(_LEVELS, below / below[-1], walls)
