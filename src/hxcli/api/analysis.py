"""What an analysis gives to Python: the products that its command writes, as frames, figures and files."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl

from hxcli.api.command_words import request_of, words
from hxcli.api.notes import tell
from hxcli.api.summary_html import summary_html
from hxcli.errors import OptionError
from hxcli.findings import STATES, Findings
from hxcli.formats.atomic_write import write_all
from hxcli.pictures.options import MapPicture
from hxcli.reconstruction import Reconstruction
from hxcli.run.perform import Job, Outcome
from hxcli.run.product_kinds import KINDS
from hxcli.run.product_notes import product_notes
from hxcli.run.products import choose_products, extension_of, writer_for
from hxcli.state_findings import StateFindings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TABLES = (".parquet", ".csv")


class Analysis:
    """What an analysis found.

    Attributes:
        command: Name of the command, such as `ancestral`.
        notes: What to know about it, a sentence each; they came as warnings (`hx.HxWarning`) too.
        products: The kinds of products that the command writes unasked; `table` takes any of them that is a table, and
            `write` any kind.
    """

    def __init__(self, job: Job, outcome: Outcome, products: Sequence[str]) -> None:
        self.command = job.command or job.analysis
        self.notes = outcome.notes
        self._job, self._outcome = job, outcome
        tables = {"", STATES, *self.found.tables}
        self.products = tuple(kind for kind in products if KINDS[kind].of in tables)

    @property
    def found(self) -> Findings:
        """The record of what was found: the tree, and the states of all nodes as arrays, where there are states."""
        return self._outcome.findings[0]

    def table(self, kind: str | None = None, *, wide: bool = False) -> pl.DataFrame:
        """A table, as its file has it: `.table().write_csv()` gives the bytes of the CSV.

        Args:
            kind: Which of several, such as `parameter table` or `draws`; None for the first.
            wide: One row a node, as `--wide` has it.

        Raises:
            OptionError: There is no such table.
        """
        tables = [name for name in self.products if set(_TABLES) & set(KINDS[name].writers)]
        if kind is None and tables:
            kind = tables[0]
        if kind not in tables:
            raise OptionError(f"hx {self.command} has no table {kind!r} (it has {', '.join(tables) or 'none'})")
        extension = next(extension for extension in _TABLES if extension in KINDS[kind].writers)
        stream = io.BytesIO()
        writer_for(f"table{extension}", kind)(self._result(wide), stream)
        stream.seek(0)
        return pl.read_parquet(stream) if extension == ".parquet" else pl.read_csv(stream, infer_schema_length=None)

    def parameters(self) -> pl.DataFrame:
        """The parameters of every trait: the command's table of them, or `trait,parameter,value,how`.

        Of an analysis that finds no others, such as a regression, the coefficients.
        """
        if "parameter table" in self.products:
            return self.table("parameter table")
        rows = [
            {"trait": trait["name"], "parameter": name, **figure}
            for result in self.record()["results"]
            for trait in result["traits"]
            for name, figure in trait.get("parameters", {}).items()
        ]
        if not rows and "coefficients table" in self.products:
            return self.table("coefficients table")
        columns = {"trait": pl.String, "parameter": pl.String, "value": pl.Float64, "how": pl.String}
        return pl.DataFrame(rows, schema=columns)

    def record(self) -> Mapping[str, Any]:
        """The record of the run, as its JSON has it."""
        return self._outcome.result.record()

    def plot(self, kind: str | None = None, *, trait: str | None = None, **options: Any) -> Figure:
        """A picture as a matplotlib figure.

        Args:
            kind: As `hx plot --kind`: `contmap`, `traitgram`, `tree`.
            trait: Which trait; None for the first.
            options: Those of `hx plot` that say how it looks: `layout`, `colormap`, `support`; of maps also `state`, as
                `hx maps --plot-state`.

        Raises:
            OptionError: No such trait, kind or look, or matplotlib is not installed.
        """
        # First of all that imports matplotlib, which it sets up.
        from hxcli.pictures.writers import draw  # isort: skip
        from hxcli.pictures.figure import drawing_style

        found, state = self.found, options.pop("state", None) if "maps picture" in self.found.tables else None
        choices = request_of(words("plot", {"tree": "", "traits": "", "out": "picture.svg", "kind": kind, **options}))
        if "maps picture" in found.tables:
            from hxcli.pictures.state_density import drawn

            return drawn(found, MapPicture(choices.job.choices["picture"], state))
        if not isinstance(found, (Reconstruction, StateFindings)):
            raise OptionError(f"hx {self.command} finds no states of nodes to draw")
        traits = found.traits
        if trait is not None and trait not in traits:
            raise OptionError(f"there is no trait {trait!r} (there are {', '.join(traits)})")
        with drawing_style():
            return draw(found, choices.job.choices["picture"], 0 if trait is None else traits.index(trait))

    def write(self, path: str | os.PathLike[str], kind: str | None = None, *, wide: bool = False) -> None:
        """Writes one product, whole or not at all: the extension picks it.

        Args:
            path: Such as `out.csv`, `out.params.csv`, `out.nex`, `out.json`, `out.svg`; text also with `.gz`.
            kind: What is written, where several have the extension, such as `auspice dataset` for `.json`.
            wide: Of the table: one row a node, as `--wide` has it.

        Raises:
            OptionError: No product has the extension, or the file is one that was read.
        """
        file = os.fspath(path)
        named = {kind or self._kind_of(file): file}
        self._write(choose_products(self.command, self._inputs, named=named, only_named=True), wide, 2)

    def write_all(self, prefix: str | os.PathLike[str]) -> tuple[str, ...]:
        """Writes what the command writes unasked, as `-o PREFIX` names it; returns the paths."""
        products = choose_products(
            self.command,
            self._inputs,
            analysis=self._job.analysis,
            out=os.fspath(prefix),
            named={},
            without=[kind for kind in KINDS if kind not in self.products],
            gives=[KINDS[kind].of for kind in self.products],
        )
        return self._write(products, False, 2)

    @property
    def _inputs(self) -> tuple[str, ...]:
        """The files of the tree and of the table, which no product may replace; the names of what was in memory."""
        inputs = self.record()["inputs"]
        return tuple(inputs[which]["file"].strip("<>") for which in ("tree", "traits") if which in inputs)

    def _write(self, products: Mapping[str, str], wide: bool, stack_level: int) -> tuple[str, ...]:
        result = self._result(wide)
        writers = {path: writer_for(path, kind) for kind, path in products.items()}
        tell(product_notes(products, self.found, result.choices), stack_level + 1)
        write_all({path: partial(write, result) for path, write in writers.items()})
        return tuple(writers)

    def _result(self, wide: bool) -> Any:
        result = self._outcome.result
        return replace(result, choices={**result.choices, "table": "wide" if wide else "long"})

    def _kind_of(self, path: str) -> str:
        """The kind of product that the end of a path names: the longest default name, else the extension."""
        bare = path.lower().removesuffix(".gz")
        states = isinstance(self.found, (Reconstruction, StateFindings))
        given = {*self.found.tables, *([STATES] if states else [])}
        there = [kind for kind, about in KINDS.items() if kind in self.products or about.of in given]
        named = [kind for kind in there if bare.endswith(KINDS[kind].default or "\0")]
        if named:
            return max(named, key=lambda kind: len(KINDS[kind].default or ""))
        extension = os.path.splitext(bare)[1]
        found = next((kind for kind in there if extension in KINDS[kind].writers), None)
        if found is None:
            known = dict.fromkeys(end for kind in there for end in KINDS[kind].writers)
            raise OptionError(f"{path}: no product is written as {extension!r} (use one of {' '.join(known)})")
        extension_of(path, found)
        return found

    def __repr__(self) -> str:
        count = len(self.notes)
        notes = f"; {count} note{'s' * (count > 1)}" if count else ""
        return f"<hx {self.command}: {self.found.headline().splitlines()[0]}{notes}>"

    def _repr_html_(self) -> str:
        return summary_html(self._outcome)
