"""What the scan says about text that is no Newick tree: where, what was found, what to do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hxcli.errors import InputError
from hxcli.formats.trees.scanner.byte_positions import Offsets
from hxcli.formats.trees.scanner.codeml_marks import CODEML_ADVICE, CODEML_MARK
from hxcli.formats.trees.scanner.masking import QUOTED, Blanked, shorten

# Kinds of tokens. A number is the word behind a colon.
SPACE, OPEN, CLOSE, COMMA, COLON, WORD, NUMBER = range(7)
_SIGNS = {OPEN: "(", CLOSE: ")", COMMA: ",", COLON: ":"}


@dataclass(frozen=True, eq=False)
class Tokens:
    """The tokens of a text, in its order.

    Attributes:
        kinds: (T,) what they are.
        offsets: (T,) their first byte.
        word_ends: (W,) the byte behind each that is a word or a number.
    """

    kinds: NDArray[np.uint8]
    offsets: Offsets
    word_ends: Offsets

    @cached_property
    def ends(self) -> Offsets:
        """(T,) the byte behind each."""
        ends = self.offsets + self.offsets.dtype.type(1)
        ends[self.kinds >= WORD] = self.word_ends
        return ends


@dataclass(frozen=True, eq=False)
class Complaints:
    """The tokens of one tree, to say what is wrong with them.

    Attributes:
        blanked: The text.
        tokens: What stands in it.
        end: Where the tree ends in the text.
        terminated: Whether a `;` stands there.
        tree: What messages call the tree; empty for none.
    """

    blanked: Blanked
    tokens: Tokens
    end: int
    terminated: bool
    tree: str

    @property
    def kinds(self) -> NDArray[np.uint8]:
        """(T,) kinds of tokens."""
        return self.tokens.kinds

    def at_start(self) -> InputError:
        """The first token is neither `(` nor a name."""
        return self._error(0, f"unexpected '{_SIGNS[int(self.kinds[0])]}': no group is open", "a tree begins with '('")

    def first(self, pair: int | None, outside: int | None) -> InputError:
        """The earlier of a token with a wrong successor and a token outside all brackets."""
        if outside is not None and (pair is None or outside <= pair):
            if self.kinds[outside] == CLOSE:
                return self._error(outside, "unexpected ')': no group is open", "remove it, or add the missing '('")
            return self._error(outside, "',' outside parentheses", "put the whole tree in '(' and ')'")
        assert pair is not None
        return self._pair(pair)

    def unfinished(self, unclosed: int) -> InputError:
        """The text ends inside the tree, or a `;` comes too early, with so many groups open."""
        last = int(self.kinds[-1])
        if unclosed == 0:
            if last == COLON:
                return self._error(-1, "':' without an edge length", "write the length, or remove the colon")
            return self._error(-1, f"unexpected '{_SIGNS[last]}' at the end", "complete the tree")
        # The innermost open bracket is the last place where the depth rose to what it is at the end.
        opens = self.kinds == OPEN
        depth = np.cumsum(opens.view(np.int8) - (self.kinds == CLOSE).view(np.int8), dtype=np.int32)
        opener = int(np.flatnonzero(opens & (depth == unclosed))[-1])
        if self.terminated:
            found = f"unbalanced parentheses: {unclosed} '(' never closed"
            return self._error(opener, found, "the last one that is open is here; add the missing ')'")
        line, column = self.blanked.source.line_column(self.end)
        found = f"the file ends inside the tree: {unclosed} '(' never closed"
        advice = f"the file ends at line {line}, column {column}: is it cut short? The last one that is open is here"
        return self._error(opener, found, advice)

    def _pair(self, i: int) -> InputError:
        kind, following = int(self.kinds[i]), int(self.kinds[i + 1])
        if kind in (OPEN, COMMA):
            return self._unnamed(i, kind, following)
        if kind == COLON:
            return self._error(i, "':' without an edge length", "write the length, or remove the colon")
        if kind == WORD and following == WORD:
            return self._two_words(i)
        if following == OPEN:
            if kind == WORD and i == 0:
                return self._before_tree(i)
            before = "a closed group" if kind == CLOSE else "label" if kind == WORD else "edge length"
            text = "" if kind == CLOSE else f" {self._text(i)}"
            return self._error(i + 1, f"unexpected '(' after {before}{text}", "is a ',' or a ';' missing before it?")
        if kind == NUMBER and following == COLON:
            advice = "extended (rich) Newick is not supported: keep one length, put the rest in [&...]"
            return self._error(i + 1, "second ':' after an edge length", advice)
        advice = "quote names that contain spaces; is a ',' or a ';' missing?"
        if self._is_codeml_mark(i + 1):
            advice = CODEML_ADVICE
        return self._error(i + 1, f"unexpected text {self._text(i + 1)} after edge length {self._text(i)}", advice)

    def _unnamed(self, i: int, kind: int, following: int) -> InputError:
        if kind == OPEN and following == CLOSE:
            return self._error(i, "empty group '()'", "name the tip, or remove the group")
        tips = np.isin(self.kinds[:-1], (OPEN, COMMA)) & (self.kinds[1:] != OPEN)
        unnamed = int((tips & (self.kinds[1:] != WORD)).sum())
        found = "tip without a name" + (f" ({unnamed} of {int(tips.sum())} tips)" if unnamed > 1 else "")
        advice = "name every tip; is there a ',' too many?"
        gap = self.blanked.source.data[self.tokens.ends[i] : self.tokens.offsets[i + 1]].strip()
        if gap[:1] == b"[" and gap[-1:] == b"]" and gap[:2] != b"[&":
            text = shorten(gap.decode("utf-8", "replace"))
            advice = f"what is in brackets is a comment: quote a name with brackets, {text}"
        return self._error(i + 1, found, advice)

    def _two_words(self, i: int) -> InputError:
        if i == 0:
            return self._before_tree(i)
        first, second = self._text(i), self._text(i + 1)
        gap = self.blanked.source.data[self.tokens.ends[i] : self.tokens.offsets[i + 1]]
        if gap[:1] == b"[" and gap[-1:] == b"]":
            advice = "move the comment behind the label"
            return self._error(i, f"comment inside label {first[:-1]}{second[1:]}", advice)
        for token, text in ((i, first), (i + 1, second)):
            if re.fullmatch(r"'u?tree'", text, re.IGNORECASE) and self.kinds[: i + 1].tolist().count(CLOSE):
                return self._error(token, f"unexpected text {text} after the tree", "is the ';' missing?")
        advice = "quote names that contain spaces: 'Homo sapiens'"
        if self._is_codeml_mark(i + 1):
            advice = CODEML_ADVICE
        elif "\N{LEFT SINGLE QUOTATION MARK}" in first or "\N{LEFT DOUBLE QUOTATION MARK}" in first:
            advice = "typographic quotes are not quotes: write 'Homo sapiens'"
        elif first.startswith("'\""):
            advice = "names are quoted with ', not with \""
        elif self.blanked.blank[self.tokens.offsets[i]] == QUOTED:
            advice = "put the whole name into one pair of quotes"
        return self._error(i + 1, f"unexpected text {second} after label {first}", advice)

    def _is_codeml_mark(self, i: int) -> bool:
        return CODEML_MARK.fullmatch(self._text(i).strip("'")) is not None

    def _before_tree(self, i: int) -> InputError:
        opening = np.flatnonzero(self.kinds == OPEN)
        stop = int(self.tokens.offsets[opening[0]]) if len(opening) else self.end
        start = int(self.tokens.offsets[i])
        text = " ".join(self.blanked.slice(start, min(stop, start + 200)).split())
        advice = "remove it, or quote it if it is a name"
        if re.fullmatch(r"\d+ \d+.*", text):
            advice = "a PAML or PHYLIP header? Remove the first line"
        elif text.startswith("IQ-TREE"):
            advice = "a report of IQ-TREE? Give its .treefile"
        elif re.match(r"(begin|tree|utree|translate)\b", text, re.IGNORECASE):
            advice = "NEXUS begins with #NEXUS"
        before = self.blanked.blank[max(0, start - 1000) : start].tobytes().rstrip()
        where = "before the tree" if len(opening) else "after the tree" if before[-1:] == b";" else "instead of a tree"
        return self._error(i, f"unexpected text {shorten(text)} {where}", advice)

    def _text(self, i: int) -> str:
        start, end = int(self.tokens.offsets[i]), int(self.tokens.ends[i])
        if self.blanked.blank[start] == QUOTED:
            start, end = start + 1, end - 1
        # At most four bytes a character.
        return shorten(self.blanked.source.data[start : min(end, start + 200)].decode("utf-8", "ignore"))

    def _error(self, token: int, found: str, advice: str) -> InputError:
        prefix = f"{self.tree}: " if self.tree else ""
        return self.blanked.source.error(prefix + found, advice, int(self.tokens.offsets[token]))
