"""`hx posterior`: Bayesian posterior of all nodes and of the parameters."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

import typer

from hxcli.cli.analysis import AnalysisRequest, RunChoices
from hxcli.cli.command import command
from hxcli.cli.left_out_options import LeftOutChoices
from hxcli.cli.options import (
    Density,
    Level,
    ModelChoices,
    Plot,
    TraitsArgument,
    TreeArgument,
    parse_non_negative,
    parse_number,
    parse_settings,
)
from hxcli.cli.pair_options import PairChoices
from hxcli.cli.state_options import StateModelChoices, StateReadingChoices
from hxcli.cli.together import TogetherChoices


@dataclass(frozen=True)
class RootPrior:
    """What is known of the root's state: a normal prior, the state itself, or, where all are None, nothing."""

    mean: float | None = None
    variance: float | None = None
    state: float | None = None

    def __str__(self) -> str:
        if self.state is not None:
            return f"fixed:{self.state!r}"
        return "flat" if self.variance is None else f"normal:{self.mean!r},{self.variance!r}"


def parse_root(text: str | RootPrior) -> RootPrior:
    """Reads `flat`, `normal:MEAN,VARIANCE` or `fixed:STATE`."""
    if isinstance(text, RootPrior) or text == "flat":
        return text if isinstance(text, RootPrior) else RootPrior()
    kind, _, numbers = text.partition(":")
    mean, comma, variance = numbers.partition(",")
    if kind == "fixed" and numbers and not comma:
        return RootPrior(state=parse_number(numbers.strip()))
    if kind != "normal" or not comma:
        written = "flat, fixed:STATE, or normal:MEAN,VARIANCE such as normal:0,100"
        raise typer.BadParameter(f"{text!r} is not a prior (write {written})")
    return RootPrior(parse_number(mean.strip()), parse_non_negative(variance.strip()))


def parse_prior_text(text: str) -> str:
    """A prior of a variance, checked and left as it is."""
    from hxcli.inference.priors import parse_prior

    parse_prior(text)
    return text


@dataclass(frozen=True)
class PriorChoices:
    """What is given, and what has a prior."""

    sigma2: Annotated[
        float | None,
        typer.Option(
            "--sigma2",
            parser=parse_non_negative,
            metavar="V",
            help="Rate, in squared trait units per unit edge length. [default: unknown, see --prior-sigma2]",
        ),
    ] = None
    tau2: Annotated[
        float | None,
        typer.Option(
            "--tau2",
            parser=parse_non_negative,
            metavar="V",
            help="Observation variance, in squared trait units. [default: unknown, see --prior-tau2]",
        ),
    ] = None
    no_noise: Annotated[bool, typer.Option("--no-noise", help="No observation variance: --tau2 0.")] = False
    prior_sigma2: Annotated[
        str | None,
        typer.Option(
            "--prior-sigma2",
            parser=parse_prior_text,
            metavar="PRIOR",
            help="lognormal(m,s) halfnormal(s) halfcauchy(s) exponential(mean) invgamma(a,b) uniform(low,high), of the "
            "variance itself. [default: a wide lognormal scaled to the data]",
        ),
    ] = None
    prior_tau2: Annotated[
        str | None,
        typer.Option("--prior-tau2", parser=parse_prior_text, metavar="PRIOR", help="Likewise, of --tau2."),
    ] = None
    root: Annotated[
        RootPrior,
        typer.Option(
            "--root",
            parser=parse_root,
            metavar="PRIOR",
            help="flat, normal:MEAN,VARIANCE or fixed:STATE for the root's state.",
        ),
    ] = RootPrior()


# Of a sampler.
_CHAINS, _SAMPLES = 4, 1000


class Method(StrEnum):
    """How the variances are dealt with."""

    QUADRATURE = "quadrature"
    NUTS = "nuts"


@dataclass(frozen=True)
class MoreChoices:
    """What else is computed, and where it goes."""

    draws: Annotated[
        int | None,
        typer.Option("--draws", min=1, metavar="K", help="Joint draws of the parameters and all nodes, one a row."),
    ] = None
    draws_out: Annotated[
        str | None,
        typer.Option(
            "--draws-out", metavar="FILE", help="Where they go: .parquet .csv. [default: PREFIX.draws.parquet]"
        ),
    ] = None
    method: Annotated[
        Method | None,
        typer.Option(
            "--method",
            help="quadrature integrates; nuts samples (extra mcmc). [default: quadrature; sampling where there is too "
            "much to integrate over]",
        ),
    ] = None
    chains: Annotated[
        int | None,
        typer.Option("--chains", min=1, max=64, metavar="C", help=f"Chains of a sampler. [default: {_CHAINS}]"),
    ] = None
    samples: Annotated[
        int | None,
        typer.Option(
            "--samples",
            min=100,
            metavar="S",
            help=f"Draws of every chain of a sampler. [default: {_SAMPLES}]",
        ),
    ] = None
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, metavar="S", help="Of the random numbers.")] = 0

    def without(self) -> list[str]:
        """The kind of product that nobody asked for."""
        return ["draws"] if self.draws is None else []

    def asked(self) -> dict[str, str]:
        """The kind of product that was asked for, and the option that did."""
        return {} if self.draws is None else {"draws": "--draws"}


