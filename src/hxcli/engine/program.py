"""Program: a function that is compiled as a whole, and kept between processes with all that tracing made of it.

JAX's own cache keeps what XLA compiles, but a process must trace and lower a function before it knows what to look for,
and that takes longer than reading what was compiled. A `Program` is looked for by what tracing depends on: the sources
of this package, the function, the static arguments, the structure and the types of the others, and JAX's settings.
Whatever cannot be told apart with certainty is left to `jax.jit`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import inspect
import io
import os
import pickle
import sys
import threading
import types
import weakref
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import serialize_executable
from jax.experimental.compilation_cache import compilation_cache

# Whose functions and classes are the same wherever they have the same name; of this package the text is looked at.
_PACKAGES = (__name__.partition(".")[0], "jax", "builtins", "numpy", "collections")
# Settings under which a program is another one every time, or is not to be kept.
_SPECIAL = ("jax_disable_jit", "jax_debug_nans", "jax_debug_infs", "jax_check_tracer_leaks", "jax_enable_checks")
# Settings that hold within a context only.
_OF_THE_RUN = ("jax_enable_x64", "jax_threefry_partitionable", "jax_default_prng_impl", "jax_numpy_dtype_promotion")
# What the text of a program that calls LAPACK has.
_LAPACK = "@lapack_"
_OF_CACHES = ("jax_compilation_cache", "jax_persistent_cache", "jax_enable_compilation_cache")


class Keeper(Protocol):
    """A place for programs that outlives the process."""

    def get(self, name: str) -> bytes | None:
        """What was put there under this name; None where nothing whole is."""

    def put(self, name: str, data: bytes) -> None:
        """Keeps data under a name; never raises."""


@dataclasses.dataclass(frozen=True)
class _Place:
    keeper: Keeper
    device: jax.Device
    settings: str


# One for the process, not for a thread: programs are called in threads side by side.
_place: _Place | None = None


@contextmanager
def kept_by(keeper: Keeper | None, device: jax.Device) -> Iterator[None]:
    """Within it programs on this device are looked for in a place and put there; with None nowhere."""
    global _place
    before, _place = _place, None if keeper is None else _place_at(keeper, device)
    try:
        yield
    finally:
        _place = before


def _place_at(keeper: Keeper, device: jax.Device) -> _Place | None:
    settings: Any = jax.config
    if any(getattr(settings, name) for name in _SPECIAL) or (sources := _sources()) is None:
        return None
    of_jax = sorted((name, repr(value)) for name, value in settings.values.items() if not name.startswith(_OF_CACHES))
    now = [getattr(settings, name) for name in _OF_THE_RUN]
    # Constants of a program are numpy's work.
    about = [jax.__version__, np.__version__, sources, repr(of_jax), repr(now), os.environ.get("XLA_FLAGS", "")]
    return _Place(keeper, device, "\n".join([*about, device.device_kind, str(device), str(jax.device_count())]))


_programs: weakref.WeakSet[Program] = weakref.WeakSet()


def forget_programs() -> None:
    """Lets go of all kept programs that this process has loaded, as `jax.clear_caches` does of JAX's own."""
    for each in _programs:
        each._found.clear()


