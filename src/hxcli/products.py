"""Products: which files a run writes, decided and checked before anything is read."""

from __future__ import annotations

import os
from dataclasses import dataclass

from hxcli.errors import OptionError


@dataclass(frozen=True)
class Products:
    """Paths of a run's products: a file, `-` for standard output, or None for a product that is not wanted.

    Attributes:
        table: The table of estimates.
        tree: The annotated tree.
        record: The run record.
    """

    table: str | None = None
    tree: str | None = None
    record: str | None = None


def choose_products(
    command: str,
    inputs: tuple[str, ...],
    *,
    out: str | None = None,
    out_table: str | None = None,
    out_tree: str | None = None,
    out_json: str | None = None,
) -> Products:
    """Says where each product goes.

    Args:
        command: Name of the command, part of the default prefix.
        inputs: Paths of the input files, the tree first; no product may replace one.
        out: Prefix of all products; None for the tree's stem, a dot and the command, in the current folder.
        out_table, out_tree, out_json: Path of one product. If any is given and `out` is not, only what is
            named is written.

    Raises:
        OptionError: Two products go to one place, or a product would replace an input.
    """
    if out == "-":
        raise OptionError("-o -: a prefix names files (use --out-table - to stream the table)")
    named = {"--out-table": out_table, "--out-tree": out_tree, "--out-json": out_json}
    if "" in (out, *named.values()):
        raise OptionError("an output path is empty (name a file)")
    if out is not None or not any(named.values()):
        prefix = _prefix(out, f"{stem(inputs[0])}.{command}")
        defaults = dict(zip(named, (f"{prefix}.csv", f"{prefix}.nex", f"{prefix}.json"), strict=True))
        named = {option: path or defaults[option] for option, path in named.items()}
    _refuse_clashes(named, inputs)
    return Products(*named.values())


def stem(path: str) -> str:
    """A file's name without folder, `.gz` and extension; `stdin` for `-`."""
    if path == "-":
        return "stdin"
    name = os.path.basename(path)
    name = name[:-3] if name.lower().endswith(".gz") else name
    return os.path.splitext(name)[0] or name


def _prefix(out: str | None, default: str) -> str:
    if out is None:
        return default
    if out.endswith(("/", os.sep)) or os.path.isdir(out):
        return os.path.join(out, default)
    return out


def _refuse_clashes(named: dict[str, str | None], inputs: tuple[str, ...]) -> None:
    taken = {_place(path): path for path in inputs if path != "-"}
    seen: dict[str, str] = {}
    for option, path in named.items():
        if path is None:
            continue
        place = "-" if path == "-" else _place(path)
        if place in seen:
            where = "standard output" if path == "-" else path
            raise OptionError(f"{seen[place]} and {option} both go to {where} (name two places)")
        if place in taken:
            raise OptionError(f"{option} {path} would replace the input {taken[place]} (name another file)")
        seen[place] = option


def _place(path: str) -> str:
    return os.path.normcase(os.path.realpath(path))
