"""Snakemake wrapper for the analyses of hx."""

__author__ = "The hxcli authors"
__license__ = "MIT"

from shlex import quote

from snakemake.shell import shell

OPTIONS = {
    "table": "--out-table",
    "tree": "--out-tree",
    "record": "--out-json",
    "page": "--report",
    "params": "--out-params",
    "itol": "--itol",
    "auspice": "--auspice",
    "node_data": "--node-data",
    "named_tree": "--named-tree",
}
unknown = sorted(set(snakemake.output.keys()) - set(OPTIONS))
if unknown or len(snakemake.output.keys()) != len(snakemake.output) or not snakemake.output:
    found = f"unknown: {', '.join(unknown)}" if unknown else "every output needs a name"
    raise ValueError(f"hx: outputs: {found} (use {', '.join(OPTIONS)})")

command = snakemake.params.get("command", "ancestral")
extra = snakemake.params.get("extra", "")
outputs = " ".join(f"{OPTIONS[name]} {quote(str(path))}" for name, path in snakemake.output.items())
log = snakemake.log_fmt_shell(stdout=True, stderr=True)

shell(
    "hx {command} {snakemake.input.tree:q} {snakemake.input.traits:q} {outputs} --threads {snakemake.threads}"
    " {extra} {log}"
)
