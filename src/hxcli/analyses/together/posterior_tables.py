"""The tables of a posterior of traits together, from draws of their covariance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from hxcli.analyses.together.tables import within_table
from hxcli.inference.joint_sampling import NAMES, correlations
from hxcli.phylogeny import FloatArray

PROBABILITIES = (0.025, 0.05, 0.25, 0.5, 0.75, 0.95, 0.975)


class Figures(NamedTuple):
    """Figures of the root.

    Attributes:
        mean, deviation: (D,).
        quantiles: (D, P) at `PROBABILITIES`.
    """

    mean: FloatArray
    deviation: FloatArray
    quantiles: FloatArray


class ShapeDraws(NamedTuple):
    """Of the parameter that all traits share.

    Attributes:
        name: As it is reported.
        draws: (C, S), in the users' unit.
    """

    name: str
    draws: FloatArray


def posterior_covariance_table(traits: Sequence[str], rates: FloatArray, level: float) -> dict[str, Any]:
    """The columns of PREFIX.covariance.csv.

    Args:
        traits: (D,) names.
        rates: (C, S, D, D) draws, in the traits' units.
        level: Probability of the intervals of correlations.
    """
    rows, columns = np.triu_indices(len(traits))
    between = correlations(rates)[..., rows, columns].reshape(-1, len(rows))
    own = rows == columns
    lower, upper = (
        np.where(own, np.nan, end) for end in np.quantile(between, [(1 - level) / 2, (1 + level) / 2], axis=0)
    )
    return {
        **within_table(tuple(traits), rates.mean((0, 1))),
        "correlation": np.where(own, 1.0, between.mean(0)),
        "lower": lower,
        "upper": upper,
        "positive": np.where(own, np.nan, (between > 0).mean(0)),
    }


def posterior_parameters(
    traits: Sequence[str],
    rates: FloatArray,
    withins: FloatArray | None,
    shape: ShapeDraws | None,
    priors: Mapping[str, str],
    diagnostics: Mapping[str, Mapping[str, float]],
    root: Figures,
) -> dict[str, list[Any]]:
    """The columns of PREFIX.params.csv: of every trait its rate, its root, and what it shares with later traits.

    Args:
        traits: (D,) names.
        rates, withins: (C, S, D, D) draws, in the traits' units.
        shape: Of the model's shape parameter, told of every trait; None without one.
        priors: As `JointPriors.written` gives them; that of a variance is its square root's.
        diagnostics: Of `JointSampled`.
        root: Of the root.
    """
    rows: list[dict[str, Any]] = []

    def add(trait: str, name: str, prior: str | None, figures: Sequence[float], health: Mapping[str, float]) -> None:
        row: dict[str, Any] = {"trait": trait, "parameter": name, "prior": prior}
        row |= zip(("mean", "sd", *(f"q{p:g}" for p in PROBABILITIES)), map(float, figures), strict=True)
        rows.append(row | {key: health.get(key, np.nan) for key in ("rhat", "ess_bulk", "ess_tail")})

    for a, trait in enumerate(traits):
        for what in _shared(a, traits, rates, NAMES[0], ("sigma2", "sigma", "covariance", "correlation"), priors):
            add(trait, what.name, what.prior, _figures(what.draws), diagnostics.get(what.key, {}))
        if withins is not None:
            names = ("tau2", "tau", "within_covariance", "within_correlation")
            for what in _shared(a, traits, withins, NAMES[1], names, priors):
                add(trait, what.name, what.prior, _figures(what.draws), diagnostics.get(what.key, {}))
        if shape is not None:
            health = diagnostics.get(shape.name, {})
            add(trait, shape.name, priors.get(shape.name), _figures(shape.draws), health)
        add(trait, "root", None, (root.mean[a], root.deviation[a], *root.quantiles[a]), {})
    return {key: [row[key] for row in rows] for key in rows[0]}


class _Drawn(NamedTuple):
    """A row of the table: what it is called there, its prior, its draws, and what its diagnostics are called."""

    name: str
    prior: str | None
    draws: FloatArray
    key: str


def _shared(
    a: int,
    traits: Sequence[str],
    draws: FloatArray,
    keys: tuple[str, str],
    names: tuple[str, str, str, str],
    priors: Mapping[str, str],
) -> Iterator[_Drawn]:
    """The rows of one trait and one covariance."""
    variance, deviation, covariance, correlation = names
    prior = f"{deviation} {priors[f'{deviation}({traits[a]})']}"
    yield _Drawn(variance, prior, draws[..., a, a], keys[0].format(traits[a]))
    between = correlations(draws)
    for b in range(a + 1, len(traits)):
        yield _Drawn(f"{covariance}({traits[b]})", None, draws[..., a, b], "")
        key = keys[1].format(traits[a], traits[b])
        yield _Drawn(f"{correlation}({traits[b]})", priors[correlation], between[..., a, b], key)


def _figures(draws: FloatArray) -> tuple[float, ...]:
    return float(draws.mean()), float(draws.std()), *np.quantile(draws, PROBABILITIES).tolist()


def draws_table(
    traits: Sequence[str],
    states: FloatArray,
    rates: FloatArray | None,
    withins: FloatArray | None,
    tau2: float,
    more: Mapping[str, FloatArray],
) -> dict[str, Any]:
    """The columns of PREFIX.draws.parquet: every draw once for each trait.

    Args:
        traits: (D,) names.
        states: (K, N, D).
        rates, withins: (K, D, D), in the traits' units.
        tau2: The observation variance, where there is none within species.
        more: Name -> (K,) of parameters that all traits share.
    """
    count, _, each = states.shape
    assert rates is not None

    def of_trait(matrices: FloatArray) -> FloatArray:
        return np.concatenate([matrices[:, a] for a in range(each)])

    own = np.repeat(np.arange(each), count)
    rate = of_trait(rates)
    noise = np.full(len(own), tau2)
    further = {f"covariance({trait})": rate[:, b] for b, trait in enumerate(traits)}
    if withins is not None:
        within = of_trait(withins)
        noise = within[np.arange(len(own)), own]
        further |= {f"within_covariance({trait})": within[:, b] for b, trait in enumerate(traits)}
    return long_draws(
        traits,
        states,
        {
            "sigma2": rate[np.arange(len(own)), own],
            "tau2": noise,
            **{name: np.tile(each, len(traits)) for name, each in more.items()},
            **further,
        },
    )


def long_draws(traits: Sequence[str], states: FloatArray, columns: Mapping[str, FloatArray]) -> dict[str, Any]:
    """Draws with a row for every trait, those of the first trait first.

    Args:
        traits: (D,) names.
        states: (K, N, D).
        columns: Name -> (D * K,) of the parameters.
    """
    count, size, each = states.shape
    return {
        "draw": np.tile(np.arange(1, count + 1), each),
        "trait": np.repeat(list(traits), count).tolist(),
        **columns,
        "states": np.moveaxis(states, 2, 0).reshape(-1, size),
    }
