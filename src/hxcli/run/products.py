"""Products: which files a run writes and what writes each, decided and checked before anything is read."""

from __future__ import annotations

import gzip
import importlib
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, BinaryIO, cast

from hxcli.analyses import ANALYSES
from hxcli.errors import OptionError
from hxcli.findings import STATES
from hxcli.phylogeny import Phylogeny
from hxcli.run.product_kinds import KINDS, Kind, Result

Writer = Callable[[Result, BinaryIO], None]

_BARE_TREES = {".nwk", ".newick", ".tree"}
# Compressed inside.
_NEVER_GZIPPED = {".parquet", ".zip", ".pdf", ".png"}


def choose_products(
    command: str,
    inputs: tuple[str, ...],
    *,
    analysis: str = "",
    out: str | None = None,
    named: Mapping[str, str | None],
    only_named: bool = False,
    without: Collection[str] = (),
    gives: Collection[str] | None = None,
    asked: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, str]:
    """Says where each product goes: kind -> path, `-` for standard output.

    Args:
        command: Name of the command, part of the default prefix.
        analysis: Name of the analysis, whose products they are; "" for that of the command's name.
        inputs: Paths of the input files, the tree first; no product may replace one.
        out: Prefix of all products; None for the tree's stem, a dot and the command, in the current folder.
        named: Kind -> path of one product, None for one that is not named. If an exclusive one is named and `out`
            is not given, only what is named is written.
        only_named: Whether the command writes nothing but what is named.
        without: Kinds that nobody asked for, so that the prefix does not stand for them.
        gives: What products can be made of; None for what the command's analysis gives.
        asked: Kind -> option that asks for what the product holds, which must be written then.

    Raises:
        OptionError: Two products go to one place, a product would replace an input, an extension that no writer of
            the kind has, a prefix that is a file's name, what was asked for would not be written, or a
            product of nodes is named where nothing is found of them.
    """
    if "" in (out, *named.values()):
        raise OptionError("an output path is empty (name a file)")
    entry = ANALYSES.get(analysis or command)
    if gives is None:
        gives = (*entry.gives, *entry.states_give) if entry is not None else ()
    for kind, path in named.items():
        if path is not None and not only_named and _is_of_states(kind, gives) and STATES not in gives:
            found = f"{KINDS[kind].option}: hx {command} finds no states of nodes to write"
            raise OptionError(f"{found} (leave it out)")
    usual = {
        kind: about
        for kind, about in KINDS.items()
        if about.default is not None and (not about.of or about.of in gives) and kind not in without
    }
    if out is not None:
        refuse_no_prefix(out, tuple(usual.values()))
    chosen = {kind: path for kind, path in named.items() if path is not None}
    if not only_named and (out is not None or not any(KINDS[kind].exclusive for kind in chosen)):
        prefix = prefix_of(out, f"{stem(inputs[0])}.{command}")
        # Not `tree.signal.signal.csv`.
        bare = stem(inputs[0]) if prefix == f"{stem(inputs[0])}.{command}" else prefix
        defaults = {
            kind: (bare if default.startswith(f".{command}.") else prefix) + default
            for kind, about in usual.items()
            if (default := about.default)
        }
        chosen = defaults | chosen
    for kind, option in asked.items():
        if kind not in chosen:
            found = f"{option}: only what is named is written, and the {kind} would be lost"
            raise OptionError(f"{found} (give {KINDS[kind].option} FILE, or -o PREFIX)")
    _refuse_clashes(chosen, inputs)
    for kind, path in chosen.items():
        extension_of(path, kind)
    return {kind: chosen[kind] for kind in KINDS if kind in chosen}


def _is_of_states(kind: str, gives: Collection[str]) -> bool:
    """Whether a product is made of states of nodes; the report may be one of fits."""
    return KINDS[kind].of == STATES and not (kind == "report" and "fits table" in gives)


def writer_for(path: str, kind: str) -> Writer:
    """The function that writes a result as a product of this kind: the path's extension decides.

    Args:
        path: Where the product goes; `.gz` after a text format's extension compresses it.
        kind: A key of `KINDS`.

    Raises:
        OptionError: An extension that no writer of this kind has.
    """
    write, parts = _named(KINDS[kind].writers[extension_of(path, kind)]), KINDS[kind].parts
    if not path.lower().endswith(".gz"):
        return lambda result, stream: write(stream, *parts(result))

    def write_zipped(result: Result, stream: BinaryIO) -> None:
        # No time and no name inside, so that the same content gives the same bytes.
        with gzip.GzipFile("", "wb", compresslevel=6, fileobj=stream, mtime=0) as zipped:
            write(cast(BinaryIO, zipped), *parts(result))

    return write_zipped


