"""From figures on every tree of a sample to the result that is told on the summary tree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hxcli.analyses.tree_samples.clade_counts import Counted
from hxcli.analyses.tree_samples.ledger import Ledger
from hxcli.analyses.tree_samples.pooling import pool, sample_ends
from hxcli.analyses.tree_samples.sample_setting import SampleSetting
from hxcli.close_names import counted
from hxcli.errors import Note
from hxcli.findings import Findings
from hxcli.formats.trees.node_identifiers import mrca_tips, node_names
from hxcli.phylogeny import FloatArray, Phylogeny, relabel
from hxcli.reconstruction import Parameter, Reconstruction
from hxcli.run.sample_tables import PooledStates, equal_traits, flag_warnings, trees_table
from hxcli.state_findings import StateFindings

# Figures that are pooled together.
_NUMBERS = 1 << 23
# From this share of the trees on, a clade that the summary tree lacks is told.
_MANY = 0.5


def result_of(analysis: str, setting: SampleSetting, ledger: Ledger) -> Findings:
    """Pools what a ledger has, whatever the order in which the trees came."""
    if not setting.of_nodes:
        # Here, because the others need nothing of what these load.
        if analysis == "fit":
            from hxcli.run.sample_fits import fits_of

            return fits_of(setting, ledger)
        from hxcli.run.sample_figures import figures_of

        return figures_of(analysis, setting, ledger)
    summary, traits = setting.summary, setting.observations.traits
    order = np.argsort(ledger.numbers, kind="stable")
    numbers = ledger.numbers[order]
    trees, width, names = len(order), len(traits), ("estimate", "se", *setting.columns)
    shape = summary.topology.size, width
    frequency: FloatArray = np.asarray(ledger.present, np.float64) / trees
    known = setting.known.copy()
    known[frequency == 0] = np.nan
    states = PooledStates(setting, frequency)
    point = np.where(np.isnan(known), np.nan, 0.0)
    pooled = {name: point.copy() for name in ("se", "se_within", "se_between")}
    pooled |= {name: known.copy() for name in ("estimate", "lower", "upper")}
    pooled |= {name: np.full(shape, np.nan) for name in setting.columns}
    ages = np.full((3, shape[0]), np.nan)
    open_nodes = setting.open_nodes
    point_names = ("estimate", "se", "se_within", "se_between", "lower", "upper")
    for piece in ledger.pieces(_NUMBERS):
        rows = ledger.rows(piece.start, piece.stop, order)
        nodes = open_nodes[piece]
        there = ~np.isnan(rows[:, -1])
        states.add(nodes, rows[:, width * len(names) : -1])
        for d in range(width):
            # Of a node that is open for another trait, what is known stays.
            kept = {name: pooled[name][nodes, d] for name in point_names}
            found = pool(rows[:, d], rows[:, width + d], there, setting.level)
            for name, values in zip(point_names, found, strict=True):
                pooled[name][nodes, d] = np.where(np.isnan(kept[name]), values, kept[name])
            for number, name in enumerate(names[2:], 2):
                pooled[name][nodes, d] = _mean(rows[:, number * width + d])
        ages[:, nodes] = _mean(rows[:, -1]), *sample_ends(rows[:, -1], setting.level)
    if "n_effective" in pooled:
        # A tip that is known is one tip.
        closed = ~np.isnan(known).any(1)
        pooled["n_effective"][closed] = 1.0
    of_trees = ledger.parameters[:, order]
    own = len(setting.parameters) * width
    values = of_trees[:own].reshape(len(setting.parameters), width, trees)
    shown = _annotated(summary, frequency, ages, setting)
    tables = {
        "trees table": trees_table(setting, values, of_trees[own:], numbers),
        "node ages": _age_table(summary, frequency, ages),
    }
    method = f"{setting.method}; {counted(trees, 'tree')}, told on the summary tree"
    of_states = states.found(of_trees[own:])
    warnings = flag_warnings(setting.rows, of_trees[own:])
    if not traits:
        return StateFindings(shown, of_states, None, method, tables, warnings)
    columns = {name: pooled[name] for name in setting.columns}
    columns |= {
        "frequency": np.broadcast_to(frequency[:, None], shape).copy(),
        "se_within": pooled["se_within"],
        "se_between": pooled["se_between"],
    }
    observed = setting.observations.means(0, shape[0])
    whole = Reconstruction(
        phylogeny=shown,
        traits=traits,
        observations=setting.observations,
        estimates=pooled["estimate"],
        standard_errors=pooled["se"],
        level=setting.level,
        interval=setting.interval,
        parameters=_parameters(setting, values, pooled["estimate"][0], pooled["se"][0], trees),
        tips_used=tuple(int(n) for n in (~np.isnan(observed)).sum(0)),
        method=method,
        columns=columns,
        warnings=_warnings(setting, values, observed),
        tables=tables,
        details=_details(setting, values),
        given_ends=(pooled["lower"], pooled["upper"]),
    )
    if not of_states:
        return whole
    return StateFindings(shown, of_states, whole, method, tables, (*whole.warnings, *warnings))


def _mean(values: FloatArray) -> FloatArray:
    """(n,) means of the entries that are numbers; nan where none is."""
    there = ~np.isnan(values)
    number = there.sum(1)
    return np.where(number > 0, np.where(there, values, 0.0).sum(1) / np.maximum(number, 1), np.nan)


def _parameters(
    setting: SampleSetting, values: FloatArray, root: FloatArray, root_se: FloatArray, trees: int
) -> dict[str, dict[str, Parameter]]:
    how = f"mean over {counted(trees, 'tree')}"
    means = {name: _mean(each) for name, each in zip(setting.parameters, values, strict=True)}
    means |= {"root": root, "root_se": root_se}
    # A variance that is given is the same on all trees.
    given = {
        name for name, each in zip(setting.parameters, values, strict=True) if name == "tau2" and np.ptp(each) == 0
    }
    return {
        trait: {name: Parameter(float(each[d]), "given" if name in given else how) for name, each in means.items()}
        for d, trait in enumerate(setting.observations.traits)
    }


def _details(setting: SampleSetting, values: FloatArray) -> dict[str, dict[str, Any]]:
    """For the record: the interval of every parameter between the trees."""
    found: dict[str, dict[str, Any]] = {trait: {} for trait in setting.observations.traits}
    for name, each in zip(setting.parameters, values, strict=True):
        lower, upper = sample_ends(each, setting.level)
        for d, trait in enumerate(setting.observations.traits):
            found[trait][name] = {"lower": float(lower[d]), "upper": float(upper[d])}
    return {trait: {"between_trees": figures} for trait, figures in found.items()}


def _warnings(setting: SampleSetting, values: FloatArray, observed: FloatArray) -> tuple[str, ...]:
    equal = equal_traits(setting.observations)
    said = list(equal.values())
    for d, trait in enumerate(setting.observations.traits):
        if trait in equal:
            continue
        if np.isnan(observed[:, d]).all():
            said.append(Note(f"trait {trait!r}: no tip has a value, so that estimates are empty"))
            continue
        for name, each in zip(setting.parameters, values[:, d], strict=True):
            missing = int(np.isnan(each).sum())
            if missing and name != "root_se":
                said.append(Note(f"trait {trait!r}: {name} has no value on {missing} of {counted(len(each), 'tree')}"))
    return tuple(said)


def _age_table(summary: Phylogeny, frequency: FloatArray, ages: FloatArray) -> dict[str, Any]:
    """One row for every internal node: how far above the youngest tip it is, on average and in which interval."""
    inner = np.flatnonzero(~summary.topology.is_leaf)
    names = node_names(summary)
    tip_a, tip_b = mrca_tips(summary)
    return {
        "node": names.gather(inner).to_list(),
        "tip_a": names.gather(tip_a[inner]).to_list(),
        "tip_b": names.gather(tip_b[inner]).to_list(),
        "n_tips": summary.tip_counts[inner],
        "frequency": frequency[inner],
        "age": ages[0, inner],
        "lower": ages[1, inner],
        "upper": ages[2, inner],
    }


def _annotated(summary: Phylogeny, frequency: FloatArray, ages: FloatArray, setting: SampleSetting) -> Phylogeny:
    """The summary with frequency and age at its internal nodes, under keys that no trait and no annotation has."""
    level = f"{100 * setting.level:.10g}"
    annotations = {node: list(texts) for node, texts in summary.annotations.items()}
    taken = " ".join((*setting.observations.traits, *(text for texts in annotations.values() for text in texts)))
    prefix = "sample_" if any(key in taken for key in ("frequency", "age")) else ""
    for node in np.flatnonzero(~summary.topology.is_leaf).tolist():
        entries = [f"{prefix}frequency={float(frequency[node])!r}"]
        if np.isfinite(ages[0, node]):
            age, lower, upper = (float(value) for value in ages[:, node])
            entries += [f"{prefix}age={age!r}", f"{prefix}age_{level}%_CI={{{lower!r},{upper!r}}}"]
        annotations.setdefault(node, []).append(f"&{','.join(entries)}")
    return relabel(summary, annotations={node: tuple(texts) for node, texts in annotations.items()})


def lacking_notes(table: Counted, in_summary: NDArray[np.bool_], trees: int, names: Sequence[str]) -> list[str]:
    """A sentence about the clades that many trees have and the summary lacks.

    Args:
        table: All clades.
        in_summary: Which of them the summary has.
        trees: Number of trees.
        names: The tips' names, in code-point order.
    """
    many = np.flatnonzero((table.counts >= _MANY * trees) & ~in_summary)
    if not len(many):
        return []
    order = many[np.lexsort((table.pairs[many, 1], table.pairs[many, 0], -table.counts[many]))]
    shown = [
        f"{names[table.pairs[i, 0]]} to {names[table.pairs[i, 1]]} ({counted(int(table.tips[i]), 'tip')}, "
        f"{100 * table.counts[i] / trees:.3g} %)"
        for i in order[:3].tolist()
    ]
    more = ", ..." if len(order) > 3 else ""
    what = "clade of at least half of the trees is" if len(order) == 1 else "clades of at least half of the trees are"
    return [
        Note(
            f"{len(order)} {what} not in the summary tree: {', '.join(shown)}{more} (--summary-tree mcc may have them)"
        )
    ]
