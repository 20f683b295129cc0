"""Generalised least squares along a tree against dense algebra: every model, every oddity, in one compiled program."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hxcli.engine.topology import from_parents
from hxcli.engine.tree import Tree
from hxcli.prebuilt.gls import sweep_design, sweep_up
from hxcli.prebuilt.gls_solution import estimates, solve
from tests.prebuilt.dense_gls import Model, least_squares, model
from tests.reference import random_binary

pytestmark = pytest.mark.usefixtures("programs")

UNKNOWNS = 3
NAMES = ("bm", "lambda", "white", "ou", "ou stationary", "ou free", "trend", "bm")


class Case(NamedTuple):
    """A tree and eight columns, each a model with observations of its own."""

    parents: np.ndarray
    lengths: np.ndarray
    models: list[Model]
    observations: list[tuple[np.ndarray, np.ndarray, np.ndarray]]
    covariates: list[np.ndarray]


def _trees() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(5)
    binary = random_binary(24, 3)
    # A polytomy, a node with one child, a tip at distance 0 of its parent, an inner edge of length 0.
    odd = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 4, 4, 5, 5, 6, 6, 10, 10, 11, 11, 11, 17, 17, 18, 18])
    lengths = rng.exponential(0.4, len(odd))
    lengths[[0, 5, 7, 19]] = 0
    # A tip that sits on the root.
    at_root = np.array([0, 0, 0, 0, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 9, 9, 12, 12])
    beside = rng.exponential(0.4, len(at_root))
    beside[[0, 1]] = 0
    return {
        "binary": (binary, np.where(np.arange(len(binary)) == 0, 0, rng.exponential(0.4, len(binary)))),
        "odd": (odd, lengths),
        "tip at the root": (at_root, beside),
    }


def _case(parents: np.ndarray, lengths: np.ndarray, errors: bool) -> Case:
    rng = np.random.default_rng(len(parents) + errors)
    tips = np.flatnonzero(np.bincount(parents[1:], minlength=len(parents)) == 0)
    models, observations, covariates = [], [], []
    for number, name in enumerate(NAMES):
        found = model(name, parents, lengths, 0.4 + 0.1 * number)
        models.append(found)
        # Missing tips, other ones in every column, but never the first: it may sit on the root.
        seen = np.concatenate([tips[:1], rng.permutation(tips[1:])[: len(tips) - 1 - number % 4]])
        if errors:
            # Replicates; some tips without any error.
            seen = np.concatenate([seen, seen[-3:]])
        noise = np.where(np.arange(len(seen)) % 3 > 0, rng.uniform(0.1, 2, len(seen)), 0) if errors else 0 * seen
        noise = np.where(np.isin(seen, seen[-3:]), rng.uniform(0.1, 2, len(seen)), noise) if errors else noise
        observations.append((seen, rng.normal(3, 1, len(seen)), np.asarray(noise, float)))
        # Covariates of the tips fill up the design: a regression.
        extra = UNKNOWNS - found.design.shape[1] if number % 3 == 0 else 0
        covariates.append(rng.normal(size=(len(parents), extra)))
    return Case(parents, lengths, models, observations, covariates)


def _arrays(case: Case) -> dict[str, Any]:
    """The columns side by side; unknowns that a column does not have are columns of zeros."""
    size, columns = len(case.parents), len(case.models)
    names = ("known", "count", "log_det", "mean", "precision", "quadratic")
    tips = {name: np.zeros((size, columns)) for name in names}
    for k, (nodes, y, noise) in enumerate(case.observations):
        for node in set(nodes.tolist()):
            here = nodes == node
            values, variances = y[here], noise[here]
            if (variances == 0).any():
                tips["known"][node, k], tips["mean"][node, k] = 1, values[0]
                continue
            mean = np.sum(values / variances) / np.sum(1 / variances)
            tips["count"][node, k], tips["precision"][node, k] = len(values), np.sum(1 / variances)
            tips["log_det"][node, k], tips["mean"][node, k] = np.sum(np.log(variances)), mean
            tips["quadratic"][node, k] = np.sum((values - mean) ** 2 / variances)
    shift, root = np.zeros((size, columns, UNKNOWNS)), np.zeros((columns, UNKNOWNS))
    extra = np.zeros((size, columns, UNKNOWNS))
    for k, (found, more) in enumerate(zip(case.models, case.covariates, strict=True)):
        own = found.shift.shape[1]
        shift[:, k, :own], root[k, :own] = found.shift, found.root
        extra[:, k, own : own + more.shape[1]] = more
    edges = {name: np.stack([getattr(m, name) for m in case.models], 1) for name in ("scale", "variance")}
    fields = {**edges, **{f"tip_{name}": value for name, value in tips.items()}, "shift": shift, "extra": extra}
    tree = Tree.on_frame(from_parents(case.parents), {**fields, "length": case.lengths})
    return {"tree": tree, "root": jnp.asarray(root), "v0": jnp.asarray([m.root_variance for m in case.models])}


def _swept(tree: Tree, root: Any, v0: Any) -> Any:
    edges = {name: tree[name] for name in ("scale", "variance")}
    tips = {name: tree[f"tip_{name}"] for name in ("known", "count", "log_det", "mean", "precision", "quadratic")}
    design = sweep_design(tree.topology, tree["scale"], tree["shift"], root) + tree["extra"]
    swept = sweep_up(tree.topology, edges, tips, design, v0, positive=tree["length"] > 0)
    return swept, design, solve(swept)


@jax.jit
def _everything(tree: Tree, root: Any, v0: Any) -> dict[str, Any]:
    swept, design, solution = _swept(tree, root, v0)
    mean, variance = estimates(swept, solution, design, jnp.full(v0.shape, 2.0))
    return {
        "solution": solution,
        "mean": mean,
        "variance": variance / 2,
        "full": -2 * solution.log_likelihood(False),
        "restricted": -2 * solution.log_likelihood(True),
        "profiled": solution.profiled(True),
        "at_best": solution.log_likelihood(True, solution.best_rate(True)),
    }


@pytest.mark.parametrize("errors", [False, True])
@pytest.mark.parametrize("name", ["binary", "odd", "tip at the root"])
def test_dense_algebra(name: str, errors: bool) -> None:
    case = _case(*_trees()[name], errors)
    found = _everything(**_arrays(case))
    solution, size = found["solution"], len(case.parents)
    for k, (m, more, seen) in enumerate(zip(case.models, case.covariates, case.observations, strict=True)):
        design = np.hstack([m.design, more])
        p = design.shape[1]
        expected = least_squares(m.covariance, design, *seen)
        close = {"rtol": 1e-9, "atol": 1e-9}
        np.testing.assert_allclose(solution.beta[k, :p], expected["beta"], **close)
        np.testing.assert_allclose(solution.covariance[k, :p, :p], expected["covariance"], **close)
        np.testing.assert_allclose(solution.rss[k], expected["rss"], **close)
        np.testing.assert_allclose(found["restricted"][k], expected["restricted"], **close)
        np.testing.assert_allclose(found["mean"][:size, k], expected["mean"], **close)
        np.testing.assert_allclose(found["variance"][:size, k], expected["variance"], **close)
        np.testing.assert_allclose(found["profiled"][k], found["at_best"][k], **close)
        assert solution.rank[k] == p
        assert solution.freedom[k] == len(seen[0]) - p
        assert not np.any(solution.beta[k, p:])
        assert bool(solution.possible[k])
        if not np.isnan(expected["full"]):
            assert solution.count[k] == len(seen[0])
            np.testing.assert_allclose(found["full"][k], expected["full"], **close)


def test_gradient_is_that_of_finite_differences() -> None:
    case = _case(*_trees()["binary"], True)
    arrays = _arrays(case)
    tree = arrays.pop("tree")
    weights = jnp.asarray(np.random.default_rng(0).uniform(1, 2, len(NAMES)))

    @jax.jit
    def height(changes: dict[str, Any]) -> Any:
        moved = tree.set(**{name: tree[name] + changes[name] for name in ("scale", "variance", "shift")})
        *_, solution = _swept(moved, arrays["root"], arrays["v0"] + changes["v0"])
        return (weights * (solution.log_likelihood(True) + solution.profiled(False))).sum()

    rng = np.random.default_rng(1)
    still = {name: jnp.zeros_like(tree[name]) for name in ("scale", "variance", "shift")} | {"v0": 0 * arrays["v0"]}
    direction = {name: jnp.asarray(rng.uniform(0, 1, value.shape)) for name, value in still.items()}
    # A column of zeros is no unknown, and a small step would make it one.
    direction["shift"] = direction["shift"] * (tree["shift"] != 0)
    gradient = jax.jit(jax.grad(height))(still)
    assert all(bool(jnp.isfinite(value).all()) for value in gradient.values())
    step = 1e-5
    # A variance cannot be negative: forwards only, where it is 0.
    some = jnp.asarray(tree["variance"] > 0)
    cases = [
        ("scale", 1.0, False),
        ("shift", 1.0, False),
        ("variance", some, False),
        ("variance", ~some, True),
        ("v0", 1.0, True),
    ]
    for name, where, forwards in cases:
        along = direction[name] * where
        slope = float((gradient[name] * along).sum())
        up, low = ({**still, name: sign * step * along} for sign in (1, 0 if forwards else -1))
        found = float(height(up) - height(low)) / (step * (1 if forwards else 2))
        assert found == pytest.approx(slope, rel=1e-3 if forwards else 1e-6), name


def test_a_variance_that_underflows_makes_the_column_impossible() -> None:
    case = _case(*_trees()["binary"], False)
    arrays = _arrays(case)
    tree = arrays["tree"]
    tip = int(case.observations[0][0][0])
    arrays["tree"] = tree.set(variance=tree["variance"].at[tip, 0].set(0.0))
    found = _everything(**arrays)
    assert found["full"][0] == found["restricted"][0] == np.inf
    assert np.isfinite(found["full"][1:]).all()


def test_one_right_hand_side_and_silence() -> None:
    """Without unknowns the density is that of a normal vector; without observations all is finite."""
    parents, lengths = _trees()["binary"]
    m = model("ou stationary", parents, lengths)
    tips = np.flatnonzero(np.bincount(parents[1:], minlength=len(parents)) == 0)
    y = np.random.default_rng(0).normal(size=len(parents))
    size = len(parents)
    none = np.zeros((size, 2))
    known = none.copy()
    known[tips, 0] = 1
    fields = {"known": known, "mean": np.stack([y, y], 1)}
    fields |= dict.fromkeys(("count", "log_det", "precision", "quadratic"), none)
    edges = {name: np.stack([getattr(m, name)] * 2, 1) for name in ("scale", "variance")}
    topology, v0 = from_parents(parents), jnp.full(2, m.root_variance)

    @jax.jit
    def everything() -> Any:
        swept = sweep_up(topology, edges, fields, jnp.zeros((size, 2, 0)), v0)
        solution = solve(swept)
        full = -2 * solution.log_likelihood(False)
        return solution, full, *estimates(swept, solution, jnp.zeros((size, 2, 0)), jnp.ones(2))

    solution, full, mean, variance = everything()
    v = m.covariance[np.ix_(tips, tips)]
    expected = len(tips) * np.log(2 * np.pi) + np.linalg.slogdet(v)[1] + y[tips] @ np.linalg.solve(v, y[tips])
    np.testing.assert_allclose(full[0], expected, rtol=1e-9)
    np.testing.assert_allclose(mean[:, 0], m.covariance[:, tips] @ np.linalg.solve(v, y[tips]), rtol=1e-9)
    assert solution.count[1] == solution.rss[1] == 0
    np.testing.assert_allclose(mean[:, 1], 0)
    np.testing.assert_allclose(variance[:, 1], np.diag(m.covariance))
