"""The posterior of one trait by either method: integrated, or sampled."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from hxcli.analyses.pairs import PairStates
from hxcli.analyses.posterior.integrated_posterior import figures_of, parameter_figures
from hxcli.analyses.posterior.joint_draws import Draws, draw_states, joint_draws, trait_seed
from hxcli.analyses.posterior.joint_pairs import mixed_pairs
from hxcli.analyses.posterior.leave_one_out import leave_one_out
from hxcli.analyses.posterior.question import Asked, Options
from hxcli.analyses.posterior.solution import PROBABILITIES, Figures, Solved, given_to
from hxcli.analyses.posterior.states import nodes_and_root, sampling_record
from hxcli.errors import Doubt, ModelError, Note
from hxcli.inference.normal_mixture import NodeFigures, Weighted, quantiles
from hxcli.inference.parameter_plane import plane_of
from hxcli.inference.quadrature import integrate
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.prebuilt.units import Units

# Largest error wanted, relative to standard deviations, in double and single precision; and what the user is told of.
_TOLERANCE, _ROUGH_TOLERANCE, _TOLD = 1e-5, 1e-3, 1e-4


def integrated_posterior(
    phylogeny: Phylogeny, asked: Asked, units: Units, name: str, options: Options, level: float
) -> Solved:
    """The posterior by quadrature.

    Raises:
        ModelError: The posterior has no finite integral, or an observation contradicts the given root.
    """
    question, plane = asked.question, plane_of(asked.question)
    tolerance = _TOLERANCE if jnp.result_type(float) == jnp.float64 else _ROUGH_TOLERANCE
    integral = integrate(plane, question.root, tolerance, name)
    known, mean = (float(integral.cells.root[field][0]) for field in ("known", "mean"))
    if options.root_state is not None and known and question.root is not None and mean != question.root[0]:
        raise ModelError(
            f"trait {name!r}: an observation without error says that the root's state is not {options.root_state:g} "
            "(give another --root, or an observation variance)"
        )
    nodes, weighted = figures_of(question, plane, integral, level, tolerance)
    nodes = NodeFigures(*(value[: phylogeny.topology.size] for value in nodes))
    probabilities, spread = np.array(PROBABILITIES), float(nodes.deviation[0])
    root_figures = Figures(
        float(nodes.mean[0]), spread if integral.moments else np.nan, quantiles(weighted.mixture, 0, probabilities)
    )
    warnings: list[Note] = []
    error = max(integral.error, float(nodes.error.max()))
    if error > max(_TOLD, tolerance):
        warnings.append(Doubt(f"the two finest grids of the quadrature differ by {error:.1g} standard deviations"))
    if not integral.moments:
        warnings.append(
            Note("with these priors the variances have no finite variance themselves: standard errors are empty")
        )
    root = integral.cells.root
    count, known = float(root["count"][0]), float(root["known"][0])
    return Solved(
        given_to(asked),
        nodes,
        {
            "sigma2": parameter_figures(question, plane, integral, "sigma2", probabilities),
            "tau2": parameter_figures(question, plane, integral, "tau2", probabilities),
            "root": root_figures,
        },
        integral.log_evidence,
        count + known if question.root is not None else count - (1 - known),
        integral.moments,
        {
            "method": "quadrature",
            "error_bound": error,
            "grid": [len(integral.first), len(integral.second)],
            "components": len(weighted.sigma2),
        },
        tuple(warnings),
        joint_draws(question, plane, integral, options.draws, trait_seed(options.seed, name))
        if options.draws
        else None,
        leave_one_out(phylogeny.topology, [(question.seen, weighted, 1.0)]) if options.loo else None,
        _pairs(phylogeny, asked, weighted, options),
    )


def sampled_posterior(
    phylogeny: Phylogeny, asked: Asked, units: Units, name: str, options: Options, level: float
) -> Solved:
    """The posterior by the no-U-turn sampler.

    Raises:
        HxError: NumPyro is not installed.
    """
    # Here, because nothing else needs NumPyro's company.
    from hxcli.inference.nuts import sample, sampled_mixture, spaced

    question, seed = asked.question, trait_seed(options.seed, name)
    height = float(phylogeny.root_distances[phylogeny.tips].mean()) / units.length
    sampled = sample(question, height, options.chains, options.samples, seed)
    weighted = sampled_mixture(question, sampled)
    every = np.arange(phylogeny.topology.size)
    nodes, root = nodes_and_root(weighted.mixture, weighted.mixture, every, level)

    def figures(which: str, draws: FloatArray) -> Figures:
        found = np.quantile(draws, PROBABILITIES)
        return Figures(float(draws.mean()), float(draws.std()), found, sampled.diagnostics.get(which, {}))

    draws = None
    if options.draws:
        sigma2, tau2 = spaced(sampled, options.draws)
        draws = Draws(sigma2, tau2, draw_states(question, sigma2, tau2, seed))
    return Solved(
        given_to(asked),
        nodes,
        {"sigma2": figures("sigma2", sampled.sigma2), "tau2": figures("tau2", sampled.tau2), "root": root},
        float("nan"),
        0.0,
        True,
        sampling_record(options, sampled.divergences, sampled.diagnostics, len(weighted.sigma2)),
        sampled.complaints(),
        draws,
        leave_one_out(phylogeny.topology, [(question.seen, weighted, 1.0)]) if options.loo else None,
        _pairs(phylogeny, asked, weighted, options),
    )


def _pairs(
    phylogeny: Phylogeny, asked: Asked, weighted: Weighted, options: Options
) -> tuple[PairStates, FloatArray] | None:
    """The pairs of nodes that were asked for, and the weights of their components."""
    if options.pairs is None:
        return None
    states = mixed_pairs(phylogeny.topology, asked.question.seen, weighted, options.pairs)
    return states, np.asarray(weighted.mixture.components.weight)
