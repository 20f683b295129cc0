"""Whether a curvature is that of a likelihood, or rounding."""

from __future__ import annotations

import numpy as np
import pytest

from hxcli.inference.optimum_certificate import falls_as_it_bends

ENDS = np.array([[-np.inf, np.inf], [-np.inf, np.inf]])
FREE = np.array([True, True])


@pytest.mark.parametrize("curvature", [-1e-13, -1e-6])
def test_a_direction_along_which_nothing_falls_has_no_curvature(curvature: float) -> None:
    def heights(x: np.ndarray) -> np.ndarray:
        return -50.0 - 8 * (x[:, 0] + x[:, 1]) ** 2

    across = np.array([[1.0, 1.0], [1.0, 1.0]]) / 2
    hessian = -32 * across + curvature * (np.eye(2) - across)
    assert not falls_as_it_bends(heights, ENDS, np.zeros(2), FREE, hessian, -50.0)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_a_maximum_falls_in_whatever_unit(unit: float) -> None:
    def heights(x: np.ndarray) -> np.ndarray:
        return -50.0 - 8 * x[:, 0] ** 2 - 2 * (x[:, 1] / unit) ** 2

    hessian = np.diag([-16.0, -4 / unit**2])
    assert falls_as_it_bends(heights, ENDS, np.zeros(2), FREE, hessian, -50.0)
    # What lies beyond an end is not asked for.
    ends = np.array([[-1e-9, 1e-9], [-1e-9 * unit, 1e-9 * unit]])
    assert falls_as_it_bends(lambda x: np.full(len(x), -50.0), ends, np.zeros(2), FREE, hessian, -50.0)
    assert falls_as_it_bends(heights, ENDS, np.zeros(2), ~FREE, np.zeros((0, 0)), -50.0)