@command
def posterior(
    tree: TreeArgument,
    traits: TraitsArgument,
    *,
    priors: PriorChoices,
    models: ModelChoices,
    prior: Annotated[
        list[str] | None,
        typer.Option(
            "--prior",
            metavar="NAME=PRIOR",
            help="Prior of a model's shape parameter or mean, or of any parameter of a file; of rates of states, q or "
            "'q(a,b)'; with --together of "
            "sigma or sigma(TRAIT), roots of the rates, and of correlation, such as lkj(2); repeatable.",
        ),
    ] = None,
    model_prior: Annotated[
        list[str] | None,
        typer.Option(
            "--model-prior",
            metavar="NAME=WEIGHT",
            help="Weight of a model before the data; repeatable. [default: equal]",
        ),
    ] = None,
    together: TogetherChoices,
    level: Level = 0.95,
    pair: PairChoices,
    plot: Plot = None,
    density: Density = None,
    more: MoreChoices,
    left_out: LeftOutChoices,
    out_params: Annotated[
        str | None, typer.Option("--out-params", metavar="FILE", help="Table of the parameters: .csv .tsv .parquet.")
    ] = None,
    which: StateReadingChoices,
    states: StateModelChoices,
    run: RunChoices,
) -> AnalysisRequest:
    """Bayesian posterior of all nodes and of the parameters, of traits of numbers and of traits of states.

    The variances are integrated out, with an error bound that is measured and stated. The interval in trees is the
    shortest one (highest posterior density); the table has the equal-tailed one too. --model takes another model, whose
    shape parameter is integrated over too, or a file, all of whose parameters are: more than two are sampled (extra
    mcmc). Several models are weighed by their evidence and averaged. --together takes the traits as correlated and
    samples their covariance. Of traits of states (columns of text that --column names, any that --discrete names): the
    rates of change, and the probability of every state averaged over them.

    \b
    Example:
      hx posterior data/primates.nwk data/primates.csv -o results/primates
    """
    together.refuse_alone()
    if priors.no_noise and (priors.tau2 or priors.prior_tau2):
        raise typer.BadParameter("--no-noise says that there is no observation variance (leave it or the other out)")
    if more.draws_out is not None and more.draws is None:
        raise typer.BadParameter("--draws-out needs to know how many (give --draws K)")
    sampling: dict[str, Any] = {"chains": more.chains, "samples": more.samples}
    sampling = {name: value for name, value in sampling.items() if value is not None}
    named = {
        "picture": plot,
        "density table": density,
        "parameter table": out_params,
        "draws": more.draws_out,
        **left_out.named(),
        "pairs table": pair.out_pairs,
    }
    if models.starts:
        raise typer.BadParameter("--start is for searches, and a posterior has none (give --prior, or leave it out)")
    without = [*more.without(), *left_out.without(), *pair.without()]
    asked = {**more.asked(), **left_out.asked(), **pair.asked()}
    if together.together:
        if model_prior:
            raise typer.BadParameter("--model-prior weighs models, and traits together take one (leave it out)")
        of_no_file = {
            "--pairs": pair.pairs,
            "--loo": left_out.loo,
            "--root": priors.root != RootPrior(),
            "--prior-tau2": priors.prior_tau2,
        }
        of_file = together.file_options(models, of_no_file)
        options = _joint_options(priors, more, density, run, of_file is not None)
        if of_file is not None:
            return run.request(
                "posterior together under a file",
                tree,
                traits,
                named={"picture": plot, "parameter table": out_params, "draws": more.draws_out},
                without=more.without(),
                asked=more.asked(),
                side={"edge_data": models.side_inputs()["edge_data"]},
                command="posterior",
                seed=more.seed,
                **options,
                **sampling,
                **of_file,
                method=(more.method or Method.QUADRATURE).value,
                priors=parse_priors(prior),
                level=level,
            )
        return together.reading(run).request(
            "posterior together",
            tree,
            traits,
            named={**named, **together.named()},
            without=[*without, *together.without()],
            asked=asked,
            side=pair.side_inputs(),
            command="posterior",
            seed=more.seed,
            **options,
            **sampling,
            **together.analysis_options(models),
            priors=parse_priors(prior),
            loo=left_out.loo,
            level=level,
        )
    method = more.method or Method.QUADRATURE
    if sampling and method is not Method.NUTS and not models.model:
        raise typer.BadParameter(f"--{next(iter(sampling))} is for sampling (give --method nuts, or leave it out)")
    fitting = models.fit_options()
    of_states = {
        **states.options(fitting["models"], fitting["held"], level),
        "priors": parse_priors(prior),
        "method": more.method.value if more.method else "",
        "draws": more.draws or 0,
        "seed": more.seed,
        "of_numbers": _of_numbers(priors, models, model_prior, {"--loo": left_out.loo, "--pairs": bool(pair.pairs)}),
        **sampling,
    }
    return run.request(
        "posterior",
        tree,
        traits,
        named=named,
        without=without,
        asked=asked,
        side={**models.side_inputs(), **pair.side_inputs()},
        seed=more.seed if more.draws is not None or method is Method.NUTS or models.model else None,
        states=(which, of_states),
        **_sampler_options(method, sampling),
        **fitting,
        priors=parse_priors(prior),
        model_priors=parse_settings(model_prior, "--model-prior"),
        method=method.value,
        draws=more.draws or 0,
        loo=left_out.loo,
        sigma2=priors.sigma2,
        tau2=0.0 if priors.no_noise else priors.tau2,
        prior_sigma2=priors.prior_sigma2,
        prior_tau2=priors.prior_tau2,
        root_mean=priors.root.mean,
        root_variance=priors.root.variance,
        root_state=priors.root.state,
        level=level,
    )


