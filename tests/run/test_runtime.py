"""What is settled before JAX starts."""

from __future__ import annotations

import os
from unittest import mock

import pytest

from hxcli.errors import OptionError
from hxcli.run.runtime import RuntimeOptions, devices, prepare, start


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
    user = {"JAX_PLATFORMS": "tpu", "TF_CPP_MIN_LOG_LEVEL": "0", "XLA_FLAGS": "--xla_cpu_max_isa=AVX2"}
    with mock.patch.dict(os.environ, user, clear=True):
        prepare(RuntimeOptions(device="cpu"))
        assert {name: os.environ[name] for name in user} == user
        prepare(RuntimeOptions(threads=1))
        assert os.environ["XLA_FLAGS"].split() == ["--xla_cpu_max_isa=AVX2", "--xla_cpu_multi_thread_eigen=false"]
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
    for look in (devices, lambda: start(RuntimeOptions()), lambda: start(RuntimeOptions(device="all"))):
        with pytest.raises(OptionError, match=r"JAX cannot start: cuda is not here \(unset JAX_PLATFORMS"):
            look()
