"""Bytes in: one file or standard input as checked UTF-8 text whose positions can be named.

Trees and tables both come through here, so that gzip, encodings and hostile sizes are dealt with once.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import BinaryIO

import numpy as np

from hxcli.errors import InputError

# Offsets below this fit 32-bit integers, which halves the memory of a scan.
DEFAULT_MAX_SIZE = 2**31 - 1
_CHUNK = 1 << 20
# No deflate stream expands by more than this.
_LARGEST_RATIO = 1032
_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_CONTROL = bytes(c for c in range(32) if c not in b"\t\n\v\f\r") + b"\x7f"
_NOT_CONTROL = bytes(c for c in range(256) if c not in _CONTROL)

_BINARY_MAGIC = (
    (b"PK\x03\x04", "a ZIP archive or an office document", "unpack it, or save the sheet as CSV"),
    (b"%PDF", "a PDF", "extract the text first"),
    (b"BZh", "a bzip2 file", "unpack it first; only gzip is read as it is"),
    (b"\xfd7zXZ", "an xz file", "unpack it first; only gzip is read as it is"),
    (b"\x28\xb5\x2f\xfd", "a zstd file", "unpack it first; only gzip is read as it is"),
    (b"\x1f\x9d", "a compress (.Z) file", "unpack it first; only gzip is read as it is"),
    (b"7z\xbc\xaf", "a 7-Zip archive", "unpack it first"),
    (b"\x89PNG", "a PNG image", "give the data file, not a picture of it"),
    (b"\xff\xd8\xff", "a JPEG image", "give the data file, not a picture of it"),
    (b"\xd0\xcf\x11\xe0", "an old office document", "save it as plain text or CSV"),
    (b"\x7fELF", "a program", "give a text file"),
    (b"PAR1", "a Parquet file", "save it as text"),
    (b"RDX", "an R data file", "export it as text from R"),
    (b"X\n\0\0\0", "an R data file", "export it as text from R"),
)


@dataclass(frozen=True, eq=False)
class Source:
    """The text of one input, decompressed and checked.

    Attributes:
        file: Path as the user gave it, `-` for standard input.
        data: The text as UTF-8, without a byte order mark; no NUL and no control bytes but white space.
        sha256: Hex digest of the bytes as they lay on disk.
        is_ascii: Whether the text is pure ASCII.
    """

    file: str
    data: bytes
    sha256: str
    is_ascii: bool = field(default=False)

    @property
    def text(self) -> str:
        """The whole text, decoded anew at every use."""
        return self.data.decode("ascii" if self.is_ascii else "utf-8")

    def line_column(self, offset: int) -> tuple[int, int]:
        """1-based line and column, in characters, of a byte offset; line ends are LF, CRLF and CR."""
        return _line_column(self.data, offset)

    def error(self, found: str, advice: str = "", offset: int | None = None) -> InputError:
        """The refusal of this input, with line and column if an offset is given."""
        line, column = (None, None) if offset is None else self.line_column(offset)
        return InputError(found, advice, file=self.file, line=line, column=column)


@dataclass(frozen=True, eq=False)
class SourcePart(Source):
    """A part of the text of an input that is never in memory as a whole.

    Attributes:
        lines_before: Number of line ends before the part.
        columns_before: Number of characters before it on its first line.
    """

    lines_before: int = 0
    columns_before: int = 0

    def line_column(self, offset: int) -> tuple[int, int]:
        """1-based line and column, in the whole text, of a byte offset into this part."""
        line, column = _line_column(self.data, offset)
        return line + self.lines_before, column + (self.columns_before if line == 1 else 0)


# What stands for a file: asked whether Parquet is accepted too, it gives the source.
HeldFile = Callable[[bool], Source]
_HELD: ContextVar[Mapping[str, HeldFile]] = ContextVar("held files", default=MappingProxyType({}))


@contextmanager
def held_files(files: Mapping[str, HeldFile]) -> Iterator[None]:
    """Within it, in this thread, `read_source` gives what a Python program has in memory for files of these names."""
    token = _HELD.set(MappingProxyType({**_HELD.get(), **files}))
    try:
        yield
    finally:
        _HELD.reset(token)


def held_source(file: str, *, parquet: bool = False) -> Source | None:
    """What `held_files` has for a file; None where it has nothing."""
    give = _HELD.get().get(file)
    return None if give is None else give(parquet)


def read_source(path: str | os.PathLike[str], *, max_size: int = DEFAULT_MAX_SIZE, parquet: bool = False) -> Source:
    """Reads a file, or standard input for `-`, and checks that it is text; or gives what `held_files` has for it.

    gzip is recognised by its first bytes, whatever the name; members may follow each other.

    Args:
        path: File to read, or `-`.
        max_size: Largest number of bytes of text that is accepted, after decompression.
        parquet: Accept a Parquet file too; its bytes come as they are, unchecked.

    Raises:
        InputError: Missing, unreadable or a directory; larger than `max_size`; a damaged gzip stream; not UTF-8;
            NUL or control bytes; a known binary format.
    """
    file = os.fspath(path)
    if (held := held_source(file, parquet=parquet)) is not None:
        return held
    raw = _read_raw(file, max_size)
    data = _expand(raw, file, max_size) if raw.startswith(_GZIP) else raw
    sha256 = hashlib.sha256(raw).hexdigest()
    if parquet and data.startswith(b"PAR1"):
        return Source(file, data, sha256)
    return checked_source(file, data, sha256)


def checked_source(file: str, data: bytes, sha256: str = "") -> Source:
    """A Source of bytes that are at hand already.

    Raises:
        InputError: As `read_source`, for what concerns the content.
    """
    data = checked_beginning(file, data)
    source = Source(file, data, sha256 or hashlib.sha256(data).hexdigest(), data.isascii())
    refuse_no_text(source)
    return source


def checked_beginning(file: str, data: bytes) -> bytes:
    """What a file begins with, without a byte order mark.

    Raises:
        InputError: A known binary format, UTF-16, or what stands in the place of a file.
    """
    for magic, what, advice in _BINARY_MAGIC:
        if data.startswith(magic):
            raise InputError(f"not a text file: this looks like {what}", advice, file=file)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError("the file is UTF-16", "save it as UTF-8", file=file)
    data = data.removeprefix(_BOM)
    if data.startswith(b"version https://git-lfs"):
        raise InputError("this is a Git LFS pointer, not the file itself", "run `git lfs pull`", file=file)
    return data


def refuse_no_text(source: Source) -> None:
    """Raises unless a text is UTF-8 without control bytes but white space.

    Raises:
        InputError: Says where.
    """
    _refuse_control(source)
    if not source.is_ascii:
        _refuse_other_encodings(source)


def _read_raw(file: str, max_size: int) -> bytes:
    with reading(file):
        if file == "-":
            return _read_limited(sys.stdin.buffer, file, max_size)
        with open(file, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > max_size:
                raise _too_large(file, max_size)
            return _read_limited(stream, file, max_size, size)


@contextmanager
def reading(file: str) -> Iterator[None]:
    """Says in words why a file cannot be read.

    Raises:
        InputError: Missing, unreadable, a directory, no path, or a standard input that is closed.
    """
    try:
        if not file:
            raise InputError("the name of an input is empty", "name a file")
        if file == "-" and sys.stdin is None:
            raise InputError("standard input is closed", "open it, or name a file", file=file)
        if file != "-" and os.path.isdir(file):
            raise InputError("this is a directory", "name a file in it", file=file)
        yield
    except FileNotFoundError:
        raise InputError("no such file", "check the path", file=file) from None
    except PermissionError:
        raise InputError("permission denied", "make the file readable", file=file) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", file=file) from None
    except UnicodeError:
        raise
    except ValueError:
        # A path with a NUL in it.
        raise InputError("this is no path", "check the path", file=file) from None


def _read_limited(stream: BinaryIO, file: str, max_size: int, size: int = 0) -> bytes:
    """All of a stream, which has `size` bytes as far as is known.

    In blocks, because memory is set aside for as much as is asked for.
    """
    blocks = [stream.read(size + 1)]
    total = len(blocks[0])
    while total > size and (block := stream.read(_CHUNK)):
        blocks.append(block)
        total += len(block)
        if total > max_size:
            break
    if total > max_size:
        raise _too_large(file, max_size)
    return b"".join(blocks)


def _too_large(file: str, max_size: int, after: str = "") -> InputError:
    return InputError(f"larger than {max_size} bytes{after}", "raise --max-size if this is meant", file=file)


def _expand(raw: bytes, file: str, max_size: int) -> bytes:
    # A bomb is found by counting, before anything that it expands to is kept.
    if len(raw) * _LARGEST_RATIO > max_size:
        total = 0
        for piece in _gunzip(raw, file):
            total += len(piece)
            if total > max_size:
                raise _too_large(file, max_size, " after decompression")
    return b"".join(_gunzip(raw, file))


def _gunzip(raw: bytes, file: str) -> Iterator[bytes]:
    """Yields the decompressed pieces of all gzip members."""
    view = memoryview(raw)
    return gunzipped((view[start : start + _CHUNK] for start in range(0, len(raw), _CHUNK)), file)


def gunzipped(blocks: Iterable[bytes | memoryview], file: str) -> Iterator[bytes]:
    """Yields the decompressed pieces of all gzip members of a stream that comes in blocks.

    Raises:
        InputError: Damaged or cut short, or followed by bytes that are not gzip.
    """
    rest, member = b"", None
    for block in blocks:
        rest = rest + block if rest else bytes(block)
        # A member's first two bytes tell that it is one.
        while len(rest) > 1 or (rest and member is not None):
            if member is None:
                if rest[:2] != _GZIP:
                    # Padding of nothing but zeros may follow.
                    if rest.strip(b"\0"):
                        raise _not_gzip(file)
                    rest = b"\0"
                    break
                member = zlib.decompressobj(wbits=31)
            try:
                piece = member.decompress(rest, 16 * _CHUNK)
                while piece:
                    yield piece
                    piece = member.decompress(member.unconsumed_tail, 16 * _CHUNK) if not member.eof else b""
            except zlib.error as error:
                detail = str(error).split(": ")[-1]
                raise InputError(f"damaged gzip data: {detail}", "copy or download the file again", file=file) from None
            rest = member.unused_data
            if not member.eof:
                break
            member = None
    if member is not None:
        raise InputError("the gzip data is cut short", "copy or download the file again", file=file)
    if rest.strip(b"\0"):
        raise _not_gzip(file)


def _not_gzip(file: str) -> InputError:
    return InputError("bytes that are not gzip follow the gzip data", "compress the file again", file=file)


def _refuse_control(source: Source) -> None:
    data = source.data
    found = data.translate(None, _NOT_CONTROL)
    if not found:
        return
    if found.count(0) > len(data) // 4:
        raise source.error("the file is full of NUL bytes: UTF-16 or binary", "save it as UTF-8 text")
    what = "NUL byte" if found[0] == 0 else f"control byte 0x{found[0]:02x}"
    raise source.error(f"{what} in the file", "remove it, or give a text file", data.index(found[:1]))


def _refuse_other_encodings(source: Source) -> None:
    try:
        source.data.decode("utf-8")
    except UnicodeDecodeError as error:
        found = f"byte 0x{source.data[error.start]:02x} is not UTF-8"
        raise source.error(found, "save the file as UTF-8 text", error.start) from None


def _line_column(data: bytes, offset: int) -> tuple[int, int]:
    offset = min(max(offset, 0), len(data))
    if data[offset - 1 : offset + 1] == b"\r\n" and offset:
        offset -= 1
    newlines = data.count(b"\n", 0, offset)
    if data.find(b"\r", 0, offset) >= 0:
        newlines += data.count(b"\r", 0, offset) - data.count(b"\r\n", 0, offset)
    start = max(data.rfind(b"\n", 0, offset), data.rfind(b"\r", 0, offset)) + 1
    characters = 0
    for begin in range(start, offset, _CHUNK):
        # Every byte but a UTF-8 continuation byte begins a character.
        piece = np.frombuffer(data, np.uint8, min(_CHUNK, offset - begin), begin)
        characters += int(np.count_nonzero((piece & 0xC0) != 0x80))
    return newlines + 1, characters + 1


def looks_like(source: Source) -> str | None:
    """What a text file is that is neither tree nor table: HTML, JSON or FASTA; None if it is none of these."""
    head = source.data[:4096].lstrip()
    if re.match(rb"<(!doctype\s+html|html|head|body)\b", head, re.IGNORECASE):
        return "HTML (a failed download?)"
    if re.match(rb"\{\s*[\"}]|\[\s*[\"{]", head):
        return "JSON"
    if re.match(rb">\s*[^\s(]", head):
        return "FASTA"
    return None
