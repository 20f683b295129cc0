"""Runtime: device, precision, threads and compile cache - everything that must be settled before JAX starts."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hxcli.errors import Note, OptionError
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
        own_process: Whether the process is there for this run alone. Its environment is then set up too; a program that
            calls hxcli keeps its own.
    """

    device: str | None = None
    precision: int = 64
    threads: int | None = None
    cache: bool = True
    own_process: bool = True

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
    """

    devices: tuple[jax.Device, ...]
    precision: int
    notes: tuple[str, ...] = ()

    @property
    def device_name(self) -> str:
        """Kind and number, such as `gpu:1`; of several with a comma between them."""
        return ", ".join(map(name_of, self.devices))


def prepare(options: RuntimeOptions) -> None:
    """Sets what is to be settled before JAX or polars is imported: environment variables, how memory is given back.

    What the user has set stays as it is, and so does all of it where the process is not ours alone.
    """
    if not options.own_process:
        return
    if options.device is not None and options.device.startswith("cpu"):
        # Not even looking for accelerators is faster, and quiet where a driver is broken.
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
    if options.threads is not None:
        # The sizes of XLA's and polars' thread pools.
        os.environ["NPROC"] = os.environ["POLARS_MAX_THREADS"] = str(options.threads)
        if options.threads == 1:
            _set_unless_given("--xla_cpu_multi_thread_eigen=false")
    # This way to compile loops takes a third of the time of a first run, and makes no later one faster.
    _set_unless_given("--xla_cpu_use_fusion_emitters=false")
    # XLA's log is for its developers; what concerns the user comes as an exception. Even its errors are noise: it
    # logs one for every cached program that it reads on some processors (jax-ml/jax#38445).
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # The library that scipy loads: its searches run in threads side by side, whose systems of a few equations it would
    # spread over threads once more, all of which wait by going round in circles.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # By default JAX takes three quarters of a GPU's memory, from other users too.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    _give_back_arrays_from(_LARGE)


def _set_unless_given(flag: str) -> None:
    """Adds a flag of XLA to those of the environment, unless it is there with a value of the user's."""
    given = os.environ.get("XLA_FLAGS", "").split()
    if not any(each.partition("=")[0] == flag.partition("=")[0] for each in given):
        os.environ["XLA_FLAGS"] = " ".join([*given, flag])


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


@contextmanager
def started(options: RuntimeOptions) -> Iterator[Runtime]:
    """JAX, imported and set up for a run; afterwards, whatever happens, it has the settings that it had.

    Precision, device, and what decides a random number or refuses one that is not finite hold in this thread alone: a
    program's other threads go on under the settings of their own.

    Raises:
        OptionError: The device that was asked for is not here; the message names those that are.
    """
    prepare(options)
    import jax

    with _quiet_start():
        devices = tuple(_default_devices()) if options.device == _ALL else (_find(options.device),)
    with (
        jax.enable_x64(options.precision == 64),
        jax.default_device(devices[0]),
        jax.default_prng_impl("threefry2x32"),
        jax.threefry_partitionable(True),
        jax.numpy_dtype_promotion("standard"),
        jax.debug_nans(False),
        jax.debug_infs(False),
        jax.disable_jit(False),
        _compile_cache(options.cache, devices) as notes,
    ):
        yield Runtime(devices, options.precision, notes)


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


@contextmanager
def _compile_cache(wanted: bool, devices: Sequence[jax.Device]) -> Iterator[tuple[str, ...]]:
    """Within it compiled programs are kept in hxcli's cache; gives what the user should know about it."""
    import jax

    from hxcli.engine.program import kept_by

    before = {name: getattr(jax.config, name) for name in _CACHE_SETTINGS}
    opened, notes = _opened_cache() if wanted else (None, ())
    folder = None if opened is None else str(opened.session)
    with warnings.catch_warnings():
        # A program that cannot be read is compiled again, and one that cannot be written is not kept: nothing to say.
        warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation cache")
        try:
            _use_cache(dict(zip(_CACHE_SETTINGS, (opened is not None, folder, *_KEEP_ALL), strict=True)))
            # Arrays on several devices are left to JAX.
            with kept_by(opened if len(devices) == 1 else None, devices[0]):
                yield notes
        finally:
            _use_cache(before)
            if opened is not None:
                opened.close()


# Even the smallest program takes longer to compile than to load. XLA's own caches would put the session's folder, which
# is new every time, into the programs' keys.
_CACHE_SETTINGS = (
    "jax_enable_compilation_cache",
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
    "jax_persistent_cache_enable_xla_caches",
)
_KEEP_ALL = (0.0, -1, "none")


def _opened_cache() -> tuple[CompileCache | None, tuple[str, ...]]:
    try:
        return open_cache(cache_folder()), ()
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        where = getattr(error, "filename", None)
        place = f" in {where}" if where else ""
        return None, (Note(f"compiled programs are not kept{place}: {reason} (set HX_CACHE_DIR, or use --no-cache)"),)


def _use_cache(settings: Mapping[str, Any]) -> None:
    """Makes JAX keep its compiled programs as these settings say, from now on."""
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    # One process may start several runs, and JAX opens a cache folder only once.
    compilation_cache.reset_cache()
    for name, value in settings.items():
        jax.config.update(name, value)
