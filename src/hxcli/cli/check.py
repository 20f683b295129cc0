"""`hx check`: what the files hold, and whether an analysis could use them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hxcli.cli.command import command
from hxcli.cli.options import (
    EDGE_DATA_HELP,
    OptionalTraitsArgument,
    ReadingChoices,
    RegimesOption,
    TalkChoices,
    TreeArgument,
    parse_settings,
)
from hxcli.cli.sample_options import SampleFileChoices
from hxcli.cli.state_options import StateReadingChoices
from hxcli.errors import HxError

if TYPE_CHECKING:
    from hxcli.run.checking_samples import SampleCheckup
    from hxcli.run.checkup import Checkup
    from hxcli.run.inputs import InputOptions
    from hxcli.run.sample_options import SampleOptions


@dataclass(frozen=True)
class CheckRequest:
    """One look at the files.

    Attributes:
        inputs: Which files, and how they are read.
        json: Where the report goes as JSON; None to say it to a person.
        quiet: Whether nothing is said.
        sample: Which trees are looked at where all are; None for the one that an analysis of one tree takes.
        model: A model to be tried on the files; None for none.
        held, start: Its parameters that are given, and where a search for others would begin.
        regimes, edge_data: Files of the edges' regimes and of further columns, or the words `labels` and `tree`.
    """

    inputs: InputOptions
    json: str | None
    quiet: bool
    sample: SampleOptions | None = None
    model: str | None = None
    held: Mapping[str, float] = field(default_factory=dict)
    start: Mapping[str, float] = field(default_factory=dict)
    regimes: str | None = None
    edge_data: str | None = None

    def perform(self) -> None:
        """Looks, and reports.

        Raises:
            HxError: What stands in the way of an analysis; it is in the report too.
        """
        found, model = self.look(), []
        if self.model is not None and found.obstacle is None:
            try:
                model = self.look_at_model(self.model)
            except HxError as refusal:
                found = replace(found, obstacle=refusal)
        if self.json is not None:
            from hxcli.formats.atomic_write import write_whole
            from hxcli.formats.json_record import write_record
            from hxcli.run.products import choose_products

            trees = (self.inputs.tree,) if self.sample is None else self.sample.files
            files = tuple(file for file in (*trees, self.inputs.traits) if file)
            choose_products("check", files, named={"record": self.json})
            told = found.as_json() | ({"model": model} if model else {})
            write_whole(self.json, lambda stream: write_record(stream, told))
        elif not self.quiet:
            print("\n".join([str(found), *model]), file=sys.stderr)
        if found.obstacle is not None:
            raise found.obstacle

    def look_at_model(self, name: str) -> list[str]:
        """What the model is on these files, a line each."""
        from hxcli.run.inputs import read_inputs
        from hxcli.run.runtime import RuntimeOptions, prepare, started
        from hxcli.run.side_inputs import SideInput

        if not self.inputs.traits:
            raise typer.BadParameter("--model needs a table of traits")
        prepare(RuntimeOptions())
        inputs = read_inputs(self.inputs)
        edges: Any = None
        regimes: Any = self.regimes
        if self.edge_data == "tree":
            from hxcli.formats.trees.edge_annotations import edge_annotations

            edges = edge_annotations(inputs.phylogenies[0], self.inputs.tree)
        elif self.edge_data is not None:
            side = SideInput(self.edge_data, "hxcli.formats.tables.edge_data:read_edge_data")
            edges = side.read(self.inputs.max_size)[0]
        if self.regimes not in (None, "labels"):
            side = SideInput(self.regimes, "hxcli.formats.tables.regimes:read_regimes")
            regimes = side.read(self.inputs.max_size)[0]
        with started(RuntimeOptions()):
            from hxcli.run.model_check import Trial, model_lines

            trial = Trial(name, self.held, self.start, regimes, edges)
            return model_lines(inputs.phylogenies[0], inputs.observations[0], trial)

    def look(self) -> Checkup | SampleCheckup:
        if self.sample is not None:
            from hxcli.run.checking_samples import check_sample

            return check_sample(self.inputs, self.sample)
        from hxcli.run.checking import check as check_files

        return check_files(self.inputs)


@command
def check(
    tree: TreeArgument,
    traits: OptionalTraitsArgument = "",
    *,
    json: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write the report as JSON; - streams it.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="NAME",
            help="Try a model, or FILE.py[:NAME], on the first trait, or on all if it returns matrices: parameters, "
            "engine, draws, gradient.",
        ),
    ] = None,
    edge_data: Annotated[
        str | None,
        typer.Option("--edge-data", metavar="FILE", help=EDGE_DATA_HELP),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Hold a parameter of the model; repeatable."),
    ] = None,
    starts: Annotated[
        list[str] | None,
        typer.Option("--start", metavar="NAME=VALUE", help="Where a search for a parameter would begin; repeatable."),
    ] = None,
    regimes: RegimesOption = None,
    reading: ReadingChoices,
    sample: SampleFileChoices,
    states: StateReadingChoices,
    talk: TalkChoices,
) -> CheckRequest:
    """Read, validate and match; say what an analysis would use. Nothing is computed.

    Exits with 0 where an analysis could use the files, with 2 where it could not. With --all-trees: how many trees
    there are, what they have in common, and what differs.

    \b
    Example:
      hx check data/primates.nwk data/primates.csv
    """
    trees, table = sample.files(tree, traits)
    inputs = states.on(reading.input_options(trees[0], table))
    _refuse_without_model(model, {"--set": settings, "--start": starts, "--regimes": regimes, "--edge-data": edge_data})
    held, start = parse_settings(settings), parse_settings(starts, "--start")
    whole = sample.sample_options(trees)
    return CheckRequest(inputs, json, talk.quiet, whole, model, held, start, regimes, edge_data)


def _refuse_without_model(model: str | None, asked: Mapping[str, Any]) -> None:
    for option, value in asked.items():
        if value and model is None:
            raise typer.BadParameter(f"{option} is of a model (add --model NAME)")
