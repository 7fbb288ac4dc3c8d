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
    assert f"where     {path}" in str(caught.value)
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


def test_a_large_array(path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 256, (3, 1000, 1000), dtype=np.uint8)
    path.write_bytes(gzip.compress(idx_bytes(array), compresslevel=1))
    np.testing.assert_array_equal(idx.read(path, 3), array)


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"\x00\x00\x0d\x03" + idx_bytes(IMAGES)[4:], "16 bytes: 00 00 0d 03"),  # floats
        (b"\x01\x00\x08\x03" + idx_bytes(IMAGES)[4:], "16 bytes: 01 00 08 03"),
        (idx_bytes(IMAGES[0]), "16 bytes: 00 00 08 02"),
        (b"<html>", "6 bytes: 3c 68 74 6d"),
        (idx_bytes(IMAGES)[:15], "15 bytes: 00 00 08 03"),
        (b"", "an empty file"),
        (gzip.compress(b""), "an empty file"),
    ],
)
def test_another_header(path: Path, content: bytes, got: str) -> None:
    error = refusal(path, content)
    assert error.what == "Not an IDX file of unsigned bytes in 3 dimensions"
    assert "a header of 16 bytes that begins with 00 00 08 03" in str(error)
    assert f"got       {got}" in str(error)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(("change", "got"), [(-1, "17 bytes"), (-18, "0 bytes"), (1, "more")])
def test_another_size_than_the_header_says(path: Path, zipped: bool, change: int, got: str) -> None:
    content = (idx_bytes(IMAGES) + b"\x00")[: 34 + change]
    error = refusal(path, gzip.compress(content) if zipped else content)
    assert error.what == "An IDX file's size is not what its header says"
    assert "expected  18 bytes after the header, for shape 2 x 3 x 3" in str(error)
    assert f"got       {got}" in str(error)


@pytest.mark.parametrize(
    ("shape", "what"),
    [
        ((0, 28, 28), "An IDX file holds nothing"),
        ((5, 0, 28), "An IDX file holds nothing"),
        ((2**32 - 1,) * 3, "An IDX file claims to be too large"),
    ],
)
def test_a_shape_that_cannot_be(path: Path, shape: tuple[int, int, int], what: str) -> None:
    error = refusal(path, struct.pack(">HBB3I", 0, 8, 3, *shape))
    assert error.what == what
    assert f"for shape {' x '.join(map(str, shape))}" in str(error)


FORGED = struct.pack(">HBB3I", 0, 8, 3, 2**16, 2**5, 2**5) + bytes(100)


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (FORGED, "100 bytes"),
        (gzip.compress(FORGED), "100 bytes"),
        (gzip.compress(idx_bytes(IMAGES) + bytes(2**26), compresslevel=1), "more"),
    ],
    ids=["plain", "zipped", "unzips to much"],
)
def test_a_forged_file_costs_no_memory(path: Path, content: bytes, got: str) -> None:
    tracemalloc.start()
    try:
        assert f"got       {got}" in str(refusal(path, content))
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
    assert refusal(path, content).what == "An IDX file's gzip stream is damaged"


def test_no_file_to_read(tmp_path: Path, path: Path) -> None:
    for place, got in ((path, "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(DigitsError, match=got):
            idx.read(place, 3)
