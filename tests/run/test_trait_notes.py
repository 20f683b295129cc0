"""Sentences of several traits said once, and what casts doubt on figures said before them."""

from __future__ import annotations

from types import SimpleNamespace

from hxcli.cli.summary import show_outcome
from hxcli.errors import Doubt, Note
from hxcli.run.trait_notes import merged

DOUBT = Doubt("the search found no clear maximum")


def test_the_same_of_several_traits_is_said_once_and_a_doubt_stays_one():
    notes = [
        Note("plain"),
        *(DOUBT.about(f"trait {name!r}: ") for name in "ab"),
        Note("all equal").about("trait 'c': "),
    ]
    found = merged(notes)
    assert found == (
        "plain",
        "2 traits, 'a', 'b': the search found no clear maximum",
        "trait 'c': all equal",
    )
    assert [isinstance(note, Doubt) for note in found] == [False, True, False]


def test_doubts_come_before_the_figures(capsys):
    found = SimpleNamespace(
        headline=lambda: "the headline", summary=lambda most: [("trait",), ("mass",)], traits=("mass",)
    )
    outcome = SimpleNamespace(
        findings=(found,), notes=(Note("another thing"), DOUBT.about("", " (ou)")), written=(), stages=()
    )
    show_outcome(outcome)
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "hx: note: the search found no clear maximum (ou)",
        "the headline",
        "  trait",
        "  mass",
        "hx: note: another thing",
    ]
