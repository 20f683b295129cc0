"""Text that may be longer than memory, in parts that end behind a `;`: a file, gzipped or not, or standard input."""

from __future__ import annotations

import hashlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import BinaryIO
from weakref import finalize

from hxcli.errors import InputError
from hxcli.formats.source import (
    DEFAULT_MAX_SIZE,
    Source,
    SourcePart,
    checked_beginning,
    gunzipped,
    held_source,
    reading,
    refuse_no_text,
)
from hxcli.formats.trees.scanner.masking import Blanked, UnclosedError, blank_out

# Bytes of text in a part: what is made of them takes some twenty times as much.
PART = 1 << 22
_BLOCK = 1 << 20
_GZIP = b"\x1f\x8b"


class TextStream:
    """The text of one input, to be read from its beginning as often as is asked for.

    Standard input is kept in an unnamed temporary file while it is read, so that it can be read again.

    Args:
        file: Path, or `-` for standard input.
        max_size: Largest number of bytes that one statement may have.
    """

    def __init__(self, file: str, *, max_size: int = DEFAULT_MAX_SIZE) -> None:
        self.file = file
        self.sha256 = ""
        self._max_size = max_size
        # Asked here, because what is held is known to this thread alone.
        self._held = held_source(file)
        self._kept: BinaryIO | None = None

    def beginning(self, size: int = 1 << 16) -> Source:
        """The first bytes of the text, at most about so many.

        Raises:
            InputError: The file cannot be read, or is no text.
        """
        data = b""
        for block in self._text():
            data += block
            if len(data) >= size:
                break
        data = checked_beginning(self.file, data)
        return Source(self.file, data[:size], "", data.isascii())

    def parts(self, label_breaks: bytes = b"", *, size: int = PART) -> Iterator[Blanked]:
        """The text, part by part: each ends behind a `;` that is outside of comments and quotes, but for the last.

        Args:
            label_breaks: Of `blank_out`.
            size: Bytes of a part, about.

        Raises:
            InputError: Not readable, not UTF-8 text, or a bracket or a quote that never closes.
        """
        held, wanted, place, begun = bytearray(), size, (0, 0), False
        for block in self._text():
            held += block
            while len(held) >= wanted:
                if not begun:
                    held, begun = bytearray(checked_beginning(self.file, bytes(held))), True
                blanked = self._part(held, held.rfind(b";") + 1, place, label_breaks)
                if blanked is None:
                    # One statement that is longer than a part.
                    wanted *= 2
                    if len(held) > self._max_size:
                        found = f"a statement of more than {self._max_size} bytes"
                        raise InputError(found, "raise --max-size if this is meant", file=self.file)
                    continue
                yield blanked
                cut = len(blanked.blank)
                line, column = blanked.source.line_column(cut)
                place, wanted = (line - 1, column - 1), size
                del held[:cut]
        if not begun:
            held = bytearray(checked_beginning(self.file, bytes(held)))
        yield blank_out(self._checked(bytes(held), place), label_breaks)

    def _part(self, held: bytearray, cut: int, place: tuple[int, int], label_breaks: bytes) -> Blanked | None:
        """The text up to a `;`; None where that stands in a comment or a quoted label, which text to come may close."""
        if not cut:
            return None
        try:
            return blank_out(self._checked(bytes(held[:cut]), place), label_breaks)
        except UnclosedError:
            return None

    def _checked(self, data: bytes, place: tuple[int, int]) -> SourcePart:
        part = SourcePart(self.file, data, "", data.isascii(), *place)
        refuse_no_text(part)
        return part

    def _text(self) -> Iterator[bytes]:
        """The text in blocks, decompressed; the digest of the bytes as they lie on disk is known at the end."""
        if self._held is not None:
            yield self._held.data
            self.sha256 = self._held.sha256
            return
        if (held := held_source(self.file)) is not None:
            self.sha256 = held.sha256
            yield held.data
            return
        digest = hashlib.sha256()
        with ExitStack() as stack:
            stack.enter_context(reading(self.file))
            read = self._opened(stack)
            first = read()

            def raw() -> Iterator[bytes]:
                block = first
                while block:
                    digest.update(block)
                    yield block
                    block = read()

            yield from gunzipped(raw(), self.file) if first.startswith(_GZIP) else raw()
            self.sha256 = digest.hexdigest()

    def _opened(self, stack: ExitStack) -> Callable[[], bytes]:
        """Opens the input; returns what reads the next block of it."""
        if self.file != "-":
            stream = stack.enter_context(open(self.file, "rb"))  # noqa: SIM115
            return lambda: stream.read(_BLOCK)
        if self._kept is None:
            self._kept = tempfile.TemporaryFile()  # noqa: SIM115
            finalize(self, self._kept.close)
        kept = self._kept
        place = 0

        def next_block() -> bytes:
            nonlocal place
            kept.seek(place)
            block = kept.read(_BLOCK)
            if not block:
                block = sys.stdin.buffer.read(_BLOCK)
                kept.write(block)
            place += len(block)
            return block

        return next_block
