"""Tables of figures of single traits, or of one regression, on one tree of a sample after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hxcli.analyses import load
from hxcli.analyses.signal.signal import method_of
from hxcli.analyses.tree_samples.figures import BatchFigures, Row, SampledStates
from hxcli.analyses.tree_samples.observed_names import observations_on
from hxcli.errors import ModelError
from hxcli.findings import TableFindings
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.traits import Observations
from hxcli.tree_batch import TaxonNames, TreeBatch

# Behind a coefficient's name: what the trees table has of it beside the estimate.
SE, P = "_se", "_p"


class TablesOneByOne:
    """An analysis whose answer is tables, on every tree.

    Args:
        analysis: Its name, a key of `FIGURES`.
        observations: At the tips of the star of all names.
        taxa: The names.
        summary: The summary tree; what has a figure on it has one on every tree, empty where a tree gives none.
        options: Of the analysis.
    """

    columns: tuple[str, ...] = ()
    states: tuple[SampledStates, ...] = ()
    of_nodes = False

    def __init__(
        self,
        analysis: str,
        observations: Observations,
        taxa: TaxonNames,
        summary: Phylogeny,
        options: Mapping[str, Any],
    ) -> None:
        self._analysis, self._figures = load(analysis), FIGURES[analysis]
        self._observations, self._taxa, self._options = observations, taxa, dict(options)
        self.known: FloatArray = np.zeros((len(taxa), len(observations.traits)))
        quick = {"permutations": 1} if "permutations" in options else {}
        first = self._analysis(summary, observations_on(summary, observations, taxa), **{**self._options, **quick})
        self.rows: tuple[Row, ...] = tuple(self._figures(first))
        # What is found on one tree stands in its words.
        self.method = _METHODS[analysis](options)

    def __call__(self, batch: TreeBatch) -> BatchFigures:
        """The figures of a batch.

        Raises:
            ModelError: The analysis has no answer on one of the trees.
        """
        return rows_of(
            batch,
            self._observations,
            self._taxa,
            lambda phylogeny, seen: self._figures(self._analysis(phylogeny, seen, **self._options)),
            self.rows,
        )


def rows_of(
    batch: TreeBatch,
    observations: Observations,
    taxa: TaxonNames,
    figures: Callable[[Phylogeny, Observations], Mapping[Row, float]],
    rows: Sequence[Row],
) -> BatchFigures:
    """The figures of a batch whose trees are analysed one after the other; nan for one that a tree does not have.

    Args:
        batch: The trees.
        observations: At the tips of the star of all names.
        taxa: The names.
        figures: Takes a tree and the observations on it.
        rows: Which figures.

    Raises:
        ModelError: There is no answer on one of the trees, which it names.
    """
    table = np.full((len(rows), batch.count), np.nan)
    for tree in range(batch.count):
        phylogeny = batch.phylogeny(tree, taxa)
        try:
            found = figures(phylogeny, observations_on(phylogeny, observations, taxa))
        except ModelError as error:
            raise ModelError(f"tree {batch.numbers[tree]}: {error}") from None
        table[:, tree] = [found.get(row, np.nan) for row in rows]
    return BatchFigures({}, {}, (), table)


def _of_signal(found: TableFindings) -> dict[Row, float]:
    table = found.tables["signal table"]
    names = [name for name in table if name not in ("trait", "n")]
    return {
        (trait, "", name): float(table[column][place])
        for place, trait in enumerate(table["trait"])
        for name, column in ((".n", "n"), *zip(names, names, strict=True))
    }


def _of_regression(found: TableFindings) -> dict[Row, float]:
    whole, coefficients = found.tables["regression table"], found.tables["coefficients table"]
    response = found.traits[0]
    figures: dict[Row, float] = {}
    for place, term in enumerate(coefficients["term"]):
        for end, column in (("", "estimate"), (SE, "se"), (P, "p")):
            figures[response, "", f"{term}{end}"] = float(coefficients[column][place])
    for name, values in whole.items():
        if name not in ("formula", "model"):
            figures[response, "", f".{name}" if name in ("n", "k") else name] = float(values[0])
    return figures


_METHODS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "signal": lambda options: method_of(options["permutations"]),
    "regress": lambda options: f"{options['formula']}; {options['model'] or 'bm'}",
}
# Analysis -> (trait, "", figure) -> value, of what it finds on one tree.
FIGURES: dict[str, Callable[[TableFindings], dict[Row, float]]] = {"signal": _of_signal, "regress": _of_regression}
