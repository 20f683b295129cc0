"""Runtime: device, precision, threads and compile cache - everything that must be settled before JAX starts."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hxcli.errors import OptionError
from hxcli.run.compile_cache import CompileCache, cache_folder, open_cache

if TYPE_CHECKING:
    import jax

_PLATFORMS = ("cpu", "gpu", "tpu")
_ALL = "all"
# As in malloc.h of glibc; bytes.
_TRIM_THRESHOLD, _SPARE = -1, 256 * 2**20
_MMAP_THRESHOLD, _LARGE, _LARGEST = -3, 8 * 2**20, 32 * 2**20


@dataclass(frozen=True)
class RuntimeOptions:
    """Where and how precisely to compute.

    Attributes:
        device: `cpu`, `gpu`, `tpu` or one of several by its number, such as `gpu:1`; `all` for all of the kind that JAX
            chooses; None for JAX's own choice.
        precision: Bits of a floating-point number, 64 or 32.
        threads: Number of threads that JAX may use on the CPU; None for all.
        cache: Whether compiled programs are kept on disk between runs.
    """

    device: str | None = None
    precision: int = 64
    threads: int | None = None
    cache: bool = True

    def __post_init__(self) -> None:
        if self.device is not None and not re.fullmatch(rf"({'|'.join(_PLATFORMS)})(:\d+)?|{_ALL}", self.device):
            raise OptionError(f"--device {self.device}: no such kind of device (use cpu, gpu, gpu:1, tpu or all)")
        if self.precision not in (64, 32):
            raise OptionError(f"--precision {self.precision}: not a precision (use 64 or 32)")
        if self.threads is not None and self.threads < 1:
            raise OptionError(f"--threads {self.threads}: at least one thread is needed")


@dataclass(frozen=True, eq=False)
class Runtime:
    """JAX as it was started.

    Attributes:
        devices: The devices that compute, the default one first.
        precision: Bits of a floating-point number.
        notes: What the user should know, a sentence each.
        cache: The session on the compile cache; None without one.
    """

    devices: tuple[jax.Device, ...]
    precision: int
    notes: tuple[str, ...] = ()
    cache: CompileCache | None = None

    @property
    def device_name(self) -> str:
        """Kind and number, such as `gpu:1`; of several with a comma between them."""
        return ", ".join(map(name_of, self.devices))

    def close(self) -> None:
        """Hands the programs that were compiled to later runs, and leaves JAX without a cache folder."""
        if self.cache is not None:
            _use_folder(None)
            self.cache.close()


def prepare(options: RuntimeOptions) -> None:
    """Sets what is to be settled before JAX or polars is imported: environment variables, how memory is given back.

    What the user has set stays as it is.
    """
    if options.device is not None and options.device.startswith("cpu"):
        # Not even looking for accelerators is faster, and quiet where a driver is broken.
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
    if options.threads is not None:
        # The sizes of XLA's and polars' thread pools.
        os.environ["NPROC"] = os.environ["POLARS_MAX_THREADS"] = str(options.threads)
        if options.threads == 1:
            os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false".strip()
    # XLA's log is for its developers; what concerns the user comes as an exception. Even its errors are noise: it
    # logs one for every cached program that it reads on some processors (jax-ml/jax#38445).
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # By default JAX takes three quarters of a GPU's memory, from other users too.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    _give_back_arrays_from(_LARGE)


def keep_freed_memory() -> None:
    """Makes the C library keep the memory of freed arrays for those that follow: for work that is done again and again.

    A page that the system gives takes longer than what is computed on it.
    """
    _give_back_arrays_from(_LARGEST)


def _give_back_arrays_from(size: int) -> None:
    """Makes the C library return the memory of an array of that size to the system as soon as it is freed.

    glibc does so from a size on that it raises to 32 MiB as it goes, and at a million tips holds on to half a gigabyte.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        # Other C libraries have no such function.
        glibc = ctypes.CDLL(None)
        glibc.mallopt(_MMAP_THRESHOLD, size)
        # Setting that one makes it give back every small piece at once, only to ask for it again.
        glibc.mallopt(_TRIM_THRESHOLD, _SPARE)


def start(options: RuntimeOptions) -> Runtime:
    """Imports JAX and sets it up; `close` the result when the work is done.

    Raises:
        OptionError: The device that was asked for is not here; the message names those that are.
    """
    prepare(options)
    import jax

    jax.config.update("jax_enable_x64", options.precision == 64)
    with _quiet_start():
        devices = tuple(_default_devices()) if options.device == _ALL else (_find(options.device),)
    jax.config.update("jax_default_device", devices[0])
    cache, notes = _start_cache(options.cache)
    return Runtime(devices, options.precision, notes, cache)


