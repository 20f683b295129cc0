"""What a run over a sample of trees writes."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from hxcli.errors import OptionError

# Kind of product that one tree alone has -> the option that asks for it.
_OF_ONE_TREE = {
    "leave-one-out table": "--loo",
    "draws": "--draws",
    "pairs table": "--pairs",
    "bootstrap table": "--bootstrap",
    "adequacy table": "--adequacy",
    "comparison table": "--against",
}


def sample_products(
    analysis: str,
    inputs: tuple[str, ...],
    *,
    out: str | None,
    named: Mapping[str, str | None],
    without: Collection[str],
    in_parts: bool,
) -> dict[str, str]:
    """Kind of product -> path.

    Args:
        analysis: A name in `hxcli.analyses.ANALYSES`.
        inputs: The files that are read.
        out: Prefix of the products; None for the default.
        named: Kind -> path of products, None for one that is not named.
        without: Kinds of products that nobody asked for.
        in_parts: Whether the run writes a part, for `hx merge`.

    Raises:
        OptionError: An option that only one tree has.
    """
    from hxcli.analyses import ANALYSES
    from hxcli.run.product_kinds import KINDS
    from hxcli.run.products import choose_products, prefix_of, refuse_no_prefix, stem

    gives = ANALYSES[analysis].of_samples
    asked = [kind for kind, path in named.items() if path is not None]
    extra = [
        option for kind, option in _OF_ONE_TREE.items() if kind in ANALYSES[analysis].gives and kind not in without
    ]
    extra += [KINDS[kind].option for kind in asked if KINDS[kind].of and KINDS[kind].of not in gives]
    if extra and gives:
        raise OptionError(f"{extra[0]} does not go with --all-trees (leave one of them out)")
    if not in_parts:
        return choose_products(analysis, inputs, out=out, named=named, gives=gives)
    if asked:
        raise OptionError(
            f"{KINDS[asked[0]].option} does not go with --shard, which writes PREFIX.part (name it for hx merge)"
        )
    if out is not None:
        refuse_no_prefix(out, ())
    return {"part": prefix_of(out, f"{stem(inputs[0])}.{analysis}") + ".part"}
