"""The kinds of products, one entry each: option, formats, and who writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hxcli.findings import STATES


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
        of_numbers: Whether it shows traits of numbers only.
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
    of_numbers: bool = False


# What every analysis gives of a sample of trees, beside the states of nodes.
OF_SAMPLES = ("trees table", "node ages")

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
    "fits table": Kind(
        "--out-fits",
        {
            ".csv": "hxcli.formats.tables.plain_table:write_csv",
            ".tsv": "hxcli.formats.tables.plain_table:write_tsv",
            ".parquet": "hxcli.formats.tables.plain_table:write_parquet",
        },
        lambda result: (result.found.tables["fits table"],),
        default=".fits.csv",
        streamed=".csv",
        of="fits table",
    ),
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
    "parameter table": Kind(
        "--out-params",
        {
            ".csv": "hxcli.formats.tables.plain_table:write_csv",
            ".tsv": "hxcli.formats.tables.plain_table:write_tsv",
            ".parquet": "hxcli.formats.tables.plain_table:write_parquet",
        },
        lambda result: (result.found.tables["parameter table"],),
        default=".params.csv",
        streamed=".csv",
        of="parameter table",
    ),
    "maps": Kind(
        "--out-maps",
        {".nwk": "hxcli.formats.trees.simmap_writer:write_simmap"},
        lambda result: (result.found.phylogeny, result.found.tables["maps"]["parts"]),
        default=".maps.nwk",
        streamed=".nwk",
        of="maps",
    ),
    "expected table": Kind(
        "--out-expected",
        {
            ".csv": "hxcli.formats.tables.plain_table:write_csv",
            ".tsv": "hxcli.formats.tables.plain_table:write_tsv",
            ".parquet": "hxcli.formats.tables.plain_table:write_parquet",
        },
        lambda result: (result.found.tables["expected table"],),
        default=".expected.csv",
        streamed=".csv",
        of="expected table",
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
    "coefficients table": Kind(
        "--out-coefficients",
        {
            ".csv": "hxcli.formats.tables.plain_table:write_csv",
            ".tsv": "hxcli.formats.tables.plain_table:write_tsv",
            ".parquet": "hxcli.formats.tables.plain_table:write_parquet",
        },
        lambda result: (result.found.tables["coefficients table"],),
        default=".coefficients.csv",
        streamed=".csv",
        of="coefficients table",
    ),
    "regression table": Kind(
        "--out-regression",
        {
            ".csv": "hxcli.formats.tables.plain_table:write_csv",
            ".tsv": "hxcli.formats.tables.plain_table:write_tsv",
            ".parquet": "hxcli.formats.tables.plain_table:write_parquet",
        },
        lambda result: (result.found.tables["regression table"],),
        default=".regression.csv",
        streamed=".csv",
        of="regression table",
    ),
    "residuals table": Kind(
        "--out-residuals",
        {
            ".csv": "hxcli.formats.tables.plain_table:write_csv",
            ".tsv": "hxcli.formats.tables.plain_table:write_tsv",
            ".parquet": "hxcli.formats.tables.plain_table:write_parquet",
        },
        lambda result: (result.found.tables["residuals table"],),
        default=".residuals.csv",
        streamed=".csv",
        of="residuals table",
    ),
    "comparison table": Kind(
        "--out-comparison",
        {
            ".csv": "hxcli.formats.tables.plain_table:write_csv",
            ".tsv": "hxcli.formats.tables.plain_table:write_tsv",
            ".parquet": "hxcli.formats.tables.plain_table:write_parquet",
        },
        lambda result: (result.found.tables["comparison table"],),
        default=".comparison.csv",
        streamed=".csv",
        of="comparison table",
    ),
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
    "signal table": Kind(
        "--out-signal",
        {
            ".csv": "hxcli.formats.tables.plain_table:write_csv",
            ".tsv": "hxcli.formats.tables.plain_table:write_tsv",
            ".parquet": "hxcli.formats.tables.plain_table:write_parquet",
        },
        lambda result: (result.found.tables["signal table"],),
        default=".signal.csv",
        streamed=".csv",
        of="signal table",
    ),
    "covariance table": Kind(
        "--out-covariance",
        {
            ".csv": "hxcli.formats.tables.plain_table:write_csv",
            ".tsv": "hxcli.formats.tables.plain_table:write_tsv",
            ".parquet": "hxcli.formats.tables.plain_table:write_parquet",
        },
        lambda result: (result.found.tables["covariance table"],),
        default=".covariance.csv",
        streamed=".csv",
        of="covariance table",
    ),
    "within table": Kind(
        "--out-within",
        {
            ".csv": "hxcli.formats.tables.plain_table:write_csv",
            ".tsv": "hxcli.formats.tables.plain_table:write_tsv",
            ".parquet": "hxcli.formats.tables.plain_table:write_parquet",
        },
        lambda result: (result.found.tables["within table"],),
        default=".within.csv",
        streamed=".csv",
        of="within table",
    ),
    "node ages": Kind(
        "--out-ages",
        {
            ".csv": "hxcli.formats.tables.plain_table:write_csv",
            ".tsv": "hxcli.formats.tables.plain_table:write_tsv",
            ".parquet": "hxcli.formats.tables.plain_table:write_parquet",
        },
        lambda result: (result.found.tables["node ages"],),
        default=".ages.csv",
        streamed=".csv",
        of="node ages",
    ),
    "trees table": Kind(
        "--out-trees",
        {
            ".csv": "hxcli.formats.tables.plain_table:write_csv",
            ".tsv": "hxcli.formats.tables.plain_table:write_tsv",
            ".parquet": "hxcli.formats.tables.plain_table:write_parquet",
        },
        lambda result: (result.found.tables["trees table"],),
        default=".trees.csv",
        streamed=".csv",
        of="trees table",
    ),
    "scores table": Kind(
        "--out-scores",
        {
            ".csv": "hxcli.formats.tables.plain_table:write_csv",
            ".tsv": "hxcli.formats.tables.plain_table:write_tsv",
            ".parquet": "hxcli.formats.tables.plain_table:write_parquet",
        },
        lambda result: (result.found.tables["scores table"],),
        default=".scores.csv",
        streamed=".csv",
        of="scores table",
    ),
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
    "loadings table": Kind(
        "--out-loadings",
        {
            ".csv": "hxcli.formats.tables.plain_table:write_csv",
            ".tsv": "hxcli.formats.tables.plain_table:write_tsv",
            ".parquet": "hxcli.formats.tables.plain_table:write_parquet",
        },
        lambda result: (result.found.tables["loadings table"],),
        default=".loadings.csv",
        streamed=".csv",
        of="loadings table",
    ),
    "explained table": Kind(
        "--out-explained",
        {
            ".csv": "hxcli.formats.tables.plain_table:write_csv",
            ".tsv": "hxcli.formats.tables.plain_table:write_tsv",
            ".parquet": "hxcli.formats.tables.plain_table:write_parquet",
        },
        lambda result: (result.found.tables["explained table"],),
        default=".explained.csv",
        streamed=".csv",
        of="explained table",
    ),
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
        "--itol", {".zip": "hxcli.formats.exchange.itol:write_itol"}, lambda result: (result.found,), of_numbers=True
    ),
    "node data": Kind(
        "--node-data",
        {".json": "hxcli.formats.exchange.nextstrain:write_node_data"},
        lambda result: (result.found,),
        streamed=".json",
        of_numbers=True,
    ),
    "auspice dataset": Kind(
        "--auspice",
        {".json": "hxcli.formats.exchange.nextstrain:write_auspice"},
        lambda result: (result.found,),
        streamed=".json",
        of_numbers=True,
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
        of_numbers=True,
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
    "report": Kind(
        "--report",
        {".html": "hxcli.report.page:write_report"},
        lambda result: (result.found, result.record()),
        streamed=".html",
        exclusive=False,
        of_numbers=True,
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
