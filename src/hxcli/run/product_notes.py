"""What a person should know about the products of a run before they are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hxcli.findings import Findings
from hxcli.formats.trees.annotations import replaced_notes
from hxcli.formats.trees.node_identifiers import made_names_notes
from hxcli.formats.trees.trait_keys import NHX_MEANINGS, renamed_notes, reserved_keys
from hxcli.pictures.notes import picture_notes
from hxcli.reconstruction import Reconstruction
from hxcli.run.products import extension_of, writes_annotations
from hxcli.state_findings import StateFindings


def product_notes(products: Mapping[str, str], found: Findings, choices: Mapping[str, Any]) -> tuple[str, ...]:
    """A sentence for everything that the products leave out, replace or make up.

    Args:
        products: Kind -> path.
        found: What will be written.
        choices: How products are to look, by kind.
    """
    notes: tuple[str, ...] = ()
    if not isinstance(found, (Reconstruction, StateFindings)):
        return notes
    if "tree" in products and writes_annotations(products["tree"]):
        nhx = extension_of(products["tree"], "tree") == ".nhx"
        reserved = NHX_MEANINGS if nhx else reserved_keys(found.phylogeny)
        notes += replaced_notes(found.phylogeny, found.traits, reserved) + renamed_notes(found.traits, reserved)
    if "node data" in products and "named tree" not in products:
        notes += made_names_notes(found.phylogeny)
    if "picture" in products:
        notes += picture_notes(found, choices.get("picture"))
    return notes
