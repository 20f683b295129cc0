"""Akaike's information criterion, as everything that is fitted by likelihood has it."""

from __future__ import annotations

import math


class Akaike:
    """What has `n`, `k` and `log_likelihood` has these too.

    Attributes:
        n: Number of tips or rows with a value.
        k: Number of estimated parameters.
        log_likelihood: At its maximum.
    """

    n: int
    k: int
    log_likelihood: float

    @property
    def aic(self) -> float:
        """Akaike's information criterion."""
        return aic(self.log_likelihood, self.k)

    @property
    def aicc(self) -> float:
        """The same corrected for few values."""
        return aicc(self.log_likelihood, self.k, self.n)


def aic(log_likelihood: float, k: int) -> float:
    """Akaike's information criterion."""
    return 2 * k - 2 * log_likelihood


def aicc(log_likelihood: float, k: int, n: int) -> float:
    """The same corrected for few values (Hurvich and Tsai 1989, Biometrika 76:297); infinite where n <= k + 1."""
    spare = n - k - 1
    return aic(log_likelihood, k) + 2 * k * (k + 1) / spare if spare > 0 else math.inf