def prepare_products(products: Mapping[str, str], phylogeny: Phylogeny) -> None:
    """Finds what the writers of the products need of the phylogeny alone, which they then have at hand.

    Args:
        products: Kind -> path.
        phylogeny: The tree that will be written.
    """
    for kind, path in products.items():
        place = KINDS[kind].ahead.get(extension_of(path, kind))
        if place is not None:
            _named(place)(phylogeny)


def _named(place: str) -> Callable[..., Any]:
    module, function = place.split(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


def extension_of(path: str, kind: str) -> str:
    """The extension that picks the writer.

    Raises:
        OptionError: No writer of this kind has it.
    """
    about, lowered = KINDS[kind], path.lower()
    zipped = lowered.endswith(".gz")
    extension = about.streamed if path == "-" else os.path.splitext(lowered.removesuffix(".gz"))[1]
    if extension in about.writers and not (zipped and extension in _NEVER_GZIPPED):
        return extension
    if path == "-":
        raise OptionError(f"{about.option} -: the {kind} is not streamed (name a file)")
    found = f"{path}: no {kind} is written as {extension + '.gz' * zipped!r}" if extension else f"{path}: no extension"
    raise OptionError(f"{found} (use one of {' '.join(about.writers)}; text also with .gz)")


def writes_annotations(path: str) -> bool:
    """Whether the tree that is written to `path` has more than labels and lengths."""
    return extension_of(path, "tree") not in _BARE_TREES


def stem(path: str) -> str:
    """A file's name without folder, `.gz` and extension; `stdin` for `-`."""
    if path == "-":
        return "stdin"
    name = os.path.basename(path)
    name = name[:-3] if name.lower().endswith(".gz") else name
    return os.path.splitext(name)[0] or name


_FOLDERS_OF_STREAMS = re.compile("/dev|/proc/.+/fd")


def prefix_of(out: str | None, default: str) -> str:
    """What the paths of all products begin with."""
    if out is None:
        return default
    if out.endswith(("/", os.sep)) or os.path.isdir(out):
        return os.path.join(out, default)
    return out


def refuse_no_prefix(out: str, kinds: Sequence[Kind]) -> None:
    """Raises for what names no files when extensions are put behind it.

    Args:
        out: What is given as a prefix.
        kinds: What would be written.

    Raises:
        OptionError: A device, standard output, or a file's name.
    """
    first = kinds[0].option if kinds else ""
    if out == "-":
        stream = f"use {first} - to stream the table" if first else "give a name"
        raise OptionError(f"-o -: a prefix names files ({stream})")
    # A stream that leads to a file looks like one: it is known by its folder.
    folder = os.path.realpath(os.path.dirname(out) or ".")
    if _FOLDERS_OF_STREAMS.fullmatch(folder) or (
        os.path.exists(out) and not os.path.isdir(out) and not os.path.isfile(out)
    ):
        other = f", or {first} FILE" if first else ""
        raise OptionError(f"-o {out}: this is a device, and a prefix names files (give another{other})")
    bare = out[:-3] if out.lower().endswith(".gz") else out
    stem, extension = os.path.splitext(bare)
    known = {each for about in KINDS.values() for each in about.writers}
    if extension.lower() in known and not os.path.isdir(out):
        option = next((about.option for about in kinds if extension.lower() in about.writers), "")
        other = f", or {option} {out}" if option else ""
        raise OptionError(f"-o {out}: extensions are put behind a prefix, and this has one (give -o {stem}{other})")


def _refuse_clashes(chosen: Mapping[str, str], inputs: tuple[str, ...]) -> None:
    taken = {_place(path): path for path in inputs if path != "-"}
    seen: dict[str, str] = {}
    for kind, path in chosen.items():
        option = KINDS[kind].option
        place = "-" if path == "-" else _place(path)
        if place in seen:
            where = "standard output" if path == "-" else path
            raise OptionError(f"{seen[place]} and {option} both go to {where} (name two places)")
        if place in taken:
            raise OptionError(f"{option} {path} would replace the input {taken[place]} (name another file)")
        seen[place] = option


def _place(path: str) -> str:
    return os.path.normcase(os.path.realpath(path))
