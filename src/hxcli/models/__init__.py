"""Models: what happens along an edge, one file each, in the form that a user's own model has (`hxcli.model`).

A file has `model(edge)`, which declares its parameters where they are used and returns a `Gaussian` or an `Sde`, and
optionally `root(tree)`; without one the root's state is a parameter. `RATES` names the parameters that multiply all
variances, `MEANS` those that move the means linearly: both are solved for in closed form. `ROOTS` names other roots. To
add a model, write a file beside these and give it a line in `MODELS`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

from hxcli.close_names import NameIndex
from hxcli.errors import OptionError

if TYPE_CHECKING:
    from hxcli.models.gaussian_model import GaussianModel

# What names a user's file, and which function in it.
MODEL_FILE = re.compile(r"(?P<file>.+\.py)(?::(?P<name>\w+))?", re.DOTALL)
# Name -> module, which imports jax when it is loaded.
MODELS = {
    "bm": "hxcli.models.bm",
    "white": "hxcli.models.white",
    "ou": "hxcli.models.ou",
    "eb": "hxcli.models.eb",
    "acdc": "hxcli.models.acdc",
    "lambda": "hxcli.models.pagel_lambda",
    "kappa": "hxcli.models.pagel_kappa",
    "delta": "hxcli.models.pagel_delta",
    "trend": "hxcli.models.trend",
    "bms": "hxcli.models.bms",
    "oum": "hxcli.models.oum",
    "oumv": "hxcli.models.oumv",
    "ouma": "hxcli.models.ouma",
    "oumva": "hxcli.models.oumva",
}
# Those that return an `Sde`: the grid engine's.
GRID_MODELS = {
    "bounded": "hxcli.models.bounded",
    "doublewell": "hxcli.models.doublewell",
    "gbm": "hxcli.models.gbm",
    "cir": "hxcli.models.cir",
}


def is_model_file(name: str) -> bool:
    """Whether a model's name is that of a file: `FILE.py` or `FILE.py:NAME`."""
    return MODEL_FILE.fullmatch(name) is not None


def refuse_one_name_twice(asked: Sequence[str]) -> None:
    """Raises where two models would have one name in tables.

    Args:
        asked: Names of models, as `named_model` takes them.

    Raises:
        OptionError: Says which.
    """
    names: dict[str, str] = {}
    for each in asked:
        found = MODEL_FILE.fullmatch(each)
        called = (found["name"] or PurePath(found["file"]).stem) if found else each
        other = names.setdefault(called, each)
        if asked.count(each) > 1:
            raise OptionError(f"--model {each} is given twice (give it once)")
        if other != each:
            raise OptionError(
                f"--model {other} and --model {each} are both called {called} in tables (rename a file, or its "
                "function and ask for FILE.py:NAME)"
            )


def named_model(name: str, root: str | None = None) -> GaussianModel:
    """The built-in model of that name, or the one in a file.

    Args:
        name: A key of `MODELS` or `GRID_MODELS`, or `FILE.py[:NAME]`.
        root: Which of the model's roots; None for its usual one.

    Raises:
        OptionError: There is no such model, or the model has no such root.
        InputError: The file is refused, with the line.
    """
    # Here and not above, because they import jax, and a command's options are looked at without it.
    from hxcli.models.gaussian_model import load_model
    from hxcli.models.model_file import load_model_file

    if is_model_file(name):
        return load_model_file(name)
    places = MODELS | GRID_MODELS
    if name not in places:
        close = NameIndex(places).closest(name)
        raise OptionError(
            f"--model {name}: there is no such model (use {f'{close}, or ' if close else ''}one of {', '.join(places)})"
        )
    return load_model(name, places[name], root)
