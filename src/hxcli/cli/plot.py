"""`hx plot`: a picture of the ancestral states."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from hxcli.cli.analysis import AnalysisRequest, side_inputs_of
from hxcli.cli.ancestral import AVERAGE
from hxcli.cli.command import command
from hxcli.cli.options import (
    MachineChoices,
    ModelChoices,
    RateChoices,
    ReadingChoices,
    TalkChoices,
    TraitsArgument,
    TreeArgument,
)
from hxcli.cli.state_options import StateModelChoices, StateReadingChoices
from hxcli.pictures.options import DEFAULT_COLORMAP, PictureChoices, PictureKind, PictureLayout


@command
def plot(
    tree: TreeArgument,
    traits: TraitsArgument,
    *,
    out: Annotated[str, typer.Option("--out", "-o", metavar="FILE", help="Picture: .svg .pdf .png; - streams SVG.")],
    kind: Annotated[
        PictureKind | None,
        typer.Option(
            "--kind",
            help="contmap: edges coloured by the estimate along them, or by the most probable state; traitgram: edge "
            "length against trait, intervals shaded; density: the same with whole densities, of a model on a grid; "
            "tree: intervals and values beside the tips, or pies of states at the nodes. [default: contmap; tree for "
            "states]",
        ),
    ] = None,
    layout: Annotated[
        PictureLayout, typer.Option("--layout", help="How the tree lies; a traitgram is rectangular.")
    ] = PictureLayout.RECTANGULAR,
    colormap: Annotated[
        str, typer.Option("--colormap", metavar="NAME", help="One of matplotlib's, such as cividis or RdBu_r.")
    ] = DEFAULT_COLORMAP,
    support: Annotated[bool, typer.Option("--support", help="Write support values at the nodes.")] = False,
    rate: RateChoices,
    models: ModelChoices,
    which: StateReadingChoices,
    states: StateModelChoices,
    reading: ReadingChoices,
    machine: MachineChoices,
    talk: TalkChoices,
) -> AnalysisRequest:
    """Picture of a trait's ancestral states.

    Draws the first trait, or the one that --column names, under Brownian motion or another --model. Of a trait of
    states it draws the probabilities as pies at the nodes, and what the tips have as squares. Above 400 tips names are
    left out.

    \b
    Example:
      hx plot data/primates.nwk data/primates.csv --column ln_body_mass -o primates.svg
    """
    # Here and not above, because `hx --help` needs none of it.
    from hxcli.run.perform import Job
    from hxcli.run.products import choose_products

    choices = PictureChoices(kind, layout, colormap, support)
    products = choose_products("plot", (tree, traits), named={"picture": out}, only_named=True)
    # Before anything is read: a colour map is refused like any other option.
    from hxcli.pictures.writers import colour_map

    colour_map(colormap)
    fitting = models.fit_options(several=AVERAGE)
    job = Job(
        analysis="ancestral",
        inputs=which.on(reading.input_options(tree, traits)),
        products=products,
        analysis_options={**rate.analysis_options(), **fitting},
        state_options=states.options(fitting["models"], fitting["held"], rate.level),
        side_inputs=side_inputs_of(models.side_inputs()),
        choices={"picture": choices},
        runtime=machine.runtime_options(),
        command_line=("hx", *sys.argv[1:]),
    )
    return AnalysisRequest(job, talk)
