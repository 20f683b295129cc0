"""Tree statements: where each tree of a text stands and how its labels are to be read, before any of it is read."""

from __future__ import annotations

from dataclasses import dataclass

from hxcli.formats.trees.newick import read_tree
from hxcli.formats.trees.nexus_tip_names import Translation
from hxcli.formats.trees.scanner.labels import Header
from hxcli.formats.trees.scanner.masking import Blanked
from hxcli.phylogeny import Phylogeny


@dataclass(frozen=True, eq=False)
class TreeStatement:
    """One tree in a text.

    Attributes:
        blanked: The text, or the part of it that the tree is in.
        start: Where the Newick text of the tree begins.
        end: Where its `;` stands, or the text ends.
        header: What stands before it.
        translation: From labels to names; None where labels are names.
        terminated: Whether a `;` stands at `end`.
        place: Its place among the trees of its file, from 0.
    """

    blanked: Blanked
    start: int
    end: int
    header: Header
    translation: Translation | None = None
    terminated: bool = True
    place: int = 0

    def read(self) -> Phylogeny | None:
        """The tree; None where there is nothing but white space.

        Raises:
            InputError: Anything that is not one tree.
        """
        rename = self.translation.rename if self.translation is not None else None
        return read_tree(self.blanked, self.start, self.end, self.header, rename, terminated=self.terminated)
