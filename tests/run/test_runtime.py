"""What is settled before JAX starts."""

from __future__ import annotations

import contextlib
import os
from unittest import mock

import pytest

from hxcli.errors import OptionError
from hxcli.run.runtime import RuntimeOptions, devices, prepare, started


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "gpu1"}, "no such kind of device"),
        ({"device": "cpu:x"}, "no such kind of device"),
        ({"precision": 16}, "not a precision"),
        ({"threads": 0}, "at least one thread"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        RuntimeOptions(**options)


def test_what_the_user_has_set_stays():
    flags = ["--xla_cpu_max_isa=AVX2", "--xla_cpu_use_fusion_emitters=true"]
    user = {"JAX_PLATFORMS": "tpu", "TF_CPP_MIN_LOG_LEVEL": "0", "XLA_FLAGS": " ".join(flags)}
    with mock.patch.dict(os.environ, user, clear=True):
        prepare(RuntimeOptions(device="cpu"))
        assert {name: os.environ[name] for name in user} == user
        prepare(RuntimeOptions(threads=1))
        assert os.environ["XLA_FLAGS"].split() == [*flags, "--xla_cpu_multi_thread_eigen=false"]
        assert os.environ["NPROC"] == "1"


def test_accelerators_are_looked_for_unless_the_cpu_is_asked_for():
    with mock.patch.dict(os.environ, clear=True):
        prepare(RuntimeOptions())
        assert "JAX_PLATFORMS" not in os.environ
        prepare(RuntimeOptions(device="cpu"))
        assert os.environ["JAX_PLATFORMS"] == "cpu"


def test_a_platform_that_jax_knows_and_that_is_not_installed_is_named(monkeypatch):
    def no_backend() -> None:
        raise AssertionError

    monkeypatch.setattr("jax.local_devices", no_backend)
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")

    def start(device: str | None = None) -> None:
        with started(RuntimeOptions(device)):
            pass

    for look in (devices, start, lambda: start("all")):
        with pytest.raises(OptionError, match=r"JAX cannot start: cuda is not here \(unset JAX_PLATFORMS"):
            look()


def test_a_run_leaves_jax_as_it_was(tmp_path, monkeypatch):
    import jax
    import jax.numpy as jnp

    monkeypatch.setenv("HX_CACHE_DIR", str(tmp_path / "ours"))
    users = {
        "jax_enable_x64": False,
        "jax_compilation_cache_dir": str(tmp_path / "theirs"),
        "jax_persistent_cache_min_compile_time_secs": 3.0,
        "jax_debug_nans": True,
        "jax_numpy_dtype_promotion": "strict",
        "jax_default_prng_impl": "rbg",
    }
    kept = {name: getattr(jax.config, name) for name in users}
    try:
        for name, value in users.items():
            jax.config.update(name, value)
        before, environment = dict(jax.config.values), dict(os.environ)
        with contextlib.suppress(KeyError), started(RuntimeOptions(own_process=False)) as runtime:
            assert jnp.zeros(1).dtype == jnp.float64
            assert jnp.isnan(jnp.log(jnp.float64(-1.0)) + jnp.float32(1.0))
            assert str(jax.random.key_impl(jax.random.key(0))) == "threefry2x32"
            assert jax.config.jax_compilation_cache_dir.startswith(str(tmp_path / "ours"))
            assert not runtime.notes
            raise KeyError
        assert dict(jax.config.values) == before
        assert dict(os.environ) == environment
        assert jnp.zeros(1).dtype == jnp.float32
    finally:
        for name, value in kept.items():
            jax.config.update(name, value)
