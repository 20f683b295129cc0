"""What a model may return for an edge; the kind picks the engine. All are pytrees (`Sde`'s functions aside)."""

from __future__ import annotations

from typing import Any, NamedTuple


class _Gaussian(NamedTuple):
    scale: Any
    shift: Any
    variance: Any


class Gaussian(_Gaussian):
    """An edge on which the child is normal: `child ~ N(scale * parent + shift, variance)`.

    Scalars for one trait; for D traits together `scale` and `variance` are (D, D) and `shift` (D,). What `root()`
    returns has no parent: `Gaussian(mean=, variance=)` is the same with scale 0.

    Attributes:
        scale: What the parent's state is multiplied by, without a unit; 1 if left out.
        shift: Added to it, in trait units; 0 if left out.
        variance: In squared trait units; 0 or more.
    """

    __slots__ = ()

    def __new__(cls, scale: Any = None, shift: Any = 0.0, variance: Any = None, *, mean: Any = None) -> Gaussian:
        if variance is None:
            raise TypeError("a Gaussian needs a variance: Gaussian(scale, shift, variance)")
        if mean is not None:
            return super().__new__(cls, 0.0 if scale is None else scale, mean, variance)
        return super().__new__(cls, 1.0 if scale is None else scale, shift, variance)

    @property
    def mean(self) -> Any:
        """The mean where there is no parent."""
        return self.shift


class Rates(NamedTuple):
    """An edge on which a discrete state changes: `Q[i, j]` is the rate from state i to j, rows sum to 0.

    Attributes:
        Q: (k, k), per unit of edge length.
    """

    Q: Any


class Sde(NamedTuple):
    """An edge along which one trait follows dx = drift(x) dt + diffusion(x) dW (Ito).

    Attributes:
        drift: Function of the state, or a number; in a file, it may be a function of the state and the edge.
        diffusion: The same: the factor of dW, not its square.
        low, high: Ends of the state's range; None for an end that lies far out of the observed values.
        ends: What happens at `low` and `high`: `reflecting`, or `absorbing` (a lineage that gets there is lost).
        axis: In what the state's cells are equally wide: `linear`, `log` (the state is positive) or `sqrt` (positive).
    """

    drift: Any
    diffusion: Any
    low: Any = None
    high: Any = None
    ends: str = "reflecting"
    axis: str = "linear"
