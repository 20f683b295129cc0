"""Models as functions: parameters are declared where they are used, and what is returned picks the engine.

    import jax.numpy as jnp
    from hxcli.model import Gaussian, log_normal

    def model(edge):
        alpha = log_normal("alpha", median=0.1, sd=2)
        sigma2 = log_normal("sigma2", median=1, sd=3)
        decay = jnp.exp(-alpha * edge.length)
        return Gaussian(decay, 0, sigma2 * (1 - decay**2) / (2 * alpha))

Declarations: `param`, `fixed`, `normal`, `log_normal`, `uniform`, `record`, `intermediate`. Returned values:
`Gaussian`, `Rates`, `Sde`. For other code: `discover`, `evaluate`, `over_edges`, `recorded_over_edges`, `merged`,
`Declaration`, `Edge`, `abstract_edge`. The module can be called: `@hx.model` makes a pure function of any function
that declares. jax is imported when a function is traced, not before.
"""

from __future__ import annotations

import sys
import types
from typing import Any

from hxcli.model.declarations import Declaration as Declaration
from hxcli.model.declarations import fixed as fixed
from hxcli.model.declarations import intermediate as intermediate
from hxcli.model.declarations import log_normal as log_normal
from hxcli.model.declarations import normal as normal
from hxcli.model.declarations import param as param
from hxcli.model.declarations import record as record
from hxcli.model.declarations import uniform as uniform
from hxcli.model.edges import Edge as Edge
from hxcli.model.edges import abstract_edge as abstract_edge
from hxcli.model.evaluation import Discovered as Discovered
from hxcli.model.evaluation import Evaluated as Evaluated
from hxcli.model.evaluation import discover as discover
from hxcli.model.evaluation import evaluate as evaluate
from hxcli.model.evaluation import merged as merged
from hxcli.model.evaluation import over_edges as over_edges
from hxcli.model.evaluation import recorded_over_edges as recorded_over_edges
from hxcli.model.function import Model as Model
from hxcli.model.function import model as _model
from hxcli.model.returned import Gaussian as Gaussian
from hxcli.model.returned import Rates as Rates
from hxcli.model.returned import Sde as Sde


class _Callable(types.ModuleType):
    """A module that is a decorator too: importing `hxcli.model` sets `hxcli.model`, whichever was meant."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return _model(*arguments, **options)


sys.modules[__name__].__class__ = _Callable
