"""A model of one's own in a file: what it gives, and that every mistake in it is one sentence with its line."""

# ruff: noqa: E501

from __future__ import annotations

import numpy as np
import pytest

from hxcli.engine.topology import from_parents
from hxcli.errors import InputError
from hxcli.inference.likelihood_columns import TraitLikelihood, framed
from hxcli.models import named_model
from hxcli.models.edge_fields import edge_fields
from hxcli.models.gaussian_model import OFFSET
from hxcli.phylogeny import Phylogeny
from hxcli.text_columns import Texts
from hxcli.traits import Observations

HEAD = "import math\nimport jax.numpy as jnp\nimport numpy as np\nfrom hxcli.model import *\n"
MISTAKES = {
    # What stands in the file -> what is said, with the line.
    "def model(edge)\n    return 1\n": "line 5: this is not Python: expected ':'",
    "import nothing_of_this_name\n": "line 5: ModuleNotFoundError: No module named 'nothing_of_this_name'",
    "x = 1 / 0\n": "line 5: ZeroDivisionError",
    "def modle(edge):\n    return 1\n": "it has no function 'model' \\(its functions: modle",
    "def model():\n    return 1\n": "line 5: model has 0 arguments \\(write def model\\(edge\\)",
    "def model(edge):\n    return 1\n": "line 6: model returns an int \\(return a Gaussian or Rates or Sde",
    "def model(edge):\n    x = 1\n": "line 5: model returns nothing",
    "def model(edge):\n    return Gaussian(1, 0)\n": "line 6: TypeError: a Gaussian needs a variance",
    "def model(edge):\n    return Gaussian(1, 0, edge.lenght)\n": "line 6: an edge has no 'lenght'",
    "def model(edge):\n    return Gaussian(1, 0, jnp.ones(2))\n": "line 6: the variance of model has the shape \\(2,\\)",
    "def model(edge):\n    return Gaussian(1, 'a', edge.length)\n": "line 6: the shift of model is no number: a str",
    "def model(edge):\n    if edge.length > 1:\n        pass\n    return Gaussian(1, 0, 1.)\n": "line 6: an if, while",
    "def model(edge):\n    return Gaussian(1, 0, math.exp(edge.length))\n": "line 6: .* known only when the model runs",
    "def model(edge):\n    return Gaussian(1, 0, np.exp(edge.length))\n": "line 6: .* \\(use jax.numpy\\)",
    "def model(edge):\n    return Gaussian(1, 0, undefined)\n": "line 6: NameError: name 'undefined' is not defined",
    "def model(edge):\n    a = normal('a')\n    return Gaussian(1, normal('a'), 1.0)\n": "line 7: 'a' is declared twice",
    "def model(edge):\n    return Gaussian(1, normal('a', sd=0), 1.0)\n": "line 6: sd of 'a' must be above 0",
    "def model(edge):\n    return Gaussian(1, normal('a', edge.length), 1.0)\n": "line 6: the prior of 'a' depends on",
    "def model(edge):\n    return Gaussian(1, log_normal('a', meadian=1), 1.)\n": "line 6: TypeError: .*meadian",
    "def model(edge):\n    return Gaussian(1, 0, edge.length)\ndef root(a, b):\n    return 1\n": "line 7: root has 2",
    "def model(edge):\n    return Gaussian(1, 0, edge.length)\ndef root():\n    return 1\n": "line 8: root returns an int",
    "def model(edge):\n    return Gaussian(1, normal('a'), edge.length)\ndef root():\n"
    "    return Gaussian(mean=normal('a', 1), variance=0)\n": "line 8: 'a' is declared differently in line 6",
    "def model(edge):\n    return Gaussian(1, 0, log_normal('s', per='edge'))\n": "line 6: 's' is one of every edge",
    "def model(edge):\n    return Rates(jnp.eye(2))\n": "line 6: model returns Rates, and",
    "RATES = ('s',)\ndef model(edge):\n    return Sde(0.0, log_normal('s'))\n": "RATES goes with models that return a G",
    "def model(edge):\n    return Rates(3)\n": "line 6: the Q of Rates has the shape \\(\\)",
    "def model(edge):\n    return Gaussian(1, 0, 1.0)\ndef noise(tip):\n    pass\n": "line 7: the variance of noise is no",
    "def model(edge):\n    return Gaussian(1, 0, 1.0)\ndef noise(tip):\n    return log_normal('e', per='edge')\n": "line 8: 'e'",
    "MEANS = ('m',)\ndef model(edge):\n    return Gaussian(0, normal('m'), 1.0)\ndef noise(tip):\n"
    "    return normal('m') ** 2\n": "line 9: 'm' is a mean",
    "RATES = ('s',)\ndef model(edge):\n    return Gaussian(1, 0, log_normal('s') + edge.length)\n": "RATES names s, and",
    "RATES = ('s',)\ndef model(edge):\n    return Gaussian(1, 0, log_normal('s'))\ndef root():\n"
    "    return Gaussian(mean=0, variance=0.3)\n": "RATES names s, and what root returns",
    "MEANS = ('m',)\ndef model(edge):\n    return Gaussian(1, normal('m') ** 2, 1.0)\n": "MEANS names m, and what model",
    "MEANS = ('m',)\ndef model(edge):\n    return Gaussian(1, 0, 1.0)\n": "MEANS names 'm', which is declared nowhere",
    "KEPT = []\ndef model(edge):\n    KEPT.append(log_normal('s'))\n    return Gaussian(1, 0, KEPT[0])\n": "line 6: model keeps a",
    "def model(edge):\n    global last\n    last = log_normal('s')\n    return Gaussian(1, 0, last)\n": "call in last, where",
}


