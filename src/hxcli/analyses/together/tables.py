"""The tables of covariances: every pair of traits once, a trait with itself too."""

from __future__ import annotations

from typing import Any

import numpy as np

from hxcli.inference.correlation_intervals import CorrelationFigures
from hxcli.phylogeny import FloatArray
from hxcli.reconstruction import Reconstruction


def covariance_table(traits: tuple[str, ...], covariance: FloatArray, figures: CorrelationFigures) -> dict[str, Any]:
    """The columns of PREFIX.covariance.csv.

    Args:
        traits: (D,) names.
        covariance: (D, D) per unit of edge length, in the traits' units.
        figures: Of the correlations.
    """
    rows, columns = _pairs(len(traits))
    scale = np.sqrt(np.diag(covariance))
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.where(rows == columns, 1.0, covariance[rows, columns] / scale[rows] / scale[columns])
    return {
        **within_table(traits, covariance),
        "correlation": correlation,
        "lower": figures.lower[rows, columns],
        "upper": figures.upper[rows, columns],
        "p": figures.p[rows, columns],
    }


def within_table(traits: tuple[str, ...], covariance: FloatArray) -> dict[str, Any]:
    """The columns of PREFIX.within.csv."""
    rows, columns = _pairs(len(traits))
    return {
        "trait_a": [traits[i] for i in rows],
        "trait_b": [traits[i] for i in columns],
        "covariance": covariance[rows, columns],
    }


def covariances_of(found: Reconstruction) -> dict[str, FloatArray]:
    """`covariance(TRAIT)` -> (D,) that of every trait with it, of states of traits together."""
    traits = found.traits
    matrix = np.zeros((len(traits), len(traits)))
    matrix[_pairs(len(traits))] = found.tables["covariance table"]["covariance"]
    whole = np.triu(matrix) + np.triu(matrix, 1).T
    return {f"covariance({trait})": column for trait, column in zip(traits, whole.T, strict=True)}


def parameters_of(found: Reconstruction) -> dict[str, FloatArray]:
    """Name -> (D,) of a model of traits together, whose every parameter is one of all traits."""
    table, count = found.tables["parameter table"], len(found.traits)
    return {name: np.full(count, value) for name, value in zip(table["parameter"], table["value"], strict=True)}


def _pairs(size: int) -> tuple[Any, Any]:
    return np.triu_indices(size)
