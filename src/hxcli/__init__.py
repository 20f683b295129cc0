"""hxcli: ancestral states from a tree and a table, and the sweep engine below it (`import hxcli as hx`)."""

from __future__ import annotations

import importlib

# Known to type checkers by its name. The module typing would take longer than all that is done here.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from hxcli import model as model
    from hxcli.api.analysis import Analysis as Analysis
    from hxcli.api.readers import read_traits as read_traits
    from hxcli.api.readers import read_tree as read_tree
    from hxcli.api.readers import read_trees as read_trees
    from hxcli.engine.forest import Forest as Forest
    from hxcli.engine.schema import FieldSpec as FieldSpec
    from hxcli.engine.schema import Schema as Schema
    from hxcli.engine.sweep import Sweep as Sweep
    from hxcli.engine.sweep import down as down
    from hxcli.engine.sweep import up as up
    from hxcli.engine.topology import Topology as Topology
    from hxcli.engine.topology import from_parents as from_parents
    from hxcli.engine.topology import symmetric_topology as symmetric_topology
    from hxcli.engine.tree import Tree as Tree
    from hxcli.errors import HxError as HxError
    from hxcli.errors import HxWarning as HxWarning
    from hxcli.errors import InputError as InputError
    from hxcli.errors import MissingField as MissingField
    from hxcli.errors import SchemaMismatch as SchemaMismatch
    from hxcli.errors import TopologyError as TopologyError
    from hxcli.newick import from_newick as from_newick
    from hxcli.newick import to_newick as to_newick
    from hxcli.phylogeny import Phylogeny as Phylogeny
    from hxcli.run.checkup import Checkup

    ancestral: Callable[..., Analysis]
    mean: Callable[..., Analysis]
    posterior: Callable[..., Analysis]
    signal: Callable[..., Analysis]
    fit: Callable[..., Analysis]
    regress: Callable[..., Analysis]
    simulate: Callable[..., Analysis]
    pca: Callable[..., Analysis]
    contrasts: Callable[..., Analysis]
    maps: Callable[..., Analysis]
    check: Callable[..., Checkup]

# Resolved on first use (PEP 562), because half of these import jax and `hx --help` must not.
_HOMES = {
    "Forest": "hxcli.engine.forest",
    "FieldSpec": "hxcli.engine.schema",
    "Schema": "hxcli.engine.schema",
    "Sweep": "hxcli.engine.sweep",
    "down": "hxcli.engine.sweep",
    "up": "hxcli.engine.sweep",
    "Topology": "hxcli.engine.topology",
    "from_parents": "hxcli.engine.topology",
    "symmetric_topology": "hxcli.engine.topology",
    "Tree": "hxcli.engine.tree",
    "HxError": "hxcli.errors",
    "InputError": "hxcli.errors",
    "MissingField": "hxcli.errors",
    "SchemaMismatch": "hxcli.errors",
    "TopologyError": "hxcli.errors",
    "from_newick": "hxcli.newick",
    "to_newick": "hxcli.newick",
    "Phylogeny": "hxcli.phylogeny",
    "HxWarning": "hxcli.errors",
    "Analysis": "hxcli.api.analysis",
    "read_tree": "hxcli.api.readers",
    "read_trees": "hxcli.api.readers",
    "read_traits": "hxcli.api.readers",
}
# Commands that are functions too, with the same options.
_FUNCTIONS = (
    "ancestral",
    "mean",
    "posterior",
    "signal",
    "fit",
    "regress",
    "simulate",
    "pca",
    "contrasts",
    "maps",
    "check",
)

# Names of modules: `@hx.model`, because that module can be called, and `hxcli.model` are one attribute.
_MODULES = {"model"}

__all__ = ["__version__", *_HOMES, *_FUNCTIONS, *sorted(_MODULES)]  # noqa: PLE0604
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"hxcli.{name}")
    if name in _FUNCTIONS:
        value = importlib.import_module("hxcli.api.functions").function(name)
    elif name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'hxcli' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
