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


def refusal(path: Path, content: bytes, ndim: int = 3) -> str:
    path.write_bytes(content)
    with pytest.raises(DigitsError) as caught:
        idx.read(path, ndim)
    return str(caught.value)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "images"


arrays = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=7))


@given(array=arrays, zipped=st.booleans())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read(path: Path, array: Bytes, zipped: bool) -> None:
    content = idx_bytes(array)
    path.write_bytes(gzip.compress(content) if zipped else content)
    read = idx.read(path, array.ndim)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, array)


@given(content=st.binary(max_size=64), zipped=st.booleans())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_an_array_or_a_digits_error(path: Path, content: bytes, zipped: bool) -> None:
    content = bytes([0, 0, 8, 1, 0, 0, 0]) + content
    path.write_bytes(gzip.compress(content) if zipped else content)
    try:
        assert len(idx.read(path, 1)) == content[7]
    except DigitsError as error:
        assert str(path) in str(error)  # noqa: PT017 - either outcome is right


def test_gzip_is_told_by_content_not_by_name(tmp_path: Path) -> None:
    plain_named_gz, gz_named_plain = tmp_path / "a.gz", tmp_path / "a"
    plain_named_gz.write_bytes(idx_bytes(IMAGES))
    gz_named_plain.write_bytes(gzip.compress(idx_bytes(IMAGES)))
    np.testing.assert_array_equal(idx.read(plain_named_gz, 3), IMAGES)
    np.testing.assert_array_equal(idx.read(gz_named_plain, 3), IMAGES)


def test_array_larger_than_a_chunk(path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 256, (3, 1000, 1000), dtype=np.uint8)
    path.write_bytes(gzip.compress(idx_bytes(array), compresslevel=1))
    np.testing.assert_array_equal(idx.read(path, 3), array)


def test_missing_file(path: Path) -> None:
    with pytest.raises(DigitsError) as caught:
        idx.read(path, 3)
    assert str(caught.value) == (
        f"Cannot read an IDX file\n  where     {path}\n  got       No such file or directory\n"
        "  try       --source strokes, which is built in"
    )


def test_folder_in_place_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(DigitsError) as caught:
        idx.read(tmp_path, 3)
    assert str(caught.value) == (
        f"Cannot read an IDX file\n  where     {tmp_path}\n  got       Is a directory\n"
        "  try       --source strokes, which is built in"
    )


@pytest.mark.parametrize("content", [b"", gzip.compress(b"", mtime=0)])
def test_empty_file(path: Path, content: bytes) -> None:
    assert refusal(path, content) == (
        "An IDX file is empty\n"
        f"  where     {path}\n"
        "  try       fetch or copy the file again, or --source strokes, which is built in"
    )


@pytest.mark.parametrize(
    ("magic", "got"),
    [
        (b"\x00\x00\x0d\x03", "00 00 0d 03"),  # floats
        (b"\x00\x00\x08\x01", "00 00 08 01"),  # one dimension
        (b"\x01\x00\x08\x03", "01 00 08 03"),
        (b"<htm", "3c 68 74 6d"),
        (b"\x00", "00"),
    ],
)
def test_wrong_magic(path: Path, magic: bytes, got: str) -> None:
    content = magic + idx_bytes(IMAGES)[4:] if len(magic) == 4 else magic
    assert refusal(path, content) == (
        "Not an IDX file of unsigned bytes in 3 dimensions\n"
        f"  where     {path}\n"
        "  expected  first bytes 00 00 08 03\n"
        f"  got       {got}\n"
        "  try       fetch or copy the file again, or --source strokes, which is built in"
    )


def test_images_in_place_of_labels(path: Path) -> None:
    assert refusal(path, idx_bytes(IMAGES), ndim=1) == (
        "Not an IDX file of unsigned bytes in 1 dimension\n"
        f"  where     {path}\n"
        "  expected  first bytes 00 00 08 01\n"
        "  got       00 00 08 03\n"
        "  try       fetch or copy the file again, or --source strokes, which is built in"
    )


