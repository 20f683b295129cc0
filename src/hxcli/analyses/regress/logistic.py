"""Phylogenetic logistic regression of a response of 0 and 1 (Ives and Garland 2010, Syst. Biol. 59:9).

A hidden state of 0 or 1 switches along the edges at the rate alpha, drawn anew with the mean probability m of all tips;
at tip i, whose probability by the formula is mu_i, a 1 stays one with probability mu_i / m where mu_i is below m, and a
0 becomes one with probability (mu_i - m) / (1 - m) where it is above. So E(y_i) = mu_i, and with s_i = mu_i / m or (1 -
mu_i) / (1 - m),

    Cov(y_i, y_j) = s_i s_j m (1 - m) exp(-alpha d_ij),    Var(y_i) = mu_i (1 - mu_i).

Coefficients and alpha maximise the likelihood of that process times the square root of the determinant of the
information I = (A X)' V^-1 (A X), A = diag(mu_i (1 - mu_i)): Firth's (1993, Biometrika 80:27) penalty, which keeps them
finite where a predictor separates zeros from ones. Standard errors are of I^-1. Both take time linear in the tips (Ho
and Ane 2014).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hxcli.analyses.regress.formula import Design
from hxcli.analyses.regress.generalised import centres, constant_part, width_for
from hxcli.engine.tree import Tree
from hxcli.errors import InputError, ModelError
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.prebuilt.gls import sweep_up
from hxcli.prebuilt.gls_solution import solve
from hxcli.prebuilt.two_states import log_likelihood
from hxcli.prebuilt.units import refuse_extreme_lengths
from hxcli.traits import Observations

# log(alpha times the height of the tree) is searched within this of 0, as phylolm does.
_REACH = 4.0
_STARTS = (0.0, -2.0, 2.0)
# Predictors are scaled, so that no coefficient of use is larger.
_LARGEST = 50.0
# Largest slope at what counts as a maximum.
_FLAT = 1e-3


class Logistic(NamedTuple):
    """A fitted logistic regression of P coefficients.

    Attributes:
        beta, covariance: (P,) and (P, P).
        alpha: Rate of switching; large: no signal.
        log_likelihood, penalised: Plain, and with Firth's penalty, which is what is maximised.
        probabilities: (M,) of a 1 at every row, by the formula; nan where a predictor is missing.
        converged: Whether the search ended at a maximum.
        at_end: "lower" or "upper" where alpha is at that end of its range, else "".
    """

    beta: FloatArray
    covariance: FloatArray
    alpha: float
    log_likelihood: float
    penalised: float
    probabilities: FloatArray
    converged: bool
    at_end: str


def logistic(phylogeny: Phylogeny, observations: Observations, made: Design) -> Logistic:
    """Fits the regression.

    Args:
        phylogeny: N nodes.
        observations: Of which the rows are.
        made: The design.

    Raises:
        InputError: A response that is not 0 or 1, or always the same.
        ModelError: Edge lengths that are too large or small to compute with; no likelihood.
    """
    from scipy.optimize import minimize

    refuse_extreme_lengths(phylogeny)
    used = made.used
    y = made.values[used]
    wrong = np.flatnonzero((y != 0) & (y != 1))
    if len(wrong):
        name = phylogeny.labels[observations.nodes[used][wrong[0]]]
        raise InputError(
            f"--family binomial: {made.response} of {name!r} is {y[wrong[0]]:g}", "a response of it is 0 or 1"
        )
    if y.min() == y.max():
        raise InputError(f"--family binomial: {made.response} is always {y[0]:g}", "there is nothing to tell apart")
    terms = len(made.terms)
    width = width_for(terms)
    centre, constant = centres(made), constant_part(made)
    x = made.matrix[used] - centre
    scale = np.where(np.abs(x).max(0) > 0, np.abs(x).max(0), 1.0)
    nodes, size = observations.nodes[used], phylogeny.topology.size
    fields = {"x": np.zeros((size, width)), "y": np.zeros(size), "there": np.zeros(size)}
    fields["x"][nodes, :terms], fields["y"][nodes], fields["there"][nodes] = x / scale, y, 1.0
    height = float(phylogeny.root_distances[phylogeny.tips].max(initial=0.0)) or 1.0
    tree = Tree.on_frame(phylogeny.topology, {**fields, "length": phylogeny.lengths / height}, width)

    def objective(point: FloatArray) -> tuple[float, FloatArray]:
        (value, _), slope = _HEIGHT(jnp.asarray(point), tree)
        found = np.concatenate([np.asarray(slope, float)[:terms], [0.0] * (width - terms), [float(slope[-1])]])
        # Where a probability is 0 the search turns back.
        return (-float(value), -found) if np.isfinite(value) and np.isfinite(found).all() else (1e10, 0 * found)

    bounds = [(-_LARGEST, _LARGEST)] * terms + [(0.0, 0.0)] * (width - terms) + [(-_REACH, _REACH)]
    begin = np.zeros(width + 1)
    if "Intercept" in made.terms:
        begin[made.terms.index("Intercept")] = math.log(y.mean() / (1 - y.mean()))
    best: Any = None
    for log_alpha in _STARTS:
        begin[-1] = log_alpha
        found = minimize(
            objective, begin, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-14, "gtol": 1e-8}
        )
        best = found if best is None or found.fun < best.fun else best
    (penalised, extra), slope = _HEIGHT(jnp.asarray(best.x), tree)
    if not np.isfinite(penalised):
        raise ModelError(
            f"--family binomial: {made.response} has no likelihood on this tree: are there tips with 0 and 1 at no "
            "distance from each other? (leave one of them out, or correct the lengths)"
        )
    inner = np.append(np.arange(terms), width if abs(best.x[-1]) < _REACH else [])
    back = 1 / scale
    centred = best.x[:terms] * back
    covariance = np.asarray(extra["covariance"], float)[:terms, :terms] * back[:, None] * back
    back_again = np.eye(terms) - (0 if constant is None else np.outer(constant, centre))
    beta, covariance = back_again @ centred, back_again @ covariance @ back_again.T
    # The penalty is of the information in the units of the table.
    shift = float(np.log(scale).sum())
    with np.errstate(over="ignore"):
        probabilities = 1 / (1 + np.exp(-((made.matrix - centre) @ centred)))
    return Logistic(
        beta,
        covariance,
        float(np.exp(best.x[-1])) / height,
        float(extra["log_likelihood"]),
        float(penalised) + shift,
        probabilities,
        bool(np.abs(np.asarray(slope, float)[inner.astype(int)]).max(initial=0.0) < _FLAT),
        "upper" if best.x[-1] >= _REACH else "lower" if best.x[-1] <= -_REACH else "",
    )


def _height(point: Any, tree: Tree) -> tuple[Any, dict[str, Any]]:
    """The penalised log likelihood; the plain one, and the covariance of the coefficients."""
    topology = tree.topology
    beta, alpha = point[:-1], jnp.exp(point[-1])
    there = tree["there"] > 0
    eta = tree["x"] @ beta
    mu = 1 / (1 + jnp.exp(-eta))
    mean = jnp.where(there, mu, 0).sum() / there.sum()
    low = mu <= mean
    slope = jnp.where(low, mu / mean, (1 - mu) / (1 - mean))
    # Probabilities of a 1, given that the hidden state is 0 and 1.
    after_zero, after_one = jnp.where(low, 0, 1 - slope), jnp.where(low, slope, 1)
    one = tree["y"] > 0
    tips = jnp.stack([jnp.where(one, after_zero, 1 - after_zero), jnp.where(one, after_one, 1 - after_one)], 1)
    tips = jnp.where(there[:, None], tips, 1)
    kept = jnp.exp(-alpha * tree["length"])
    shares = jnp.stack([1 - mean, mean])
    plain = log_likelihood(topology, kept, tips, shares)
    spread = mean * (1 - mean)
    # What a tip's own draw adds to its variance, relative to how far it follows the hidden state.
    own = jnp.where(low, mu * (1 - mu / mean), (1 - mu) * (1 - (1 - mu) / (1 - mean))) / slope**2
    soft = there & (own > 0)
    zero = jnp.zeros_like(own)[:, None]
    said = {
        "known": (there & ~soft).astype(own.dtype)[:, None],
        "precision": jnp.where(soft, 1 / jnp.where(soft, own, 1), 0)[:, None],
        **dict.fromkeys(("count", "log_det", "mean", "quadratic"), zero),
    }
    design = (mu * (1 - mu) / slope)[:, None] * tree["x"]
    edges = {"scale": kept[:, None], "variance": (-jnp.expm1(-2 * alpha * tree["length"]) * spread)[:, None]}
    solution = solve(sweep_up(topology, edges, said, design[:, None], spread[None]))
    found = {"log_likelihood": plain, "covariance": solution.covariance[0]}
    return plain + solution.log_information[0] / 2, found


_HEIGHT = jax.jit(jax.value_and_grad(_height, has_aux=True))
