"""Images as arrays, tensors and PIL images: read as files of them would be, or refused in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from reading import read_all
from test_infer import canvases, write
from tiny_runs import reference

import airkit
from airkit.errors import ImageError

Array = np.ndarray[Any, Any]

RAMP = np.arange(120, dtype=np.uint8).reshape(10, 12) * 2
INK = RAMP.astype(np.float32) / 255
COLOURS = np.stack([RAMP, 255 - RAMP, RAMP // 2], axis=-1)
LUMINANCE = COLOURS.astype(np.float32) / 255 @ np.array([0.299, 0.587, 0.114])
STACK = np.stack([RAMP, 255 - RAMP, RAMP // 3])


def inks(given: Any, **options: bool) -> Array:
    return np.stack([grey.ink for grey in read_all(given, **options)])


SAME: dict[str, tuple[Any, Any]] = {
    "array": (RAMP, INK[None]),
    "[H, W, 1]": (RAMP[..., None], INK[None]),
    "[1, H, W]": (RAMP[None], INK[None]),
    "[H, W, 3]": (COLOURS, LUMINANCE[None]),
    "[H, W, 4]": (np.dstack([COLOURS, np.full_like(RAMP, 255)]), LUMINANCE[None]),
    "[H, W, 2]": (np.dstack([RAMP, np.full_like(RAMP, 255)]), INK[None]),
    "[N, H, W, 1]": (STACK[..., None], STACK / 255),
    "[N, H, W, 3]": (COLOURS[None], LUMINANCE[None]),
    "[N, 1, H, W]": (torch.tensor(STACK[:, None]), STACK / 255),
    "[N, 3, H, W]": (torch.tensor(COLOURS.transpose(2, 0, 1)[None]), LUMINANCE[None]),
    "bool [H, W, 1]": (RAMP[..., None] > 9, RAMP[None] > 9),
    "floats [H, W, 3]": (COLOURS / 255, LUMINANCE[None]),
    "tensor": (torch.tensor(INK, requires_grad=True), INK[None]),
    "float64": (torch.tensor(INK).double(), INK[None]),
    "bfloat16": (torch.tensor(RAMP > 9).bfloat16(), RAMP[None] > 9),
    "PIL L": (Image.fromarray(RAMP), INK[None]),
    "PIL 1": (Image.fromarray(RAMP > 9), RAMP[None] > 9),
    "PIL P": (Image.fromarray(RAMP).convert("P"), INK[None]),
    "PIL F": (Image.fromarray(INK), INK[None]),
    "PIL I;16": (Image.fromarray(RAMP.astype(np.uint16) * 257), INK[None]),
    "PIL RGB": (Image.fromarray(COLOURS), LUMINANCE[None]),
    "PIL CMYK": (Image.fromarray(COLOURS).convert("CMYK"), LUMINANCE[None]),
    "several": ([RAMP, torch.tensor(INK), Image.fromarray(RAMP)], np.stack([INK] * 3)),
    "a generator": ((each for each in STACK), STACK / 255),
}


@pytest.mark.parametrize("name", SAME)
def test_what_is_read(name: str) -> None:
    given, expected = SAME[name]
    found = inks(given)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=0.004)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_what_is_transparent_is_blank(mode: str) -> None:
    """In arrays as in PIL images, bright on dark and, with ``invert``, dark on bright."""
    for stroke, invert in (("white", False), ("black", True)):
        image = Image.new(mode, (12, 10), (0,) * len(mode))
        image.paste(Image.new(mode, (2, 3), stroke), (5, 4))
        for given in (image, np.asarray(image), np.asarray(image) / np.float32(255)):
            (found,) = inks(given, invert=invert)
            assert found.sum() == 6
            assert found[4:7, 5:7].all()


@pytest.mark.parametrize("method", ["BILINEAR", "BICUBIC", "LANCZOS"])
@pytest.mark.parametrize("size", [(31, 17), (60, 50)])
def test_what_a_resize_leaves_is_allowed(method: str, size: tuple[int, int]) -> None:
    """Cubic and Lanczos filters overshoot; a sum of weights may be 1 + 1e-7."""
    rng = np.random.default_rng(0)
    sharp = Image.fromarray(np.kron(rng.integers(0, 2, (9, 9)), np.ones((5, 5))).astype(np.float32))
    resized = np.asarray(sharp.resize(size, getattr(Image.Resampling, method)))
    (found,) = inks(resized)
    assert (found.min(), found.max()) == (0, 1)
    np.testing.assert_allclose(found, resized.clip(0, 1))
    inks(np.where(INK > 0.5, 1.000001, 0))


@pytest.mark.parametrize("scale", [(0, 1.4), (-1, 1), (0, 255), (-0.42, 2.8)])
def test_floats_of_another_scale_are_refused(scale: tuple[float, float]) -> None:
    with pytest.raises(ImageError, match=f"values of {scale[0]:g} to {scale[1]:g}"):
        read_all(np.interp(INK, [0, INK.max()], scale))


@pytest.mark.parametrize("kind", [np.uint8, np.float32, np.bool_])
@pytest.mark.parametrize("side", [16, 28])
def test_flattened_images_are_refused(kind: Any, side: int) -> None:
    """Rows of 256 or 784 pixels, of blobs in random places."""
    rng = np.random.default_rng(0)
    middle = rng.integers(2, side - 2, (1000, 2, 1, 1))
    y, x = np.mgrid[:side, :side]
    blobs = np.hypot(y - middle[:, 0], x - middle[:, 1]) < side / 4
    rows = (blobs * (255 if kind is np.uint8 else 1)).astype(kind).reshape(1000, -1)
    for many in (1000, 9):
        with pytest.raises(ImageError) as caught:
            read_all(rows[:many])
        assert f"reshape(-1, {side}, {side})" in caught.value.hint
    assert len(read_all(rows.reshape(-1, side, side))) == 1000


def test_images_of_such_widths_are_taken() -> None:
    """A canvas, noise and a gradient, 64 or 256 pixels wide."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (40, 64), dtype=np.uint8)
    gradient = np.tile(np.arange(256, dtype=np.uint8)[:, None], (1, 256))
    blank = np.zeros((100, 784), np.uint8)
    for image in (np.pad(canvases()[1], 20), noise, gradient, gradient.T, blank):
        assert len(read_all(image)) == 1


@pytest.mark.parametrize("given", [3, None, "none.png", [[0.0, 1.0]], RAMP.astype(object), b"ink"])
def test_what_is_no_image(given: Any, home: Path) -> None:
    with pytest.raises(ImageError):
        read_all(given)


def test_infer_takes_what_is_in_memory(home: Path) -> None:
    """The same as of files, with other names."""
    stack = canvases()[:4]
    np.save("test.npy", stack)
    told = [{**each.to_dict(), "image": ""} for each in airkit.infer("test.npy", reference())]
    for given in (stack, stack / 255, torch.tensor(stack[:, None])):
        found = airkit.infer(given, reference(), overlay="seen")
        assert [{**each.to_dict(), "image": ""} for each in found] == told
        assert [(each.image, each.index) for each in found] == [("image-0", i) for i in range(4)]
    several = [Image.fromarray(stack[0]), stack[1], write("two.png", stack[2]), "test.npy"]
    found = airkit.infer(several, reference(), overlay="seen")
    assert [each.image for each in found] == ["image-0", "image-1", "two.png"] + ["test.npy"] * 4
    assert [each.index for each in found] == [None] * 3 + [0, 1, 2, 3]
    assert {path.name for path in Path("seen").iterdir()} >= {"image-0.png", "image-0-3.png"}
