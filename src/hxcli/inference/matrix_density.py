"""The posterior density of all parameters of a user's model of traits together, over coordinates without bounds.

A flat root and the means that have normal or flat priors are solved for at every set of the parameters, and their
uncertainty is in the density, which is that of the observations themselves or, with a flat root, of their contrasts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hxcli.engine.topology import BoolArray
from hxcli.inference.matrix_edges import have_covariances
from hxcli.inference.matrix_likelihood import MatrixLikelihood
from hxcli.inference.parameter_priors import ParameterPrior
from hxcli.inference.prior_coordinates import PriorCoordinates
from hxcli.inference.threads import SETS, in_threads
from hxcli.phylogeny import FloatArray
from hxcli.progress import tell

# A flat unknown of the mean with so many standard deviations of the values is not determined by them.
_LOOSE = 1e4
# Of an eigenvalue below 0, as a share, what is rounding.
_NEAR = 1e-9
# Places of which it is told how many are done, and the parts after which it is.
_MANY, _TOLD = 256, 4


class MatrixMeans(NamedTuple):
    """The unknowns of the mean given the observations, at K sets of the parameters, a flat root's D states first.

    Attributes:
        mean: (K, P).
        covariance: (K, P, P).
    """

    mean: FloatArray
    covariance: FloatArray


class MatrixDensity(PriorCoordinates):
    """The likelihood of D traits together times the priors of F parameters.

    Attributes:
        likelihood: With the normal priors of its unknowns of the mean, F coordinates.
    """

    def __init__(self, likelihood: MatrixLikelihood, priors: Sequence[ParameterPrior]) -> None:
        super().__init__(likelihood.coordinates, priors)
        self.likelihood = likelihood
        precisions = [precision for _, precision in likelihood.believed.values()]
        count = len(likelihood.unknowns)
        self._constant = (
            sum(math.log(each / (2 * math.pi)) for each in precisions) + count * math.log(2 * math.pi)
        ) / 2
        size = float(likelihood.units.scale.max())
        roots = likelihood.units.scale.tolist() if likelihood.placed.free_root else []
        # Of means it is not known of which trait they are.
        most = [*roots, *([size] * (count - len(roots)))]
        self._most = np.array(
            [
                math.inf if name in likelihood.believed else _LOOSE * each
                for name, each in zip(likelihood.unknowns, most, strict=True)
            ]
        )

    def __call__(self, w: FloatArray) -> FloatArray:
        """(K,) log posterior densities of the coordinates, up to the evidence; -inf where there is none."""
        return self.heights(w)[0]

    def heights(self, w: FloatArray) -> tuple[FloatArray, BoolArray]:
        """The log posterior densities, (K,), and where a flat unknown of the mean is hardly determined at all, (K,)."""
        heights, loose = [], []
        for edges, figures in self.likelihood.swept(self.search(w)):
            value, covariance, told = (
                np.asarray(each, float) for each in (figures.log_likelihood, figures.covariance, figures.identified)
            )
            with np.errstate(all="ignore"):
                value = value + _half_log_det(covariance, told > 0) + self._constant
                deviations = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
            heights.append(np.where(have_covariances(self.likelihood, edges), value, -np.inf))
            loose.append(((told <= 0) | (deviations > self._most)).any(1))
            if len(w) > _MANY and len(heights) % _TOLD == 0:
                tell(f"{len(heights) * len(value)} of {len(w)} {SETS}")
        total = np.concatenate(heights)[: len(w)] + self.log_prior(w)
        return np.where(np.isfinite(total), total, -np.inf), np.concatenate(loose)[: len(w)]

    def depths(self, w: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Minus the log posterior densities, (K,), and their gradients, (K, F); 1e300 and 0 where there is none."""
        heights, _ = self.heights(w)
        by_search = np.stack(in_threads(self._slopes, self.search(w)))
        gradients = self.slopes(w, by_search * self._of_search(w))
        sound = np.isfinite(heights) & np.isfinite(gradients).all(1)
        return np.where(sound, -heights, 1e300), np.where(sound[:, None], -gradients, 0.0)

    def traced(self, top: FloatArray) -> Callable[[Any], Any]:
        """The log posterior density at one place (F,), to be called while tracing; whatever the top is."""
        del top

        # Where there is no density there is no slope; what is computed there may be no number.
        @jax.custom_vjp
        def of_place(w: Any) -> Any:
            return self._traced_height(w)

        def with_slopes(w: Any) -> Any:
            value, slopes = jax.value_and_grad(self._traced_height)(w)
            return value, jnp.where(jnp.isfinite(value) & jnp.isfinite(slopes), slopes, 0.0)

        of_place.defvjp(with_slopes, lambda slopes, factor: (factor * slopes,))
        return of_place

    def search(self, w: FloatArray) -> FloatArray:
        """(K, F) the same places as the likelihood's search has them."""
        return self.search_of_values(self.values(w))

    def search_of_values(self, values: FloatArray) -> FloatArray:
        """(..., F) where the likelihood's search has parameters, (..., F)."""
        columns = [each.to_search(values[..., i]) for i, each in enumerate(self.likelihood.coordinates)]
        return np.stack(columns, -1) if columns else values

    def means(self, w: FloatArray) -> MatrixMeans:
        """The unknowns of the mean at K places."""
        parts = [figures for _, figures in self.likelihood.swept(self.search(w))]
        return MatrixMeans(
            *(
                np.concatenate([np.asarray(getattr(each, name), float) for each in parts])[: len(w)]
                for name in ("beta", "covariance")
            )
        )

    def _traced_height(self, w: Any) -> Any:
        """The log density at one place (F,), to be called while tracing."""
        likelihood = self.likelihood
        values = [prior.value(w[place]) for place, prior in enumerate(self.priors)]
        coordinates = zip(values, likelihood.coordinates, strict=True)
        x = jnp.stack([jnp.log(value) if each.log else value for value, each in coordinates])
        log_prior = sum(prior.log_density(w[place]) for place, prior in enumerate(self.priors))
        edges, figures = likelihood.traced(x)
        found = figures.log_likelihood + log_prior + self._constant
        if len(likelihood.unknowns):
            covariance = figures.covariance
            size = jnp.sqrt(jnp.diagonal(covariance))
            scaled = covariance / (size[:, None] * size[None])
            found = found + jnp.linalg.slogdet(scaled)[1] / 2 + jnp.log(size).sum()
        sound = jnp.isfinite(found) & _traced_covariances(likelihood, edges)
        return jnp.where(sound, found, -jnp.inf)

    def _slopes(self, x: FloatArray) -> FloatArray:
        """(F,) of the log likelihood, the means integrated out, by the search at one of its points, (F,)."""
        found, slopes = self.likelihood.figures_and_slopes(x)
        covariance, moved = found.covariance[0], slopes.covariance[0]
        if not (len(covariance) and np.isfinite(covariance).all()):
            return slopes.log_likelihood[0]
        size = np.sqrt(np.diag(covariance))
        size = np.where(size > 0, size, 1.0)
        inverse = np.linalg.pinv(covariance / size / size[:, None], hermitian=True) / size / size[:, None]
        return np.asarray(slopes.log_likelihood[0] + np.einsum("ij,jis->s", inverse, moved) / 2)

    def _of_search(self, w: FloatArray) -> FloatArray:
        """(K, F) slopes of the search by the parameters' values."""
        values = self.values(w)
        logs = np.array([each.log for each in self.likelihood.coordinates], bool)
        with np.errstate(divide="ignore"):
            return np.where(logs, 1 / values, 1.0)


