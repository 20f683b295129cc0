"""The example workflow names files that exist and options that hx has."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RULES = (ROOT / "workflow" / "Snakefile").read_text(encoding="utf-8")
CONFIG = (ROOT / "workflow" / "config.yaml").read_text(encoding="utf-8")


def test_every_configured_file_is_shipped() -> None:
    paths = re.findall(r"^ +(?:tree|traits): (\S+)$", CONFIG, flags=re.MULTILINE)
    assert len(paths) == 4
    assert [path for path in paths if not (ROOT / path).is_file()] == []


def test_the_rule_uses_options_that_hx_ancestral_has() -> None:
    call = [sys.executable, "-c", "from hxcli.cli.app import main; main()", "ancestral", "--help"]
    page = subprocess.run(call, capture_output=True, text=True, check=True).stdout
    used = set(re.findall(r"--out-\w+", RULES))
    assert used == {"--out-table", "--out-tree", "--out-json"}
    assert used <= set(re.findall(r"--[a-z-]+", page))


def test_snakemake_plans_both_runs_where_it_is_installed(tmp_path: Path) -> None:
    # Snakemake is no dependency of hx; without it the two tests above still hold the file to the truth.
    snakemake = shutil.which("snakemake")
    if snakemake is None:
        assert RULES.count("\nrule ") == 2
        return
    for folder in ("data", "workflow"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    plan = subprocess.run(
        [snakemake, "--snakefile", "workflow/Snakefile", "--dry-run", "--cores", "1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(re.findall(r"^rule ancestral:", plan.stdout + plan.stderr, flags=re.MULTILINE)) == 2
