"""Generalised least squares along a tree: the unknowns, the likelihood and the states of all nodes, from its contrasts.

With Q = [y X]' V^-1 [y X] from `hxcli.prebuilt.gls`, at unit rate or at the variances themselves,

    beta = Q_XX^-1 Q_Xy,    Cov(beta) = sigma2 Q_XX^-1,    rss = sum of weight * (contrast_y - contrast_X beta)^2,
    ML:   -2 log L = n log(2 pi sigma2) + log|V| + rss / sigma2,
    REML: -2 log L = (n - p) log(2 pi sigma2) + log|V| + log|Q_XX| + rss / sigma2,

where sigma2 is 1, or rss / n (ML) or rss / (n - p) (REML), the value that maximises it (Patterson and Thompson 1971,
Biometrika 58:545; Harville 1974, Biometrika 61:383). The sum of squares is one of residuals, never a difference of
sums.

A normal prior of an unknown is one more observation of it: its mean, with the prior's variance as its error.

Where the root is observed exactly and has no variance, beta meets that observation exactly: the least squares under one
linear constraint, and the limit of the above as the root's variance goes to 0.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from hxcli.prebuilt.gls import Swept, over_nodes, sweep_down

# Share of an unknown's information that must be its own, not shared with the unknowns before it.
_OWN_SHARE = 1e-13
_REFINEMENTS = 2
# Sums of products that are taken one by one.
_FEW = 9


class Solution(NamedTuple):
    """Estimates of the P unknowns of K columns.

    Attributes:
        beta: (K, P); 0 for an unknown that the observations and the unknowns before it do not identify.
        covariance: (K, P, P) of beta, at sigma2 = 1.
        rss: (K,) weighted sum of squared residuals.
        log_information: (K,) log|Q_XX|.
        rank: (K,) number of identified unknowns.
        count: (K,) number of one-dimensional densities of the likelihood.
        freedom: (K,) number of those of the restricted likelihood.
        log_det: (K,) log|V|.
        possible: (K,) false where no values of the unknowns could give these observations.
    """

    beta: Any
    covariance: Any
    rss: Any
    log_information: Any
    rank: Any
    count: Any
    freedom: Any
    log_det: Any
    possible: Any

    def log_likelihood(self, restricted: bool, sigma2: Any = 1.0) -> Any:
        """(K,) log likelihood at the best beta, the variances times sigma2; -inf where it is impossible."""
        size = self.freedom if restricted else self.count
        width = self.log_information if restricted else 0
        found = -(size * jnp.log(2 * np.pi * sigma2) + self.log_det + width + self.rss / sigma2) / 2
        return jnp.where(self.possible, found, -jnp.inf)

    def best_rate(self, restricted: bool) -> Any:
        """(K,) the sigma2 that maximises the likelihood; nan without degrees of freedom."""
        size = self.freedom if restricted else self.count
        return jnp.where(size > 0, self.rss / jnp.maximum(size, 1), jnp.nan)

    def profiled(self, restricted: bool) -> Any:
        """(K,) log likelihood at the best beta and sigma2; inf where nothing varies, nan without degrees of freedom."""
        rate = self.best_rate(restricted)
        size = self.freedom if restricted else self.count
        width = self.log_information if restricted else 0
        varies = rate > 0
        found = -(size * (jnp.log(2 * np.pi * jnp.where(varies, rate, 1)) + 1) + self.log_det + width) / 2
        found = jnp.where(varies, found, jnp.where(rate == 0, jnp.inf, jnp.nan))
        return jnp.where(self.possible, found, -jnp.inf)


def solve(swept: Swept, prior: Any = None) -> Solution:
    """Solves for the unknowns of every column; to be called while tracing, and differentiable.

    Args:
        swept: From `sweep_up`.
        prior: (2, P) means and precisions of the unknowns' normal priors, a precision of 0 for a flat one; None for
            flat ones. The variances must then be those themselves, not at a rate of 1.
    """
    contrast, root, weight = swept.contrast, swept.tree["mean"][0], swept.weight
    count, log_det = swept.count, swept.log_det
    if prior is not None:
        proper = prior[1] > 0
        rows = jnp.concatenate([prior[0][:, None], jnp.eye(len(proper))], 1)[:, None]
        contrast = jnp.concatenate([contrast, jnp.broadcast_to(rows, (len(proper), *contrast.shape[1:]))])
        weight = jnp.concatenate([weight, jnp.broadcast_to(prior[1][:, None], (len(proper), weight.shape[1]))])
        count = count + proper.sum()
        log_det = log_det - jnp.log(jnp.where(proper, prior[1], 1)).sum()
    # Any weight of the contrast that the constraint makes 0 gives the same answer: one of the size of the others.
    usual = lax.stop_gradient(over_nodes(swept.weight) / len(swept.weight))
    at_root = jnp.where(swept.fixed, jnp.where(usual > 0, usual, 1), weight[0])
    weighted = weight.at[0].set(at_root)[:, :, None] * contrast
    products = _sums(weighted, contrast)
    solved, log_information, rank = _sweep(products)
    beta, covariance = solved[:, 1:, 0], -solved[:, 1:, 1:]
    # The constraint, by its Lagrange multiplier.
    response, side = root[:, 0], root[:, 1:]
    direction = _times(covariance, side)
    strength = (direction * side).sum(1)
    held = swept.fixed & (strength > 0)
    safe = jnp.where(held, strength, 1)
    beta = beta - jnp.where(held, ((beta * side).sum(1) - response) / safe, 0)[:, None] * direction
    along = jnp.where(held, 1 / safe, 0)[:, None, None] * direction[:, :, None] * direction[:, None]
    covariance = covariance - along
    log_information = log_information + jnp.where(held, jnp.log(safe), 0)
    for _ in range(_REFINEMENTS):
        residual = _residual(contrast, beta)
        beta = beta + _times(covariance, _sums(weighted[:, :, 1:], residual[:, :, None])[:, :, 0])
    residual = _residual(contrast, beta)
    squares = weight * residual**2
    squares = squares.at[0].set(jnp.where(swept.fixed, 0, squares[0]))
    return Solution(
        beta=beta,
        covariance=covariance,
        rss=swept.misfit + over_nodes(squares),
        log_information=log_information,
        rank=rank,
        count=count,
        freedom=count + held - rank,
        log_det=log_det,
        possible=swept.possible & (~swept.fixed | held | (response == 0)),
    )


def estimates(
    swept: Swept, solution: Solution, design: Any, sigma2: Any, deviations: tuple[Any, Any] | None = None
) -> tuple[Any, Any]:
    """Both (N, K): best linear unbiased prediction of every node's state and its variance, beta's uncertainty included.

    Goldberger (1962, J. Am. Stat. Assoc. 57:369).

    Args:
        swept, solution: From `sweep_up` and `solve`.
        design: (N, K, P) from `sweep_design`.
        sigma2: (K,) what the variances are multiplied by.
        deviations: From `sweep_down`, where they are there already.
    """
    state, variance = deviations or sweep_down(swept)
    rest = design - state[:, :, 1:]
    mean = state[:, :, 0] + (rest * solution.beta[None]).sum(2)
    of_beta = jnp.einsum("nkp,kpq,nkq->nk", rest, solution.covariance, rest)
    return mean, sigma2[None] * (variance + jnp.maximum(of_beta, 0))


def _sweep(products: Any) -> tuple[Any, Any, Any]:
    """The sweep operator (Goodnight 1979, Am. Stat. 33:149) on all rows but the first of (K, R, R).

    Returns:
        The swept matrix, with beta in its first column, minus the inverse in its last block; (K,) log determinant of
        that block, and (K,) its rank. A row that depends on those before it is left out.
    """
    size = products.shape[1]
    # Of order one; the result does not depend on it.
    diagonal = lax.stop_gradient(jnp.diagonal(products, axis1=1, axis2=2))
    scale = jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1))
    matrix = products / (scale[:, :, None] * scale[:, None])
    log_det, rank = jnp.zeros_like(scale[:, 0]), jnp.zeros_like(scale[:, 0])
    for row in range(1, size):
        pivot = matrix[:, row, row]
        own = pivot > _OWN_SHARE
        inverse = jnp.where(own, 1 / jnp.where(own, pivot, 1), 0)[:, None]
        along = matrix[:, row]
        matrix = matrix - along[:, :, None] * (along * inverse)[:, None]
        matrix = matrix.at[:, row].set(along * inverse).at[:, :, row].set(along * inverse)
        matrix = matrix.at[:, row, row].set(-inverse[:, 0])
        log_det = log_det + jnp.where(own, jnp.log(jnp.where(own, pivot, 1)) + 2 * jnp.log(scale[:, row]), 0)
        rank = rank + own
    back = jnp.concatenate([scale[:, :1], 1 / scale[:, 1:]], 1)
    return matrix * back[:, :, None] * back[:, None], log_det, rank


def _sums(first: Any, second: Any) -> Any:
    """(K, R, S) sums over N of the products of (N, K, R) and (N, K, S)."""
    rows, columns = first.shape[2], second.shape[2]
    if rows * columns > _FEW:
        return jnp.einsum("nkr,nks->krs", first, second)
    # Products of matrices, one for each column, would copy both.
    return over_nodes(first[:, :, :, None] * second[:, :, None])


def _times(matrix: Any, vector: Any) -> Any:
    return jnp.einsum("kpq,kq->kp", matrix, vector)


def _residual(contrast: Any, beta: Any) -> Any:
    """(N, K) contrasts of the response less its mean."""
    return contrast[:, :, 0] - (contrast[:, :, 1:] * beta[None]).sum(2)
