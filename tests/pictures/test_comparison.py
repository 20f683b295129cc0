"""Pictures of comparisons: what the profiles are, and that they are drawn as they are."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest

from hxcli.analyses.fit.comparison import comparison
from hxcli.analyses.fit.fit import painted_tree
from hxcli.analyses.fit.fitted import Fitter
from hxcli.analyses.fit.options import FitOptions
from hxcli.analyses.fit.ranking import ranked
from hxcli.cli.app import run
from hxcli.edge_data import edge_columns
from hxcli.models import named_model
from hxcli.models.edge_fields import edge_fields
from hxcli.pictures import comparison as picture
from tests.analyses.test_fit import FOSSILS, observed, tree

DATA = Path(__file__).resolve().parents[2] / "data"


@pytest.mark.parametrize("errors", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["exact", "errors"])
def test_profiles_are_those_of_fits_with_the_parameter_held(errors: bool) -> None:
    phylogeny = tree(FOSSILS)
    seen = observed(phylogeny, errors=errors)
    fitter = Fitter(edge_fields(phylogeny), seen, FitOptions())
    fitted = [fitter.fit(named_model(name), 0) for name in ("bm", "kappa", "ou")]
    found = comparison(ranked(fitted), 0.95)
    assert sum(found.weights) == pytest.approx(1)
    assert {each.model for each in found.profiles} == {"kappa", "ou"}
    for one, shown in ((each, shown) for each in fitted for shown in found.profiles if shown.model == each.name):
        values, fall = shown.profile.values, shown.profile.fall
        assert fall.max() == pytest.approx(0, abs=1e-6)
        assert values[0] <= shown.value <= values[-1]
        for place in (5, 40):
            options = FitOptions(held={shown.profile.parameter: float(values[place])}, intervals=False)
            held = Fitter(edge_fields(phylogeny), seen, options).fit(named_model(one.name), 0)
            assert fall[place] == pytest.approx(held.log_likelihood - one.log_likelihood, abs=5e-3 if errors else 1e-8)
        if np.isfinite(shown.upper):
            at_end = np.interp(shown.upper, values, fall)
            assert at_end == pytest.approx(-3.841458820694124 / 2, abs=0.05)
    first, again = io.BytesIO(), io.BytesIO()
    picture.write_svg(first, [found])
    picture.write_svg(again, [found])
    assert first.getvalue() == again.getvalue()
    assert b">Akaike weight<" in first.getvalue()
    assert b">rate_change<" not in first.getvalue()


@pytest.mark.slow
def test_profiles_of_several_shape_parameters_are_those_of_fits_with_one_held() -> None:
    phylogeny = tree(FOSSILS)
    parent = phylogeny.topology.parents
    # Half of the tips, and what lies above each alone, are of another regime.
    painted = painted_tree(phylogeny, None)
    regime = np.zeros(len(parent), int)
    regime[phylogeny.tips[::2]] = 1
    painted = dataclasses.replace(painted, regimes=("a", "b"), of_edge=regime)
    fields = edge_fields(painted, edge_columns(painted, None))
    seen = painted.observations(observed(phylogeny, errors=False))
    fitted = Fitter(fields, seen, FitOptions()).fit(named_model("ouma"), 0)
    shown = comparison(ranked([fitted]), 0.95).profiles
    assert [each.profile.parameter for each in shown] == ["alpha(a)", "alpha(b)"]
    for each in shown:
        values, fall = each.profile.values, each.profile.fall
        assert fall.max() == 0
        assert values[0] <= each.value <= values[-1]
        for place in (len(values) // 4, len(values) // 2):
            options = FitOptions(held={each.profile.parameter: float(values[place])}, intervals=False)
            held = Fitter(fields, seen, options).fit(named_model("ouma"), 0)
            assert fall[place] == pytest.approx(held.log_likelihood - fitted.log_likelihood, abs=1e-5)
        for end in (each.lower, each.upper):
            if np.isfinite(end):
                options = FitOptions(held={each.profile.parameter: float(end)}, intervals=False)
                held = Fitter(fields, seen, options).fit(named_model("ouma"), 0)
                assert held.log_likelihood - fitted.log_likelihood == pytest.approx(-3.841458820694124 / 2, abs=1e-4)


def test_command_draws_traits_of_numbers_and_of_states(tmp_path: Path) -> None:
    files = [str(DATA / "primates.nwk"), str(DATA / "primates_activity.csv"), "--column", "activity", "--model", "er"]
    assert run(["fit", *files, "-q", "--no-intervals", "--plot", str(tmp_path / "a.svg"), "--out-fits", "-"]) == 0
    assert ">activity<" in (tmp_path / "a.svg").read_text()
