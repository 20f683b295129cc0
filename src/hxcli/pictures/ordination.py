"""Biplot and phylomorphospace: scores with the traits' loadings, and the tree in the space of the scores."""

from __future__ import annotations

from typing import Any, BinaryIO

# Before matplotlib, whose absence it puts into words.
from hxcli.pictures import writers  # noqa: F401  isort: skip
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from hxcli.phylogeny import FloatArray
from hxcli.pictures.figure import INK, SMALL, SOFT, WHITE_BELOW, drawing_style, inner_axes, paper, save
from hxcli.pictures.labels import shown

_SIDE, _LEFT, _BOTTOM, _GAP, _TOP = 300.0, 44.0, 40.0, 56.0, 24.0
# Tips that are named; beyond it names would cover the picture.
_MOST_NAMED = 40
_TRAIT, _TIP = "#b2452f", "#3b6fa0"


def write_svg(stream: BinaryIO, found: Any) -> None:
    """As SVG, its text as text."""
    _write(stream, "svg", found)


def write_pdf(stream: BinaryIO, found: Any) -> None:
    """As PDF."""
    _write(stream, "pdf", found)


def write_png(stream: BinaryIO, found: Any) -> None:
    """As PNG."""
    _write(stream, "png", found)


def _write(stream: BinaryIO, extension: str, found: Any) -> None:
    """Draws both panels.

    Args:
        stream: Takes the bytes.
        extension: Of the format.
        found: An `Ordination`.
    """
    with drawing_style():
        figure, _ = paper(2 * _SIDE + _LEFT + 2 * _GAP, _SIDE + _BOTTOM + _TOP)
        first = inner_axes(figure, _LEFT, _BOTTOM, _SIDE, _SIDE)
        second = inner_axes(figure, _LEFT + _SIDE + _GAP, _BOTTOM, _SIDE, _SIDE)
        scores, tips = found.scores[:, :2], found.phylogeny.tips
        _biplot(first, found, scores[tips])
        _phylomorphospace(second, found, scores)
        for axes, title in ((first, "biplot"), (second, "phylomorphospace")):
            shares = found.components.shares
            axes.set_xlabel(f"PC1 ({100 * shares[0]:.1f} %)")
            axes.set_ylabel(f"PC2 ({100 * shares[1]:.1f} %)")
            axes.set_title(title, fontsize=SMALL + 1, loc="left", color=SOFT)
        save(figure, stream, extension)


def _biplot(axes: Axes, found: Any, tips: FloatArray) -> None:
    axes.axhline(0, color=SOFT, linewidth=0.4, zorder=0)
    axes.axvline(0, color=SOFT, linewidth=0.4, zorder=0)
    axes.scatter(tips[:, 0], tips[:, 1], s=9, color=_TIP, alpha=0.7, linewidths=0)
    # Arrows as long as the scores reach: a loading is a correlation and has no unit.
    reach = np.abs(tips).max(0) * 0.9
    for name, loading in zip(found.traits, found.components.loadings[:, :2], strict=True):
        end = loading * reach
        axes.annotate("", end, (0, 0), arrowprops={"arrowstyle": "->", "color": _TRAIT, "linewidth": 0.9})
        sides: dict[str, Any] = {
            "ha": "left" if end[0] >= 0 else "right",
            "va": "bottom" if end[1] >= 0 else "top",
        }
        axes.text(
            end[0], end[1], shown(name, 24), color=_TRAIT, fontsize=SMALL, parse_math=False, bbox=WHITE_BELOW, **sides
        )
    axes.margins(0.12)
    axes.autoscale_view()


def _phylomorphospace(axes: Axes, found: Any, scores: FloatArray) -> None:
    topology, tips = found.phylogeny.topology, found.phylogeny.tips
    nodes = np.flatnonzero(~topology.is_root)
    edges = np.stack([scores[topology.parents[nodes]], scores[nodes]], 1)
    axes.add_collection(LineCollection(list(edges), colors=SOFT, linewidths=0.5, alpha=0.8, zorder=1))
    inner = np.flatnonzero(~topology.is_leaf)
    axes.scatter(scores[inner, 0], scores[inner, 1], s=3, color=SOFT, zorder=2, linewidths=0)
    axes.scatter(scores[tips, 0], scores[tips, 1], s=9, color=_TIP, zorder=3, linewidths=0)
    axes.scatter(
        scores[:1, 0], scores[:1, 1], s=24, marker="s", facecolor="white", edgecolor=INK, linewidths=0.8, zorder=4
    )
    if len(tips) <= _MOST_NAMED:
        for tip, name in zip(tips, found.phylogeny.tip_names, strict=True):
            axes.annotate(
                shown(name, 20), scores[tip], (2, 2), textcoords="offset points", fontsize=SMALL - 1.5, parse_math=False
            )
    axes.margins(0.08)
    axes.autoscale_view()
