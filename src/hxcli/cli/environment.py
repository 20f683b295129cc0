"""Environment variables of libraries that would change what `hx` computes or says: out of the way before any import.

A person sets them for other programs. What chooses a device stays, and so do the numbers of threads that make sense.
"""

from __future__ import annotations

import os

# Beside these, whatever begins so is for developers: promotion of types, searches for nan, logs, tables' looks.
_FOREIGN = ("JAX_", "POLARS_", "TF_CPP_", "GLOG_")
_KEPT = {
    "JAX_PLATFORMS",
    "JAX_PLATFORM_NAME",
    "JAX_CUDA_VISIBLE_DEVICES",
    "JAX_ROCM_VISIBLE_DEVICES",
    "JAX_COORDINATOR_ADDRESS",
    "JAX_COORDINATOR_PORT",
    "JAX_NUM_PROCESSES",
    "JAX_PROCESS_ID",
    "JAX_LOCAL_DEVICE_IDS",
    # Programs that compile sooner and run slower, the same otherwise.
    "JAX_DISABLE_MOST_OPTIMIZATIONS",
}
# The numbers of threads of XLA, polars, OpenMP and the libraries of linear algebra.
_THREADS = (
    "NPROC",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
)


# Bytes of address space.
_LEAST_MEMORY = 1_300_000_000


def settle_environment() -> None:
    """Removes the variables that are for others, and numbers of threads that are none."""
    for name in list(os.environ):
        if name.startswith(_FOREIGN) and name not in _KEPT and name not in _THREADS:
            del os.environ[name]
    # XLA ends the process at the first that it does not know.
    if flags := os.environ.get("XLA_FLAGS"):
        os.environ["XLA_FLAGS"] = " ".join(flag for flag in flags.split() if flag.startswith("--xla_"))
    for name in _THREADS:
        number = os.environ.get(name, "1").strip()
        if not (number.isascii() and number.isdigit() and 1 <= int(number[:9]) <= 1_000_000):
            del os.environ[name]


def too_little_memory() -> str | None:
    """Why no library can be loaded that computes, in words; None where they can be.

    In a smaller address space they end the process with traces of their own.
    """
    try:
        import resource
    except ImportError:
        # No such limit on this system.
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY or limit >= _LEAST_MEMORY:
        return None
    return f"memory is limited to {limit / 1e9:.2g} GB, which is too little (2 GB are enough: ulimit -v)"