def _half_log_det(covariance: FloatArray, told: BoolArray) -> FloatArray:
    """(K,) half the log determinants of matrices (K, P, P), of those rows that are told."""
    count = covariance.shape[-1]
    size = np.sqrt(np.where(told, np.diagonal(covariance, axis1=1, axis2=2), 1.0))
    scaled = covariance / size[:, :, None] / size[:, None]
    both = told[:, :, None] & told[:, None]
    sound = np.asarray(np.isfinite(scaled).all((1, 2)), bool)
    scaled = np.where(both & sound[:, None, None], scaled, np.eye(count))
    found = np.linalg.slogdet(scaled)[1] / 2 + np.log(size).sum(1)
    return np.where(sound, found, np.nan)


def _traced_covariances(likelihood: MatrixLikelihood, edges: Any) -> Any:
    """`have_covariances` at one point, while tracing."""
    unit, seen = jnp.asarray(likelihood.units.scale), np.unique(likelihood.observations.nodes)
    parts = [edges.variance[1:], edges.root_variance[None], *([] if edges.noise is None else [edges.noise[seen]])]
    matrices = jax.lax.stop_gradient(jnp.concatenate(parts) / (unit[:, None] * unit[None])[None])
    diagonal = jnp.diagonal(matrices, axis1=1, axis2=2)
    size = jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1.0))
    scaled = matrices / size[:, :, None] / size[:, None] + _NEAR * jnp.eye(len(unit))[None]
    return jnp.isfinite(jnp.linalg.cholesky(scaled)).all()
