"""Times of the posterior beside those of the ancestral states, and of joint draws beside NumPyro's import."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from files import trait_file, tree_file
from timing import machine, seconds

ROUNDS = 5


def inputs(folder: Path, tips: int) -> list[str]:
    """A random tree and a trait as files."""
    tree, phylogeny = tree_file(folder, "yule", tips)
    return [str(tree), str(trait_file(folder, phylogeny))]


def drawing(files: list[str], draws: int, rounds: int) -> float:
    """Median seconds of so many joint draws, beyond a posterior without any, in one process, warm."""
    code = (
        "import sys, time, jax; jax.config.update('jax_enable_x64', True)\n"
        "from hxcli.run.inputs import InputOptions, read_inputs\n"
        "from hxcli.analyses.posterior.posterior import posterior\n"
        "read = read_inputs(InputOptions(tree=sys.argv[1], traits=sys.argv[2]), lambda stage: None)\n"
        "def once(draws):\n"
        "    start = time.perf_counter(); posterior(read.phylogenies[0], read.observations[0], draws=draws)\n"
        "    return time.perf_counter() - start\n"
        "once(0), once(int(sys.argv[3]))\n"
        "pairs = [once(int(sys.argv[3])) - once(0) for _ in range(int(sys.argv[4]))]\n"
        "print(sorted(pairs)[len(pairs) // 2])\n"
    )
    command = [sys.executable, "-c", code, *files, str(draws), str(rounds)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="tiny trees, no times judged")
    parser.add_argument("--write", type=Path, help="write the table, the machine and the command to this file too")
    options = parser.parse_args()
    sizes = {20: 3.0} if options.smoke else {1_000: 3.0, 10_000: 6.0}
    rounds = 1 if options.smoke else ROUNDS
    about = machine()
    rows = ["| measurement | time | beside | ratio | target |", "|---|---|---|---|---|"]

    def row(name: str, time_of: float, beside: float, target: float | None) -> None:
        wanted = "" if target is None else f"≤ {target:g}"
        if target is not None and not options.smoke and time_of > target * beside:
            wanted += " **missed**"
        rows.append(f"| {name} | {time_of:.3f} s | {beside:.3f} s | {time_of / beside:.2f} | {wanted} |")

    with tempfile.TemporaryDirectory() as place:
        for tips, target in sizes.items():
            files = inputs(Path(place), tips)
            hx = [sys.executable, "-m", "hxcli"]
            where = [*files, "-q", "-o", str(Path(place) / "out")]
            times = [seconds([*hx, command, *where], rounds) for command in ("posterior", "ancestral")]
            row(f"`hx posterior` of {tips:,} tips beside `hx ancestral`, whole commands", *times, target)
        files = inputs(Path(place), next(iter(sizes)))
        bare = seconds([sys.executable, "-c", "import jax"], rounds)
        numpyro = seconds([sys.executable, "-c", "import numpyro"], rounds)
        draws = 10 if options.smoke else 1_000
        drawn = drawing(files, draws, rounds)
        about_draws = f"{draws:,} joint draws of {next(iter(sizes)):,} tips beside"
        row(f"{about_draws} `import numpyro`", drawn, numpyro, 1)
        row(f"{about_draws} what `import numpyro` takes when JAX is there", drawn, numpyro - bare, None)
    text = "\n".join(rows)
    print(f"{about}\n{text}")
    if options.write:
        command = " ".join(["python benchmarks/posterior.py", *sys.argv[1:]])
        words = "Medians of warm runs: the programs are compiled and on the disk."
        options.write.write_text(f"# The posterior, measured\n\n`{command}` on {about}. {words}\n\n{text}\n", "utf-8")


if __name__ == "__main__":
    main()
