"""Programs that compile in half of the time and run slower: what a test of what is computed, not of how fast, needs."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

# XLA's way to compile loops that costs most; without it they are compiled as other operations are.
SLOWEST = "xla_cpu_use_fusion_emitters"


def compile_quickly(environment: MutableMapping[str, str]) -> None:
    """Sets the environment of tests, before jax is imported, unless it says how to compile (as `make slow` does)."""
    if "JAX_DISABLE_MOST_OPTIMIZATIONS" not in environment:
        environment["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
        environment["XLA_FLAGS"] = f"{environment.get('XLA_FLAGS', '')} --{SLOWEST}=false".strip()


@contextmanager
def usual_programs() -> Iterator[None]:
    """Compiles as users do, whatever the environment says; forgets the programs on both sides."""
    import jax
    from jax._src import compiler

    quick = compiler.get_compile_options

    def usual_options(*arguments: Any, **settings: Any) -> Any:
        options = quick(*arguments, **settings)
        options.env_option_overrides = [*options.env_option_overrides, (SLOWEST, True)]
        return options

    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    jax.clear_caches()
    try:
        with mock.patch.object(compiler, "get_compile_options", usual_options):
            yield
    finally:
        jax.config.update("jax_disable_most_optimizations", before)
        jax.clear_caches()
