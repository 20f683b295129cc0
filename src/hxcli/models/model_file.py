"""A model of one's own: a Python file as a model record. Its mistakes are refused in one sentence with their line.

The file is run, as any Python program is: a model is code, so run no file that you do not trust.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from hxcli.errors import DeclarationError, HxError, InputError
from hxcli.model import Gaussian, Rates, Sde
from hxcli.models import MODEL_FILE
from hxcli.models.file_reach import stands_alone
from hxcli.models.gaussian_model import GaussianModel

# What JAX says in paragraphs.
_SAYINGS: dict[type[Exception], str] = {
    jax.errors.TracerBoolConversionError: "an if, while, and, or or not asks for a value that is known only when the "
    "model runs (use jnp.where)",
    jax.errors.TracerArrayConversionError: "a function of numpy or math is given a value that is known only when the "
    "model runs (use jax.numpy)",
    jax.errors.ConcretizationTypeError: "a number is wanted where the value is known only when the model runs (use "
    "jax.numpy, and no int(), float() or range() of it)",
    jax.errors.UnexpectedTracerError: "a value leaves a jitted helper, a scan or a branch by another way than return",
}


# Of the last files whose text says all, so that trees one after the other share their programs; how many.
_LOADED: dict[str, GaussianModel] = {}
_MOST_LOADED = 64


def load_model_file(name: str) -> GaussianModel:
    """The model in a file.

    Args:
        name: `FILE.py`, whose function is `model`, or `FILE.py:NAME` for another one.

    Raises:
        InputError: The file cannot be read or run, or has no such function; with the line.
    """
    found = MODEL_FILE.fullmatch(name)
    assert found is not None
    path, wanted = found["file"], found["name"] or "model"
    text, digest = _read(path)
    known = _LOADED.get(name)
    if known is not None and known.text == text:
        return known
    try:
        tree = ast.parse(text, path)
    except SyntaxError as error:
        raise InputError(f"this is not Python: {error.msg}", file=path, line=error.lineno) from None
    module = types.ModuleType(Path(path).stem)
    module.__file__ = path
    with _located(path):
        exec(compile(tree, path, "exec"), module.__dict__)
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    if wanted not in functions:
        has = ", ".join(functions) or "none"
        raise InputError(f"it has no function {wanted!r}", f"its functions: {has}; write def {wanted}(edge)", file=path)
    model = _function(module, functions, wanted, path, "edge", (1,), (Gaussian, Rates, Sde))
    root = _function(module, functions, "root", path, "", (0, 1), (Gaussian,)) if "root" in functions else None
    noise = _function(module, functions, "noise", path, "tip", (1,), (), "variance") if "noise" in functions else None
    doc = ast.get_docstring(tree) or ""
    loaded = GaussianModel(
        name=found["name"] or Path(path).stem,
        edge=model,
        root=root,
        noise=noise,
        rates=_names(module, "RATES", path),
        means=_names(module, "MEANS", path),
        summary=doc.strip().split("\n")[0],
        source=path,
        text=text,
        sha256=digest,
        stands_alone=stands_alone(tree),
    )
    if loaded.stands_alone:
        _LOADED[name] = loaded
        if len(_LOADED) > _MOST_LOADED:
            del _LOADED[next(iter(_LOADED))]
    return loaded


def _names(module: types.ModuleType, what: str, path: str) -> tuple[str, ...]:
    given = getattr(module, what, ())
    names = (given,) if isinstance(given, str) else given
    if not isinstance(names, tuple | list) or not all(isinstance(each, str) for each in names):
        raise InputError(f"{what} is {_kind_of(given)}", f'write the names of parameters: {what} = ("a",)', file=path)
    return tuple(names)


def _read(path: str) -> tuple[str, str]:
    try:
        data = Path(path).read_bytes()
        return data.decode("utf-8"), hashlib.sha256(data).hexdigest()
    except OSError as error:
        raise InputError((error.strerror or "cannot be read").lower(), "is the path right?", file=path) from None
    except UnicodeDecodeError:
        raise InputError("this is not UTF-8 text", "write the model as a Python file", file=path) from None


def _function(
    module: types.ModuleType,
    functions: dict[str, ast.FunctionDef],
    name: str,
    path: str,
    argument: str,
    counts: tuple[int, ...],
    kinds: tuple[type, ...],
    part: str = "",
) -> Callable[..., Any]:
    """A function of the file whose mistakes name their line, and whose result is looked at."""
    plain, node = getattr(module, name), functions[name]
    count = len(node.args.args)
    if count not in counts or node.args.vararg or node.args.kwonlyargs:
        raise InputError(f"{name} has {count} arguments", f"write def {name}({argument})", file=path, line=node.lineno)
    returns = [each.lineno for each in ast.walk(node) if isinstance(each, ast.Return)]
    line = max(returns, default=node.lineno)

    @functools.wraps(plain)
    def guarded(*arguments: Any) -> Any:
        with _located(path):
            returned = plain(*arguments)
        if kept := _kept_by(module):
            raise InputError(
                f"{name} keeps a value of one call in {kept}, where the next one finds it",
                "return what is wanted; record(...) shows a value",
                file=path,
                line=node.lineno,
            )
        if kinds and not isinstance(returned, kinds):
            names = " or ".join(kind.__name__ for kind in kinds)
            raise InputError(
                f"{name} returns {_kind_of(returned)}", f"return a {names} of hxcli.model", file=path, line=line
            )
        if isinstance(returned, Gaussian):
            _refuse_no_numbers(dict(zip(Gaussian._fields, returned, strict=True)), name, path, line)
        if isinstance(returned, Rates):
            _refuse_no_square(returned.Q, path, line)
        if part:
            _refuse_no_numbers({part: returned}, name, path, line)
        return _guarded_parts(returned, arguments[0], path, line) if isinstance(returned, Sde) else returned

    # What the signature was, for whoever asks how many arguments it takes.
    guarded.__signature__ = inspect.signature(plain)  # type: ignore[attr-defined]
    guarded.return_line = line  # type: ignore[attr-defined]
    return guarded


def _kept_by(module: types.ModuleType) -> str:
    """The global of a file that holds a value which is known only while a model runs; "" for none."""
    for name, value in vars(module).items():
        parts = jax.tree.leaves(value) if isinstance(value, list | dict | tuple) else [value]
        if name != "__builtins__" and any(isinstance(part, jax.core.Tracer) for part in parts):
            return name
    return ""


def _refuse_no_numbers(parts: dict[str, Any], name: str, path: str, line: int) -> None:
    # Of which shape they are is a matter of how many traits there are: see `returned_shapes`.
    for part, value in parts.items():
        _shape_of(value, f"the {part} of {name}", path, line)


def _refuse_no_square(rates: Any, path: str, line: int) -> None:
    import jax.numpy as jnp

    try:
        shape, kind = jnp.shape(rates), jnp.result_type(rates)
    except (TypeError, ValueError):
        raise InputError(
            f"the Q of Rates is no array: {_kind_of(rates)}",
            "Rates(jnp.array([[-a, a], [b, -b]])), for two states",
            file=path,
            line=line,
        ) from None
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] < 2 or jnp.issubdtype(kind, jnp.complexfloating):
        raise InputError(
            f"the Q of Rates has the shape {shape}",
            "a row and a column for every state, of real numbers",
            file=path,
            line=line,
        )


def _guarded_parts(sde: Sde, edge: Any, path: str, line: int) -> Sde:
    """A diffusion whose functions, of the state alone, name the file's line, and whose walls are looked at."""
    for name in ("low", "high"):
        if getattr(sde, name) is not None:
            _refuse_no_number(getattr(sde, name), f"the {name} of Sde", path, line)

    def guarded(part: Any, name: str) -> Any:
        if not callable(part):
            _refuse_no_number(part, f"the {name} of Sde", path, line)
            return part
        own = part.__code__.co_firstlineno if hasattr(part, "__code__") else line
        further = (edge,) if _takes_two(part) else ()

        @functools.wraps(part)
        def located(x: Any) -> Any:
            with _located(path, own):
                value = part(x, *further)
            _refuse_no_number(value, f"the {name} of a state", path, own)
            return value

        return located

    return sde._replace(drift=guarded(sde.drift, "drift"), diffusion=guarded(sde.diffusion, "diffusion"))