def test_file_that_ends_within_its_header(path: Path) -> None:
    assert refusal(path, idx_bytes(IMAGES)[:15]) == (
        "An IDX file ends within its header\n"
        f"  where     {path}\n"
        "  expected  16 bytes\n"
        "  got       15 bytes\n"
        "  try       fetch or copy the file again, or --source strokes, which is built in"
    )


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(("change", "got"), [(-1, "17 bytes"), (-18, "0 bytes"), (1, "more")])
def test_size_other_than_the_header_says(path: Path, zipped: bool, change: int, got: str) -> None:
    content = (idx_bytes(IMAGES) + b"\x00")[: 34 + change]
    assert refusal(path, gzip.compress(content) if zipped else content) == (
        "An IDX file's size is not what its header says\n"
        f"  where     {path}\n"
        "  expected  18 bytes after the header, for shape 2 x 3 x 3\n"
        f"  got       {got}\n"
        "  try       fetch or copy the file again, or --source strokes, which is built in"
    )


@pytest.mark.parametrize("shape", [(0, 28, 28), (5, 0, 28)])
def test_array_of_nothing(path: Path, shape: tuple[int, int, int]) -> None:
    assert refusal(path, idx_bytes(np.zeros(shape, np.uint8))) == (
        f"An IDX file holds nothing\n  where     {path}\n"
        f"  got       shape {shape[0]} x {shape[1]} x 28\n"
        "  try       fetch or copy the file again, or --source strokes, which is built in"
    )


def test_header_that_claims_too_much(path: Path) -> None:
    header = struct.pack(">HBB3I", 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1)
    assert refusal(path, header) == (
        "An IDX file claims to be too large\n"
        f"  where     {path}\n"
        "  expected  at most 67108864 bytes\n"
        f"  got       {(2**32 - 1) ** 3} bytes, for shape 4294967295 x 4294967295 x 4294967295\n"
        "  try       fetch or copy the file again, or --source strokes, which is built in"
    )


def peak_of_refusal(path: Path, content: bytes) -> tuple[str, int]:
    """The line that says what was got, and the most memory that took, in bytes."""
    tracemalloc.start()
    try:
        message = refusal(path, content)
        return message.splitlines()[3], tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("zipped", [False, True])
def test_forged_header_costs_no_memory(path: Path, zipped: bool) -> None:
    content = struct.pack(">HBB3I", 0, 8, 3, 2**16, 2**5, 2**5) + bytes(100)
    got, peak = peak_of_refusal(path, gzip.compress(content) if zipped else content)
    assert got == "  got       100 bytes"
    assert peak < 8 * 2**20


def test_small_file_that_unzips_to_a_huge_one_costs_no_memory(path: Path) -> None:
    content = gzip.compress(idx_bytes(IMAGES) + bytes(2**26), compresslevel=1)
    got, peak = peak_of_refusal(path, content)
    assert got == "  got       more"
    assert peak < 8 * 2**20


ZIPPED = gzip.compress(idx_bytes(IMAGES), mtime=0)


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (ZIPPED[:-9], "it ends within the stream"),
        (
            ZIPPED[:10] + bytes([ZIPPED[10] | 7]) + ZIPPED[11:],
            "Error -3 while decompressing data: invalid block type",
        ),
        (
            ZIPPED[:-8] + bytes(4) + ZIPPED[-4:],
            "Error -3 while decompressing data: incorrect data check",
        ),
        (ZIPPED + b"rest", "it goes on behind the stream"),
        (
            ZIPPED[:2] + b"\x07" + ZIPPED[3:],
            "Error -3 while decompressing data: unknown compression method",
        ),
    ],
    ids=["truncated", "flipped", "checksum", "trailing", "method"],
)
def test_damaged_gzip(path: Path, content: bytes, got: str) -> None:
    assert refusal(path, content) == (
        "An IDX file's gzip stream is damaged\n"
        f"  where     {path}\n"
        f"  got       {got}\n"
        "  try       fetch or copy the file again, or --source strokes, which is built in"
    )
