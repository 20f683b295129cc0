"""What a user may ask of a fit, and the models that it stands for on one tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from hxcli.close_names import listed
from hxcli.edge_data import EdgeTable
from hxcli.errors import OptionError
from hxcli.models import named_model, refuse_one_name_twice
from hxcli.models.edge_fields import EdgeFields
from hxcli.models.gaussian_model import GaussianModel
from hxcli.phylogeny import Phylogeny

# The models that are compared where none is named; a trend only where it can be told.
USUAL = ("bm", "white", "ou", "eb", "lambda", "kappa", "delta")
# Heights of tips that differ by less, as a share of the largest, make an ultrametric tree; and one that nearly is.
ULTRAMETRIC, NEARLY_ULTRAMETRIC = 1e-6, 1e-3
# Shape parameters that pull, and what a model is called whose root has a state of its own.
FREE_ROOT = "free"


@dataclass(frozen=True)
class FitOptions:
    """How models are fitted.

    Attributes:
        estimator: `ML` or `REML`.
        level: Probability of the intervals.
        tau2: Observation variance, trait^2.
        ou_root: Root of the models of Ornstein and Uhlenbeck: `theta`, `stationary` or `free`; None for the usual one.
        held: Reported name -> value of parameters that are given, in the trait's units.
        start: Reported name -> value of parameters from which a search begins, likewise.
        intervals: Whether profile intervals are wanted.
        edge_data: Further columns of the edges, for models of users.
        lambda_max: Whether lambda may go beyond 1, up to where its matrix stays a covariance.
    """

    estimator: str = "ML"
    level: float = 0.95
    tau2: float = 0.0
    ou_root: str | None = None
    held: Mapping[str, float] = field(default_factory=dict)
    start: Mapping[str, float] = field(default_factory=dict)
    intervals: bool = True
    lambda_max: bool = False
    edge_data: EdgeTable | None = None


def refuse_unread_edges(edge_data: EdgeTable | None, models: Sequence[GaussianModel]) -> None:
    """Raises where columns of edges are given and no model is one that could read them.

    Raises:
        OptionError: All models are built in.
    """
    if edge_data is not None and not any(model.text for model in models):
        raise OptionError(
            f"--edge-data: {listed([model.name for model in models])} read no columns of edges (give --model FILE.py, "
            "or leave it out)"
        )


def models_on(names: tuple[str, ...], fields: EdgeFields, ou_root: str | None) -> tuple[GaussianModel, ...]:
    """The models of these names, the usual ones for none.

    Raises:
        OptionError: A name twice or unknown; a model that this tree or these options do not allow.
    """
    spread = height_spread(fields.phylogeny)
    wanted = names or (*USUAL, *(["trend"] if spread > NEARLY_ULTRAMETRIC else []))
    refuse_one_name_twice(wanted)
    found = tuple(named_model(name, ou_root if has_roots(name) else None) for name in wanted)
    for model in found:
        refuse_unidentified(model, fields, spread)
    return found


def has_roots(name: str) -> bool:
    """Whether a model has several roots to choose from."""
    return bool(named_model(name).root_name)


def refuse_unidentified(model: GaussianModel, fields: EdgeFields, spread: float) -> None:
    """Raises where the model has parameters that no observations on this tree could tell apart.

    Args:
        model: The model.
        fields: The tree's edges.
        spread: From `height_spread`.

    Raises:
        OptionError: Says which parameters, and what to do.
    """
    if needs_regimes(model) and not fields.regimes:
        raise OptionError(f"--model {model.name}: its parameters differ between regimes (give --regimes)")
    if spread > ULTRAMETRIC:
        return
    if "slope" in model.means:
        raise OptionError(
            f"--model {model.name}: all tips are equally far from the root, so a trend cannot be told from the root's "
            "state (leave it out, or use a tree with fossils)"
        )
    if model.root_name == FREE_ROOT:
        raise OptionError(
            f"--ou-root free with --model {model.name}: all tips are equally far from the root, so its state cannot be "
            "told from the optimum (use --ou-root theta or stationary, or a tree with fossils)"
        )


def needs_regimes(model: GaussianModel) -> bool:
    """Whether a model's parameters differ between regimes."""
    return model.built_in in ("bms", "oum", "oumv", "ouma", "oumva")


def height_spread(phylogeny: Phylogeny) -> float:
    """How much the heights of the tips differ, as a share of the largest."""
    heights = phylogeny.root_distances[phylogeny.tips]
    return float(np.ptp(heights) / heights.max()) if heights.max(initial=0.0) > 0 else 0.0
