"""Traits together under a user's model: against dense algebra, the built-in models, and the engine of one trait."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hxcli.analyses.model_states import model_states
from hxcli.analyses.together.ancestral import ancestral_together
from hxcli.analyses.together.under_file import ancestral_under_file, fit_file, joint_model
from hxcli.errors import ModelError
from hxcli.inference.matrix_levels import HostSweeps
from hxcli.inference.matrix_likelihood import MatrixLikelihood
from hxcli.inference.matrix_programs import CompiledSweeps, _edges, _figures
from hxcli.models.joint_edges import JointEdges
from hxcli.phylogeny import Phylogeny
from hxcli.run.inputs import InputOptions, read_inputs
from hxcli.traits import Observations
from tests.dense_joint import dense_linear

TREE = "((((A:0.7,B:0.4):0.3,(C:1,(D:0.2,E:0.9,F:0.5):0.6):0.4):0.5,G:0):0.2,((H:0.8,I:1.1):0.1,(J:0.3):0.5):0.7);"
# Missing cells in any pattern, two rows of one tip, known errors of some.
ROWS = """tip,u,v,u_se
A,5.1,2.0,0
B,4.2,,0
B,4.6,1.1,0.3
C,,-0.4,
D,6.3,0.2,0
E,5.9,-1.3,0.2
F,,,
G,4.8,0.9,0
H,3.3,3.1,0.1
I,,2.2,
J,5.5,0.4,0
"""
CHASE = '''"""The second trait follows the first one."""
import jax.numpy as jnp
from hxcli.model import Gaussian, log_normal, normal, record, uniform
MEANS = ("theta",)
def pulls():
    pull = log_normal("pull", median=0.8, sd=1, shape=(2,))
    return jnp.array([[pull[0], 0.0], [normal("cross", mean=-0.5, sd=1), pull[1]]])
def rates():
    sigma, r = log_normal("sigma", median=1, sd=1, shape=(2,)), uniform("r", -1, 1)
    return jnp.outer(sigma, sigma) * jnp.array([[1.0, r], [r, 1.0]])
def limit(a):
    eye = jnp.eye(2)
    return jnp.linalg.solve(jnp.kron(a, eye) + jnp.kron(eye, a), rates().reshape(-1)).reshape(2, 2)
def moved(a, t):
    # The exponential of a triangular matrix.
    first, second = jnp.exp(-a[0, 0] * t), jnp.exp(-a[1, 1] * t)
    return jnp.array([[first, 0.0], [a[1, 0] * (first - second) / (a[0, 0] - a[1, 1] + 1e-3), second]])
def model(edge):
    a = pulls()
    a, stationary = a, limit(a)
    moves = record("half", moved(a, edge.length)[0, 0]) * jnp.zeros((2, 2)) + moved(a, edge.length)
    theta = normal("theta", mean=0, sd=9, shape=(2,))
    return Gaussian(moves, (jnp.eye(2) - moves) @ theta, stationary - moves @ stationary @ moves.T)
'''
ROOT = """
def root():
    return Gaussian(mean=normal("theta", mean=0, sd=9, shape=(2,)), variance=limit(pulls()))
"""
NOISE = """
def noise(tip):
    e = log_normal("error", median=0.3, sd=1)
    return e * jnp.array([[1.0, 0.4], [0.4, 2.0]]) * (1 + tip.length)
"""
BROWNIAN = """
import jax.numpy as jnp
from hxcli.model import Gaussian, log_normal, uniform
def model(edge):
    sigma, r = log_normal("sigma", median=1, sd=2, shape=(2,)), uniform("r", -1, 1)
    return Gaussian(variance=jnp.outer(sigma, sigma) * jnp.array([[1.0, r], [r, 1.0]]) * edge.length)
"""
# Of one trait, in both forms.
ONE = """
import jax.numpy as jnp
from hxcli.model import Gaussian, log_normal, normal
MEANS = ("theta",)
def model(edge):
    alpha, sigma2 = log_normal("alpha", median=0.5, sd=1), log_normal("sigma2", median=1, sd=1)
    theta, decay = normal("theta", mean=0, sd=9), jnp.exp(-alpha * edge.length)
    return Gaussian(SCALE)
def root():
    return Gaussian(mean=normal("theta", mean=0, sd=9), variance=0)
