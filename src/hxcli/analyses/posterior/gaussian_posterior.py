"""The posterior of one trait under a user's file that returns a Gaussian, all of whose parameters have priors."""

from __future__ import annotations

import numpy as np

from hxcli.analyses.fit.fitted import file_of, recorded_at
from hxcli.analyses.left_out_table import Predicted
from hxcli.analyses.left_out_tips import LeftOut
from hxcli.analyses.posterior.column_products import left_out_of_columns, mixture_of_columns, pairs_of_columns
from hxcli.analyses.posterior.declared_question import TAU2
from hxcli.analyses.posterior.gaussian_question import GaussianQuestion
from hxcli.analyses.posterior.joint_draws import Draws, trait_seed
from hxcli.analyses.posterior.model_draws import draw_column_states
from hxcli.analyses.posterior.model_posterior import mean_figures
from hxcli.analyses.posterior.question import Options
from hxcli.analyses.posterior.solution import PROBABILITIES, Figures, Given, Solved, WeighedModel
from hxcli.analyses.posterior.states import nodes_and_root
from hxcli.analyses.posterior.weighed_parameters import Weighed, weighed_parameters
from hxcli.close_names import listed
from hxcli.errors import Doubt
from hxcli.inference.box_quadrature import places_at
from hxcli.inference.column_density import ColumnDensity
from hxcli.inference.normal_mixture import Mixture, at_nodes
from hxcli.inference.state_columns import StateColumns
from hxcli.painting import Painted
from hxcli.phylogeny import FloatArray
from hxcli.prebuilt.units import Units

# Error of the quadrature of which the user is told.
_TOLD = 1e-4
# Standard deviation of components in distances of their means, at least; and of the variance between them, what is
# made one within them at most. In the unit of computation, a standard deviation that is rounding.
_WIDTH, _MOST_SMOOTHED, _NO_SPREAD = 0.7, 0.25, 1e-12


def posterior_of_file(
    painted: Painted, question: GaussianQuestion, units: Units, options: Options, level: float
) -> Solved:
    """The posterior of one trait.

    Args:
        painted: The tree.
        question: The file on it, and what was observed, in the trait's own units.
        units: Of what is handed back.
        options: What the user wants.
        level: Probability of the intervals.

    Raises:
        ModelError: The posterior has no finite integral.
        HxError: NumPyro is needed, and is not installed.
    """
    trait, name = question.trait, question.seen.traits[question.trait]
    seed, density = trait_seed(options.seed, name), question.density()
    weighed = weighed_parameters(density, options, seed, _endless(question, name))
    values = density.values(weighed.places)
    states = density.states(values, joint=options.pairs is not None or options.loo)
    scale, location = float(units.scale[trait]), float(units.location[trait])
    fine = _in_unit(mixture_of_columns(states, weighed.weights), scale, location)
    smooth = _smoothed(fine, weighed.spacing)
    nodes, root = nodes_and_root(smooth, smooth, painted.nodes, level)
    details, notes = dict(weighed.details), list(weighed.notes)
    if details["method"] == "quadrature":
        details["error_bound"] = error = max(weighed.error, _moved(fine, weighed.coarse))
        if error > _TOLD:
            notes.append(Doubt(f"the two finest grids of the quadrature differ by {error:.1g} standard deviations"))
    words = question.priors_in_words()
    figures = {**weighed.figures, **_mean_figures(question, states, weighed.weights, level)}
    told = [(each, words.get(each), found) for each, found in figures.items()]
    told += [(each, None, _fixed(value)) for each, value in question.given().items()]
    if "root" not in {each for each, _, _ in told}:
        told.append(("root", None, root.times(scale, location)))
    left_out = pairs = None
    if options.loo:
        left_out = _predicted_in_unit(
            left_out_of_columns(painted, density.tree, states, weighed.weights), scale, location
        )
    if options.pairs is not None:
        found = pairs_of_columns(painted, states, options.pairs).in_unit(1 / scale, -location / scale)
        pairs = found, weighed.weights
    file = file_of(question.bound.model)
    return Solved(
        Given({}, (), question.flat_root, question.root_in_words(options)),
        nodes,
        {},
        weighed.log_evidence,
        0.0,
        True,
        {**details, "priors": words, **({"files": [file["file"]]} if file else {})},
        tuple(notes),
        _draws(painted, question, density, weighed, units, options.draws, seed) if options.draws else None,
        left_out,
        pairs,
        models=[WeighedModel(question.name, 1.0, 1.0, weighed.log_evidence)],
        priors=words,
        mixture=at_nodes(smooth, painted.nodes),
        told=told,
        columns={name: column[painted.nodes] for name, column in _recorded(density, values, states, weighed).items()},
    )


def _endless(question: GaussianQuestion, trait: str) -> str:
    """What to say of a posterior that has no finite integral."""
    flat = [name for name, each in question.priors_in_words().items() if each == "flat"]
    advice = [f"--prior '{name}=normal(MEAN,SD)'" for name in flat[:1]]
    if question.flat_root:
        advice, flat = ["--root normal:MEAN,VARIANCE", *advice], ["root", *flat]
    if not flat:
        advice = [f"--prior '{question.names[0]}=PRIOR' that falls off on both sides"]
    what = f"flat {listed(flat)} and the other" if flat else "these"
    return (
        f"trait {trait!r}, model {question.name}: with {what} priors the posterior has no finite integral: the less "
        f"the tips say of its parameters, the more room those have (give {' or '.join(advice)})"
    )


