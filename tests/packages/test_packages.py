"""The recipe and the image say what pyproject.toml says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path
from typing import Any

import pytest
import rattler_build
import yaml

import hxcli

ROOT = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
RECIPE: dict[str, Any] = yaml.safe_load((ROOT / "packages" / "conda" / "recipe.yaml").read_text(encoding="utf-8"))
DOCKERFILE = (ROOT / "packages" / "docker" / "Dockerfile").read_text(encoding="utf-8")
CHECKS = ["hx --version", "hx ancestral --help"]


def spaced(requirement: str) -> str:
    """`jax>=0.10,<0.11` as conda writes it."""
    found = re.fullmatch(r"([A-Za-z0-9_.-]+)([<>=!].*)?", requirement)
    assert found is not None, requirement
    return f"{found[1]} {found[2]}" if found[2] else found[1]


def test_the_recipe_has_the_version_and_the_dependencies() -> None:
    context, requirements = RECIPE["context"], RECIPE["requirements"]
    assert context["version"] == hxcli.__version__
    assert f">={context['python_min']}" == PROJECT["project"]["requires-python"]
    run = ["python >=${{ python_min }}", *map(spaced, PROJECT["project"]["dependencies"])]
    assert requirements["run"] == run
    host = ["python ${{ python_min }}.*", "pip", *map(spaced, PROJECT["build-system"]["requires"])]
    assert requirements["host"] == host


def test_the_recipe_has_the_commands_and_runs_them() -> None:
    scripts = [f"{name} = {target}" for name, target in PROJECT["project"]["scripts"].items()]
    assert RECIPE["build"]["python"]["entry_points"] == scripts
    assert [each["script"] for each in RECIPE["tests"] if "script" in each] == [CHECKS]
    about = RECIPE["about"]
    assert (about["summary"], about["license"]) == (PROJECT["project"]["description"], PROJECT["project"]["license"])
    source = (ROOT / "packages" / "conda" / RECIPE["source"]["path"]).resolve()
    assert source == ROOT
    assert (source / about["license_file"]).is_file()


def test_conda_understands_the_recipe(tmp_path: Path) -> None:
    path = ROOT / "packages" / "conda" / "recipe.yaml"
    (variant,) = rattler_build.Stage0Recipe.from_file(str(path)).render()
    rendered = variant.recipe.to_dict()
    assert rendered["package"] == {"name": PROJECT["project"]["name"], "version": hxcli.__version__}
    least = PROJECT["project"]["requires-python"]
    assert rendered["requirements"]["run"] == [f"python {least}", *map(spaced, PROJECT["project"]["dependencies"])]
    assert rendered["build"]["noarch"] == "python"
    assert [test["script"] for test in rendered["tests"] if "script" in test] == [CHECKS]
    broken = tmp_path / "recipe.yaml"
    broken.write_text(path.read_text(encoding="utf-8").replace("noarch: python", "noarch: pithon"), encoding="utf-8")
    with pytest.raises(rattler_build.RecipeParseError, match="pithon"):
        rattler_build.Stage0Recipe.from_file(str(broken)).render()


@pytest.mark.slow
def test_an_installed_wheel_passes_the_tests_of_recipe_and_image(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "-q"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(tmp_path), str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("hxcli-*.whl")
    home = tmp_path / "clean"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    python = home / "bin" / "python"
    subprocess.run([*pip, "--python", str(python), "install", "--no-deps", str(wheel)], check=True)
    # The dependencies are those that are here; what is installed itself comes before them.
    (packages,) = (home / "lib").glob("python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    environment = {"PATH": os.pathsep.join([str(home / "bin"), "/usr/bin", "/bin"]), "HOME": str(tmp_path)}

    def run(*words: str) -> str:
        done = subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout

    assert Path(run("python", "-c", "import hxcli; print(hxcli.__file__)").strip()).is_relative_to(packages)
    printed = [run(*shlex.split(check)) for check in CHECKS]
    assert printed[0] == f"hx {hxcli.__version__}\n"
    assert "--estimator" in printed[1]
    assert printed[0] == run("hxcli", "--version")
    data = ROOT / "data"
    run("hx", "ancestral", str(data / "primates.nwk"), str(data / "primates.csv"), "-o", "out", "--report", "out.html")
    assert {path.suffix for path in tmp_path.glob("out.*")} == {".csv", ".nex", ".json", ".html"}
    assert (home / "share" / "man" / "man1" / "hx.1").is_file()


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, continued lines joined."""
    text = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE))
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line.strip()]


def test_the_image_is_built_from_files_that_are_there() -> None:
    found = instructions()
    images = {rest.split()[0] for word, rest in found if word == "FROM"}
    (version,) = {image.removeprefix("python:").removesuffix("-slim") for image in images}
    assert f"Programming Language :: Python :: {version}" in PROJECT["project"]["classifiers"]
    ignored = (ROOT / "packages" / "docker" / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignored[0] == "*"
    copied = [path for word, rest in found if word == "COPY" and "--from" not in rest for path in rest.split()[:-1]]
    for path in copied:
        assert (ROOT / path).exists(), path
        assert f"!{path}" in ignored
    # Everything that building the package reads.
    project = PROJECT["project"]
    needed = {"pyproject.toml", project["readme"], *project["license-files"], "src", "constraints.txt"}
    assert needed | {str(Path(hook["path"]).parent) for hook in hooks()} == set(copied)


def hooks() -> list[dict[str, Any]]:
    return list(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"].values())


def test_the_image_runs_the_commands_and_nobody_is_root() -> None:
    found = instructions()
    assert ("RUN", " && ".join(CHECKS)) in found
    (install,) = [shlex.split(rest) for word, rest in found if word == "RUN" and "pip install" in rest]
    assert install[-3:] == ["-c", "constraints.txt", ".[plot]"]
    words = [word for word, _ in found]
    assert words.index("USER") > max(index for index, word in enumerate(words) if word == "RUN")
    assert "ENTRYPOINT" not in words


def test_the_wrapper_asks_for_this_version() -> None:
    read = yaml.safe_load((ROOT / "workflow" / "wrapper" / "environment.yaml").read_text(encoding="utf-8"))
    (pip,) = [each["pip"] for each in read["dependencies"] if isinstance(each, dict)]
    assert pip == [f"hxcli =={hxcli.__version__}"]
    assert f"python {PROJECT['project']['requires-python']}" in read["dependencies"]
