"""What to know of a fit before its numbers are used, as codes and in words."""

from __future__ import annotations

import numpy as np

from hxcli.analyses.fit.options import FREE_ROOT, ULTRAMETRIC, height_spread
from hxcli.close_names import listed
from hxcli.errors import Doubt, Note
from hxcli.inference.likelihood_columns import TraitLikelihood
from hxcli.inference.optimum_certificate import Optimum
from hxcli.model import Gaussian
from hxcli.models.bound_model import BoundModel
from hxcli.models.claims import unnamed_means
from hxcli.models.edge_fields import EdgeFields

WORDS = {
    "near_white": Note("alpha times the tree's height is above 10: hardly told from white, every tip by itself"),
    "near_bm": Note("alpha times the tree's height is below 0.1: hardly told from bm"),
    "at_lower_bound": Note("an estimate is at the lower end of its support"),
    "at_upper_bound": Note("an estimate is at the upper end of its support"),
    "many_parameters": Note("more than one parameter for ten tips"),
    "equals_ou": Note("on this tree the same as ou with alpha = rate_change / 2"),
    "thetas_not_identified": Note("every regime is one piece of the tree: its optimum rests on one shift"),
    "root_not_identified": Note("the tips say next to nothing of the root's own state"),
    "root_by_the_grid": Doubt(
        "a flat root is where the grid ends, not where the tips say, and nodes near it go by that (write a root() into "
        "the file of the model, or hx posterior --root normal:MEAN,VARIANCE)"
    ),
    "coarse_grid": Doubt(
        "the cells of the grid change the log likelihood by more than 0.1 (log_likelihood_grid_error says how much)"
    ),
    "optimum_not_certain": Doubt("the search found no clear maximum"),
}
# Strengths of the pull, times the tree's height.
_STRONG, _WEAK = 10.0, 0.1
# A root of which so little is left at the nearest tip is not seen.
_FORGOTTEN = 1e-6


def flags_of(bound: BoundModel, likelihood: TraitLikelihood, optimum: Optimum, n: int, k: int) -> tuple[str, ...]:
    """The codes of `WORDS` that hold for a fit.

    Args:
        bound: The model on its tree.
        likelihood, optimum: The fit.
        n, k: Tips with a value, estimated parameters.
    """
    fields, certificate = bound.fields, optimum.certificate
    values = likelihood.parameters(optimum.x)
    alphas = [values[each.name] for each in bound.coordinates if each.parameter == "alpha"]
    found = []
    if len(alphas) == 1 and not any(name.startswith("alpha") for name in likelihood.held):
        strength = alphas[0] * fields.height
        found += ["near_white"] if strength > _STRONG else ["near_bm"] if strength < _WEAK else []
    if certificate.at_lower:
        found.append("at_lower_bound")
    if certificate.at_upper:
        found.append("at_upper_bound")
    if k > n / 10:
        found.append("many_parameters")
    ultrametric = height_spread(fields.phylogeny) <= ULTRAMETRIC
    if bound.model.built_in == "acdc" and values["rate_change"] > 0 and ultrametric:
        found.append("equals_ou")
    thetas = [name for name in bound.unknowns if name.startswith("theta(")]
    if thetas and fields.regimes and connected_pieces(fields) <= len(fields.regimes):
        found.append("thetas_not_identified")
    if bound.model.root_name == FREE_ROOT and alphas:
        nearest = float(fields.phylogeny.root_distances[fields.phylogeny.tips].min())
        if np.exp(-min(alphas) * nearest) < _FORGOTTEN:
            found.append("root_not_identified")
    if not certificate.converged:
        found.append("optimum_not_certain")
    return tuple(found)


def notes_of_means(bound: BoundModel) -> tuple[Note, ...]:
    """What the intervals of nodes under a user's model leave out."""
    if not (bound.model.text and isinstance(bound.returned, Gaussian)):
        return ()
    names = unnamed_means(bound.model, bound.declarations, bound.fields.columns)
    if not names:
        return ()
    named = tuple(dict.fromkeys([*bound.model.means, *names]))
    said = f"model {bound.name}: intervals of nodes take the estimate of {listed(names)} for the true one"
    return (Note(f"{said}: with MEANS = {named} in the file they do not"),)


def connected_pieces(fields: EdgeFields) -> int:
    """Into how many connected pieces of one regime the tree falls."""
    regime = np.argmax(fields.columns["regime"], axis=1)
    topology = fields.phylogeny.topology
    changes = (regime != regime[topology.parents]) & ~topology.is_root
    return 1 + int(changes.sum())
