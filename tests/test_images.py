"""Grey images from elsewhere: what is read, as which ink, and what is refused."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from reading import read_all

from airkit.errors import ImageError

Array = np.ndarray[Any, Any]

RAMP = np.arange(120, dtype=np.uint8).reshape(10, 12) * 2
"""An 8-bit picture of 12 x 10 pixels, black in its upper left."""


def png(path: Path, image: Image.Image) -> Path:
    image.save(path, format="PNG")
    return path


def npy(path: Path, values: Any) -> Path:
    with path.open("wb") as file:
        np.save(file, values)
    return path


def ink(path: Path, **options: bool) -> Array:
    (grey,) = read_all(path, **options)
    assert grey.ink.dtype == np.float32
    return grey.ink


def refusal(path: Path) -> ImageError:
    with pytest.raises(ImageError) as caught:
        read_all(path)
    assert f"where     {path}" in str(caught.value)
    return caught.value


LEVELS = RAMP.astype(np.uint16) * 257 + 100
PICTURES: dict[str, tuple[Image.Image, Any]] = {
    "8 bits": (Image.fromarray(RAMP), RAMP / 255),
    "16 bits": (Image.fromarray(LEVELS), LEVELS / 65535),
    "1 bit": (Image.fromarray(RAMP > 100), RAMP > 100),
    "palette": (Image.fromarray(RAMP).convert("P"), RAMP / 255),
    "red": (Image.new("RGB", (12, 10), (255, 0, 0)), np.full((10, 12), 0.299)),
    "green": (Image.new("RGB", (12, 10), (0, 255, 0)), np.full((10, 12), 0.587)),
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_of_any_mode(tmp_path: Path, name: str) -> None:
    """Colours are taken as their luminance, and the content decides, not the file's name."""
    image, expected = PICTURES[name]
    found = ink(png(tmp_path / "a.npy", image))
    np.testing.assert_allclose(found, expected, atol=0.002 if image.mode == "RGB" else 1e-7)
    assert np.array_equal(ink(tmp_path / "a.npy", invert=True), 1 - found)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_what_is_transparent_is_blank(tmp_path: Path, mode: str) -> None:
    """Bright on dark as well as, with ``invert``, dark on bright."""
    for stroke, invert in (("white", False), ("black", True)):
        image = Image.new(mode, (12, 10), (0,) * len(mode))
        image.paste(Image.new(mode, (2, 3), stroke), (5, 4))
        found = ink(png(tmp_path / "a.png", image), invert=invert)
        assert np.array_equal(np.argwhere(found == 1)[[0, -1]], [[4, 5], [6, 6]])
        assert found.sum() == 6


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("clear", ["bright", "dark"])
def test_a_transparent_level_is_blank_in_any_depth(tmp_path: Path, bits: int, clear: str) -> None:
    """Seven bright pixels and a dark one in each row."""
    bright = 2**bits - 1
    row = sum(bright << bits * place for place in range(1, 8)).to_bytes(bits, "big")
    path = tmp_path / "a.png"
    path.write_bytes(transparent(bits, 0, row, [bright if clear == "bright" else 0]))
    ones, zeros = [[1.0] * 7 + [0.0]] * 8, [[0.0] * 8] * 8
    assert ink(path).tolist() == (zeros if clear == "bright" else ones)
    others = [[0.0] * 7 + [1.0]] * 8
    assert ink(path, invert=True).tolist() == (others if clear == "bright" else zeros)


def test_a_transparent_colour_of_16_bits_is_blank(tmp_path: Path) -> None:
    path, bright, clear = tmp_path / "a.png", [65535] * 3, [0x6789, 0x1234, 0xFEDC]
    row = struct.pack(">24H", *bright * 4, *clear * 4)
    path.write_bytes(transparent(16, 2, row, clear))
    assert ink(path).tolist() == [[1.0] * 4 + [0.0] * 4] * 8


def transparent(bits: int, colour: int, row: bytes, clear: list[int]) -> bytes:
    """A PNG file of 8 x 8 pixels, equal rows, with a transparent level or colour."""
    header = struct.pack(">IIBBBBB", 8, 8, bits, colour, 0, 0, 0)
    return png_bytes(header, (b"\0" + row) * 8, struct.pack(f">{len(clear)}H", *clear))


def png_bytes(header: bytes, pixels: bytes, transparency: bytes | None = None) -> bytes:
    chunks = {b"IHDR": header, b"tRNS": transparency, b"IDAT": zlib.compress(pixels), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks.items()
        if body is not None
    )


