"""NEXUS text: blocks of commands that end in `;`, of which TAXA and TREES blocks are understood."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from hxcli.errors import InputError, Note
from hxcli.formats.source import Source
from hxcli.formats.source_extract import LeaveOut, left_out_before
from hxcli.formats.trees.nexus_tip_names import Taxa, Translation, read_taxlabels, read_translate
from hxcli.formats.trees.scanner.byte_positions import positions
from hxcli.formats.trees.scanner.labels import Header
from hxcli.formats.trees.scanner.masking import Blanked, blank_out, shorten
from hxcli.formats.trees.scanner.whole_statements import Wanted, unwanted_trees
from hxcli.formats.trees.statements import TreeStatement
from hxcli.phylogeny import Phylogeny

_HEADER = re.compile(rb"\s*#nexus", re.IGNORECASE)
_WORD = re.compile(rb"\s*([^\s,;=()\[\]]+)")
# A command with a tree, behind any comments.
_TREE = re.compile(rb"(?:\s|\[[^\[\]]*\])*u?tree(?=[\s,;=()\[\]])", re.IGNORECASE)
_ENDS = (b"END", b"ENDBLOCK")
# Of `blank_out`: a quoted label may follow them too.
NEXUS_LABEL_BREAKS = b"="
# Bytes of a tree that are looked at first.
_GLANCE = 100
# Blocks whose TAXLABELS name the taxa.
_TAXA_BLOCKS = (b"TAXA", b"DATA", b"CHARACTERS")


@dataclass(frozen=True)
class _Command:
    """One command: its first word in capitals, where that begins, where the rest begins, where its `;` is."""

    word: bytes
    start: int
    rest: int
    end: int
    source: Source


@dataclass
class NexusReader:
    """A NEXUS text that is read part by part, each of which ends behind a `;`.

    Attributes:
        parts: The text, without the statements that it is told to leave out.
        wanted: The trees that are; others may be given too. None for all.
        warnings: What was found so far that is worth knowing, a sentence each.
        among_trees: Whether a TREES block is open.
    """

    parts: Callable[[LeaveOut | None], Iterator[Blanked]]
    wanted: Wanted | None = None
    blanked: Blanked = field(init=False)
    text: bytes = field(init=False)
    warnings: list[str] = field(default_factory=list)
    taxa: list[Taxa] = field(default_factory=list)
    among_trees: bool = False
    # Trees of earlier parts, those of this one that were met, and those that it is without.
    _passed: int = 0
    _met: int = 0
    _left_out: int = 0

    def __post_init__(self) -> None:
        self._parts = self.parts(None if self.wanted is None else self._unwanted)
        self.next_part()

    def next_part(self) -> bool:
        """Goes on to the next part of the text, if there is one."""
        found = next(self._parts, None)
        if found is not None:
            self._passed, self._met = self.count, 0
            self.blanked, self.text = found, found.blank.tobytes()
            self._left_out = left_out_before(found.source, len(self.text))
        return found is not None

    @property
    def count(self) -> int:
        """Number of trees so far, and of those that this part is without."""
        return self._passed + self._met + self._left_out

    def meet(self, offset: int) -> int:
        """Counts the tree that begins at an offset; returns its number, from 1."""
        self._met += 1
        return self._passed + self._met + left_out_before(self.blanked.source, offset)

    def _unwanted(self, data: bytes) -> Iterable[tuple[int, int]]:
        # What is called so in another block is no tree.
        if self.wanted is None or not self.among_trees:
            return ()
        return unwanted_trees(data, _TREE, self.count, self.wanted, NEXUS_LABEL_BREAKS)

    def error(self, found: str, advice: str, offset: int) -> InputError:
        return self.blanked.source.error(found, advice, offset)

    def statements(self) -> Iterator[TreeStatement]:
        """All trees of all TREES blocks, unread.

        Raises:
            InputError: No tree, or a block or command that is not closed.
        """
        header = _HEADER.match(self.text)
        if header is None:
            source = self.blanked.source
            raise source.error("'#NEXUS' is not the first word outside of comments", "let the file begin with #NEXUS")
        commands = _commands(self, header.end())
        blocks = 0
        for command in commands:
            if command.word != b"BEGIN":
                found = f"unexpected text {_cut(self, command)} outside of any block"
                raise self.error(found, "blocks are BEGIN name; ... END;", command.start)
            name = _first_word(self, command)
            if name == b"TREES":
                blocks += 1
                yield from _trees_block(self, commands, command)
            elif name in _TAXA_BLOCKS:
                _taxa_block(self, commands, command, name)
            else:
                _skip_block(self, commands, command, name)
        if not self.count:
            found = "the TREES block holds no tree" if blocks else "the NEXUS file has no TREES block"
            raise self.blanked.source.error(found, "export the tree together with the data")


def read_nexus(source: Source) -> tuple[list[Phylogeny], list[str]]:
    """All trees of all TREES blocks of a NEXUS text, and warnings.

    Raises:
        InputError: No tree, a block or command that is not closed, or a tree that is not sound.
    """
    reader = NexusReader(lambda _: iter([blank_out(source, NEXUS_LABEL_BREAKS)]))
    trees = [tree for statement in reader.statements() if (tree := statement.read()) is not None]
    return trees, list(dict.fromkeys(reader.warnings))


def _commands(reader: NexusReader, start: int) -> Iterator[_Command]:
    """All commands but empty ones; text behind the last `;` is one more, whose end is that of the text."""
    going = True
    while going:
        ends = positions(reader.blanked.blank, ord(";"))
        ends = ends[np.searchsorted(ends, start) :]
        for end in [*ends.tolist(), len(reader.text)]:
            word = _WORD.match(reader.text, start, end)
            if word is not None:
                yield _Command(word[1].upper(), word.start(1), word.end(1), end, reader.blanked.source)
            elif reader.text[start:end].strip():
                offset = end - len(reader.text[start:end].lstrip())
                raise reader.error(f"unexpected '{chr(reader.text[offset])}'", "a command begins with a word", offset)
            start = end + 1
        going, start = reader.next_part(), 0


def _within(reader: NexusReader, commands: Iterator[_Command], begin: _Command, name: str) -> Iterator[_Command]:
    """The commands of a block up to its END."""
    for command in commands:
        complete = command.end < len(reader.text)
        if command.word in _ENDS and complete:
            _refuse_rest(reader, command)
            return
        if command.word == b"BEGIN":
            found = f"the {name} block is not closed by END; before the next BEGIN"
            raise reader.error(found, "add END;", command.start)
        if not complete:
            what = "END without ';'" if command.word in _ENDS else f"the file ends inside {_cut(reader, command)}"
            raise reader.error(f"the {name} block is not closed by END;: {what}", "is it cut short?", command.start)
        yield command
    found = f"the {name} block is not closed by END;"
    raise begin.source.error(found, "add END; if the file is complete", begin.start)


def _refuse_rest(reader: NexusReader, command: _Command) -> None:
    rest = reader.text[command.rest : command.end]
    if rest.strip():
        offset = command.end - len(rest.lstrip())
        raise reader.error(f"unexpected text behind {command.word.decode()}", "is a ';' missing?", offset)


def _skip_block(reader: NexusReader, commands: Iterator[_Command], begin: _Command, name: bytes) -> None:
    for _ in _within(reader, commands, begin, _shown(name)):
        pass


def _taxa_block(reader: NexusReader, commands: Iterator[_Command], begin: _Command, name: bytes) -> None:
    title, labels = "", None
    for command in _within(reader, commands, begin, _shown(name)):
        if command.word == b"TITLE":
            title = _words(reader, command)
        elif command.word == b"TAXLABELS":
            if labels is not None:
                raise reader.error("a second TAXLABELS in one block", "is END; missing before it?", command.start)
            labels = read_taxlabels(reader.blanked, command.rest, command.end)
    if labels is not None:
        reader.taxa.append(replace(labels, title=title))
        if len(reader.taxa) == 2:
            reader.warnings.append(Note("there are several blocks with TAXLABELS"))
    elif name == b"TAXA":
        reader.warnings.append(Note("the TAXA block has no TAXLABELS"))


def _trees_block(reader: NexusReader, commands: Iterator[_Command], begin: _Command) -> Iterator[TreeStatement]:
    translation = Translation(_linked(reader, ""))
    reader.among_trees = True
    for command in _within(reader, commands, begin, "TREES"):
        if command.word in (b"TREE", b"UTREE"):
            yield _tree(reader, command, translation)
        elif command.word == b"TRANSLATE":
            if len(translation.keys):
                raise reader.error("a second TRANSLATE in one TREES block", "join the two", command.start)
            found = read_translate(reader.blanked, command.rest, command.end)
            translation.keys, translation.names, translation.beside = found
        elif command.word == b"LINK":
            translation = replace(translation, taxa=_linked(reader, _words(reader, command)), _strangers={})
        elif command.word != b"TITLE":
            shown = _cut(reader, command)
            # A misspelt TREE or TRANSLATE must not go missing.
            if set(b"(,") & set(reader.text[command.start : command.end]):
                advice = "commands are TITLE, LINK, TRANSLATE, TREE and UTREE"
                raise reader.error(f"unknown command {shown} in the TREES block", advice, command.start)
            reader.warnings.append(Note(f"unknown command {shown} in the TREES block is ignored"))
    reader.among_trees = False
    reader.warnings += translation.warnings()


def _linked(reader: NexusReader, link: str) -> list[Taxa]:
    """The TAXA blocks that a TREES block may mean: those named by `LINK Taxa = title`, else all."""
    stated = re.search(r"taxa\s*=\s*(.*)", link, re.IGNORECASE)
    named = [taxa for taxa in reader.taxa if stated and taxa.title.casefold() == stated[1].strip().casefold()]
    return named or reader.taxa


def _tree(reader: NexusReader, command: _Command, translation: Translation) -> TreeStatement:
    number = reader.meet(command.start)
    equals = reader.text.find(b"=", command.rest, command.end)
    before = reader.text[command.rest : equals if equals >= 0 else command.end]
    bracket = before.find(b"(")
    if equals < 0 or bracket >= 0:
        found = f"{command.word.decode()}: expected '=' between the tree's name and the tree"
        raise reader.error(found, "write TREE name = (...);", command.rest + bracket if bracket >= 0 else command.start)
    name = _name(reader, command.rest, equals)
    label = f"tree {shorten(name)}" if name else f"tree {number}"
    rooted = False if command.word == b"UTREE" else None
    header = Header(command.rest, name, label, rooted, translation.beside_names)
    if not any(reader.text[equals + 1 : end].strip() for end in (min(equals + _GLANCE, command.end), command.end)):
        raise reader.error(f"{label}: nothing behind '='", "give the tree, or remove the command", equals)
    return TreeStatement(reader.blanked, equals + 1, command.end, header, translation, place=number - 1)


def _name(reader: NexusReader, start: int, end: int) -> str:
    """The tree's name, without the `*` of the default tree; empty for none."""
    while start < end and reader.text[start : start + 1] in b" \t\n\v\f\r*":
        start += 1
    parts = reader.text[start:end].split()
    if len(parts) > 1:
        shown = shorten(" ".join(reader.blanked.slice(start, end).split()))
        advice = "quote names that contain spaces; is a quote or a ';' missing?"
        raise reader.error(f"the tree's name is more than one word: {shown}", advice, start)
    return reader.blanked.label(start, start + len(parts[0])) if parts else ""


def _words(reader: NexusReader, command: _Command) -> str:
    """What follows a command's first word: without comments and quotes, with single spaces."""
    words = re.finditer(rb"\S+", reader.text[command.rest : command.end])
    texts = [reader.blanked.slice(command.rest + word.start(), command.rest + word.end()) for word in words]
    return " ".join(" ".join(texts).replace("'", "").split())


def _first_word(reader: NexusReader, command: _Command) -> bytes:
    word = _WORD.match(reader.text, command.rest, command.end)
    if word is None or command.end == len(reader.text):
        raise reader.error("BEGIN without a block name and ';'", "write BEGIN TREES;", command.start)
    return word[1].upper()


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "replace").replace("\x01", "'")


def _cut(reader: NexusReader, command: _Command) -> str:
    text = reader.blanked.source.data[command.start : min(command.end, command.start + 160)].decode("utf-8", "ignore")
    return shorten(text.split()[0] if text.split() else text)
