"""Which trees of a sample a run uses, and how: options only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hxcli.errors import OptionError

MissingTips = Literal["prune", "keep"]


@dataclass(frozen=True)
class SampleOptions:
    """Which trees of which files are used, and how.

    Attributes:
        files: Paths of the tree files, `-` for standard input.
        burn_in: What is left out of the beginning of every file: below 1 a share, else a number of trees.
        thin: Of the rest every so many-th tree is kept.
        summary_tree: `first`, `mcc` (the tree whose clades' log frequencies sum highest), or the path of a tree file.
        missing_tips: `prune` leaves out the tips that not every tree has, `keep` takes every tree with its own tips;
            None refuses trees that differ in their tips.
        shard: (k, n): only the k-th of n parts of the trees, of which `hx merge` makes the whole.
        distributed: Whether this process is one of several that share the trees through JAX's distributed runtime.
    """

    files: tuple[str, ...]
    burn_in: float = 0.0
    thin: int = 1
    summary_tree: str = "first"
    missing_tips: MissingTips | None = None
    shard: tuple[int, int] | None = None
    distributed: bool = False

    def __post_init__(self) -> None:
        if self.burn_in >= 1 and self.burn_in != int(self.burn_in):
            raise OptionError(f"--burn-in {self.burn_in:g}: give a share below 1, or a whole number of trees")
        if self.shard is not None and not 1 <= self.shard[0] <= self.shard[1]:
            raise OptionError(f"--shard {self.shard[0]}/{self.shard[1]}: write 1/4, 2/4, 3/4 and 4/4 for four parts")
        if self.files.count("-") > 1:
            raise OptionError("standard input is one file (name it once)")
        if self.shard is not None and self.distributed:
            raise OptionError("--shard and --distributed both divide the trees (use one of them)")
