"""Profile intervals of parameters whose supports have no end, beside profiles of the dense likelihood."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import chdtri
from scipy.stats import multivariate_normal

from hxcli.analyses.fit.fitted import quantities_of
from hxcli.inference.likelihood_columns import TraitLikelihood, framed
from hxcli.inference.maximum_likelihood import maximise
from hxcli.inference.profile_intervals import profile_intervals
from hxcli.models import named_model
from hxcli.models.edge_fields import edge_fields
from hxcli.phylogeny import Phylogeny
from hxcli.run.inputs import InputOptions, read_inputs
from hxcli.traits import Observations

DATA = Path(__file__).parents[2] / "data"

# A rate that grows, an error beside it, and a root whose state is searched for.
MODEL = """
import jax.numpy as jnp
from hxcli.model import Gaussian, log_normal, normal

def model(edge):
    growth = normal("growth", mean=0.01, sd=0.1)
    grown = (jnp.exp(growth * edge.end) - jnp.exp(growth * edge.start)) / growth
    return Gaussian(variance=log_normal("rate", median=0.05, sd=2) * grown)

def noise(tip):
    return log_normal("error", median=0.1, sd=1)

def root():
    return Gaussian(mean=normal("state", mean=7, sd=5), variance=0)
"""
LOGS = ("rate", "error")


def fitted(path: Path, phylogeny: Phylogeny, observations: Observations):
    fields = edge_fields(phylogeny)
    bound = named_model(str(path)).on(fields)
    likelihood = TraitLikelihood(bound, framed(fields.columns, phylogeny), observations, 0, restricted=False)
    optimum = maximise(likelihood)
    return likelihood, optimum, profile_intervals(likelihood, optimum, quantities_of(likelihood), 0.95)


def primates() -> tuple[Phylogeny, Observations]:
    files = str(DATA / "primates.nwk"), str(DATA / "primates.csv")
    inputs = read_inputs(InputOptions(*files, columns=("ln_body_mass",)))
    return inputs.phylogenies[0], inputs.observations[0]


@pytest.mark.slow
def test_units_of_a_tree_change_nothing(tmp_path: Path) -> None:
    """A plain number has no scale of its own: 0.01 in millions of years is 1e-8 in years."""
    phylogeny, observations = primates()
    found = {}
    for name, unit in (("millions", 1.0), ("years", 1e6), ("ages", 1e-3)):
        text = MODEL.replace("mean=0.01, sd=0.1", f"mean={0.01 / unit}, sd={0.1 / unit}")
        (tmp_path / f"{name}.py").write_text(text.replace("median=0.05", f"median={0.05 / unit}"))
        scaled = dataclasses.replace(phylogeny, edge_lengths=phylogeny.edge_lengths * unit)
        likelihood, optimum, intervals = fitted(tmp_path / f"{name}.py", scaled, observations)
        assert optimum.certificate.converged
        values = likelihood.parameters(optimum.x)
        by = {"growth": unit, "rate": unit}
        found[name] = {key: np.array([value, *intervals[key]]) * by.get(key, 1.0) for key, value in values.items()}
        found[name]["top"] = np.array(optimum.log_likelihood)
    for name in ("years", "ages"):
        for key, expected in found["millions"].items():
            tolerance = {"rtol": 1e-3, "atol": 1e-6} if key == "error" else {"rtol": 1e-5}
            np.testing.assert_allclose(found[name][key], expected, **tolerance)


@pytest.mark.slow
def test_ends_of_supports_without_ends_are_followed_to(tmp_path: Path) -> None:
    (tmp_path / "grows.py").write_text(MODEL)
    phylogeny, observations = primates()
    likelihood, optimum, found = fitted(tmp_path / "grows.py", phylogeny, observations)
    names = [each.name for each in likelihood.coordinates]
    # No error is as good as a small one.
    assert optimum.certificate.at_lower == ("error",)
    assert optimum.certificate.converged

    there = ~np.isnan(observations.values[:, 0])
    tips, y = observations.nodes[there], observations.values[there, 0]
    depth = phylogeny.root_distances
    shared = np.array([[depth[ancestor(phylogeny, one, other)] for other in tips] for one in tips])

    def dense(x: np.ndarray) -> float:
        at = {name: np.exp(value) if name in LOGS else value for name, value in zip(names, x, strict=True)}
        grown = np.expm1(at["growth"] * shared) / at["growth"]
        covariance = at["rate"] * grown + at["error"] * np.eye(len(tips))
        return float(multivariate_normal(np.full(len(tips), at["state"]), covariance).logpdf(y))

    top = dense(optimum.x)
    assert top == pytest.approx(optimum.log_likelihood, abs=1e-9)
    for place, name in enumerate(names):
        others = np.delete(np.arange(len(names)), place)
        for end in found[name]:
            if np.isnan(end):
                # The likelihood without any error is high enough.
                assert name == "error"
                continue
            fixed = np.log(end) if name in LOGS else end

            def depth_at(
                rest: np.ndarray, place: int = place, fixed: float = fixed, others: np.ndarray = others
            ) -> float:
                x = np.empty(len(names))
                x[place], x[others] = fixed, rest
                return -dense(x)

            best = minimize(
                depth_at,
                optimum.x[others],
                method="Nelder-Mead",
                options={"xatol": 1e-7, "fatol": 1e-9, "maxiter": 4000},
            )
            assert top + best.fun == pytest.approx(chdtri(1, 0.05) / 2, abs=1e-3), name
    assert not np.isnan([found[name] for name in ("growth", "rate", "state")]).any()
    assert np.isnan(found["error"].lower)
    assert 0.1 < found["error"].upper < 1


def ancestor(phylogeny: object, one: int, other: int) -> int:
    """The last node that two have in common."""
    parents = phylogeny.topology.parents  # type: ignore[attr-defined]
    path = [int(one)]
    while path[-1] != 0:
        path.append(int(parents[path[-1]]))
    while other not in path:
        other = int(parents[other])
    return int(other)