class Program:
    """`jax.jit` of a function, which a run finds compiled where an earlier one has kept it.

    Called while tracing, with arrays that lie elsewhere than on the run's device, or outside of `kept_by`, it is
    `jax.jit` of the function and nothing else.

    A static argument is told apart by its value where that consists of Python's own, of types, functions and data
    classes of this package, or has a `program_identity` that does.

    Args:
        function: Of pytrees.
        static_argnums, static_argnames: As `jax.jit` takes them.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        static_argnums: int | Sequence[int] = (),
        static_argnames: str | Sequence[str] = (),
    ) -> None:
        self._function = function
        numbers = {static_argnums} if isinstance(static_argnums, int) else set(static_argnums)
        named = {static_argnames} if isinstance(static_argnames, str) else set(static_argnames)
        # As JAX does: an argument that is static by its name is so by its place too.
        names = list(inspect.signature(function).parameters)
        self._numbers = frozenset(numbers | {names.index(name) for name in named})
        self._names = frozenset(named | {names[number] for number in numbers})
        self._jitted = jax.jit(function, static_argnums=sorted(self._numbers), static_argnames=sorted(self._names))
        self._found: dict[Any, tuple[Any, Any] | None] = {}
        _programs.add(self)
        functools.update_wrapper(self, function)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        place = _place
        if place is None:
            return self._jitted(*arguments, **named)
        free = {number: value for number, value in enumerate(arguments) if number not in self._numbers}
        free_named = {name: value for name, value in named.items() if name not in self._names}
        leaves, structure = jax.tree.flatten((free, free_named))
        kinds = tuple(_kind(leaf, place.device) for leaf in leaves)
        if None in kinds:
            return self._jitted(*arguments, **named)
        fixed = (
            tuple((number, arguments[number]) for number in sorted(self._numbers) if number < len(arguments)),
            tuple((name, named[name]) for name in sorted(self._names & named.keys())),
        )
        key = place.settings, structure, kinds, fixed
        if key not in self._found:
            self._found[key], values = self._kept(place, structure, kinds, fixed, leaves)
        else:
            values = None
        found = self._found[key]
        if found is None:
            return self._jitted(*arguments, **named)
        compiled, result = found
        return jax.tree.unflatten(result, compiled(*leaves) if values is None else values)

    def _kept(self, place: _Place, structure: Any, kinds: Any, fixed: Any, leaves: list[Any]) -> tuple[Any, Any]:
        """The compiled program with the structure of its result, None where it is not one to be kept; and the result.

        The result is there where the program was read: only one that runs is taken.
        """
        try:
            depends = self._function, fixed, kinds, structure
            name = hashlib.sha256("\n".join([place.settings, *_words(depends)]).encode()).hexdigest()
        except _Unknown:
            return None, None
        # Whatever goes wrong from here on, JAX's own way is still there; an error of the function itself comes from it.
        with contextlib.suppress(Exception):
            if (data := place.keeper.get(name)) is not None:
                compiled, result = _loaded(data, len(leaves), place.device)
                return (compiled, result), jax.block_until_ready(compiled(*leaves))
        with contextlib.suppress(Exception):
            compiled, result, by_lapack = self._compiled(structure, fixed, leaves)
            with contextlib.suppress(Exception):
                place.keeper.put(name, _stored(compiled, result, by_lapack))
            return (compiled, result), None
        return None, None

    def _compiled(self, structure: Any, fixed: Any, leaves: list[Any]) -> tuple[Any, Any, bool]:
        """The compiled program, the structure of its result, and whether it calls LAPACK."""
        results: list[Any] = []

        @functools.wraps(self._function)
        def flat(*leaves: Any) -> Any:
            free, named = jax.tree.unflatten(structure, leaves)
            by_number = {**free, **dict(fixed[0])}
            found = self._function(*(by_number[number] for number in range(len(by_number))), **named, **dict(fixed[1]))
            values, result = jax.tree.flatten(found)
            results.append(result)
            return values

        # Its signature is that of the function, which is not its own.
        del flat.__wrapped__
        lowered = jax.jit(flat).lower(*leaves)
        with _without_jax_cache():
            return lowered.compile(), results[-1], _LAPACK in lowered.as_text()


def program(
    static_argnums: int | Sequence[int] = (), static_argnames: str | Sequence[str] = ()
) -> Callable[[Callable[..., Any]], Program]:
    """Makes a function a `Program`; the arguments are those of `jax.jit`."""
    return lambda function: Program(function, static_argnums, static_argnames)


_compiling = threading.RLock()


@contextmanager
def _without_jax_cache() -> Iterator[None]:
    """Within it XLA compiles: of what it has read from JAX's cache it writes no whole program."""
    enabled: Any = jax.config
    with _compiling:
        before = enabled.jax_enable_compilation_cache
        jax.config.update("jax_enable_compilation_cache", False)
        # JAX looks at the setting only once.
        compilation_cache.reset_cache()
        try:
            yield
        finally:
            jax.config.update("jax_enable_compilation_cache", before)
            compilation_cache.reset_cache()


