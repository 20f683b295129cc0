"""The options that several commands share, each said once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from hxcli.run.inputs import InputOptions
    from hxcli.run.runtime import RuntimeOptions


class Estimator(StrEnum):
    """How sigma2 is estimated."""

    REML = "reml"
    ML = "ml"


class NegativeLengths(StrEnum):
    """What to do with a negative edge length."""

    ZERO = "zero"


_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}


def parse_size(text: str) -> int:
    """Bytes of `500M`, `4G` or a plain number."""
    found = re.fullmatch(r"(\d{1,15})([kmg]?)(i?b)?", text.strip().lower())
    if not found or not int(found[1]):
        raise typer.BadParameter(f"{text!r} is not a size (write 500M, 4G or a number of bytes)")
    return int(found[1]) * _UNITS[found[2]]


def parse_probability(text: str | float) -> float:
    """A number between 0 and 1, both excluded."""
    percent = str(text).endswith("%")
    value = parse_number(str(text).removesuffix("%"))
    if percent or not 0 < value < 1:
        raise typer.BadParameter(f"{text!r} is not between 0 and 1 (write 0.95 for 95 %)")
    return value


def parse_number(text: str | float) -> float:
    """A finite number, written as in trees and tables."""
    # Some versions of typer pass defaults through the parser.
    text = str(text)
    number = re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text, re.ASCII)
    if not number or abs(value := float(text)) == float("inf"):
        raise typer.BadParameter(f"{text!r} is not a finite number")
    return value


def parse_non_negative(text: str | float) -> float:
    """A finite number that is not below 0."""
    value = parse_number(text)
    if value < 0:
        raise typer.BadParameter(f"{text!r} is negative")
    return value


TreeArgument = Annotated[
    str, typer.Argument(metavar="TREE", help="Tree file: Newick, NEXUS, phyloXML or NeXML; - for standard input.")
]
TraitsArgument = Annotated[
    str, typer.Argument(metavar="TRAITS", help="Trait table: CSV, TSV or Parquet; - for standard input.")
]
OptionalTraitsArgument = Annotated[
    str, typer.Argument(metavar="[TRAITS]", help="Trait table to match with the tree.", show_default=False)
]
Level = Annotated[
    float, typer.Option("--level", parser=parse_probability, metavar="P", help="Probability of the intervals.")
]
HowSigma2 = Annotated[Estimator, typer.Option("--estimator", help="How sigma2 is estimated.", case_sensitive=False)]
Tau2 = Annotated[
    float,
    typer.Option(
        "--tau2", parser=parse_non_negative, metavar="V", help="Observation variance, in squared trait units."
    ),
]
Density = Annotated[
    str | None,
    typer.Option(
        "--density", metavar="FILE", help="Every node's whole density, of a model on a grid: .parquet .csv .tsv."
    ),
]
Plot = Annotated[
    str | None,
    typer.Option(
        "--plot",
        metavar="FILE",
        help="Picture of the first trait, edges coloured by it, or pies: .svg .pdf .png; hx plot draws others.",
    ),
]


@dataclass(frozen=True)
class RateChoices:
    """How the rate and the intervals are found: of every analysis under Brownian motion but the posterior."""

    level: Level = 0.95
    estimator: HowSigma2 = Estimator.REML
    tau2: Tau2 = 0.0

    def analysis_options(self) -> dict[str, Any]:
        """The same choices as the analyses take them."""
        return {"level": self.level, "estimator": self.estimator.name, "tau2": self.tau2}


EDGE_DATA_HELP = (
    "Columns of numbers for the edges, by node or pair of tips; or the word tree, for the tree's annotations."
)


class OuRoot(StrEnum):
    """Where the root of a process of Ornstein and Uhlenbeck lies."""

    THETA = "theta"
    STATIONARY = "stationary"
    FREE = "free"


def parse_settings(given: list[str] | None, option: str = "--set") -> dict[str, float]:
    """Parameter -> value, of `alpha=2` and the like."""
    found: dict[str, float] = {}
    for text in given or []:
        name, equals, value = text.rpartition("=")
        if not (equals and name):
            raise typer.BadParameter(f"{option} {text}: write NAME=VALUE, such as alpha=2")
        if name in found:
            raise typer.BadParameter(f"{option} {name} is given twice")
        found[name] = parse_number(value)
    return found


RegimesOption = Annotated[
    str | None,
    typer.Option(
        "--regimes",
        metavar="FILE",
        help="Regimes of edges: a table, a painted tree (SIMMAP), or the word labels, for those at inner nodes.",
    ),
]


@dataclass(frozen=True)
class GivenModelChoices:
    """Which models, and what is given of them."""

    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model", metavar="NAME", help="Model of the trait, or FILE.py[:NAME]; repeatable. hx models lists them."
        ),
    ] = None
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Hold a parameter of the model; repeatable."),
    ] = None
    edge_data: Annotated[
        str | None,
        typer.Option("--edge-data", metavar="FILE", help=EDGE_DATA_HELP),
    ] = None
    ou_root: Annotated[
        OuRoot | None, typer.Option("--ou-root", help="Root of ou, oum, ...: at the optimum, stationary, or free.")
    ] = None
    lambda_max: Annotated[
        bool, typer.Option("--lambda-max", help="Let lambda exceed 1, up to where its covariances stay possible.")
    ] = False
    regimes: RegimesOption = None

    def fit_options(self, several: str = "") -> dict[str, Any]:
        """The same choices as the analyses take them, but for the regimes.

        Args:
            several: Name that stands for several models, where a command takes one model otherwise.
        """
        from hxcli.models.rate_patterns import is_state_model

        names = tuple(self.model or ())
        # Of a run with traits of both kinds, one is for each.
        kinds = [is_state_model(name) for name in names]
        if several and max(kinds.count(True), kinds.count(False)) > 1 and several not in names:
            raise typer.BadParameter(
                f"--model is given {len(names)} times: give one, or --model {several} with those to be averaged"
            )
        return {
            "models": names,
            "held": parse_settings(self.settings),
            "ou_root": self.ou_root.value if self.ou_root else None,
            "lambda_max": self.lambda_max,
            **({"regimes": "labels"} if self.regimes == "labels" else {}),
            **({"edge_data": "tree"} if self.edge_data == "tree" else {}),
        }

    def side_inputs(self) -> dict[str, tuple[str | None, str]]:
        """The tables of regimes and of edges, if there are any."""
        path = None if self.regimes == "labels" else self.regimes
        return {
            "regimes": (path, "hxcli.formats.tables.regimes:read_regimes"),
            "edge_data": (
                None if self.edge_data == "tree" else self.edge_data,
                "hxcli.formats.tables.edge_data:read_edge_data",
            ),
        }


@dataclass(frozen=True)
class ModelChoices(GivenModelChoices):
    """Which models, and how they are fitted."""

    starts: Annotated[
        list[str] | None,
        typer.Option("--start", metavar="NAME=VALUE", help="Where the search for a parameter begins; repeatable."),
    ] = None

    def fit_options(self, several: str = "") -> dict[str, Any]:
        """The same choices as the analyses take them, but for the regimes; see `GivenModelChoices`."""
        starts = {"start": parse_settings(self.starts, "--start")} if self.starts else {}
        return {**super().fit_options(several), **starts}


@dataclass(frozen=True)
class TreeReadingChoices:
    """How the tree file is read."""

    tree_index: Annotated[
        int | None, typer.Option("--tree-index", min=1, metavar="K", help="Which tree of the file, from 1.")
    ] = None
    max_size: Annotated[
        int | None,
        typer.Option("--max-size", parser=parse_size, metavar="SIZE", help="Largest input, such as 4G. [default: 2G]"),
    ] = None
    missing_lengths: Annotated[
        float | None,
        typer.Option(
            "--missing-lengths", parser=parse_non_negative, metavar="X", help="Edge length where none is given."
        ),
    ] = None
    negative_lengths: Annotated[
        NegativeLengths | None, typer.Option("--negative-lengths", help="Read negative edge lengths as 0.")
    ] = None


@dataclass(frozen=True)
class ReadingChoices:
    """How the tree file and the table are read."""

    column: Annotated[
        list[str] | None,
        typer.Option("--column", metavar="NAME", help="Trait column; repeat for several. [default: all numeric ones]"),
    ] = None
    id_column: Annotated[
        str | None, typer.Option("--id-column", metavar="NAME", help="Column of tip names. [default: the first]")
    ] = None
    se_column: Annotated[
        list[str] | None,
        typer.Option(
            "--se-column",
            metavar="[TRAIT=]NAME",
            help="Column of known standard errors; repeatable. [default: <trait>_se where there is one]",
        ),
    ] = None
    na: Annotated[
        list[str] | None, typer.Option("--na", metavar="TEXT", help="Further mark of a missing value; repeatable.")
    ] = None
    replicates: Annotated[
        bool, typer.Option("--replicates", help="Several rows for one tip are several observations.")
    ] = False
    strict: Annotated[bool, typer.Option("--strict", help="Refuse tips without data and rows without a tip.")] = False
    of_tree: TreeReadingChoices = TreeReadingChoices()

    def input_options(self, tree: str, traits: str) -> InputOptions:
        """The same choices as the library takes them, of two files."""
        from hxcli.formats.source import DEFAULT_MAX_SIZE
        from hxcli.run.inputs import InputOptions

        of_tree = self.of_tree
        return InputOptions(
            tree=tree,
            traits=traits,
            tree_index=of_tree.tree_index,
            missing_lengths=of_tree.missing_lengths,
            negative_lengths="zero" if of_tree.negative_lengths is NegativeLengths.ZERO else None,
            id_column=self.id_column,
            columns=tuple(self.column or ()),
            se_columns=tuple(_pair(text) for text in self.se_column or ()),
            na=tuple(self.na or ()),
            replicates=self.replicates,
            strict=self.strict,
            max_size=of_tree.max_size or DEFAULT_MAX_SIZE,
        )


def _pair(text: str) -> tuple[str, str]:
    trait, equals, column = text.rpartition("=")
    return (trait, column) if equals else ("", text)


@dataclass(frozen=True)
class OutputChoices:
    """Where the results go."""

    out: Annotated[
        str | None,
        typer.Option(
            "--out", "-o", metavar="PREFIX", help="Write PREFIX.csv, .nex and .json. [default: TREE's name.COMMAND]"
        ),
    ] = None
    out_table: Annotated[
        str | None,
        typer.Option("--out-table", metavar="FILE", help="Table: .csv .tsv .parquet, also .gz; - streams CSV."),
    ] = None
    out_tree: Annotated[
        str | None,
        typer.Option(
            "--out-tree",
            metavar="FILE",
            help="Annotated tree: .nex .nhx .xml; .nwk has names and lengths only; - streams NEXUS.",
        ),
    ] = None
    out_json: Annotated[str | None, typer.Option("--out-json", metavar="FILE", help="Run record; - streams it.")] = None
    wide: Annotated[
        bool,
        typer.Option("--wide", help="Table with one row a node: TRAIT, TRAIT_lower and TRAIT_upper for every trait."),
    ] = False
    itol: Annotated[
        str | None,
        typer.Option("--itol", metavar="FILE", help="Tree and a colour gradient for every trait, for iTOL: .zip."),
    ] = None
    auspice: Annotated[
        str | None,
        typer.Option("--auspice", metavar="FILE", help="Dataset for auspice (Nextstrain): .json."),
    ] = None
    node_data: Annotated[
        str | None, typer.Option("--node-data", metavar="FILE", help="Node data for augur (Nextstrain): .json.")
    ] = None
    named_tree: Annotated[
        str | None,
        typer.Option("--named-tree", metavar="FILE", help="Tree whose nodes have the table's names, for augur: .nwk."),
    ] = None
    report: Annotated[
        str | None,
        typer.Option("--report", metavar="FILE", help="One page with summary, picture and table to share: .html."),
    ] = None

    def named(self) -> dict[str, str | None]:
        """Kind of product -> its path, None where none is named."""
        return {
            "table": self.out_table,
            "tree": self.out_tree,
            "record": self.out_json,
            "archive for iTOL": self.itol,
            "auspice dataset": self.auspice,
            "node data": self.node_data,
            "named tree": self.named_tree,
            "report": self.report,
        }


class Precision(StrEnum):
    """Bits of a floating-point number."""

    DOUBLE = "64"
    SINGLE = "32"


@dataclass(frozen=True)
class MachineChoices:
    """Where and how precisely to compute."""

    device: Annotated[
        str | None,
        typer.Option(
            "--device", metavar="NAME", help="cpu, gpu, gpu:1, tpu, all. [default: JAX's choice, see hx devices]"
        ),
    ] = None
    precision: Annotated[Precision, typer.Option("--precision", help="Bits of a number.")] = Precision.DOUBLE
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, metavar="N", help="Threads on the CPU. [default: all]")
    ] = None
    chunk_traits: Annotated[
        int | None,
        typer.Option(
            "--chunk-traits", min=1, metavar="N", help="Traits computed at a time. [default: by the size of the tree]"
        ),
    ] = None
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Keep no compiled programs on disk (see HX_CACHE_DIR).")
    ] = False

    def runtime_options(self) -> RuntimeOptions:
        """The same choices as the library takes them."""
        from hxcli.run.runtime import RuntimeOptions

        return RuntimeOptions(self.device, int(self.precision), self.threads, not self.no_cache)


@dataclass(frozen=True)
class TalkChoices:
    """How much is said on standard error."""

    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Also say what took how long.")] = False
    # Read by the application, which catches the errors.
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")] = False