def _of_numbers(
    priors: PriorChoices, models: ModelChoices, model_prior: list[str] | None, more: dict[str, bool]
) -> tuple[str, ...]:
    """The options that were given and are for traits of numbers; `more` of them are known already."""
    given = {
        "--sigma2": priors.sigma2 is not None,
        "--tau2": priors.tau2 is not None,
        "--no-noise": priors.no_noise,
        "--prior-sigma2": priors.prior_sigma2 is not None,
        "--prior-tau2": priors.prior_tau2 is not None,
        "--root": priors.root != RootPrior(),
        "--model-prior": bool(model_prior),
        "--ou-root": models.ou_root is not None,
        "--lambda-max": models.lambda_max,
        "--regimes": models.regimes is not None,
        **more,
    }
    return tuple(option for option, there in given.items() if there)


def parse_priors(given: list[str] | None) -> dict[str, str]:
    """Shape parameter -> prior, of `alpha=lognormal(0,1)` and the like."""
    found: dict[str, str] = {}
    for text in given or []:
        name, equals, prior = text.partition("=")
        if not (equals and name and prior):
            raise typer.BadParameter(f"--prior {text}: write NAME=PRIOR, such as 'alpha=lognormal(0,1)'")
        if name in found:
            raise typer.BadParameter(f"--prior {name} is given twice")
        found[name] = prior
    return found


def _sampler_options(method: Method, given: dict[str, int | None]) -> dict[str, Any]:
    return {"chains": _CHAINS, "samples": _SAMPLES, **given} if method is Method.NUTS or given else {}


def _joint_options(
    priors: PriorChoices, more: MoreChoices, density: str | None, run: RunChoices, of_file: bool
) -> dict[str, Any]:
    """The options of traits together that those of single traits have another form of.

    Raises:
        typer.BadParameter: One that only single traits have.
    """
    alone = {
        "--sigma2": priors.sigma2 is not None,
        "--prior-sigma2": priors.prior_sigma2 is not None,
        "--prior-tau2": priors.prior_tau2 is not None,
        "--root": priors.root != RootPrior(),
        "--method quadrature": more.method is Method.QUADRATURE and not of_file,
        "--density": density is not None,
    }
    for option, given in alone.items():
        if given:
            raise typer.BadParameter(f"{option} is for traits by themselves (leave it or --together out)")
    if run.sample.all_trees:
        raise typer.BadParameter(
            "--all-trees: hx posterior --together samples the covariance anew on every tree, which takes minutes for "
            "each (give --tree-index K, or hx ancestral --together --all-trees)"
        )
    return {"tau2": 0.0 if priors.no_noise else priors.tau2 or 0.0, "draws": more.draws or 0}
