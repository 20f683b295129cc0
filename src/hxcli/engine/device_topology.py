"""A topology as device arrays, so that it can be an argument of a compiled program."""

from __future__ import annotations

import dataclasses
import math
import weakref
from collections.abc import Iterable
from typing import Any

import jax

from hxcli.engine.schedule import Layout, Schedule, build_schedule, chunk_width, size_class
from hxcli.engine.topology import Topology

jax.tree_util.register_dataclass(
    Schedule,
    data_fields=[field.name for field in dataclasses.fields(Schedule) if field.name != "layout"],
    meta_fields=["layout"],
)


@dataclasses.dataclass(frozen=True, eq=False)
class DeviceTopology:
    """The topology of a tree whose shape is data: traced, padded to a size class.

    A framed tree (`tree.framed()`) passes through `jax.jit` with its topology as an argument, so that all
    trees of one size class share the executable. Padding nodes have neither parent nor children.

    Attributes:
        schedule: The arrays.
    """

    schedule: Schedule

    @property
    def layout(self) -> Layout:
        """The static part of the schedule."""
        return self.schedule.layout

    @property
    def size(self) -> int:
        """Number of nodes, padding included."""
        return self.layout.capacity

    @property
    def equal_degree(self) -> bool:
        """Whether all nodes with children have the same number of them."""
        return self.layout.uniform

    @property
    def has_children(self) -> Any:
        """(N,) mask of the nodes with children."""
        return self.schedule.has_children

    @property
    def has_parent(self) -> Any:
        """(N,) mask of the nodes with a parent."""
        return self.schedule.has_parent


jax.tree_util.register_dataclass(DeviceTopology, data_fields=["schedule"], meta_fields=[])

# Equal topologies share their device forms, and these go when the topology does.
_KNOWN: weakref.WeakKeyDictionary[Topology, dict[tuple[int, int], DeviceTopology]] = weakref.WeakKeyDictionary()


def device_topology(topology: Topology, fields: Iterable[Any], *, padded: bool, columns: int = 1) -> DeviceTopology:
    """The device form of a topology, made once for all fields of about the same width.

    Args:
        topology: N nodes.
        fields: Arrays (N, ...) that will be swept, by whose trailing axes the levels are cut.
        padded: Whether to leave room up to a size class.
        columns: Numbers at a node of the largest field that will be added.
    """
    columns = max([columns, *(math.prod(field.shape[1:]) for field in fields)])
    capacity = size_class(topology.size) if padded else topology.size
    key = capacity, chunk_width(capacity, columns)
    frames = _KNOWN.setdefault(topology, {})
    if key not in frames:
        # Concrete even when called while tracing: the arrays outlive the trace.
        with jax.ensure_compile_time_eval():
            frames[key] = jax.tree.map(jax.device_put, DeviceTopology(build_schedule(topology, *key)))
    return frames[key]
