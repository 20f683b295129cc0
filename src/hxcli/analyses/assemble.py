"""What the models share when they report: intervals, arrays back on the host, the record, warnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hxcli.errors import Note
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.prebuilt.tip_likelihoods import exact_values
from hxcli.reconstruction import Parameter, Reconstruction
from hxcli.traits import Observations


def reconstruction(
    phylogeny: Phylogeny,
    observations: Observations,
    estimates: FloatArray,
    standard_errors: FloatArray,
    *,
    level: float,
    interval: str,
    parameters: Mapping[str, tuple[NDArray[Any] | float, str | Sequence[str]]],
    root_how: tuple[str, str],
    method: str,
    columns: Mapping[str, FloatArray] | None = None,
    ends: tuple[FloatArray, FloatArray] | None = None,
    shortest: tuple[FloatArray, FloatArray] | None = None,
    tables: Mapping[str, Mapping[str, Any]] | None = None,
    details: Mapping[str, Mapping[str, Any]] | None = None,
    warnings: tuple[str, ...] = (),
    rates_from_data: bool = True,
) -> Reconstruction:
    """Assembles the record of a run.

    Args:
        phylogeny: N nodes.
        observations: M observations of D traits.
        estimates, standard_errors: (N, D).
        level: Probability of the interval.
        interval: `CI` or `HPD`.
        parameters: Name -> values (D,) or (), and how they were obtained, all alike or each.
        root_how: How the root's estimate and its standard error were obtained.
        method: In words.
        columns: Further (N, D) columns of the table.
        ends: Both (N, D), of the intervals; None for normal ones.
        shortest: Both (N, D), of the intervals of highest density, for the columns `hpd_lower` and `hpd_upper`.
        tables, details: Of the reconstruction.
        warnings: What else the user should know.
        rates_from_data: Whether a rate that is no number is one that the observations do not determine.
    """
    observed = observations.means(0, phylogeny.topology.size)
    used = tuple(int(n) for n in (~np.isnan(observed)).sum(0))
    # An observation without error comes back as it went in, whatever units the computation had. No other one does,
    # even where the state is certain: at no distance from such an observation, or from a root that is given.
    known = exact_values(phylogeny, observations, parameters.get("tau2", (0.0, ""))[0])
    exact = (standard_errors == 0) & ~np.isnan(known)
    estimates = np.where(exact, known, estimates)
    traits = observations.traits
    roots = {"root": (estimates[0], root_how[0]), "root_se": (standard_errors[0], root_how[1])}
    by_trait = {
        name: (np.broadcast_to(values, len(traits)), [how] * len(traits) if isinstance(how, str) else how)
        for name, (values, how) in {**parameters, **roots}.items()
    }
    if ends is not None:
        ends = np.where(exact, known, ends[0]), np.where(exact, known, ends[1])
    further = dict(columns or {})
    if shortest is not None:
        further |= zip(("hpd_lower", "hpd_upper"), (np.where(exact, known, end) for end in shortest), strict=True)
    return Reconstruction(
        phylogeny=phylogeny,
        traits=traits,
        observations=observations,
        estimates=estimates,
        standard_errors=standard_errors,
        level=level,
        interval=interval,
        parameters={
            trait: {name: Parameter(float(values[d]), hows[d]) for name, (values, hows) in by_trait.items()}
            for d, trait in enumerate(traits)
        },
        tips_used=used,
        method=method,
        columns=further,
        tables=tables or {},
        details=details or {},
        given_ends=ends,
        warnings=(*_warnings(traits, used, by_trait.get("sigma2") if rates_from_data else None), *warnings),
    )


def _warnings(traits: Sequence[str], used: Sequence[int], sigma2: tuple[Any, Any] | None) -> tuple[str, ...]:
    """A sentence for every trait whose rate or states the data do not determine."""
    said = []
    rates = np.ones(len(traits)) if sigma2 is None else sigma2[0]
    for trait, n, rate in zip(traits, used, rates, strict=True):
        if n == 0:
            said.append(Note(f"trait {trait!r}: no tip has a value, so that estimates are empty"))
        elif np.isnan(rate):
            said.append(
                Note(
                    f"trait {trait!r}: sigma2 cannot be estimated (fewer than two values, or no edge length between "
                    "them), so standard errors are empty"
                )
            )
        elif rate == 0:
            said.append(
                Note(
                    f"trait {trait!r}: the estimate of sigma2 is 0 (equal values, or differences that the observation "
                    "errors explain): standard errors do not grow along the edges"
                )
            )
    return tuple(said)
