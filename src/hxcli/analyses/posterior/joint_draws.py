"""Independent joint draws of the parameters and of all nodes."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

from hxcli.inference.marginal_density import Marginals, interpolated
from hxcli.inference.parameter_plane import Plane, Question, root_posterior
from hxcli.inference.quadrature import Integrated
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.parameter_columns import drawn, root_messages


class Draws(NamedTuple):
    """K joint draws for one trait, in the unit of computation.

    Attributes:
        sigma2, tau2: (K,); None where all parameters are in `more`.
        states: (K, N).
        more: Further parameters of a model by name, (K,) each; nan in draws of another model.
        model: (K,) names of the models; empty for one.
    """

    sigma2: FloatArray | None
    tau2: FloatArray | None
    states: FloatArray
    more: Mapping[str, FloatArray] = {}
    model: Sequence[str] = ()


def trait_seed(seed: int, trait: str) -> list[int]:
    """Seeds for one trait, the same whatever other traits there are."""
    return [seed, zlib.crc32(trait.encode())]


def draw_parameters(
    question: Question, plane: Plane, found: Integrated, count: int, seed: list[int]
) -> tuple[FloatArray, FloatArray]:
    """Both (K,): sigma2 and tau2, independent draws from the posterior over the plane.

    The first coordinate comes from its marginal density, the second from its density given the first, both between
    the points of the grid.
    """
    log_sigma2, log_tau2 = parameters_at(question, plane, found, np.random.default_rng(seed).uniform(size=(2, count)))
    return np.exp(log_sigma2), np.exp(log_tau2)


def parameters_at(question: Question, plane: Plane, found: Integrated, uniform: FloatArray) -> FloatArray:
    """(2, K) log sigma2 and log tau2 at the quantiles `uniform`, (2, K), of the plane's coordinates."""
    count = uniform.shape[1]
    first = np.repeat(found.first, count)
    if len(found.first) > 1:
        first = Marginals(found.first, found.weights.sum(1)[None]).quantiles(uniform[:1])[0]
    second = np.repeat(found.second, count)
    if len(found.second) > 1:
        given = interpolated(found.first, found.weights, first)
        second = Marginals(found.second, given).quantiles(uniform[1][:, None])[:, 0]
    wanted = plane.columns(first, second[:, None])
    root = root_messages(question.seen, wanted.sigma2, wanted.tau2)
    log_scale = plane.log_scale(root, second[:, None])[:, 0]
    with np.errstate(divide="ignore"):
        return np.stack([np.log(wanted.sigma2) + log_scale, np.log(wanted.tau2) + log_scale])


def draw_states(question: Question, sigma2: FloatArray, tau2: FloatArray, seed: list[int]) -> FloatArray:
    """(K, N) one joint draw of all nodes at each of K pairs of parameters."""
    generator = np.random.default_rng([*seed, 1])

    def root(messages: dict[str, FloatArray]) -> FloatArray:
        mean, variance = root_posterior(messages, np.zeros_like(messages["mean"]), question.root)
        return mean + np.sqrt(variance) * generator.normal(size=mean.shape)

    return drawn(question.seen, sigma2, tau2, root, jax.random.fold_in(jax.random.key(seed[0]), seed[1]))


def joint_draws(question: Question, plane: Plane, found: Integrated, count: int, seed: list[int]) -> Draws:
    """K joint draws."""
    sigma2, tau2 = draw_parameters(question, plane, found, count, seed)
    return Draws(sigma2, tau2, draw_states(question, sigma2, tau2, seed))