"""
NUMBERS = "decay, theta * (1 - decay), sigma2 * (1 - decay**2) / (2 * alpha)"
MATRICES = "jnp.eye(1) * decay, jnp.ones(1) * theta * (1 - decay), jnp.eye(1) * sigma2 * (1 - decay**2) / (2 * alpha)"


@pytest.fixture(autouse=True)
def _precise() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def read(folder: Path, rows: str = ROWS, tree: str = TREE) -> tuple[Phylogeny, Observations]:
    (folder / "t.nwk").write_text(tree)
    (folder / "t.csv").write_text(rows)
    inputs = read_inputs(InputOptions(str(folder / "t.nwk"), str(folder / "t.csv"), replicates=True))
    return inputs.phylogenies[0], inputs.observations[0]


def placed(folder: Path, text: str, held: dict[str, float], **options: Any) -> MatrixLikelihood:
    phylogeny, seen = read(folder)
    (folder / "own.py").write_text(text)
    return MatrixLikelihood(joint_model(phylogeny, seen, str(folder / "own.py")), seen, held=held, **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "held", "tau2"),
    [
        (CHASE + ROOT, {}, 0.0),
        (CHASE + ROOT + NOISE, {}, 0.1),
        (CHASE, {"theta(1)": 4.0, "theta(2)": -1.0}, 0.0),
        (CHASE, {"theta(1)": 4.0, "root(u)": 3.0, "root(v)": 2.0}, 0.0),
    ],
    ids=["stationary root", "noise", "free root", "given root"],
)
def test_likelihood_and_states_are_those_of_dense_algebra(tmp_path: Path, text: str, held: Any, tau2: float) -> None:
    likelihood = placed(tmp_path, text, held, tau2=tau2)
    x = likelihood.start + 0.3 * np.random.default_rng(1).standard_normal(len(likelihood.start))
    seen, edges, bound = likelihood.observations, likelihood.edges(x), likelihood.bound
    means = [name for name in bound.unknowns if not name.startswith("root(")]
    unknowns = [1.0 if name == means[-1] else held.get(name, np.nan) for name in means]
    if "root(u)" in held:
        mean = np.zeros_like(edges.root_mean)
        mean[:, -1] = held["root(u)"], held["root(v)"]
        edges = edges._replace(root_mean=mean)
    truth = dense_linear(
        bound.fields.phylogeny.topology.parents,
        edges,
        seen.nodes,
        seen.values,
        np.sqrt(seen.standard_errors**2 + tau2),
        free_root=likelihood.unknowns[:1] == ("root(u)",),
        unknowns=np.array(unknowns),
        noise=edges.noise,
    )
    value, gradient = likelihood.value_and_gradient(x)
    np.testing.assert_allclose(value, truth.likelihood, rtol=1e-9)
    np.testing.assert_allclose(likelihood.at(np.stack([x, x])).log_likelihood, value, rtol=1e-12)
    found, errors = likelihood.states(x)
    np.testing.assert_allclose(found.ravel(), truth.means, atol=1e-9)
    np.testing.assert_allclose(errors.ravel() ** 2, truth.variances, atol=1e-9)
    for place, slope in enumerate(gradient):
        step = 1e-5 * np.eye(len(x))[place]
        above, below = (likelihood.value_and_gradient(x + side * step)[0] for side in (1, -1))
        np.testing.assert_allclose(slope, (above - below) / 2e-5, rtol=1e-5, atol=1e-6)


def random_edges(likelihood: MatrixLikelihood, seed: int) -> JointEdges:
    """Edges of which inner ones may have no variance, or one of rank 1; nothing happens on those of length 0."""
    phylogeny, random = likelihood.bound.fields.phylogeny, np.random.default_rng(seed)
    size, traits, unknowns = phylogeny.topology.size, len(likelihood.bound.traits), likelihood.placed.laid.mix.shape[0]
    roots, roots_of_noise = random.normal(size=(2, size, traits, traits))
    inner = np.bincount(phylogeny.topology.parents, minlength=size) > 0
    # Where a state is known exactly a variance has to allow it.
    inner[phylogeny.topology.parents[phylogeny.lengths == 0]] = False
    roots[inner & (random.random(size) < 0.3)] = 0
    roots[inner & (random.random(size) < 0.5), :, 1] = 0
    variance, noise = (each @ np.swapaxes(each, 1, 2) for each in (roots, roots_of_noise))
    transition = np.eye(traits) + random.normal(size=(size, traits, traits)) / 3
    shift = random.normal(size=(size, traits, unknowns))
    still = phylogeny.lengths == 0
    transition[still], shift[still], variance[still] = np.eye(traits), 0, 0
    has_root, has_noise = likelihood.bound.model.root is not None, likelihood.bound.model.noise is not None
    root = random.normal(size=(traits, unknowns + 3)) * has_root
    root_variance = root[:, unknowns:] @ root[:, unknowns:].T
    return JointEdges(
        transition, variance, shift, root[:, :unknowns], root_variance, 1e-3 * noise if has_noise else None
    )


@pytest.mark.parametrize(
    ("text", "held", "tau2"),
    [
        (CHASE + ROOT, {}, 0.0),
        (CHASE + ROOT + NOISE, {}, 0.1),
        (CHASE, {"theta(2)": -1.0}, 0.0),
        (CHASE, {"theta(1)": 4.0, "root(u)": 3.0, "root(v)": 2.0}, 0.0),
    ],
    ids=["root", "noise", "free root", "given root"],
)
def test_sweeps_on_the_host_are_dense_algebra(tmp_path: Path, text: str, held: Any, tau2: float) -> None:
    likelihood = placed(tmp_path, text, held, tau2=tau2)
    bound, seen = likelihood.bound, likelihood.observations
    sweeps = HostSweeps(likelihood.placed)
    means = [name for name in bound.unknowns if not name.startswith("root(")]
    unknowns = np.array([1.0 if name == means[-1] else held.get(name, np.nan) for name in means])
    edges, other = random_edges(likelihood, 1), random_edges(likelihood, 2)
    with_root = edges._replace(root_mean=edges.root_mean.copy())
    if "root(u)" in held:
        with_root.root_mean[:, -1] += [held["root(u)"], held["root(v)"]]
    truth = dense_linear(
        bound.fields.phylogeny.topology.parents,
        with_root,
        seen.nodes,
        seen.values,
        np.sqrt(seen.standard_errors**2 + tau2),
        free_root=likelihood.unknowns[:1] == ("root(u)",),
        unknowns=unknowns,
        noise=edges.noise,
    )
    both = JointEdges(*(None if a is None else np.stack([a, b]) for a, b in zip(edges, other, strict=True)))
    np.testing.assert_allclose(sweeps.figures(both).log_likelihood[0], truth.likelihood, rtol=1e-9)
    found, variances = (each[0, likelihood._nodes] for each in sweeps.states(both))
    found, errors = likelihood.units.states(found, np.sqrt(variances))
    np.testing.assert_allclose(found.ravel(), truth.means, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(errors.ravel() ** 2, truth.variances, rtol=1e-9, atol=1e-9)
    # All slopes, along what changes whatever may change; a variance stays one.
    tangent = JointEdges(
        *(
            None if b is None else b * (np.any(a != 0, (-1, -2), keepdims=True))
            for a, b in zip(edges, other, strict=True)
        )
    )
    still = (bound.fields.phylogeny.lengths == 0)[:, None, None]
    tangent = tangent._replace(transition=np.where(still, 0, tangent.transition))
    along = JointEdges(*(None if part is None else np.stack([part, 2 * part]) for part in tangent))
    figures, slopes = sweeps.figures_and_slopes(edges, along)
    moved = [
        sweeps.figures(
            JointEdges(*(None if a is None else (a + step * b)[None] for a, b in zip(edges, tangent, strict=True)))
        )
        for step in (-1e-6, 1e-6)
    ]
    for name in ("log_likelihood", "beta", "covariance"):
        by_difference = (getattr(moved[1], name)[0] - getattr(moved[0], name)[0]) / 2e-6
        scale = np.abs(by_difference).max(initial=1.0)
        np.testing.assert_allclose(getattr(slopes, name)[0] / scale, by_difference / scale, atol=1e-6)
        np.testing.assert_allclose(getattr(slopes, name)[1], 2 * getattr(slopes, name)[0], rtol=1e-12)
        np.testing.assert_allclose(
            getattr(figures, name), getattr(sweeps.figures(both), name)[0], rtol=1e-9, atol=1e-12
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "held"),
    [(CHASE + ROOT, {}), (CHASE + ROOT + NOISE, {}), (CHASE, {"theta(2)": -1.0})],
    ids=["root", "noise", "free root"],
)
def test_compiled_sweeps_and_those_on_the_host_say_the_same(tmp_path: Path, text: str, held: Any) -> None:
    likelihood = placed(tmp_path, text, held)
    x = likelihood.start + 0.3 * np.random.default_rng(1).standard_normal(len(likelihood.start))
    found = []
    for sweeps in (HostSweeps, CompiledSweeps):
        likelihood.sweeps = sweeps(likelihood.placed)
        found.append((*likelihood.figures_and_slopes(x), likelihood.at(x), likelihood.states(x)))
    for host, compiled in zip(*(jax.tree.leaves(each) for each in found), strict=True):
        np.testing.assert_allclose(host, compiled, rtol=1e-9, atol=1e-11)


@pytest.mark.slow
def test_brownian_motion_in_a_file_is_the_built_in_one(tmp_path: Path) -> None:
    phylogeny, seen = read(tmp_path)
    (tmp_path / "own.py").write_text(BROWNIAN)
    built_in = ancestral_together(phylogeny, seen, estimator="ML")
    own = ancestral_under_file(phylogeny, seen, model=str(tmp_path / "own.py"))
    np.testing.assert_allclose(own.about_all["log_likelihood"], built_in.about_all["log_likelihood"], atol=1e-6)
    np.testing.assert_allclose(own.estimates, built_in.estimates, atol=1e-5)
    np.testing.assert_allclose(own.standard_errors, built_in.standard_errors, atol=1e-5)
    assert own.about_all["certificate"]["converged"]
    table = built_in.tables["covariance table"]
    scales = np.sqrt(np.array(table["covariance"])[[0, 2]])
    at = {"sigma(1)": scales[0], "sigma(2)": scales[1], "r": float(table["correlation"][1])}
    held = MatrixLikelihood(own_bound(phylogeny, seen, tmp_path), seen, held=at)
    value = held.at(np.zeros((1, 0))).log_likelihood[0]
    np.testing.assert_allclose(value, built_in.about_all["log_likelihood"], rtol=1e-9)
    # The interval of the correlation is the same profile.
    ends = own.about_all["parameters"]["r"]
    np.testing.assert_allclose([ends["lower"], ends["upper"]], [table["lower"][1], table["upper"][1]], atol=1e-4)
    # At the ends of an interval of a root's state the likelihood, all else at its best, is chi2/2 below its top.
    ends = own.about_all["parameters"]["root(v)"]
    other = own.about_all["parameters"]["root(u)"]["value"]
    assert ends["lower"] < ends["value"] < ends["upper"]
    assert np.isfinite(other)


def own_bound(phylogeny: Phylogeny, seen: Observations, folder: Path) -> Any:
    return joint_model(phylogeny, seen, str(folder / "own.py"))


@pytest.mark.slow
def test_one_trait_in_matrices_is_the_engine_of_one_trait(tmp_path: Path) -> None:
    phylogeny, both = read(tmp_path)
    seen = Observations(both.nodes, both.values[:, :1], both.standard_errors[:, :1], both.traits[:1])
    found = []
    for form in (NUMBERS, MATRICES):
        (tmp_path / "own.py").write_text(ONE.replace("SCALE", form))
        found.append(ancestral_under_file(phylogeny, seen, model=str(tmp_path / "own.py")))
    (tmp_path / "own.py").write_text(ONE.replace("SCALE", NUMBERS))
    alone = model_states(phylogeny, seen, models=(str(tmp_path / "own.py"),))
    for each in found:
        value = alone.parameters["u"]["log_likelihood"].value
        np.testing.assert_allclose(each.about_all["log_likelihood"], value, atol=1e-8)
        np.testing.assert_allclose(each.estimates, alone.estimates, atol=1e-5)
        np.testing.assert_allclose(each.standard_errors, alone.standard_errors, atol=1e-5)
        for name in ("alpha", "sigma2", "theta"):
            value = alone.parameters["u"][name].value
            np.testing.assert_allclose(each.about_all["parameters"][name]["value"], value, rtol=1e-4)


@pytest.mark.slow
def test_a_likelihood_goes_through_the_transformations(tmp_path: Path) -> None:
    likelihood = placed(tmp_path, CHASE + ROOT, {})
    seen = CompiledSweeps(likelihood.placed).seen
    x = jnp.asarray(likelihood.start)

    def value(x: Any) -> Any:
        return _figures(False, _edges(likelihood._moved, x, likelihood._of_model), seen).log_likelihood

    exact, gradient = likelihood.value_and_gradient(np.asarray(x))
    along = jnp.arange(1.0, len(x) + 1)
    np.testing.assert_allclose(jax.jvp(value, (x,), (along,)), (exact, gradient @ along), rtol=1e-9)
    np.testing.assert_allclose(jax.jit(jax.grad(value))(x), gradient, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(jax.vmap(value)(jnp.stack([x, x])), exact, rtol=1e-12)


@pytest.mark.slow
def test_a_mean_that_the_tips_do_not_tell_is_refused(tmp_path: Path) -> None:
    phylogeny, one = read(tmp_path, "tip,u\nA,1\nB,2\nC,4\nD,3\n", "((A:1,B:1):1,(C:1,D:1):1);")
    values = np.c_[one.values, np.full(len(one.values), np.nan)]
    seen = Observations(one.nodes, values, np.zeros_like(values), ("u", "v"))
    text = BROWNIAN.replace(
        'sigma, r = log_normal("sigma", median=1, sd=2, shape=(2,)), uniform("r", -1, 1)', "sigma, r = jnp.ones(2), 0.5"
    )
    (tmp_path / "own.py").write_text(text)
    with pytest.raises(ModelError, match=r"the tips do not tell 'root\(v\)'"):
        ancestral_under_file(phylogeny, seen, model=str(tmp_path / "own.py"))


LINE = """
import jax.numpy as jnp
from hxcli.model import Gaussian, log_normal, normal
MEANS = ("mass", "level")
def line():
    return normal("level", mean=0, sd=10), normal("slope", mean=0.7, sd=1)
