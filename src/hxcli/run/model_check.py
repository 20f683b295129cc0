"""What a look at a model on a tree tells: parameters, the engine and why, draws of the prior, gradients, variances."""

from __future__ import annotations

from typing import Any

import numpy as np

from hxcli.errors import InputError, ModelError
from hxcli.phylogeny import Phylogeny
from hxcli.traits import Observations

_DRAWS, _STEP = 3, 1e-5
# How far a gradient may be from differences of the values, as a share.
_AGREES = 1e-4


def model_lines(phylogeny: Phylogeny, observations: Observations, name: str, edge_data: Any = None) -> list[str]:
    """The report for a person, a line each, of the first trait.

    Args:
        phylogeny: N nodes, edge lengths neither missing nor negative.
        observations: Of D traits.
        name: Of a model, or `FILE.py[:NAME]`.
        edge_data: Further columns of the edges.

    Raises:
        HxError: The model is refused.
    """
    from hxcli.edge_data import edge_columns
    from hxcli.inference.grid_likelihood import GridLikelihood
    from hxcli.inference.likelihood_columns import TraitLikelihood, framed
    from hxcli.model import Sde
    from hxcli.models import named_model
    from hxcli.models.edge_fields import EdgeFields, edge_fields, trait_fields
    from hxcli.models.gaussian_model import line_of
    from hxcli.painting import unpainted

    fields = edge_fields(phylogeny, edge_columns(unpainted(phylogeny), edge_data))
    fields = EdgeFields(phylogeny, trait_fields(fields.columns, observations.values[:, 0]), fields.regimes)
    bound = named_model(name).on(fields)
    is_grid = isinstance(bound.returned, Sde)
    kind = type(bound.returned).__name__
    lines = [f"model    {bound.name}: returns {kind}, so the {_ENGINES[kind]}"]
    for one in bound.declarations.values():
        low, high = (np.min(one.support[0]), np.max(one.support[1]))
        text = f"{one.role}, shape {one.shape}" if one.shape else one.role
        start = np.array2string(np.asarray(one.start, float), precision=6) if one.start is not None else "none"
        prior = f", prior {one.prior}" if one.prior else ""
        lines.append(f"param    {one.name}: {text}, {low:.6g} to {high:.6g}{prior}, value {start}")
    likelihood: Any
    if is_grid:
        likelihood = GridLikelihood(bound, observations, 0, cells=100)
    else:
        placed = framed(fields.columns, phylogeny)
        placed = placed._replace(columns={**fields.columns, **placed.columns})
        likelihood = TraitLikelihood(bound, placed, observations, 0, restricted=False)
        edges = likelihood.edges(likelihood.start)
        variance = edges.variance[:, 0]
        bad = np.flatnonzero(~(variance >= 0) & (np.arange(len(variance)) > 0))
        if len(bad):
            raise InputError(
                f"{len(bad)} of {len(variance) - 1} edges have a variance that is negative or no number: "
                f"{variance[bad[0]]:.6g} on an edge of length {phylogeny.lengths[bad[0]]:.6g}",
                "a variance is 0 or more",
                file=bound.model.source,
            )
        lines.append(f"edges    variance {variance[1:].min():.6g} to {variance[1:].max():.6g}, none negative")
        if edges.noise is not None:
            noise = edges.noise[observations.nodes[~np.isnan(observations.values[:, 0])], 0]
            if not (noise >= 0).all():
                raise InputError(
                    f"noise(tip) is negative or no number: {noise[np.flatnonzero(~(noise >= 0))[0]]:.6g}",
                    "a variance is 0 or more",
                    file=bound.model.source,
                    line=line_of(bound.model.noise),
                )
            lines.append(f"noise    variance {noise.min():.6g} to {noise.max():.6g} of what is observed of a tip")
    random = np.random.default_rng(0)
    worst = 0.0
    for draw in range(_DRAWS):
        x = np.clip(likelihood.start + 0.5 * random.standard_normal(len(likelihood.start)), *likelihood.ends.T)
        value, gradient = likelihood.value_and_gradient(x)
        if not np.isfinite(value):
            raise ModelError(f"model {bound.name}: its density is no number at draw {draw + 1}")
        lines.append(f"draw     {draw + 1}: log likelihood {value:.6g}")
        for number in range(len(x)):
            sides = [x + side * _STEP * np.eye(len(x))[number] for side in (-1, 1)]
            differences = (likelihood.value_and_gradient(sides[1])[0] - likelihood.value_and_gradient(sides[0])[0]) / (
                2 * _STEP
            )
            worst = max(worst, abs(differences - gradient[number]) / max(1.0, abs(gradient[number])))
    if worst > _AGREES:
        raise ModelError(
            f"model {bound.name}: its gradient is not that of its density (they differ by {worst:.2g}): is a step or a "
            "rounding in it?"
        )
    # Below that, rounding decides.
    lines.append(f"gradient agrees with differences to {10 ** np.ceil(np.log10(max(worst, 1e-8))):.0e}")
    return lines


_ENGINES = {
    "Gaussian": "exact Gaussian sweeps",
    "Rates": "sweeps of discrete states",
    "Sde": "grid engine: the state in cells, pruned up and down",
}
