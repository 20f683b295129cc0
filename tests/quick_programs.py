"""Programs that compile in half of the time and run slower, for tests of what a program computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import jax
from jax._src import compiler

# XLA's way to compile loops that costs most; without it they are compiled as other operations are.
SLOWEST = ("xla_cpu_use_fusion_emitters", False)

# The same for the environment of a process.
QUICK = {
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_cpu_use_fusion_emitters=false",
}


@contextmanager
def quick_programs() -> Iterator[None]:
    """Compiles without the optimisations that take longest; forgets the programs, so that no other test runs one."""
    usual = compiler.get_compile_options

    def quick_options(*arguments: Any, **settings: Any) -> Any:
        options = usual(*arguments, **settings)
        options.env_option_overrides = [*options.env_option_overrides, SLOWEST]
        return options

    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        with mock.patch.object(compiler, "get_compile_options", quick_options):
            yield
    finally:
        jax.config.update("jax_disable_most_optimizations", before)
        jax.clear_caches()
