"""Bayesian posterior of all nodes, of the rate and of the observation variance, by quadrature."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from hxcli.errors import ModelError, OptionError
from hxcli.phylogeny import Phylogeny
from hxcli.prebuilt.ask import Options, ask
from hxcli.prebuilt.draws import joint_draws, trait_seed
from hxcli.prebuilt.integrated import figures_of, parameter_figures
from hxcli.prebuilt.leave_one_out import leave_one_out
from hxcli.prebuilt.mixture import NodeFigures, quantiles
from hxcli.prebuilt.observed import exact_ones, refuse_contradictions
from hxcli.prebuilt.plane import plane_of
from hxcli.prebuilt.posterior_report import report
from hxcli.prebuilt.quadrature import integrate
from hxcli.prebuilt.solved import PROBABILITIES, Figures, Solved
from hxcli.prebuilt.units import Units, units_of
from hxcli.reconstruction import Reconstruction
from hxcli.traits import Observations

# Largest error wanted, relative to standard deviations, in double and single precision; and what the user is told of.
_TOLERANCE, _ROUGH_TOLERANCE, _TOLD = 1e-5, 1e-3, 1e-4
# Tails thinner than this have no digits left.
_THINNEST_TAIL = 1e-9
# What all draws together may take.
_MOST_BYTES = 2**33


def posterior(
    phylogeny: Phylogeny,
    observations: Observations,
    *,
    level: float = 0.95,
    **options: Any,
) -> Reconstruction:
    """Posterior of all nodes and of the parameters, and the log evidence.

    With both variances given the posterior is normal and exact; else they are integrated out. Every trait is
    analysed on its own.

    Args:
        phylogeny: Tree with N nodes and edge lengths that are neither missing nor negative.
        observations: M observations of D traits.
        level: Probability of the intervals: equal-tailed (`lower`, `upper`) and of highest density.
        options: Fields of `ask.Options`.

    Raises:
        OptionError: Options that contradict each other, or a prior that is none.
        ModelError: Error-free observations that contradict each other or a given root, or priors with which the
            posterior has no finite integral.
    """
    wanted = Options(**options)
    wanted.refuse_nonsense()
    if (1 - level) / 2 < _THINNEST_TAIL:
        raise OptionError(f"the level {level!r} is too close to 1 (at most 0.99999999)")
    if 8 * wanted.draws * phylogeny.topology.size * len(observations.traits) > _MOST_BYTES:
        raise OptionError(f"{wanted.draws} draws of all nodes are too many to keep (fewer draws, or one --column)")
    refuse_contradictions(
        phylogeny, observations, exact_ones(observations, 1.0 if wanted.tau2 is None else wanted.tau2)
    )
    units = units_of(phylogeny, observations)
    seen = units.observations(observations)
    count = len(observations.traits)
    solved = [_solve(phylogeny, seen, units, trait, wanted, level) for trait in range(count)]
    return report(phylogeny, observations, units, solved, wanted, level)


def _solve(
    phylogeny: Phylogeny, seen: Observations, units: Units, trait: int, options: Options, level: float
) -> Solved | None:
    """One trait; None where no tip has a value and the root is flat, so that there is no posterior."""
    name = seen.traits[trait]
    if np.isnan(seen.values[:, trait]).all() and options.root == "flat root":
        return None
    asked = ask(phylogeny, seen, units, trait, options)
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
    mixture = weighted.mixture
    nodes = NodeFigures(*(value[: phylogeny.topology.size] for value in nodes))
    probabilities = np.array(PROBABILITIES)
    spread = float(nodes.deviation[0])
    figures = {
        "sigma2": parameter_figures(question, plane, integral, "sigma2", probabilities),
        "tau2": parameter_figures(question, plane, integral, "tau2", probabilities),
        "root": Figures(
            float(nodes.mean[0]), spread if integral.moments else np.nan, quantiles(mixture, 0, probabilities)
        ),
    }
    warnings = []
    error = max(integral.error, float(nodes.error.max()))
    if error > max(_TOLD, tolerance):
        warnings.append(f"the two finest grids of the quadrature differ by {error:.1g} standard deviations")
    if not integral.moments:
        warnings.append("with these priors the variances have no finite variance themselves: standard errors are empty")
    root = integral.cells.root
    count, known = float(root["count"][0]), float(root["known"][0])
    return Solved(
        asked,
        nodes,
        figures,
        integral.log_evidence,
        count + known if question.root is not None else count - (1 - known),
        integral.moments,
        {
            "method": "quadrature",
            "error_bound": error,
            "grid": [len(integral.first), len(integral.second)],
            "components": len(mixture.components.weight),
        },
        tuple(warnings),
        joint_draws(question, plane, integral, options.draws, trait_seed(options.seed, name))
        if options.draws
        else None,
        leave_one_out(phylogeny, question.seen, *weighted, units.length) if options.loo else None,
    )