@pytest.fixture(scope="module")
def fields():
    topology = from_parents([0, 0, 0])
    lengths = np.array([np.nan, 1.0, 0.5])
    return edge_fields(Phylogeny(topology, lengths, Texts(("", "a", "b")), Texts(("", "", ""))))


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_one_sentence_with_its_line(fields, tmp_path, text: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(HEAD.replace("import *", "import Gaussian, Rates, Sde, log_normal, normal") + text)
    with pytest.raises(InputError, match=MISTAKES[text]) as caught:
        named_model(str(path)).on(fields)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_files_that_are_no_models(tmp_path) -> None:
    with pytest.raises(InputError, match="no such file or directory"):
        named_model(str(tmp_path / "none.py"))
    (tmp_path / "bytes.py").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8 text"):
        named_model(str(tmp_path / "bytes.py"))


def test_a_file_is_a_model_record(fields, tmp_path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        '"""Mine."""\nfrom hxcli.model import *\nfrom hxcli.model import Gaussian, log_normal\n'
        "def other(edge):\n    return Gaussian(1, 0, log_normal('rate') * edge.length)\n"
    )
    model = named_model(f"{path}:other")
    assert (model.name, model.summary, model.source) == ("other", "Mine.", str(path))
    assert len(model.sha256) == 64
    bound = model.on(fields)
    assert [each.name for each in bound.coordinates] == ["rate"]
    assert bound.unknowns == ("root", OFFSET)


def test_noise_is_the_variance_of_what_is_observed_of_a_tip(tmp_path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from hxcli.model import Gaussian, log_normal\nRATES = ('rate',)\n"
        "def model(edge):\n    return Gaussian(variance=log_normal('rate') * edge.length)\n"
        "def noise(tip):\n    return log_normal('error') * tip.length**2\n"
    )
    topology = from_parents([0, 0, 0, 1, 1])
    lengths = np.array([0.0, 0.4, 1.0, 0.6, 0.9])
    labels = Texts(("", "", "a", "b", "c"))
    tree = edge_fields(Phylogeny(topology, lengths, labels, Texts(("",) * 5)))
    values = np.array([0.3, -0.5, 1.2])
    observed = Observations(np.array([2, 3, 4]), values[:, None], np.array([[0.0], [0.2], [0.0]]), ("x",))
    placed = framed(tree.columns, tree.phylogeny)
    likelihood = TraitLikelihood(named_model(str(path)).on(tree), placed, observed, 0, restricted=False)
    assert [each.name for each in likelihood.coordinates] == ["error", "rate"]
    assert not likelihood.profiled
    x = np.log([0.5, 2.0])
    value, gradient = likelihood.value_and_gradient(x)

    def dense(x: np.ndarray) -> float:
        error, rate = np.exp(x)
        shared = np.array([[1.0, 0, 0], [0, 1.0, 0.4], [0, 0.4, 1.3]])
        v = rate * shared + np.diag(error * lengths[[2, 3, 4]] ** 2 + np.array([0, 0.04, 0]))
        inverse = np.linalg.inv(v)
        mean = inverse.sum(0) @ values / inverse.sum()
        rest = values - mean
        return float(-(3 * np.log(2 * np.pi) + np.linalg.slogdet(v)[1] + rest @ inverse @ rest) / 2)

    assert value == pytest.approx(dense(x), abs=1e-9)
    assert likelihood.at(x[None]).log_likelihood[0] == pytest.approx(value, abs=1e-9)
    differences = [(dense(x + 1e-5 * step) - dense(x - 1e-5 * step)) / 2e-5 for step in np.eye(2)]
    np.testing.assert_allclose(gradient, differences, atol=1e-8)


def test_an_offset_that_only_some_parameters_have_is_not_lost(tmp_path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "import jax.numpy as jnp\nfrom hxcli.model import Gaussian, param\n"
        "def model(edge):\n    jump = param('jump', low=0, high=10)\n"
        "    return Gaussian(shift=jnp.where(jump > 5, jump * edge.is_tip * edge.length, 0), variance=edge.length)\n"
    )
    topology = from_parents([0, 0, 0])
    tree = edge_fields(Phylogeny(topology, np.array([0.0, 1.0, 2.0]), Texts(("", "a", "b")), Texts(("",) * 3)))
    observed = Observations(np.array([1, 2]), np.array([[0.0], [1.0]]), np.zeros((2, 1)), ("x",))
    placed = framed(tree.columns, tree.phylogeny)
    likelihood = TraitLikelihood(named_model(str(path)).on(tree), placed, observed, 0, restricted=False)
    # At the root's best state the squares are those of the difference of the tips, less that of their shifts: its
    # variance is 1 + 2; the determinant is 1 * 2.
    found = likelihood.at(np.array([[4.0], [6.0]])).log_likelihood
    apart = [(1.0 - 0.0 - shift) ** 2 / 3 for shift in (0.0, 6.0)]
    expected = [-(2 * np.log(2 * np.pi) + np.log(2.0) + each) / 2 for each in apart]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    # Each by itself: a column without an offset beside one that has it, and alone.
    np.testing.assert_allclose([likelihood.at(np.array([[x]])).log_likelihood[0] for x in (4.0, 6.0)], found)
