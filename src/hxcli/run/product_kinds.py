"""The kinds of products, one entry each: option, formats, and who writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hxcli.findings import STATES
from hxcli.state_findings import numbers_of


@dataclass(frozen=True, eq=False)
class Result:
    """What products are made of.

    Attributes:
        found: What was found.
        record: Gives the run record as JSON values, with how long everything has taken so far.
        choices: Kind of product -> how it is to look, for kinds that can look in several ways.
    """

    found: Any
    record: Callable[[], Mapping[str, Any]]
    choices: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Kind:
    """A kind of product. To add a format to a kind, give its writer a line in `writers`.

    Attributes:
        option: The option that names the product's path.
        writers: Extension -> `module:function`, imported on use. It is called with a binary stream and `parts`.
        parts: What of a result the writers of this kind are given.
        ahead: Extension -> `module:function` that finds what its writer needs of the phylogeny alone, while the model
            computes.
        default: End of the path behind the prefix; None for a product that is written only where it is named.
        streamed: Extension that `-` stands for; "" for a product that is not streamed.
        exclusive: Whether naming it leaves out the products that are not named.
        of: What an analysis has to give for it: `STATES` or the name of a table; "" for what every analysis has.
    """

    option: str
    writers: dict[str, str]
    parts: Callable[[Result], tuple[Any, ...]]
    ahead: Mapping[str, str] = field(default_factory=dict)
    default: str | None = None
    streamed: str = ""
    exclusive: bool = True
    of: str = STATES


def _plain_table(name: str, option: str, default: str) -> Kind:
    """The kind of a table that an analysis gives under that name and that needs nothing of the tree."""
    writers = {end: f"hxcli.formats.tables.plain_table:write_{end[1:]}" for end in (".csv", ".tsv", ".parquet")}
    return Kind(option, writers, lambda result: (_table(result, name),), default=default, streamed=".csv", of=name)


def _table(result: Result, name: str) -> Mapping[str, Any]:
    """The table of that name; of a run with traits of both kinds, that of the numbers where the states have none."""
    numbers = numbers_of(result.found)
    found = result.found if numbers is None or name in result.found.tables else numbers
    table: Mapping[str, Any] = found.tables[name]
    return table


KINDS: dict[str, Kind] = {
    "table": Kind(
        "--out-table",
        {
            ".csv": "hxcli.formats.tables.node_table:write_csv",
            ".tsv": "hxcli.formats.tables.node_table:write_tsv",
            ".parquet": "hxcli.formats.tables.node_table:write_parquet",
        },
        lambda result: (result.found, result.choices.get("table") == "wide"),
        ahead=dict.fromkeys((".csv", ".tsv", ".parquet"), "hxcli.formats.tables.node_table:prepare_table"),
        default=".csv",
        streamed=".csv",
    ),
    "tree": Kind(
        "--out-tree",
        {
            ".nex": "hxcli.formats.trees.nexus_writer:write_nexus",
            ".nexus": "hxcli.formats.trees.nexus_writer:write_nexus",
            ".nwk": "hxcli.formats.trees.newick:write_newick",
            ".newick": "hxcli.formats.trees.newick:write_newick",
            ".tree": "hxcli.formats.trees.newick:write_newick",
            ".nhx": "hxcli.formats.trees.nhx:write_nhx",
            ".xml": "hxcli.formats.trees.phyloxml:write_phyloxml",
        },
        lambda result: (result.found.phylogeny, result.found),
        ahead={
            **dict.fromkeys((".nex", ".nexus"), "hxcli.formats.trees.nexus_writer:prepare_nexus"),
            **dict.fromkeys((".nwk", ".newick", ".tree", ".nhx"), "hxcli.formats.trees.newick_text:newick_nesting"),
        },
        default=".nex",
        streamed=".nex",
    ),
    "density table": Kind(
        "--density",
        {
            ".parquet": "hxcli.formats.tables.density:write_parquet",
            ".csv": "hxcli.formats.tables.density:write_csv",
            ".tsv": "hxcli.formats.tables.density:write_tsv",
        },
        lambda result: (result.found,),
        streamed=".csv",
        exclusive=False,
    ),
    "fits table": _plain_table("fits table", "--out-fits", ".fits.csv"),
    "adequacy table": _plain_table("adequacy table", "--out-adequacy", ".adequacy.csv"),
    "simulation": Kind(
        "--out-simulation",
        {
            ".csv": "hxcli.formats.tables.simulation:write_csv",
            ".parquet": "hxcli.formats.tables.simulation:write_parquet",
        },
        lambda result: (result.found.phylogeny, result.found.tables["simulation"]),
        default=".csv",
        streamed=".csv",
        of="simulation",
    ),
    "parameter table": _plain_table("parameter table", "--out-params", ".params.csv"),
    "bootstrap table": _plain_table("bootstrap table", "--out-bootstrap", ".bootstrap.csv"),
    "maps": Kind(
        "--out-maps",
        {".nwk": "hxcli.formats.trees.simmap_writer:write_simmap"},
        lambda result: (result.found.phylogeny, result.found.tables["maps"]["parts"]),
        default=".maps.nwk",
        streamed=".nwk",
        of="maps",
    ),
    "expected table": _plain_table("expected table", "--out-expected", ".expected.csv"),
    "first times table": _plain_table("first times table", "--out-first", ".first.csv"),
    "maps picture": Kind(
        "--plot",
        {
            ".svg": "hxcli.pictures.state_density:write_svg",
            ".pdf": "hxcli.pictures.state_density:write_pdf",
            ".png": "hxcli.pictures.state_density:write_png",
        },
        lambda result: (result.found, result.choices.get("maps picture")),
        streamed=".svg",
        exclusive=False,
        of="maps picture",
    ),
    "leave-one-out table": Kind(
        "--out-loo",
        {
            ".csv": "hxcli.formats.tables.plain_table:write_csv",
            ".tsv": "hxcli.formats.tables.plain_table:write_tsv",
            ".parquet": "hxcli.formats.tables.plain_table:write_parquet",
        },
        lambda result: (result.found.tables.get("leave-one-out table", {}),),
        default=".loo.csv",
        streamed=".csv",
        of="leave-one-out table",
    ),
    "coefficients table": _plain_table("coefficients table", "--out-coefficients", ".coefficients.csv"),
    "regression table": _plain_table("regression table", "--out-regression", ".regression.csv"),
    "residuals table": _plain_table("residuals table", "--out-residuals", ".residuals.csv"),
    "comparison table": _plain_table("comparison table", "--out-comparison", ".comparison.csv"),
    "contrasts table": Kind(
        "--out-contrasts",
        {
            ".csv": "hxcli.formats.tables.nodes_of_interest:write_csv",
            ".tsv": "hxcli.formats.tables.nodes_of_interest:write_tsv",
            ".parquet": "hxcli.formats.tables.nodes_of_interest:write_parquet",
        },
        lambda result: (result.found.phylogeny, result.found.tables["contrasts table"]),
        default=".contrasts.csv",
        streamed=".csv",
        of="contrasts table",
    ),
    "signal table": _plain_table("signal table", "--out-signal", ".signal.csv"),
    "covariance table": _plain_table("covariance table", "--out-covariance", ".covariance.csv"),
    "within table": _plain_table("within table", "--out-within", ".within.csv"),
    "pairs table": _plain_table("pairs table", "--out-pairs", ".pairs.csv"),
    "node ages": _plain_table("node ages", "--out-ages", ".ages.csv"),
    "trees table": _plain_table("trees table", "--out-trees", ".trees.csv"),
    "scores table": _plain_table("scores table", "--out-scores", ".scores.csv"),
    "ancestors table": Kind(
        "--out-ancestors",
        {
            ".csv": "hxcli.formats.tables.clade_table:write_csv",
            ".tsv": "hxcli.formats.tables.clade_table:write_tsv",
            ".parquet": "hxcli.formats.tables.clade_table:write_parquet",
        },
        lambda result: (result.found.phylogeny, result.found.tables["ancestors table"]),
        default=".ancestors.csv",
        streamed=".csv",
        of="ancestors table",
    ),
    "loadings table": _plain_table("loadings table", "--out-loadings", ".loadings.csv"),
    "explained table": _plain_table("explained table", "--out-explained", ".explained.csv"),
    "ordination picture": Kind(
        "--plot",
        {
            ".svg": "hxcli.pictures.ordination:write_svg",
            ".pdf": "hxcli.pictures.ordination:write_pdf",
            ".png": "hxcli.pictures.ordination:write_png",
        },
        lambda result: (result.found,),
        streamed=".svg",
        exclusive=False,
        of="ordination",
    ),
    "draws": Kind(
        "--draws-out",
        {".parquet": "hxcli.formats.tables.draws:write_parquet", ".csv": "hxcli.formats.tables.draws:write_csv"},
        lambda result: (result.found.phylogeny, result.found.tables.get("draws", {})),
        default=".draws.parquet",
        streamed=".csv",
        of="draws",
    ),
    "named tree": Kind(
        "--named-tree",
        {".nwk": "hxcli.formats.trees.newick:write_named_newick"},
        lambda result: (result.found.phylogeny,),
        streamed=".nwk",
    ),
    "archive for iTOL": Kind(
        "--itol", {".zip": "hxcli.formats.exchange.itol:write_itol"}, lambda result: (result.found,)
    ),
    "node data": Kind(
        "--node-data",
        {".json": "hxcli.formats.exchange.nextstrain:write_node_data"},
        lambda result: (result.found,),
        streamed=".json",
    ),
    "auspice dataset": Kind(
        "--auspice",
        {".json": "hxcli.formats.exchange.nextstrain:write_auspice"},
        lambda result: (result.found,),
        streamed=".json",
    ),
    "picture": Kind(
        "--plot",
        {
            ".svg": "hxcli.pictures.writers:write_svg",
            ".pdf": "hxcli.pictures.writers:write_pdf",
            ".png": "hxcli.pictures.writers:write_png",
        },
        lambda result: (result.found, result.choices.get("picture")),
        streamed=".svg",
        exclusive=False,
    ),
    "regression picture": Kind(
        "--plot",
        {
            ".svg": "hxcli.pictures.regression:write_svg",
            ".pdf": "hxcli.pictures.regression:write_pdf",
            ".png": "hxcli.pictures.regression:write_png",
        },
        lambda result: (result.found.tables["regression picture"],),
        streamed=".svg",
        exclusive=False,
        of="regression picture",
    ),
    "comparison picture": Kind(
        "--plot",
        {
            ".svg": "hxcli.pictures.comparison:write_svg",
            ".pdf": "hxcli.pictures.comparison:write_pdf",
            ".png": "hxcli.pictures.comparison:write_png",
        },
        lambda result: (result.found.tables["comparison picture"]["comparisons"],),
        streamed=".svg",
        exclusive=False,
        of="comparison picture",
    ),
    "report": Kind(
        "--report",
        {".html": "hxcli.report.page:write_report"},
        lambda result: (result.found, result.record()),
        streamed=".html",
        exclusive=False,
    ),
    # Last, because it says how long the writing of the others took.
    "record": Kind(
        "--out-json",
        {".json": "hxcli.formats.json_record:write_record"},
        lambda result: (result.record(),),
        default=".json",
        streamed=".json",
        of="",
    ),
}
