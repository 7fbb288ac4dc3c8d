"""IDX files are read as they are, or refused in one message and little memory."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from idx_files import Bytes, idx_bytes

from airkit.data import idx
from airkit.errors import DigitsError

IMAGES = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
ZIPPED = gzip.compress(idx_bytes(IMAGES), mtime=0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "images"


def refusal(path: Path, content: bytes, ndim: int = 3) -> DigitsError:
    path.write_bytes(content)
    with pytest.raises(DigitsError) as caught:
        idx.read(path, ndim)
    assert str(caught.value).startswith(f"Cannot read an IDX file\n  where     {path}\n")
    return caught.value


arrays = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=7))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(array=arrays, zipped=st.booleans())
def test_what_is_written_is_read(path: Path, array: Bytes, zipped: bool) -> None:
    """Gzip is recognised by content, not by name."""
    content = idx_bytes(array)
    path.write_bytes(gzip.compress(content) if zipped else content)
    read = idx.read(path, array.ndim)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, array)


HEADER = struct.Struct(">HBB3I")


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"\x00\x00\x0d\x03" + idx_bytes(IMAGES)[4:], "begins with 00 00 0d 03"),  # floats
        (idx_bytes(IMAGES[0]), "begins with 00 00 08 02"),
        (b"<html>", "begins with 3c 68 74 6d"),
        (idx_bytes(IMAGES)[:15], "begins with 00 00 08 03"),
        (b"", "begins with nothing"),
        (idx_bytes(IMAGES)[:-1], "2 x 3 x 3, and 17 bytes"),
        (idx_bytes(IMAGES) + b"1", "2 x 3 x 3, and more bytes"),
        (HEADER.pack(0, 8, 3, 5, 0, 28), "5 x 0 x 28, not 1 to"),
        (HEADER.pack(0, 8, 3, *[2**32 - 1] * 3), "4294967295 x 4294967295 x 4294967295, not 1 to"),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_damaged_files(path: Path, content: bytes, got: str, zipped: bool) -> None:
    error = refusal(path, gzip.compress(content) if zipped else content)
    assert "expected  unsigned bytes in 3 dimensions" in str(error)
    assert got in str(error)


FORGED = HEADER.pack(0, 8, 3, 2**16, 2**5, 2**5) + bytes(100)


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (FORGED, "and 100 bytes"),
        (gzip.compress(FORGED), "and 100 bytes"),
        (gzip.compress(idx_bytes(IMAGES) + bytes(2**26), compresslevel=1), "and more"),
    ],
    ids=["plain", "zipped", "unzips to much"],
)
def test_a_forged_file_costs_no_memory(path: Path, content: bytes, got: str) -> None:
    tracemalloc.start()
    try:
        assert got in str(refusal(path, content))
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "content",
    [
        ZIPPED[:-9],
        ZIPPED[:10] + bytes([ZIPPED[10] | 7]) + ZIPPED[11:],
        ZIPPED[:-8] + bytes(4) + ZIPPED[-4:],
        ZIPPED[:2] + b"\x07" + ZIPPED[3:],
        ZIPPED + b"rest",
        ZIPPED + ZIPPED,
    ],
    ids=["truncated", "flipped", "checksum", "method", "trailing", "two streams"],
)
def test_a_damaged_gzip_stream(path: Path, content: bytes) -> None:
    refusal(path, content)


def test_no_file_to_read(tmp_path: Path, path: Path) -> None:
    for place, got in ((path, "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(DigitsError, match=got):
            idx.read(place, 3)