def model(edge):
    walk, drift = (log_normal(name, median=0.1, sd=2) for name in ("walk", "drift"))
    pull, (level, slope), t = 0.15, line(), edge.length
    kept = jnp.exp(-pull * t)
    lost, lost2 = (1 - kept) / pull, (1 - kept**2) / (2 * pull)
    both, brain = slope * walk * (t - lost), slope**2 * walk * (t - 2 * lost + lost2) + drift * lost2
    return Gaussian(
        jnp.array([[1, 0], [slope * (1 - kept), kept]]),
        jnp.array([0, level * (1 - kept)]),
        jnp.array([[walk * t, both], [both, brain]]),
    )
def root():
    mass, (level, slope) = normal("mass", mean=0, sd=10), line()
    return Gaussian(mean=jnp.array([mass, level + slope * mass]), variance=0)
"""


@pytest.mark.slow
def test_the_best_likelihood_at_an_end_of_an_interval_is_chi2_below_the_top(tmp_path: Path) -> None:
    data = Path(__file__).parents[2] / "data"
    inputs = read_inputs(InputOptions(str(data / "primates.nwk"), str(data / "primates.csv")))
    phylogeny, seen = inputs.phylogenies[0], inputs.observations[0]
    (tmp_path / "own.py").write_text(LINE)

    def fitted(held: dict[str, float], intervals: bool = False) -> Any:
        bound = joint_model(phylogeny, seen, str(tmp_path / "own.py"))
        return fit_file(bound, seen, tau2=0.0, held=held, level=0.95, intervals=intervals)

    whole = fitted({}, intervals=True)
    # An unknown of the mean that moves with a coordinate by far more than by itself is among them.
    assert whole.parameters.keys() == {"walk", "drift", "slope", "mass", "level"}
    ends = [
        (name, end) for name, one in whole.parameters.items() for end in (one.lower, one.upper) if not np.isnan(end)
    ]
    assert [name for name, _ in ends].count("level") == 2
    for name, end in ends:
        fall = whole.optimum.log_likelihood - fitted({name: end}).optimum.log_likelihood
        np.testing.assert_allclose(fall, 1.920729, atol=1e-4)