FLOATS = [(RAMP / 255).astype(dtype) for dtype in ("f2", "f4", "f8", ">f4")]


@pytest.mark.parametrize(
    ("values", "top"), [*((it, 1) for it in FLOATS), (RAMP > 9, 1), (np.asfortranarray(RAMP), 255)]
)
def test_arrays_of_any_type(tmp_path: Path, values: Array, top: int) -> None:
    found = ink(npy(tmp_path / "a.png", values))
    assert np.array_equal(found, values.astype(np.float32) / top)


def test_names_and_places(tmp_path: Path) -> None:
    stack = np.stack([RAMP, RAMP[::-1], 255 - RAMP])
    found = read_all(npy(tmp_path / "a.npy", stack))
    assert [(grey.index, grey.name) for grey in found] == [(0, "a-0"), (1, "a-1"), (2, "a-2")]
    assert np.array_equal([grey.ink for grey in found], stack.astype(np.float32) / 255)


@pytest.mark.parametrize("shape", [(8, 8), (8, 20), (20, 8), (8, 1024)])
def test_images_keep_their_size(tmp_path: Path, shape: tuple[int, int]) -> None:
    (grey,) = read_all(npy(tmp_path / "b.npy", np.full(shape, 255, np.uint8)))
    assert (grey.path, grey.index, grey.name) == (tmp_path / "b.npy", None, "b")
    assert grey.shape == grey.ink.shape == shape
    assert grey.padded(shape, edge=False).shape == (1, *shape)
    assert grey.padded((9, 30), edge=False).sum() == np.prod(shape)


@pytest.mark.parametrize("shape", [(7, 20), (20, 7), (1025, 8), (8, 1025)])
def test_sizes_that_are_refused(tmp_path: Path, shape: tuple[int, int]) -> None:
    blank = np.zeros(shape, np.uint8)
    for path in (png(tmp_path / "a", Image.fromarray(blank)), npy(tmp_path / "b", blank)):
        assert f"got       {shape[1]:,} x {shape[0]:,} px" in str(refusal(path))


class Trap:
    """Something that fails whoever unpickles it."""

    def __reduce__(self) -> Any:
        return divmod, (1, 0)


@pytest.mark.parametrize(
    ("values", "got"),
    [
        (RAMP.astype(np.int64), "int64, values of 0 to 238"),
        (np.full((10, 12), "ink"), "<U3 [1, 10, 12]"),
        (RAMP[0], "uint8 [12]"),
        (RAMP[None, None, None], "uint8 [1, 1, 1, 10, 12]"),
        (np.stack([RAMP, RAMP])[None], "uint8 [1, 2, 10, 12]"),
        (RAMP.astype(float), "values of 0 to 238"),
        (RAMP / 255 - 0.5, "values of -0.5 to 0.433333"),
        (np.where(RAMP == 8, np.nan, 0), "1 of nan or inf"),
        (np.stack([RAMP / 255, RAMP / 9]), "values of 0 to 26.4444"),
        (np.zeros((0, 10, 12), np.uint8), "uint8 [0, 10, 12]"),
        (np.full((8, 8), Trap(), object), "object [1, 8, 8]"),
    ],
)
def test_arrays_that_are_no_grey_levels(tmp_path: Path, values: Array, got: str) -> None:
    assert f"got       {got}" in str(refusal(npy(tmp_path / "a.npy", values)))


def test_what_is_no_image(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    bomb = png_bytes(struct.pack(">IIBBBBB", 10_000, 10_000, 8, 0, 0, 0, 0), bytes(9))
    for content in (b"", b"\xff\xd8\xff\xe0", bomb):
        path.write_bytes(content)
        assert ("10,000 x" if content == bomb else "cannot identify image file") in str(
            refusal(path)
        )
    assert "No such file or directory" in str(refusal(tmp_path / "b"))
    os.mkfifo(tmp_path / "c")
    assert "got       not a regular file" in str(refusal(tmp_path / "c"))


def test_truncated_files(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8)
    path = png(tmp_path / "a.png", Image.fromarray(noise))
    path.write_bytes(path.read_bytes()[:900])
    assert "truncated" in str(refusal(path))
    path = npy(tmp_path / "a.npy", RAMP)
    path.write_bytes(path.read_bytes()[:-1])
    assert refusal(path).what.startswith("Cannot read")
