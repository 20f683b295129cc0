"""A model and a format are added by one function each and one line each, and everything else serves them."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from hxcli import analyses, models
from hxcli.analyses.assemble import reconstruction
from hxcli.models.listing import model_lines
from hxcli.phylogeny import Phylogeny
from hxcli.prebuilt.local_mean import local_means
from hxcli.reconstruction import Reconstruction
from hxcli.run.inputs import InputOptions
from hxcli.run.perform import Job, perform
from hxcli.run.product_kinds import KINDS
from hxcli.traits import Observations


def plain_mean(phylogeny: Phylogeny, observations: Observations, *, level: float) -> Reconstruction:
    """Stands for a contributor's model file."""
    estimates = local_means(phylogeny, observations.means(0, phylogeny.topology.size))
    return reconstruction(
        phylogeny,
        observations,
        estimates,
        np.full_like(estimates, 0.5),
        level=level,
        interval="CI",
        parameters={"sigma2": (1.0, "given")},
        root_how=("mine", "mine"),
        method="a contributed model",
    )


def write_depths(stream: BinaryIO, phylogeny: Phylogeny, found: Reconstruction) -> None:
    """Stands for a contributor's format file."""
    for label, depth in zip(phylogeny.labels, phylogeny.topology.node_depths, strict=True):
        stream.write(f"{label}\t{depth}\n".encode())


def test_a_model_and_a_format_take_one_line_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("contributed")
    module.plain_mean, module.write_depths = plain_mean, write_depths  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "contributed", module)
    monkeypatch.setitem(analyses.ANALYSES, "plain", analyses.Analysis("contributed:plain_mean"))
    monkeypatch.setitem(KINDS["tree"].writers, ".depths", "contributed:write_depths")
    (tmp_path / "tree.nwk").write_text("(A:1,B:1)R;")
    (tmp_path / "traits.csv").write_text("name,x\nA,1\nB,3\n")
    tree, table, record = (str(tmp_path / f"out{end}") for end in (".depths", ".csv", ".json"))
    job = Job(
        analysis="plain",
        inputs=InputOptions(str(tmp_path / "tree.nwk"), str(tmp_path / "traits.csv")),
        products={"table": table, "tree": tree, "record": record},
        analysis_options={"level": 0.9},
    )
    outcome = perform(job)
    assert Path(tree).read_text() == "R\t0\nA\t1\nB\t1\n"
    assert Path(table).read_text().splitlines()[1].startswith("R,,A,B,2,x,,2.0,0.5,")
    assert json.loads(Path(record).read_text())["results"][0]["method"] == "a contributed model"
    assert outcome.findings[0].level == 0.9


def test_a_model_takes_one_file_and_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands for a contributor's file: Brownian motion on edges that all count one."""
    (tmp_path / "contributed_model.py").write_text(
        '"""Punctuated: one change an edge, however long."""\n'
        "from hxcli.model import Gaussian, log_normal\n"
        'RATES = ("sigma2",)\n'
        "def model(edge):\n"
        '    return Gaussian(variance=log_normal("sigma2", median=1, sd=2, unit="trait^2"))\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(models.MODELS, "punctuated", "contributed_model")
    (tmp_path / "tree.nwk").write_text("((A:1,B:2):3,(C:4,D:5):6)R;")
    (tmp_path / "traits.csv").write_text("name,x\nA,1\nB,3\nC,4\nD,7\n")
    inputs = InputOptions(str(tmp_path / "tree.nwk"), str(tmp_path / "traits.csv"))
    table = str(tmp_path / "out.csv")
    states = {}
    for analysis in ("ancestral", "posterior"):
        options = {"models": ("punctuated",), **({"tau2": 0.0} if analysis == "posterior" else {})}
        outcome = perform(Job(analysis=analysis, inputs=inputs, products={"table": table}, analysis_options=options))
        states[analysis] = outcome.findings[0].estimates[0, 0]
    # All edges alike: the mean of the means of both pairs.
    assert states["ancestral"] == pytest.approx(3.75)
    assert states["posterior"] == pytest.approx(3.75)
    assert any(line.startswith("punctuated") for line in model_lines())
