"""The table of a reconstruction, one row for every node and trait or one for every node: CSV, TSV or Parquet."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, BinaryIO, Literal

import numpy as np
import polars as pl
from polars.io.plugins import register_io_source

from hxcli.engine.topology import IntArray
from hxcli.errors import OptionError
from hxcli.findings import Findings
from hxcli.formats.memo import kept
from hxcli.formats.tables.state_table import state_frames
from hxcli.formats.trees.newick_text import number_texts, pieces
from hxcli.formats.trees.node_identifiers import mrca_tips, node_names
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.reconstruction import Reconstruction
from hxcli.state_findings import StateFindings

# What makes a cell of some table need quotation marks.
_MARKS = re.compile(r'[",\t\n\r]')
_ABOUT = ("node", "parent", "tip_a", "tip_b", "n_tips")
# Rows of the long table that are made at a time: as text, and in Parquet, whose groups of rows they are.
_ROWS, _ROW_GROUP = 1 << 16, 1 << 18


def table_frames(found: Findings, rows: int = _ROWS) -> Iterator[pl.DataFrame]:
    """The rows of traits of numbers, then those of traits of states, in columns of their own where there are both."""
    if isinstance(found, Reconstruction):
        yield from number_frames(found, rows)
        return
    assert isinstance(found, StateFindings)
    of_states = state_frames(found, about_nodes(found.phylogeny), rows)
    if found.numbers is None:
        yield from of_states
        return
    first = next(of_states)
    empty = next(number_frames(found.numbers, 1)).clear().with_columns(pl.col("observed").cast(pl.String))
    schema = pl.concat([empty, first.clear()], how="diagonal").schema
    # The states that were observed are texts, so in such a table the numbers are as well.
    numbers = (
        frame.with_columns(number_texts(frame["observed"].to_numpy()).alias("observed"))
        for frame in number_frames(found.numbers, rows)
    )
    for frame in chain(numbers, [first], of_states):
        yield pl.concat([pl.DataFrame(schema=schema), frame], how="diagonal")


def number_frames(reconstruction: Reconstruction, rows: int = _ROWS) -> Iterator[pl.DataFrame]:
    """The (N * D) rows, about so many at a time: nodes in breadth-first order, all traits of a node together.

    Columns: node, parent (null at the root), tip_a, tip_b, n_tips, trait, observed, estimate, se, lower, upper
    and the reconstruction's own. A null stands where there is no number.
    """
    traits, count = pl.Series(list(reconstruction.traits), dtype=pl.String), len(reconstruction.traits)
    about = about_nodes(reconstruction.phylogeny)
    for piece in pieces(len(reconstruction.estimates), count, rows):
        which = np.tile(np.arange(count, dtype=np.int32), piece.stop - piece.start)
        lower, upper = reconstruction.equal_tailed(piece)
        numbers = {
            "observed": reconstruction.observations.means(piece.start, piece.stop),
            "estimate": reconstruction.estimates[piece],
            "se": reconstruction.standard_errors[piece],
            "lower": lower,
            "upper": upper,
            **{name: values[piece] for name, values in reconstruction.columns.items()},
        }
        yield pl.DataFrame(
            {
                **about(np.repeat(np.arange(piece.start, piece.stop, dtype=np.int32), count)),
                "trait": traits.gather(which),
                **{name: _numbers(values) for name, values in numbers.items()},
            }
        )


def wide_frames(reconstruction: Reconstruction, rows: int = _ROWS) -> Iterator[pl.DataFrame]:
    """The N rows, nodes in breadth-first order; about so many at a time, or fewer if there are many traits.

    Columns: node, parent (null at the root), tip_a, tip_b, n_tips; for every trait `mass`, `mass_lower`,
    `mass_upper` and, as `mass_<name>`, the reconstruction's own. A null stands where there is no number.

    Raises:
        OptionError: Two columns would have one name.
    """
    further = {f"_{name}": values for name, values in reconstruction.columns.items()}
    header = [f"{trait}{end}" for trait in reconstruction.traits for end in ("", "_lower", "_upper", *further)]
    taken = Counter([*_ABOUT, *header])
    if twice := [name for name, count in taken.items() if count > 1]:
        raise OptionError(f"--wide: two columns would have the name {twice[0]!r} (rename the trait, or leave it out)")
    about = about_nodes(reconstruction.phylogeny)
    size = len(reconstruction.estimates)
    # A frame of many columns costs as much as one of few rows does.
    for piece in pieces(size, min(len(reconstruction.traits), 200), rows):
        lower, upper = reconstruction.equal_tailed(piece)
        figures = reconstruction.estimates[piece], lower, upper, *(values[piece] for values in further.values())
        # Every column's numbers side by side.
        values = np.stack([matrix.T for matrix in figures], axis=1).reshape(len(header), -1)
        columns = [pl.Series(name, column, nan_to_null=True) for name, column in zip(header, values, strict=True)]
        yield pl.DataFrame(about(np.arange(piece.start, piece.stop, dtype=np.int32))).hstack(columns)


def about_nodes(phylogeny: Phylogeny) -> Callable[[IntArray], dict[str, Any]]:
    """Takes node numbers to the columns that say which nodes these are."""
    topology, names = phylogeny.topology, node_names(phylogeny)
    tip_a, tip_b = mrca_tips(phylogeny)

    def about(nodes: IntArray) -> dict[str, Any]:
        parents = names.gather(topology.parents[nodes])
        if not nodes[0]:
            parents = pl.select(pl.when(pl.Series(nodes != 0)).then(parents)).to_series()
        columns = (
            names.gather(nodes),
            parents,
            names.gather(tip_a[nodes]),
            names.gather(tip_b[nodes]),
            phylogeny.tip_counts[nodes],
        )
        return dict(zip(_ABOUT, columns, strict=True))

    return about


def prepare_table(phylogeny: Phylogeny) -> None:
    """Finds what the tables need of the tree alone."""
    about_nodes(phylogeny)(np.zeros(1, np.int32))
    _has_marks(phylogeny)


def table_frame(found: Findings) -> pl.DataFrame:
    """The whole table of `table_frames`."""
    return pl.concat(list(table_frames(found)))


def write_csv(stream: BinaryIO, reconstruction: Findings, wide: bool = False) -> None:
    """The table as CSV: empty where there is no number, the shortest text that reads back the same double.

    Args:
        stream: Takes the text.
        reconstruction: The numbers.
        wide: One row a node (`wide_frames`), not one for every node and trait (`table_frames`).
    """
    _write_delimited(stream, reconstruction, wide, ",")


def write_tsv(stream: BinaryIO, reconstruction: Findings, wide: bool = False) -> None:
    """The table as `write_csv` has it, with tabs."""
    _write_delimited(stream, reconstruction, wide, "\t")


def write_parquet(stream: BinaryIO, reconstruction: Findings, wide: bool = False) -> None:
    """The table as Parquet, one group of rows after the other."""
    frames = _frames(reconstruction, wide, _ROW_GROUP)
    first = next(frames)

    def given(*_: Any) -> Iterator[pl.DataFrame]:
        yield from chain([first], frames)

    # Lightly compressed: the digits of estimates hardly compress, and what repeats does so at any level. Groups that
    # are no frames would have to be put together first.
    rows = register_io_source(given, schema=first.schema)
    rows.sink_parquet(stream, compression="snappy", row_group_size=_ROW_GROUP if wide else first.height)


def no_wide_states() -> OptionError:
    """The refusal of a wide table of traits of states."""
    return OptionError("--wide: traits of states have one row for every state (leave --wide out)")


def _frames(found: Findings, wide: bool, rows: int) -> Iterator[pl.DataFrame]:
    if not wide:
        return table_frames(found, rows)
    if not isinstance(found, Reconstruction):
        raise no_wide_states()
    return wide_frames(found, rows)


def _other_texts(found: Findings) -> list[str]:
    """What stands in cells beside the names of nodes."""
    texts = list(found.traits)
    if isinstance(found, StateFindings):
        for trait in found.of_states:
            texts += [*trait.states, *set(trait.observed.tolist())]
    return texts


def _write_delimited(stream: BinaryIO, reconstruction: Findings, wide: bool, separator: str) -> None:
    frames = _frames(reconstruction, wide, _ROWS)
    # To look at every cell takes as long as to write it.
    marked = _has_marks(reconstruction.phylogeny) or any(map(_MARKS.search, _other_texts(reconstruction)))
    for number, frame in enumerate(frames):
        style: Literal["necessary", "never"] = "necessary" if marked else "never"
        frame.write_csv(stream, separator=separator, include_header=number == 0, quote_style=style)


@kept
def _has_marks(phylogeny: Phylogeny) -> bool:
    """Whether a name has to be quoted in some table."""
    return bool(phylogeny.labels.column.str.contains(_MARKS.pattern).any())


def _numbers(values: FloatArray) -> pl.Series:
    return pl.Series(np.ascontiguousarray(values, np.float64).ravel(), nan_to_null=True)
