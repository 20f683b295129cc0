"""Bytes in: encodings, gzip, sizes, places in the text."""

import gzip
import hashlib
import io
import sys
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hxcli.errors import InputError
from hxcli.formats.source import Source, checked_source, looks_like, read_source


def written(folder: Path, data: bytes) -> Path:
    path = folder / "file.txt"
    path.write_bytes(data)
    return path


def test_plain_text_is_read_as_it_is(tmp_path):
    source = read_source(written(tmp_path, b"(A,B);\n"))
    assert (source.data, source.is_ascii, source.text) == (b"(A,B);\n", True, "(A,B);\n")
    assert source.sha256 == hashlib.sha256(b"(A,B);\n").hexdigest()


def test_a_byte_order_mark_is_no_text(tmp_path):
    raw = "\ufeffÆ".encode()
    source = read_source(written(tmp_path, raw))
    assert source.text == "Æ"
    assert source.sha256 == hashlib.sha256(raw).hexdigest()
    assert source.line_column(2) == (1, 2)


def test_gzip_members_follow_each_other_and_padding_is_ignored(tmp_path):
    raw = gzip.compress(b"(A,") + gzip.compress(b"B);") + b"\0" * 100
    source = read_source(written(tmp_path, raw))
    assert source.data == b"(A,B);"
    assert source.sha256 == hashlib.sha256(raw).hexdigest()


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (gzip.compress(b"(A,B);" * 100, mtime=0)[:-9], "cut short"),
        (gzip.compress(b"(A,B);", mtime=0)[:4], "cut short"),
        (gzip.compress(b"(A,B);", mtime=0) + b"garbage", "not gzip follow"),
        (b"\x1f\x8b\x08\x00" + b"\xff" * 40, "damaged gzip"),
        (gzip.compress(b"(A,B);", mtime=0)[:-8] + b"\0" * 8, "damaged gzip"),
    ],
)
def test_damaged_gzip_is_refused(tmp_path, raw, found):
    with pytest.raises(InputError, match=found):
        read_source(written(tmp_path, raw))


def test_a_bomb_is_refused_before_it_is_kept(tmp_path):
    packer = zlib.compressobj(9, wbits=31)
    raw = b"".join(packer.compress(b"A" * 1_000_000) for _ in range(50)) + packer.flush()
    with pytest.raises(InputError, match=r"larger than 1000000 bytes after decompression.*--max-size"):
        read_source(written(tmp_path, raw), max_size=1_000_000)
    assert len(read_source(written(tmp_path, raw), max_size=50_000_000).data) == 50_000_000


def test_a_large_file_is_refused(tmp_path):
    path = written(tmp_path, b"A" * 11)
    with pytest.raises(InputError, match=r"larger than 10 bytes.*--max-size"):
        read_source(path, max_size=10)
    assert len(read_source(path, max_size=11).data) == 11


class Standard:
    """A standard input of bytes."""

    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


def test_standard_input_is_bytes(monkeypatch):
    monkeypatch.setattr(sys, "stdin", Standard(gzip.compress("(Æ,B);".encode())))
    source = read_source("-")
    assert (source.file, source.text) == ("-", "(Æ,B);")
    monkeypatch.setattr(sys, "stdin", Standard(b"A" * 11))
    with pytest.raises(InputError, match="larger than 10 bytes"):
        read_source("-", max_size=10)


def test_what_cannot_be_opened_is_refused(tmp_path):
    with pytest.raises(InputError, match="directory"):
        read_source(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        read_source(tmp_path / "nothing")
    with pytest.raises(InputError, match="no path"):
        read_source("a\0b")
    with pytest.raises(InputError, match="cannot be read"):
        read_source(written(tmp_path, b"x") / "below")


@pytest.mark.parametrize(
    ("data", "found", "place"),
    [
        (b"(A\0,B);", "NUL byte", (1, 3)),
        ("é\n é\x07;".encode(), "control byte 0x07", (2, 3)),
        (b"A\r\nB\xe9C", "byte 0xe9 is not UTF-8", (2, 2)),
        (b"A\rB\x7f", "control byte 0x7f", (2, 2)),
    ],
)
def test_bytes_that_are_no_text_are_refused_by_place(data, found, place):
    with pytest.raises(InputError, match=found) as caught:
        checked_source("f", data)
    assert (caught.value.line, caught.value.column) == place


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ("(A,B);".encode("utf-16"), "UTF-16"),
        ("(A,B);".encode("utf-16-le"), "UTF-16"),
        (b"PK\x03\x04...", "ZIP"),
        (b"%PDF-1.4", "PDF"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
    ],
)
def test_other_kinds_of_files_are_named(data, found):
    with pytest.raises(InputError, match=found):
        checked_source("f", data)


def test_looks_like():
    kinds = {b"<!DOCTYPE html>": "HTML", b'{"a": 1}': "JSON", b">seq\nACGT": "FASTA", b"(A,B);": None, b"a,b\n": None}
    for data, kind in kinds.items():
        found = looks_like(checked_source("f", data))
        assert (found or "").startswith(kind or "")
        assert bool(found) == bool(kind)


@given(st.lists(st.sampled_from(["a", "é", "\U0001f98e", "\n", "\r", "\r\n"]), max_size=30))
def test_places_are_those_of_a_walk_over_the_characters(parts):
    text = "".join(parts)
    source = Source("f", text.encode(), "")
    line, column, offset = 1, 1, 0
    for i, character in enumerate(text):
        assert source.line_column(offset) == (line, column) or text[i - 1 : i + 1] == "\r\n"
        offset += len(character.encode())
        if character == "\n" or (character == "\r" and text[i + 1 : i + 2] != "\n"):
            line, column = line + 1, 1
        elif character != "\r":
            column += 1
    assert source.line_column(offset) == (line, column)
