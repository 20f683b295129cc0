"""What a person chooses about a picture."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hxcli.errors import OptionError


class PictureKind(StrEnum):
    """What is drawn of a trait of numbers; of states, edges in their colours, or pies and squares."""

    CONTMAP = "contmap"
    TRAITGRAM = "traitgram"
    DENSITY = "density"
    TREE = "tree"


class PictureLayout(StrEnum):
    """How the tree lies."""

    RECTANGULAR = "rectangular"
    CIRCULAR = "circular"


# Perceptually uniform, and told apart by people who are colour-blind (Smith and van der Walt 2015).
DEFAULT_COLORMAP = "viridis"


@dataclass(frozen=True)
class PictureChoices:
    """How a reconstruction is drawn.

    Attributes:
        kind: `contmap`: edges coloured by the estimate along them, or by the most probable state; `traitgram`: time
            against trait; `density`: the same with whole densities, of a model on a grid; `tree`: the tree with
            intervals and values beside the tips, or, of states, with pies at the nodes and squares at the tips. None
            for `contmap`, and for `tree` of states.
        layout: Of `contmap` and `tree`.
        colormap: A name that matplotlib knows.
        support: Whether support values stand at the nodes.

    Raises:
        OptionError: A round traitgram.
    """

    kind: PictureKind | None = None
    layout: PictureLayout = PictureLayout.RECTANGULAR
    colormap: str = DEFAULT_COLORMAP
    support: bool = False

    def __post_init__(self) -> None:
        if self.kind in (PictureKind.TRAITGRAM, PictureKind.DENSITY) and self.layout == PictureLayout.CIRCULAR:
            raise OptionError(f"a {self.kind} is time against trait and cannot be circular (leave --layout out)")


@dataclass(frozen=True)
class MapPicture:
    """How states along edges are drawn.

    Attributes:
        picture: Layout and colours.
        state: The state whose probability is drawn; None for the most probable one of all.
    """

    picture: PictureChoices = PictureChoices()
    state: str | None = None
