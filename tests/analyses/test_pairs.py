"""Pairs of nodes: against the joint distribution of all nodes by dense algebra."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import norm

from hxcli.analyses.ancestral import ancestral
from hxcli.analyses.fit.fit import fit_models, painted_tree
from hxcli.analyses.fit.options import FitOptions
from hxcli.analyses.fit.ranking import weights_of
from hxcli.analyses.pairs import PAIRS
from hxcli.analyses.posterior.posterior import posterior
from hxcli.errors import InputError, OptionError
from hxcli.formats.source import checked_source
from hxcli.formats.tables.pairs import read_pairs
from hxcli.node_pairs import PairTable
from hxcli.painting import RegimeRow, RegimeTable, unpainted
from hxcli.phylogeny import Phylogeny
from hxcli.traits import Observations
from tests.analyses.dense_models import dense, dense_regimes, solved
from tests.analyses.test_fit import FOSSILS, at, observed, oracle, tree

# Cousins, a node above another, tips with and without a value, both sides of an edge of 0, a node of one child.
NAMED = [("p", "q"), ("r", "A"), ("A", "B"), ("A", "L"), ("s", "t"), ("w", "y"), ("u", "x"), ("K", "w"), ("F", "J")]


def table(pairs: Sequence[Sequence[str]], header: str = "node_a,node_b") -> PairTable:
    lines = [header, *(",".join(pair) for pair in pairs)]
    return read_pairs(checked_source("pairs.csv", "\n".join(lines).encode()))


def joint(
    phylogeny: Phylogeny, mean: np.ndarray, covariance: np.ndarray, pairs: Sequence[Sequence[str]] = NAMED
) -> dict[str, np.ndarray]:
    """What a table of pairs has, from the joint distribution of all nodes."""
    labels = list(phylogeny.labels.array)
    a, b = (np.array([labels.index(pair[side]) for pair in pairs]) for side in (0, 1))
    difference = mean[a] - mean[b]
    spread = covariance[a, a] + covariance[b, b] - 2 * covariance[a, b]
    return {"difference": difference, "variance": spread, "covariance": covariance[a, b]}


def agrees(found: dict[str, np.ndarray], slow: dict[str, np.ndarray], variances: tuple[np.ndarray, np.ndarray]) -> None:
    np.testing.assert_allclose(found["difference"], slow["difference"], atol=1e-9)
    np.testing.assert_allclose(found["se"] ** 2, slow["variance"], atol=1e-9)
    half = norm.ppf(0.975) * found["se"]
    np.testing.assert_allclose(found["lower"], found["difference"] - half, atol=1e-9)
    np.testing.assert_allclose(found["upper"], found["difference"] + half, atol=1e-9)
    certain = slow["variance"] < 1e-12
    np.testing.assert_allclose(
        found["p_greater"][~certain],
        norm.cdf(slow["difference"][~certain] / np.sqrt(slow["variance"][~certain])),
        atol=1e-9,
    )
    assert set(found["p_greater"][certain].tolist()) <= {0.0, 1.0}
    product = np.sqrt(variances[0] * variances[1])
    sure = product < 1e-12
    assert np.isnan(found["correlation"][sure]).all()
    np.testing.assert_allclose(found["correlation"][~sure], slow["covariance"][~sure] / product[~sure], atol=1e-8)


def dense_states(phylogeny: Phylogeny, seen: Observations, name: str, root: str, restricted: bool) -> tuple:
    options = FitOptions(estimator="REML" if restricted else "ML", ou_root=root or None, intervals=False)
    fitted = fit_models(unpainted(phylogeny), seen, (name,), options, compared=False)[0][0]
    there = ~np.isnan(seen.values[:, 0])
    noise = seen.standard_errors[there, 0] ** 2
    slow = solved(
        oracle(fitted, at(fitted)), seen.nodes[there], seen.values[there, 0], noise,
        restricted=fitted.estimator == "REML",
    )  # fmt: skip
    return slow.mean, slow.covariance


QUICK = ("bm", "ou free")
CASES = [*QUICK, *(pytest.param(each, marks=pytest.mark.slow) for each in (
    "white", "ou", "lambda", "kappa", "trend", "bm errors", "ou errors"))]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_pairs_are_those_of_the_joint_distribution_of_all_nodes(case: str) -> None:
    name, _, more = case.partition(" ")
    root = more if more == "free" else ""
    phylogeny = tree(FOSSILS)
    seen = observed(phylogeny, errors=more == "errors")
    options = {"models": (name,), "ou_root": root or None} if name != "bm" else {}
    found = ancestral(phylogeny, seen, pairs=table(NAMED), **options)  # type: ignore[arg-type]
    mean, covariance = dense_states(phylogeny, seen, name, root, restricted=True)
    rows = found.tables[PAIRS]
    labels = list(phylogeny.labels.array)
    a, b = (np.array([labels.index(pair[side]) for pair in NAMED]) for side in (0, 1))
    own = tuple(found.standard_errors[each, 0] ** 2 for each in (a, b))
    agrees(rows, joint(phylogeny, mean, covariance), own)  # type: ignore[arg-type]
    assert found.details["x"]["pairs"][0]["node_a"] == "p"


@pytest.mark.slow
def test_pairs_under_regimes_that_change_along_edges() -> None:
    phylogeny = tree(FOSSILS)
    seen = observed(phylogeny)
    painting = RegimeTable("r", (RegimeRow("", "", "", "a", 1, 2), RegimeRow("r", "", "", "b", 0.4, 3)))
    found = ancestral(phylogeny, seen, models=("oum",), held={"alpha": 0.4}, regimes=painting, pairs=table(NAMED))
    painted = painted_tree(phylogeny, painting)
    values = {name: each.value for name, each in found.parameters["x"].items()}
    there = ~np.isnan(seen.values[:, 0])
    slow = solved(
        dense_regimes("oum", painted, values), painted.nodes[seen.nodes[there]], seen.values[there, 0],
        np.zeros(there.sum()), restricted=False,
    )  # fmt: skip
    mean, covariance = slow.mean[painted.nodes], slow.covariance[np.ix_(painted.nodes, painted.nodes)]
    labels = list(phylogeny.labels.array)
    a, b = (np.array([labels.index(pair[side]) for pair in NAMED]) for side in (0, 1))
    own = tuple(found.standard_errors[each, 0] ** 2 for each in (a, b))
    agrees(found.tables[PAIRS], joint(phylogeny, mean, covariance), own)


def test_pairs_of_an_average_are_the_mixture_of_those_of_its_models() -> None:
    phylogeny = tree(FOSSILS)
    seen = observed(phylogeny)
    names = ("bm", "lambda")
    found = ancestral(phylogeny, seen, models=("average", *names), pairs=table(NAMED)).tables[PAIRS]
    share = weights_of(fit_models(unpainted(phylogeny), seen, names, FitOptions(intervals=False))[0])[1]
    parts = [joint(phylogeny, *dense_states(phylogeny, seen, name, "", restricted=True)) for name in names]
    means = np.stack([part["difference"] for part in parts])
    variances = np.stack([part["variance"] for part in parts])
    middle = share @ means
    np.testing.assert_allclose(found["difference"], middle, atol=1e-8)
    np.testing.assert_allclose(found["se"] ** 2, share @ (variances + (means - middle) ** 2), atol=1e-8)
    unsure = variances.min(0) > 1e-12
    spreads = np.sqrt(variances[:, unsure])
    above = share @ norm.cdf(means[:, unsure] / spreads)
    np.testing.assert_allclose(found["p_greater"][unsure], above, atol=1e-8)
    ends = np.stack([found["lower"], found["upper"]])[:, None, unsure]
    below = (share[:, None] * norm.cdf((ends - means[None, :, unsure]) / spreads)).sum(1)
    np.testing.assert_allclose(below, np.array([[0.025], [0.975]]) * np.ones(unsure.sum()), atol=1e-7)


def test_two_tips_name_their_common_ancestor_and_nodes_go_by_their_names_in_tables() -> None:
    phylogeny = tree("((A:1,B:2):1,(C:1,D:1):2);")
    seen = observed(phylogeny, missing=0)
    by_tips = ancestral(phylogeny, seen, pairs=table([("B", "A", "C", "D")], "a,b,c,d")).tables[PAIRS]
    by_name = ancestral(phylogeny, seen, pairs=table([("n1", "n2")])).tables[PAIRS]
    assert (by_tips["node_a"], by_tips["node_b"]) == (["n1"], ["n2"])
    assert by_tips["difference"].tolist() == by_name["difference"].tolist()


def test_a_pair_turned_round_is_the_other_sign_and_traits_come_one_after_the_other() -> None:
    phylogeny = tree(FOSSILS)
    seen = observed(phylogeny)
    both = Observations(
        seen.nodes, np.hstack([seen.values, 3 * seen.values + 1]), np.hstack([seen.standard_errors] * 2), ("x", "z")
    )
    found = ancestral(phylogeny, both, pairs=table([("p", "q"), ("q", "p")])).tables[PAIRS]
    assert found["trait"] == ["x", "x", "z", "z"]
    assert found["difference"][0] == -found["difference"][1]
    assert found["p_greater"][0] == pytest.approx(1 - found["p_greater"][1], abs=1e-12)
    assert found["difference"][2:] == pytest.approx(3 * found["difference"][:2], abs=1e-9)
    assert found["correlation"][2:] == pytest.approx(found["correlation"][:2], abs=1e-9)


@pytest.mark.parametrize(
    ("pairs", "header", "match"),
    [
        ([("p", "Q")], "a,b", "line 2: no node is called 'Q'"),
        ([("p", "q"), ("p", "p")], "a,b", "line 3: both nodes of the pair are 'p'"),
        ([("p", "q")], "r,s", "line 1: the first line names nodes"),
        ([("p", "q", "r")], "a,b,c", "2 columns, names of nodes, or 4"),
        ([("p", "")], "a,b", "line 2: column 'b' is empty"),
        ([("A", "p", "C", "D")], "a,b,c,d", "line 2: no tip is called 'p'"),
    ],
)
def test_pairs_that_are_none_are_refused_with_their_line(pairs: list[tuple[str, ...]], header: str, match: str) -> None:
    with pytest.raises(InputError, match=match):
        table(pairs, header).on(tree(FOSSILS))


def test_diffusions_on_a_grid_have_no_pairs() -> None:
    phylogeny = tree(FOSSILS)
    with pytest.raises(OptionError, match="--pairs with --model bounded"):
        ancestral(phylogeny, observed(phylogeny), models=("bounded",), pairs=table(NAMED))


POSTERIOR = {"prior_sigma2": "lognormal(0,1)", "prior_tau2": "lognormal(-2,1)"}


def dense_grid(phylogeny: Phylogeny, seen: Observations, pairs: Sequence[tuple[int, int]]) -> list[dict[str, float]]:
    """Pairs over a fine grid of log sigma2 and log tau2, flat root, by dense algebra at every point."""
    there = ~np.isnan(seen.values[:, 0])
    tips, y = seen.nodes[there], seen.values[there, 0]
    points = [(rate, noise) for rate in np.linspace(-5, 5, 41) for noise in np.linspace(-8, 3, 41)]
    states = []
    for rate, noise in points:
        model = dense("bm", phylogeny, {"sigma2": float(np.exp(rate))})
        states.append(solved(model, tips, y, np.full(len(tips), np.exp(noise)), restricted=True))
    height = np.array(
        [s.log_likelihood - r**2 / 2 - (n + 2) ** 2 / 2 for s, (r, n) in zip(states, points, strict=True)]
    )
    share = np.exp(height - height.max())
    share /= share.sum()
    found = []
    for a, b in pairs:
        first, second = (np.array([s.mean[node] for s in states]) for node in (a, b))
        of_first, of_second, both = (
            np.array([s.covariance[i, j] for s in states]) for i, j in ((a, a), (b, b), (a, b))
        )
        spread, apart = of_first + of_second - 2 * both, first - second
        away = first - share @ first, second - share @ second
        sd = [np.sqrt(share @ (v + m**2)) for v, m in ((of_first, away[0]), (of_second, away[1]))]
        found.append(
            {
                "difference": float(share @ apart),
                "se": float(np.sqrt(share @ (spread + (apart - share @ apart) ** 2))),
                "correlation": float(share @ (both + away[0] * away[1]) / sd[0] / sd[1]),
                "p_greater": float(share @ norm.cdf(apart / np.sqrt(spread))),
            }
        )
    return found


def test_pairs_of_a_posterior_are_those_of_a_dense_grid() -> None:
    phylogeny = tree(FOSSILS)
    seen = observed(phylogeny)
    found = posterior(phylogeny, seen, **POSTERIOR, pairs=table(NAMED)).tables[PAIRS]
    labels = list(phylogeny.labels.array)
    rows = (0, 3)
    slow = dense_grid(phylogeny, seen, [tuple(labels.index(name) for name in NAMED[row]) for row in rows])  # type: ignore[misc]
    for row, figures in zip(rows, slow, strict=True):
        for name, value in figures.items():
            assert found[name][row] == pytest.approx(value, abs=2e-4), (row, name)
    assert (found["hpd_upper"] - found["hpd_lower"] <= found["upper"] - found["lower"] + 1e-8).all()


@pytest.mark.slow
def test_pairs_of_a_posterior_under_models_with_given_parameters_are_the_dense_ones() -> None:
    phylogeny = tree(FOSSILS)
    seen = observed(phylogeny)
    given = {"sigma2": 0.7, "tau2": 0.2}
    found = posterior(phylogeny, seen, **given, models=("ou",), held={"alpha": 0.3}, pairs=table(NAMED))
    there = ~np.isnan(seen.values[:, 0])
    model = dense("ou", phylogeny, {"sigma2": 0.7, "alpha": 0.3})
    slow = solved(model, seen.nodes[there], seen.values[there, 0], np.full(there.sum(), 0.2), restricted=True)
    labels = list(phylogeny.labels.array)
    a, b = (np.array([labels.index(pair[side]) for pair in NAMED]) for side in (0, 1))
    variance = np.diag(slow.covariance)
    agrees(found.tables[PAIRS], joint(phylogeny, slow.mean, slow.covariance), (variance[a], variance[b]))
