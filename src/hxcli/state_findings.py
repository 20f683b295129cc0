"""State findings: what was found about traits of states, beside what was found about numbers in the same run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hxcli.findings import Findings, number, plain
from hxcli.phylogeny import FloatArray, Phylogeny
from hxcli.reconstruction import Reconstruction
from hxcli.text_columns import Texts

# How much more probable the best state must be than the next to be called the best.
_MARGIN = 1e-12
# How what a record calls the log likelihood was found.
_HOW = {"log_likelihood": "ML", "log_evidence": "log evidence"}


@dataclass(frozen=True, eq=False)
class TraitStates:
    """One trait of S states at N nodes.

    Attributes:
        name: Of the trait.
        states: (S,) their names.
        observed: (N,) what the table says of every node, "" for nothing.
        probabilities: (N, S) of every state given all tips.
        model: Name of the model of its rates.
        log_likelihood: Of the tips; of a posterior with the rates integrated out, nan where it was not computed.
        rates: (label, value, lower, upper, how) of every rate.
        count: Number of rates that were estimated.
        root_prior: Its kind, and the shares (S,) that were used, in words and numbers.
        tips_used: Number of tips with a state.
        joint: (N,) number of the state in the most probable joint assignment; None where nobody asked.
        sets: (N, S) which states are in the set of the best approximation; None where nobody asked.
        facts: What else the record says, as JSON values.
        flags: Codes.
        columns: Further columns, (N,) or (N, S); nan where there is no number.
        fitted: What the record calls the log likelihood: `log_likelihood` or `log_evidence`.
    """

    name: str
    states: tuple[str, ...]
    observed: Texts
    probabilities: FloatArray
    model: str
    log_likelihood: float
    rates: tuple[tuple[str, float, float, float, str], ...]
    count: int
    root_prior: tuple[str, FloatArray]
    tips_used: int
    joint: NDArray[np.intp] | None = None
    sets: NDArray[np.bool_] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    columns: Mapping[str, FloatArray] = field(default_factory=dict)
    fitted: str = "log_likelihood"

    @cached_property
    def best(self) -> NDArray[np.intp]:
        """(N,) number of the most probable state; -1 where two are equally probable."""
        if len(self.states) == 1:
            return np.zeros(len(self.probabilities), np.intp)
        ordered = np.sort(self.probabilities, axis=1)
        return np.where(ordered[:, -1] - ordered[:, -2] > _MARGIN, self.probabilities.argmax(1), -1)

    @cached_property
    def seen(self) -> FloatArray:
        """(N, S) shares of the states that the table names for a node, equal where it gives none; 0 for nothing."""
        place = {state: number for number, state in enumerate(self.states)}
        shares = np.zeros(self.probabilities.shape)
        for node, text in enumerate(self.observed.tolist()):
            for part in filter(None, map(str.strip, text.split("|"))):
                # Probabilities by columns stand as `state:share`.
                state, _, share = (part, "", "1") if part in place else part.rpartition(":")
                shares[node, place[state]] += float(share)
        return shares / np.maximum(shares.sum(1, keepdims=True), np.finfo(float).tiny)


class DrawnStates(NamedTuple):
    """Draws of all nodes of one trait.

    Attributes:
        names: (S,) the states.
        numbers: (K, N) which of them every node has in every draw.
    """

    names: tuple[str, ...]
    numbers: NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class StateFindings(Findings):
    """Traits of states of all nodes, and traits of numbers if there are any.

    Attributes:
        of_states: The traits of states.
        numbers: The traits of numbers; None without any.
    """

    phylogeny: Phylogeny
    of_states: tuple[TraitStates, ...]
    numbers: Reconstruction | None
    method: str
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def traits(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of all traits, numbers first."""
        return (*(self.numbers.traits if self.numbers else ()), *(trait.name for trait in self.of_states))

    @property
    def tips_used(self) -> tuple[int, ...]:  # type: ignore[override]
        """Number of tips with an observation, for every trait."""
        return (*(self.numbers.tips_used if self.numbers else ()), *(trait.tips_used for trait in self.of_states))

    def summary(self, most: int) -> list[tuple[str, ...]]:
        """One row a trait of states: its root, model, log likelihood and rates; those of numbers have their own."""
        tips = len(self.phylogeny.tips)
        fitted = self.of_states[0].fitted.replace("_", " ")
        rows: list[tuple[str, ...]] = [("trait", "root", "model", fitted, "rates", "tips", "missing")]
        for trait in self.of_states[:most]:
            order = np.argsort(-trait.probabilities[0], kind="stable")[:3]
            root = ", ".join(f"{trait.states[place]} {trait.probabilities[0, place]:.3g}" for place in order)
            shown = [
                f"{label}={value:.4g}" if np.isfinite(value) else f"{label} without a mean"
                for label, value, *_ in trait.rates[:4]
            ]
            rates = " ".join(shown) + (f" and {len(trait.rates) - 4} more" if len(trait.rates) > 4 else "")
            missing = str(tips - trait.tips_used)
            used = str(trait.tips_used)
            height = f"{trait.log_likelihood:.6g}" if np.isfinite(trait.log_likelihood) else ""
            rows.append((trait.name, root, trait.model, height, rates, used, missing))
        if self.numbers is None:
            return rows
        # Both tables, one under the other, with as many columns.
        above = self.numbers.summary(most)
        width = max(len(above[0]), len(rows[0]))
        return [row + ("",) * (width - len(row)) for row in (*above, *rows)]

    def facts(self) -> dict[str, Any]:
        """What the record says of all traits together."""
        return self.numbers.facts() if self.numbers else {}

    def trait_facts(self, trait: int) -> dict[str, Any]:
        """What the record says of one trait."""
        first = len(self.numbers.traits) if self.numbers else 0
        if self.numbers and trait < first:
            return self.numbers.trait_facts(trait)
        of = self.of_states[trait - first]
        shares = dict(zip(of.states, map(float, of.probabilities[0]), strict=True))
        best = int(of.best[0])
        return {
            "states": list(of.states),
            "model": of.model,
            "root": {"state": of.states[best] if best >= 0 else None, "probabilities": shares},
            "root_prior": {"kind": of.root_prior[0], "shares": [number(share) for share in of.root_prior[1]]},
            of.fitted: number(of.log_likelihood),
            "k": of.count,
            "parameters": {
                **{
                    label: {"value": number(value), "lower": number(lower), "upper": number(upper), "how": how}
                    for label, value, lower, upper, how in of.rates
                },
                of.fitted: {"value": number(of.log_likelihood), "how": _HOW[of.fitted]},
            },
            "flags": list(of.flags),
            **plain(of.facts),
        }


def numbers_of(found: Findings) -> Reconstruction | None:
    """What was found about traits of numbers; None for nothing."""
    if isinstance(found, StateFindings):
        return found.numbers
    return found if isinstance(found, Reconstruction) else None


def states_of(found: Findings) -> tuple[TraitStates, ...]:
    """What was found about traits of states."""
    return found.of_states if isinstance(found, StateFindings) else ()
