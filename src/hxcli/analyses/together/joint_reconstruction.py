"""States of traits together: a reconstruction that also says something of all traits at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from hxcli.findings import plain
from hxcli.reconstruction import Reconstruction


@dataclass(frozen=True, eq=False)
class JointReconstruction(Reconstruction):
    """A reconstruction of traits together.

    Attributes:
        about_all: What the run record says of all traits together.
        remark: What the summary says of them; "" for nothing.
    """

    about_all: Mapping[str, Any] = field(default_factory=dict)
    remark: str = ""

    @classmethod
    def of(cls, found: Reconstruction, about_all: Mapping[str, Any], remark: str) -> JointReconstruction:
        """The same states with what is said of all traits."""
        own = {each.name: getattr(found, each.name) for each in fields(Reconstruction)}
        return cls(**own, about_all=about_all, remark=remark)

    def headline(self) -> str:
        """What was computed, and the remark."""
        return "\n".join(filter(None, (super().headline(), self.remark)))

    def facts(self) -> dict[str, Any]:
        """What the run record says of all traits together."""
        return super().facts() | plain(dict(self.about_all))
