"""What is off with ink is told in one note, and nothing is told of ink as it should be."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from airkit.config.settings import layers, resolve
from airkit.data import idx, strokes
from airkit.data.compose import compose
from airkit.data.digits import Digits
from airkit.data.look import ink
from airkit.system.callbacks import SILENT

Array = np.ndarray[Any, Any]

seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=10, deadline=None)


@cache
def stroke_digits(seed: int = 0) -> Digits:
    return Digits(*strokes.draw(200, seed, "test"))


def garments(seed: int) -> Array:
    """As in Fashion-MNIST: shapes that fill their image from edge to edge, many of them dim."""
    rng = np.random.default_rng(seed)
    return np.stack([_garment(rng) for _ in range(150)])


def _garment(rng: np.random.Generator) -> Array:
    widths = np.interp(np.arange(28), np.linspace(0, 27, 5), rng.uniform(2, 13, 5))
    shape = np.abs(np.arange(28) - 13.5) < widths[:, None]
    level = rng.triangular(40, 240, 255) * rng.uniform(0.4, 1, (28, 28))
    tile = np.where(shape, level, rng.integers(0, 2, (28, 28)))
    return (tile if rng.random() < 0.6 else tile.T).astype(np.uint8)


def brushed(seed: int) -> Array:
    """As in KMNIST: broad strokes apart from each other, up to the edges of the image."""
    rng = np.random.default_rng(seed)
    return np.stack([_brushed(rng) for _ in range(150)])


def _brushed(rng: np.random.Generator) -> Array:
    image = Image.new("L", (28, 28))
    for _ in range(rng.integers(1, 5)):
        points = [tuple(point) for point in rng.integers(0, 28, (rng.integers(2, 5), 2)).tolist()]
        ImageDraw.Draw(image).line(points, int(rng.integers(140, 256)), int(rng.integers(2, 5)))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(0.5)))


def canvases(**data: Any) -> Array:
    given = {f"data.{key}": value for key, value in {"canvas_size": 32, **data}.items()}
    config = resolve(*layers({"data.digit_size": 13.0, "data.digit_size_sd": 1.0, **given})).data
    return compose(config, "test", stroke_digits(), 0, 60).image


LIKE = {"strokes": lambda seed: stroke_digits(seed % 3).images, "garments": garments}
LIKE |= {"brushed": brushed, "canvases": lambda seed: canvases(seed=seed % 2**31)}


@few
@given(seed=seeds, like=st.sampled_from(list(LIKE)))
def test_nothing_is_told_of_good_ink(seed: int, like: str) -> None:
    images = LIKE[like](seed)
    assert ink.level_fault(images) is None
    assert ink.level_fault(images / np.float32(255), "colours", inverted=True) is None
    assert not ink.is_binary([images])


FAULTS: dict[str, Any] = {
    "inverted": lambda x, a: 255 - x,
    "faint": lambda x, a: x * np.interp(a, [0, 1], [0.05, 0.35]),
    "faint 0..16": lambda x, a: x // 16,
    "faint 0 and 1": lambda x, a: x > 127,
    "faint where full": lambda x, a: x == x.max(),
    "background": lambda x, a: x + (1 - x / 255) * np.interp(a, [0, 1], [6, 120]),
    "background of noise": lambda x, a: x + np.random.default_rng(0).normal(0, 15, x.shape),
    "inverted paper": lambda x, a: np.interp(a, [0, 1], [150, 255]) * (1 - x / 255),
    "blank": lambda x, a: x * 0,
}


@few
@given(seed=seeds, like=st.sampled_from(list(LIKE)), amount=st.floats(0, 1))
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_of_any_digits(name: str, seed: int, like: str, amount: float) -> None:
    """Of a source, whether stored as uint8 or as floats."""
    spoilt = FAULTS[name](LIKE[like](seed), amount).clip(0, 255).astype(np.uint8)
    for images in (spoilt, spoilt / np.float32(255)):
        fault = ink.level_fault(images)
        assert fault is not None
        assert fault.cause == name.split(" ", maxsplit=1)[0]


def test_it_is_told_of_many_or_of_few() -> None:
    """The sample is of all images, and one image is enough but for a blank one."""
    images = stroke_digits().images
    many = np.concatenate([images * 0, *[images // 8] * 10])
    assert ink.level_fault(many) == ink.level_fault(images[:1] // 8)
    assert ink.level_fault(images[:0]) is None
    assert ink.level_fault(images[:1] * 0) is None


@few
@given(seed=seeds, like=st.sampled_from(list(LIKE)))
def test_0_and_1_are_full_ink_where_both_are_common(seed: int, like: str) -> None:
    binary = (LIKE[like](seed) > 127).astype(np.uint8)
    assert ink.is_binary([binary, binary[:0]])
    for pools in ([binary, 2 * binary], [0 * binary], [0 * binary + 1], [], [binary[:0]]):
        assert not ink.is_binary(pools)
    assert not ink.is_binary([binary[:1], np.zeros((200, 28, 28), np.uint8)]), "cast from floats"


@pytest.mark.parametrize("kind", ["16 bits", "colours", "transparent"])
def test_the_cause_is_in_how_it_was_stored(kind: Any) -> None:
    faint = (stroke_digits().images // 16).astype(np.float32) / 255
    words = {"16 bits": "12-bit", "colours": "luminance", "transparent": "--invert"}
    fault = ink.level_fault(faint, kind)
    assert fault is not None
    assert words[kind] in fault.text


@few
@example(seed=1, like="garments")
@given(seed=st.integers(0, 2**31), like=st.sampled_from(["strokes", "garments", "brushed"]))
@pytest.mark.parametrize("side", [7.0, 10.0, 21.0])
def test_tiles_are_told_of_on_canvases(side: float, seed: int, like: str) -> None:
    """Canvases are blank at the border, be the digits on blank or not."""
    given = {"canvas_size": 64, "digit_size": side, "digit_size_sd": 0.5, "seed": seed}
    config = resolve(*layers({f"data.{key}": value for key, value in given.items()})).data
    tiles = LIKE[like](seed)
    for images, told in ((tiles, None), (255 - tiles, "background"), (tiles // 8, "faint")):
        pool = Digits(images, np.zeros(len(images), np.uint8))
        made = compose(config, "test", pool, 0, 60)
        fault = ink.canvas_fault(made.image, made.box, side)
        assert (fault and fault.cause) == told


# Sizes


def test_the_sizes_of_pieces() -> None:
    image = np.full((12, 12), 0.1)
    image[1, 2:7] = image[1:5, 6] = 0.8  # an angle
    image[8:10, 1] = 0.55
    image[10, 2] = 1  # at a corner of it
    image[11, 11] = 0.45  # less than half as bright as the brightest
    sizes = ink.sizes_of_pieces(image)
    assert sizes.tolist() == [5] * 5 + [5] * 3 + [2] * 2 + [1]
    assert ink.sizes_of_pieces(image / 10).size == 0


@few
@given(seed=seeds)
def test_pieces_are_those_of_a_flood_fill(seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = (rng.random(rng.integers(1, 20, 2)) < 0.6).astype(np.uint8)
    picture = Image.fromarray(image)
    expected = []
    for y, x in np.argwhere(image):
        filled = picture.copy()
        ImageDraw.floodfill(filled, (int(x), int(y)), 7)
        where = np.argwhere(np.asarray(filled) == 7)
        expected.append(int(np.ptp(where, axis=0).max()) + 1)
    assert ink.sizes_of_pieces(image).tolist() == expected


@few
@given(seed=st.integers(0, 2**31), most=st.integers(1, 4), scale=st.sampled_from([0.25, 1, 3, 4]))
def test_digits_of_another_size(seed: int, most: int, scale: float) -> None:
    """Three or four times too large, four times too small, or as they should be."""
    images = canvases(seed=seed, min_digits=1, max_digits=most, overlap="none", canvas_size=40)
    side = round(40 * scale)
    scaled = [
        np.asarray(Image.fromarray(image).resize((side, side))) / np.float32(255)
        for image in images
    ]
    fault = ink.size_fault(scaled, 13.0)
    assert (fault is None) == (scale == 1)
    if fault is not None:
        factor = float(fault.text.rsplit(" ", 1)[1])
        assert factor == pytest.approx(1 / scale, rel=0.3)


def test_garments_have_the_size_of_digits() -> None:
    images = list(garments(0) / np.float32(255))
    assert ink.size_fault(images, 28.0) is None
    assert ink.size_fault([image * 0 for image in images], 28.0) is None
    assert ink.size_fault([], 28.0) is None


@pytest.mark.skipif("AIRKIT_TEST_MNIST" not in os.environ, reason="needs AIRKIT_TEST_MNIST")
def test_nothing_is_told_of_mnist() -> None:
    pools = idx.IdxFolder(os.environ["AIRKIT_TEST_MNIST"]).pools(SILENT)
    for digits in pools.values():
        assert ink.level_fault(digits.images) is None
        assert not ink.is_binary([digits.images])
        assert ink.size_fault(list(digits.images / np.float32(255)), 28.0) is None
