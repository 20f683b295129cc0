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
from hxcli.formats.source_extract import LeaveOut, without
from hxcli.formats.trees.scanner.masking import Blanked, UnclosedError, blank_out

# Bytes of text in a part: what is made of them takes some twenty times as much.
PART = 1 << 22
# Times a part that are looked at for one where most of it is left out.
_MOST = 8
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

    def parts(
        self, leave_out: LeaveOut | None = None, *, label_breaks: bytes = b"", size: int = PART
    ) -> Iterator[Blanked]:
        """The text, part by part: each ends behind a `;` that is outside of comments and quotes, but for the last.

        Args:
            leave_out: Asked for every part, just before it is needed, which of its statements are neither checked nor
                given.
            label_breaks: Of `blank_out`.
            size: Bytes of a part, about.

        Raises:
            InputError: Not readable, not UTF-8 text, or a bracket or a quote that never closes.
        """

        held, begun, place = bytearray(), False, (0, 0)
        least = wanted = size
        for block in self._text():
            held += block
            while len(held) >= wanted:
                if not begun:
                    held, begun = bytearray(checked_beginning(self.file, bytes(held))), True
                cut = held.rfind(b";") + 1
                part = self._part(memoryview(held)[:cut], place, leave_out)
                if len(part.data) < size // 2 and cut and wanted < _MOST * size:
                    # Of which little is left: a part is to be worth the work that is done for each.
                    least = wanted = 2 * wanted
                    continue
                try:
                    # A `;` in a comment or a quoted label, which text to come may close, ends nothing.
                    blanked = _checked(part, label_breaks) if cut else None
                except UnclosedError:
                    blanked = None
                if blanked is None:
                    # One statement that is longer than a part.
                    wanted *= 2
                    if len(held) > self._max_size:
                        found = f"a statement of more than {self._max_size} bytes"
                        raise InputError(found, "raise --max-size if this is meant", file=self.file)
                    continue
                yield blanked
                line, column = part.line_column(len(part.data))
                place, wanted = (line - 1, column - 1), least
                del held[:cut]
        if not begun:
            held = bytearray(checked_beginning(self.file, bytes(held)))
        yield _checked(self._part(held, place, leave_out), label_breaks)

    def _part(self, text: bytearray | memoryview, place: tuple[int, int], leave_out: LeaveOut | None) -> SourcePart:
        data = bytes(text)
        part = SourcePart(self.file, data, "", data.isascii(), *place)
        return part if leave_out is None else without(part, leave_out(data))

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


def _checked(part: SourcePart, label_breaks: bytes) -> Blanked:
    refuse_no_text(part)
    return blank_out(part, label_breaks)