def _takes_two(part: Callable[..., Any]) -> bool:
    """Whether a function must have two arguments: the state and the edge."""
    try:
        parameters = inspect.signature(part).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(each.kind in positional and each.default is inspect.Parameter.empty for each in parameters) == 2


def _refuse_no_number(value: Any, what: str, path: str, line: int) -> None:
    """Raises for what is not one real number."""
    shape = _shape_of(value, what, path, line)
    if shape != ():
        raise InputError(
            f"{what} has the shape {shape}: a grid is of one trait",
            "return a number; several dimensions are not there yet",
            file=path,
            line=line,
        )


def _shape_of(value: Any, what: str, path: str, line: int) -> tuple[int, ...]:
    """The shape of a number or an array; raises for what is none of real numbers."""
    import jax.numpy as jnp

    try:
        if value is None or isinstance(value, str | bytes):
            raise TypeError
        shape, kind = jnp.shape(value), jnp.result_type(value)
    except (TypeError, ValueError):
        raise InputError(f"{what} is no number: {_kind_of(value)}", file=path, line=line) from None
    if jnp.issubdtype(kind, jnp.complexfloating):
        raise InputError(f"{what} is a complex number", file=path, line=line)
    return shape


class _located:  # noqa: N801
    """Turns what goes wrong inside the file into a refusal with its line."""

    def __init__(self, path: str, line: int | None = None) -> None:
        """Of a file; `line` where the mistake is none of its own lines'."""
        self.path, self.line = path, line

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        # JAX's paragraphs, and Python's own errors, become one sentence; refusals are sentences already.
        if error is None or not isinstance(error, Exception | SystemExit) or isinstance(error, HxError):
            return
        line = self.line
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == self.path:
                line = trace.tb_lineno
            trace = trace.tb_next
        said = next((text for kind, text in _SAYINGS.items() if isinstance(error, kind)), None)
        first = (str(error).strip().splitlines() or [""])[0]
        found = said or f"{type(error).__name__}: {first}"
        raise DeclarationError(found, file=self.path, line=line) from error


def _kind_of(value: Any) -> str:
    import jax

    if isinstance(value, jax.Array):
        return "a number" if value.ndim == 0 else f"an array of the shape {value.shape}"
    name = type(value).__name__
    return "nothing" if value is None else f"a{'n' * (name[0] in 'aeiou')} {name}"