@contextmanager
def started(options: RuntimeOptions) -> Iterator[Runtime]:
    """`start` for a `with` statement, which closes the runtime whatever happens in it."""
    runtime = start(options)
    try:
        yield runtime
    finally:
        runtime.close()


@dataclass(frozen=True)
class DeviceList:
    """What JAX sees on this machine.

    Attributes:
        devices: (name, model) of every device, such as `("gpu:0", "NVIDIA H100")`; JAX's own choice comes first.
        notes: What JAX said while it looked, such as a GPU for which its plugin is missing.
        versions: Package -> version.
        cache: The folder of the compile cache; "" where there is none.
    """

    devices: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    versions: dict[str, str]
    cache: str


def devices() -> DeviceList:
    """Lists the devices that `--device` can name."""
    prepare(RuntimeOptions())
    with _quiet_start() as said:
        found = _all_devices()
    try:
        folder = str(cache_folder())
    except RuntimeError:
        folder = ""
    return DeviceList(tuple((name_of(d), d.device_kind) for d in found), tuple(said), versions(), folder)


def versions() -> dict[str, str]:
    """Library -> version, for those that decide what is computed."""
    import jax
    import jaxlib.version
    import numpy as np

    python = ".".join(map(str, sys.version_info[:3]))
    return {"jax": jax.__version__, "jaxlib": jaxlib.version.__version__, "numpy": np.__version__, "Python": python}


def name_of(device: jax.Device) -> str:
    """Kind and number, such as `gpu:1`: what `--device` takes."""
    platform = device.platform if device.platform in _PLATFORMS else "gpu"
    return f"{platform}:{device.id}"


def _find(name: str | None) -> jax.Device:
    import jax

    default = _default_devices()
    if name is None:
        return default[0]
    platform, _, number = name.partition(":")
    with contextlib.suppress(RuntimeError):
        for device in jax.local_devices(backend=platform):
            if not number or device.id == int(number):
                return device
    here = ", ".join(name_of(device) for device in _all_devices())
    raise OptionError(f"--device {name}: not here; JAX sees {here} (`hx devices` tells more)")


def _default_devices() -> list[jax.Device]:
    """The devices that JAX chooses; an OptionError where the environment asks for a platform that is not there."""
    import jax

    try:
        return jax.local_devices()
    except (RuntimeError, AssertionError) as error:
        # An assertion is all that JAX says of a platform that it knows and whose plugin is not installed.
        wanted = os.environ.get("JAX_PLATFORMS")
        reason = str(error) or f"{wanted} is not here (unset JAX_PLATFORMS, or install JAX for it)"
        raise OptionError(f"JAX cannot start: {reason}".splitlines()[0]) from error


def _all_devices() -> list[jax.Device]:
    import jax

    found = list(_default_devices())
    for platform in _PLATFORMS:
        with contextlib.suppress(RuntimeError):
            found += [d for d in jax.local_devices(backend=platform) if d not in found]
    return found


@contextmanager
def _quiet_start() -> Iterator[list[str]]:
    """Takes what JAX logs while it looks for devices aside, and gives it as a list."""
    said: list[str] = []

    class Aside(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    logger, handler = logging.getLogger("jax._src.xla_bridge"), Aside(logging.WARNING)
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield said
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


def _start_cache(wanted: bool) -> tuple[CompileCache | None, tuple[str, ...]]:
    import jax

    jax.config.update("jax_enable_compilation_cache", wanted)
    if not wanted:
        return None, ()
    try:
        cache = open_cache(cache_folder())
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        where = getattr(error, "filename", None)
        place = f" in {where}" if where else ""
        jax.config.update("jax_enable_compilation_cache", False)
        return None, (f"compiled programs are not kept{place}: {reason} (set HX_CACHE_DIR, or use --no-cache)",)
    # A program that cannot be read is compiled again, and one that cannot be written is not kept: nothing to say.
    warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation cache")
    _use_folder(str(cache.session))
    # Even the smallest program takes longer to compile than to load.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    # XLA would put the session's folder, which is new every time, into the programs' keys.
    jax.config.update("jax_persistent_cache_enable_xla_caches", "none")
    return cache, ()


def _use_folder(folder: str | None) -> None:
    """Makes JAX keep its compiled programs in a folder, from now on."""
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    # One process may start several runs, and JAX opens a cache folder only once.
    compilation_cache.reset_cache()
    jax.config.update("jax_compilation_cache_dir", folder)
