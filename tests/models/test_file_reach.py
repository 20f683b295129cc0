"""Which model files say by their text alone what they compute, so that their programs may outlive a run."""

from __future__ import annotations

import ast

import pytest

from hxcli.models.file_reach import stands_alone
from hxcli.models.model_file import load_model_file

PLAIN = """
import math
import jax.numpy as jnp
import numpy as np
from hxcli.model import Gaussian, log_normal, param

TABLE = np.linspace(0, 1, 5)

def model(edge):
    alpha = log_normal("alpha", median=math.log(2), sd=2)
    return Gaussian(jnp.exp(-alpha * edge.length), 0.0, edge.length * jnp.asarray(TABLE).sum())
"""


def test_a_file_of_jax_numpy_and_declarations_stands_alone():
    assert stands_alone(ast.parse(PLAIN))


@pytest.mark.parametrize(
    "more",
    [
        "import os",
        "import mymodel",
        "from .near import speed",
        "import hxcli as hx",
        "from hxcli import read_tree",
        "import numpy.random",
        "from numpy import random",
        "from numpy import *",
        "import jax.experimental.io_callback",
        "from jax.experimental import io_callback",
        "RATE = np.load('rate.npy')",
        "RATE = np.loadtxt('rate.txt')",
        "RATE = np.random.default_rng().normal()",
        "RATE = float(open('rate.txt').read())",
        "exec('import os')",
        "RATE = __import__('time').time()",
        "RATE = getattr(np, 'lo' + 'ad')('rate.npy')",
        "RATE = np.__dict__['load']('rate.npy')",
        "RATE = hash('a word')",
        "def speed(x):\n    return jax.pure_callback(float, x, x)",
        "def speed(x):\n    jax.debug.print('x')\n    return x",
    ],
)
def test_a_file_that_reads_draws_or_calls_back_does_not(more):
    assert not stands_alone(ast.parse(PLAIN + "\n" + more))


def test_the_programs_of_a_file_depend_on_its_text(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(PLAIN)
    first = load_model_file(str(path)).program_identity
    assert load_model_file(str(path)).program_identity == first
    path.write_text(PLAIN.replace("sd=2", "sd=3"))
    assert load_model_file(str(path)).program_identity != first
    path.write_text(PLAIN + "\nimport os\n")
    assert PLAIN not in load_model_file(str(path)).program_identity[:-1]
    assert any(callable(part) for part in load_model_file(str(path)).program_identity)
