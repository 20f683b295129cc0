"""A process of its own that runs a program kept in a folder: `python -m tests.engine.kept_program FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from hxcli.engine import program as programs
from hxcli.engine.program import kept_by, program


class Folder:
    """A keeper on disk."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def get(self, name):
        path = self.folder / name
        return path.read_bytes() if path.exists() else None

    def put(self, name, data):
        (self.folder / name).write_bytes(data)


@program()
def root(a):
    sys.stdout.write("traced\n")
    return jnp.linalg.cholesky(a)


if __name__ == "__main__":
    # As a module that another process finds, not as the one that is run.
    from tests.engine import kept_program

    programs._PACKAGES = (*programs._PACKAGES, "tests")
    with jax.enable_x64(True), kept_by(Folder(sys.argv[1]), jax.devices()[0]):
        found = np.asarray(kept_program.root(np.array([[4.0, 2.0], [2.0, 5.0]])))
        sys.stdout.write(f"{found.tolist()}\n")
