"""Traits of states in trees, as DendroPy and Biopython read them."""

from __future__ import annotations

import io
import re

import dendropy
import numpy as np
import pytest
from Bio import Phylo

from hxcli.formats.trees.nexus_writer import write_nexus
from hxcli.formats.trees.nhx import write_nhx
from hxcli.formats.trees.phyloxml import write_phyloxml
from tests.formats.written import reconstruct, rendered, tree, with_states

PHYLOGENY = tree([0, 0, 0, 1, 1, 2, 2], ["root", "ab", "cd", "A", "B", "C", "D"])
STATES = with_states(PHYLOGENY)
BOTH = with_states(PHYLOGENY, reconstruct(PHYLOGENY))
NAMES = PHYLOGENY.labels.tolist()


def ranked(node: int) -> tuple[list[str], list[float]]:
    """The states of a node that are possible, the most probable first, and their probabilities."""
    trait = STATES.of_states[0]
    pairs = sorted(zip(-trait.probabilities[node], range(3), trait.states, strict=True))
    return [state for value, _, state in pairs if value], [-float(value) for value, _, _ in pairs if value]


@pytest.mark.parametrize("found", [STATES, BOTH], ids=["states", "both"])
def test_dendropy_reads_beasts_annotations(found: object) -> None:
    text = rendered(write_nexus, PHYLOGENY, found).decode()
    read = dendropy.Tree.get(data=text, schema="nexus", preserve_underscores=True)
    seen = {}
    for node in read.preorder_node_iter():
        figures = {each.name: each.value for each in node.annotations}
        seen[node.taxon.label if node.taxon else node.label] = figures
    assert set(seen) == set(NAMES)
    for number, name in enumerate(NAMES):
        states, shares = ranked(number)
        figures = seen[name]
        assert figures["habitat"].strip('"') == ("land+sea" if number == 0 else states[0])
        assert float(figures["habitat.prob"]) == shares[0]
        # DendroPy takes braces around one value, as BEAST writes them too, for a part of the next entry.
        if len(states) > 1:
            assert list(map(float, figures["habitat.set.prob"])) == shares
            assert [state.strip('"') for state in figures["habitat.set"]] == states
        assert ("mass" in figures) == (found is BOTH)


def test_biopython_reads_the_nexus_file() -> None:
    (read,) = Phylo.parse(io.StringIO(rendered(write_nexus, PHYLOGENY, BOTH).decode()), "nexus")
    comments = [clade.comment for clade in read.find_clades(order="level")]
    for number, comment in enumerate(comments):
        states, shares = ranked(number)
        sets = re.search(r"habitat\.set=\{([^}]*)\},habitat\.set\.prob=\{([^}]*)\}", comment)
        assert sets
        assert sets[1] == ",".join(f'"{state}"' for state in states)
        assert np.array(sets[2].split(","), float).tolist() == shares


def test_biopython_reads_the_properties_of_phyloxml() -> None:
    read = Phylo.read(io.BytesIO(rendered(write_phyloxml, PHYLOGENY, BOTH)), "phyloxml")
    for number, name in enumerate(NAMES):
        clade = next(read.find_clades(name=name))
        properties = [(each.ref, each.value) for each in clade.properties]
        states, shares = ranked(number)
        assert [value for ref, value in properties if ref == "hx:habitat.set"] == [
            f"{state}={share!r}" for state, share in zip(states, shares, strict=True)
        ]
        assert dict(properties)["hx:habitat.prob"] == repr(shares[0])
        assert "hx:mass" in dict(properties)


def test_nhx_has_states_and_probabilities() -> None:
    text = rendered(write_nhx, PHYLOGENY, STATES).decode()
    states, shares = ranked(3)
    entry = f":habitat={states[0]}:habitat.prob={shares[0]!r}:habitat.set={'|'.join(states)}"
    assert f"A:1.0[&&NHX{entry}:habitat.set.prob={'|'.join(map(repr, shares))}]" in text
    assert Phylo.read(io.StringIO(text), "newick").count_terminals() == 4
