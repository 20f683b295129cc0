"""What every method of a posterior tells of the nodes and of its sampling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hxcli.analyses.posterior.question import Options
from hxcli.analyses.posterior.solution import PROBABILITIES, Figures
from hxcli.inference.normal_mixture import Mixture, NodeFigures, node_figures, quantiles


def nodes_and_root(
    fine: Mixture, coarse: Mixture, places: NDArray[np.intp], level: float
) -> tuple[NodeFigures, Figures]:
    """Figures of N nodes, each (N,), and those of the root.

    Args:
        fine, coarse: As `node_figures` takes them.
        places: (N,) the nodes among those of the mixtures, the root first.
        level: Probability of the intervals.
    """
    nodes = NodeFigures(*(value[places] for value in node_figures(fine, coarse, level)))
    own = quantiles(fine, int(places[0]), np.array(PROBABILITIES))
    return nodes, Figures(float(nodes.mean[0]), float(nodes.deviation[0]), own)


def sampling_record(
    options: Options, divergences: int, diagnostics: Mapping[str, Mapping[str, float]], components: int
) -> dict[str, Any]:
    """For the run record, what was sampled and how it went.

    Args:
        options: What the user wants.
        divergences: Transitions that diverged.
        diagnostics: Parameter -> `rhat`, `ess_bulk`, `ess_tail`.
        components: Draws that stand for all at the nodes.
    """
    # Here, because nothing else needs the sampler's company.
    from hxcli.inference.nuts import TRANSITIONS, WARM_UP

    return {
        "method": "nuts",
        "chains": options.chains,
        "samples_per_chain": options.samples,
        "warm_up": WARM_UP,
        "transitions_per_sample": TRANSITIONS,
        "divergences": divergences,
        "diagnostics": diagnostics,
        "components": components,
    }