class _Unknown(Exception):
    """Something of which two processes cannot tell whether it is the same."""


def _kind(leaf: Any, device: jax.Device) -> Any:
    """What tracing sees of an argument; None of one that cannot be an argument of a kept program."""
    if isinstance(leaf, jax.Array):
        if isinstance(leaf, jax.core.Tracer) or leaf.devices() != {device}:
            return None
        if jnp.issubdtype(leaf.dtype, jax.dtypes.extended):
            # A key of random numbers.
            return None
        return leaf.shape, str(leaf.dtype), leaf.weak_type
    if isinstance(leaf, np.ndarray | np.generic):
        return leaf.shape, str(leaf.dtype), False
    if type(leaf) in (bool, int, float):
        return (), type(leaf).__name__, True
    return None


def _words(thing: Any) -> Iterator[str]:
    """Words that tell things apart, and are the same in every process; an `_Unknown` where there are none."""
    waiting = [thing]
    while waiting:
        each = waiting.pop()
        if each is None or isinstance(each, bool | int | float | str | bytes | np.dtype):
            yield f"{type(each).__name__} {each!r}"
        elif isinstance(each, tuple | list):
            yield f"{type(each).__qualname__} of {len(each)}"
            waiting += each
        elif isinstance(each, dict):
            yield f"dict of {len(each)}"
            waiting += [part for item in each.items() for part in item]
        elif isinstance(each, jax.tree_util.PyTreeDef):
            about, parts = each.node_data(), each.children()
            yield f"structure with {len(parts)}"
            waiting += [*(about or ("leaf",)), *parts]
        elif each is type(None):
            yield "None"
        elif isinstance(each, type | types.FunctionType):
            yield _place_of(each)
        elif hasattr(each, "program_identity"):
            yield _place_of(type(each))
            waiting.append(each.program_identity)
        elif dataclasses.is_dataclass(each) and type(each).__eq__ is not object.__eq__:
            yield _place_of(type(each))
            waiting += [getattr(each, field.name) for field in dataclasses.fields(each)]
        else:
            raise _Unknown


def _place_of(named: Any) -> str:
    """Where a function or a class is written, if it is there that a process finds it."""
    found: Any = None
    if named.__module__.partition(".")[0] in _PACKAGES:
        with contextlib.suppress(AttributeError):
            found = functools.reduce(getattr, named.__qualname__.split("."), sys.modules.get(named.__module__))
    if getattr(found, "_function", found) is not named:
        raise _Unknown
    return f"{named.__module__} {named.__qualname__}"


@functools.cache
def _sources() -> str | None:
    """A digest of this package's files, as Python itself tells whether a source has changed; None without files."""
    digest, waiting = hashlib.sha256(), [str(Path(__file__).parent.parent)]
    try:
        while waiting:
            with os.scandir(waiting.pop()) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    if entry.is_dir():
                        waiting.append(entry.path)
                    elif entry.name.endswith(".py"):
                        about = entry.stat()
                        digest.update(f"{entry.path}\0{about.st_size}\0{about.st_mtime_ns}\n".encode(errors="replace"))
    except OSError:
        return None
    return digest.hexdigest()


@functools.cache
def _find_lapack() -> None:
    """Makes LAPACK's functions known to XLA, which JAX does no sooner than it lowers a program that calls one.

    A program that calls them before that ends the process.
    """
    jax.jit(jax.lax.linalg.cholesky).lower(jax.ShapeDtypeStruct((1, 1), jnp.float32))


def _stored(compiled: Any, result: Any, by_lapack: bool) -> bytes:
    data, _, _ = serialize_executable.serialize(compiled)
    return zlib.compress(pickle.dumps((data, result, by_lapack)), 1)


def _loaded(stored: bytes, count: int, device: jax.Device) -> tuple[Any, Any]:
    data, result, by_lapack = pickle.load(io.BytesIO(zlib.decompress(stored)))
    if by_lapack:
        _find_lapack()
    taken = jax.tree.structure((tuple(range(count)), {}))
    given = jax.tree.structure([0] * result.num_leaves)
    compiled = serialize_executable.deserialize_and_load(data, taken, given, device.client, [device])
    return compiled, result