def _in_unit(mixture: Mixture, scale: float, location: float) -> Mixture:
    """A mixture of the trait's own units, in the unit of computation."""
    return mixture._replace(mean=(mixture.mean - location) / scale, variance=mixture.variance / scale / scale)


def _smoothed(mixture: Mixture, spacing: float) -> Mixture:
    """The same mixture, of components that are wide beside their distance, with the means and variances that it has.

    A state that the parameters determine, such as that of a root at a parameter, would be one of few numbers. Its
    components are made wider and drawn together (West 1993, J. R. Stat. Soc. B 55:409), which leaves a normal
    distribution what it is.
    """
    weights = np.asarray(mixture.components.weight)
    middle = (mixture.mean @ weights)[:, None]
    apart = ((mixture.mean - middle) ** 2) @ weights
    within = mixture.variance @ weights
    more = np.clip((_WIDTH * spacing) ** 2 * (apart + within) - within, 0, _MOST_SMOOTHED * apart)
    closer = np.sqrt(1 - more / np.where(apart > 0, apart, 1))[:, None]
    return mixture._replace(mean=middle + closer * (mixture.mean - middle), variance=mixture.variance + more[:, None])


def _moved(mixture: Mixture, weights: FloatArray) -> float:
    """Largest change of means, in standard deviations, and as a share of these, that other weights make."""
    own = np.asarray(mixture.components.weight)

    def moments(of: FloatArray) -> tuple[FloatArray, FloatArray]:
        middle = mixture.mean @ of
        return middle, np.sqrt(mixture.variance @ of + ((mixture.mean - middle[:, None]) ** 2) @ of)

    (mean, deviation), (other, other_deviation) = moments(own), moments(weights)
    there = deviation > _NO_SPREAD
    unit = np.where(there, deviation, 1.0)
    moved = np.maximum(abs(other - mean), abs(other_deviation - deviation)) / unit
    return float(moved[there].max(initial=0.0))


def _predicted_in_unit(found: LeftOut, scale: float, location: float) -> LeftOut:
    mean, deviation, log_density = found.predicted
    own = Predicted((mean - location) / scale, deviation / scale, log_density + np.log(scale))
    return found._replace(observed=(found.observed - location) / scale, predicted=own)


def _mean_figures(
    question: GaussianQuestion, states: StateColumns, weights: FloatArray, level: float
) -> dict[str, Figures]:
    """Of the unknowns of the mean; a flat root is told as a node is."""
    found = {}
    for place, name in enumerate(question.means):
        if name == "root" and question.flat_root:
            continue
        means, variances = states.unknowns[:, place], states.covariance[:, place, place]
        # Of order one, as mixtures are to be.
        middle = float(weights @ means)
        spread = float(np.sqrt(weights @ (variances + (means - middle) ** 2))) or 1.0
        of_order_one = mean_figures((means - middle) / spread, variances / spread / spread, weights, level)
        found[name] = of_order_one.times(spread, middle)
    return found


def _recorded(
    density: ColumnDensity, values: FloatArray, states: StateColumns, weighed: Weighed
) -> dict[str, FloatArray]:
    """What the file records of every edge at the posterior means of its parameters."""
    bound, unknowns = density.likelihood.bound, density.likelihood.given_beta.copy()
    unknowns[np.flatnonzero(density.likelihood.free)] = weighed.weights @ states.unknowns
    parameters = {name: value[0] for name, value in density.parameters(weighed.weights @ values).items()}
    return recorded_at(bound, parameters, unknowns)


def _draws(
    painted: Painted,
    question: GaussianQuestion,
    density: ColumnDensity,
    weighed: Weighed,
    units: Units,
    count: int,
    seed: list[int],
) -> Draws:
    """Joint draws of the parameters and all nodes: parameters first, states exactly given them."""
    values = density.values(_places(weighed, count, seed))
    states, unknowns = draw_column_states(
        lambda some: density.states(some, joint=True), painted.phylogeny.topology, values, seed
    )
    more = {name: values[:, axis] for axis, name in enumerate(density.names)}
    given = question.given()
    more |= {TAU2: np.full(count, given[TAU2])} if TAU2 in given else {}
    for place, name in enumerate(question.means):
        if not (name == "root" and question.flat_root):
            more[name] = unknowns[:, place]
    scale, location = float(units.scale[question.trait]), float(units.location[question.trait])
    return Draws(None, None, (states[:, painted.nodes] - location) / scale, more)


def _places(weighed: Weighed, count: int, seed: list[int]) -> FloatArray:
    """(K, F) draws of the coordinates."""
    if weighed.draws is not None:
        places = weighed.draws.reshape(-1, weighed.draws.shape[2])
        return places[np.linspace(0, len(places) - 1, count).round().astype(int)]
    if weighed.box is None:
        return np.repeat(weighed.places, count, 0)
    return places_at(weighed.box, np.random.default_rng([*seed, 3]).uniform(size=(2, count)))


def _fixed(value: float) -> Figures:
    return Figures(value, 0.0, np.full(len(PROBABILITIES), value))
