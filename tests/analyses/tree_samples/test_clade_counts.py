"""Clades of many trees are counted as a dictionary of sets of tips counts them, however they come and are kept."""

from __future__ import annotations

import random

import numpy as np
import pytest

from hxcli.analyses.tree_samples import clade_counts
from hxcli.analyses.tree_samples.clade_counts import CladeCounts
from hxcli.analyses.tree_samples.clades import clade_keys, taxon_keys
from hxcli.formats.trees.tree_stream import TreeStream
from hxcli.run.sample import ranks
from tests.samples import clade_of, phylogenies_of, sample_text

TREES, TIPS = 60, 9


def _by_hand(text):
    """Clade -> in how many trees it is, and the smallest pair of tips whose most recent ancestor it is."""
    found = {}
    for phylogeny in phylogenies_of(text):
        clades, parents = clade_of(phylogeny), phylogeny.topology.parents
        for node, clade in enumerate(clades):
            below = [clades[child] for child in range(1, len(clades)) if parents[child] == node]
            if len(below) > 1:
                count, pair = found.get(clade, (0, ("~", "~")))
                found[clade] = count + 1, min(pair, tuple(sorted(min(tips) for tips in below)[:2]))
    return found


@pytest.mark.parametrize("waiting", [1, 40, 1 << 18])
@pytest.mark.parametrize("seed", [1, 2])
def test_as_a_dictionary_counts_them(tmp_path, monkeypatch, waiting, seed):
    monkeypatch.setattr(clade_counts, "_WAITING", waiting)
    lines = sample_text(seed, TREES, TIPS, distinct=20).splitlines(keepends=True)
    random.Random(seed).shuffle(lines)
    counts = CladeCounts()
    streams = []
    for part in range(0, TREES, 6):
        path = tmp_path / f"{part}.nwk"
        path.write_text("".join(lines[part : part + 6]))
        streams.append(str(path))
    stream = TreeStream(streams)
    for batch in stream.batches():
        names = stream.taxa.names
        at_tips = np.where(batch.taxa >= 0, ranks(names)[batch.taxa], -1).astype(np.int32)
        counts.add(batch, clade_keys(batch.topology, batch.taxa, taxon_keys(names)), at_tips)
    table, names = counts.table(), np.array(sorted(stream.taxa.names))
    assert counts.trees == TREES
    expected = sorted((count, len(clade), pair) for clade, (count, pair) in _by_hand("".join(lines)).items())
    found = [
        (count, tips, tuple(pair))
        for count, tips, pair in zip(
            table.counts.tolist(), table.tips.tolist(), names[table.pairs].tolist(), strict=True
        )
    ]
    assert sorted(found) == expected
    assert (np.diff(table.keys.low.astype(object)) > 0).all()
