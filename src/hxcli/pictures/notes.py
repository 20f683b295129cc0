"""What a person should know about a picture, a sentence each."""

from __future__ import annotations

from hxcli.errors import Note
from hxcli.pictures.options import PictureChoices
from hxcli.pictures.picture_data import small_print
from hxcli.pictures.state_data import state_small_print
from hxcli.reconstruction import Reconstruction
from hxcli.state_findings import StateFindings


def picture_notes(found: Reconstruction | StateFindings, choices: PictureChoices | None) -> tuple[str, ...]:
    """What the picture of the first trait leaves out, and that it is the first of several."""
    choices = choices or PictureChoices()
    if isinstance(found, Reconstruction):
        sentences = small_print(found, choices)
    elif found.numbers is not None:
        sentences = small_print(found.numbers, choices)
    else:
        sentences = state_small_print(found, found.of_states[0], choices)
    said = [f"picture: {sentence}" for sentence in sentences]
    traits = found.traits
    if len(traits) > 1:
        said.append(Note(f"picture: {traits[0]!r}, the first of {len(traits)} traits (hx plot --column draws another)"))
    return tuple(said)
