"""Tree and trait files of any size, seeded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from trees import SHAPES, edge_lengths

from hxcli.engine.topology import from_parents
from hxcli.formats.trees.newick import write_newick
from hxcli.phylogeny import Phylogeny, relabel
from hxcli.text_columns import Texts


def tree_file(folder: Path, shape: str, tips: int, *, seed: int = 1) -> tuple[Path, Phylogeny]:
    """A Newick file with tips `t<node>` and lengths of six digits; made once."""
    parents = SHAPES[shape](tips, seed)
    topology = from_parents(parents)
    labels = np.where(topology.is_leaf, np.char.add("t", np.arange(len(parents)).astype(str)), "").astype(object)
    lengths = edge_lengths(parents, seed).round(6)
    lengths[0] = np.nan
    phylogeny = Phylogeny(topology, lengths, Texts(labels), Texts.blank(len(parents)))
    path = folder / f"{shape}{tips}.nwk"
    with path.open("wb") as stream:
        write_newick(stream, phylogeny)
    return path, phylogeny


def translated_file(folder: Path, phylogeny: Phylogeny) -> Path:
    """The tree as NEXUS whose tips are numbers that a TRANSLATE command names."""
    numbers, labels = phylogeny.labels.array.copy(), phylogeny.tip_names.tolist()
    numbers[phylogeny.tips] = [str(number) for number in range(1, len(labels) + 1)]
    path = folder / f"translated{len(labels)}.nex"
    with path.open("wb") as stream:
        stream.write(b"#NEXUS\nBEGIN TREES;\nTRANSLATE\n")
        stream.write(",\n".join(f"{number} {label}" for number, label in enumerate(labels, 1)).encode())
        stream.write(b"\n;\nTREE one = [&R] ")
        write_newick(stream, relabel(phylogeny, labels=Texts(numbers)))
        stream.write(b"END;\n")
    return path


def trait_file(folder: Path, phylogeny: Phylogeny, traits: int = 1, *, seed: int = 1) -> Path:
    """A CSV file with a row for every tip, in another order than the tree's."""
    random = np.random.default_rng(seed)
    names = phylogeny.tip_names[random.permutation(len(phylogeny.tips))]
    values = random.normal(size=(len(names), traits)).round(6)
    frame = pl.DataFrame({"name": names.tolist()}).hstack(
        pl.from_numpy(values, schema=[f"x{i}" for i in range(traits)])
    )
    path = folder / f"traits{len(names)}x{traits}.csv"
    frame.write_csv(path)
    return path
