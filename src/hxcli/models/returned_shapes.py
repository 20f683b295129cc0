"""Whether what a user's model returns is of the shape that one trait needs, or that traits together need."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from hxcli.close_names import counted
from hxcli.errors import InputError
from hxcli.model import Gaussian

if TYPE_CHECKING:
    from hxcli.models.gaussian_model import GaussianModel

_OF_ONE = "for one trait scale, shift and variance are numbers; matrices are of traits together: --together"


def refuse_shapes(model: GaussianModel, returned: Mapping[str, Any], traits: int) -> None:
    """Raises where a number has a shape, or a matrix is not of as many traits as there are.

    Args:
        model: Of a file; a built-in model is of one trait.
        returned: What its functions `model`, `root` and `noise` return, those that it has, as shapes.
        traits: How many traits are modelled together; 0 for one by itself.

    Raises:
        InputError: Names the part and its line.
    """
    functions = {"model": model.edge, "root": model.root, "noise": model.noise}
    for name, found in returned.items():
        if not isinstance(found, Gaussian) and name != "noise":
            continue
        parts = {"variance": found} if name == "noise" else dict(zip(Gaussian._fields, found, strict=True))
        for part, value in parts.items():
            _refuse(model, functions[name], name, part, tuple(value.shape), traits)


def _refuse(
    model: GaussianModel, function: Callable[..., Any] | None, name: str, part: str, shape: tuple[int, ...], traits: int
) -> None:
    wanted: list[tuple[int, ...]] = [()] if traits < 2 or part != "variance" or name == "root" else []
    if traits:
        wanted.append((traits,) if part == "shift" else (traits, traits))
    if shape in wanted:
        return
    called = "mean" if name == "root" and part == "shift" else part
    if traits:
        advice = f"a {called} has the shape {wanted[-1]}" + (", or is one number" if wanted[0] == () else "")
    raise InputError(
        f"the {called} of {name} has the shape {shape}" + (f", and {_fitted(traits)}" if traits else ""),
        advice if traits else _OF_ONE,
        file=model.source,
        line=getattr(function, "return_line", None),
    )


def _fitted(traits: int) -> str:
    return f"{counted(traits, 'trait')} {'is' if traits == 1 else 'are'} fitted together"
