"""A look at pictures finds their background, objects and sizes, and says what it doubts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airkit.config.pictures import PicturesConfig
from airkit.config.schema import DataConfig
from airkit.data.compose import compose
from airkit.data.look import objects
from airkit.data.look.blobs import connected
from airkit.data.look.findings import Findings, candidates, look
from airkit.data.sources import load

Array = np.ndarray[Any, Any]
SIDE = 48
_Y, _X = np.mgrid[:SIDE, :SIDE] + 0.5


def disc(rng: np.random.Generator, radii: tuple[float, float]) -> Array:
    """The cover of a disc somewhere on a picture, [H, H]."""
    radius = rng.uniform(*radii)
    x, y = rng.uniform(radius, SIDE - radius, 2)
    cover: Array = np.clip(radius - np.hypot(_X - x, _Y - y) + 0.5, 0, 1)
    return cover


def discs(
    background: Callable[[np.random.Generator], Any] = lambda _: 0.0,
    *,
    levels: tuple[float, float] = (0.6, 1.0),
    radii: tuple[float, float] = (4, 6),
    noise: float = 0.0,
    adds: bool = False,
    many: int = 120,
) -> Array:
    """Grey levels in 0..1 of pictures of up to three discs, [N, H, H]."""
    rng, pictures = np.random.default_rng(7), []
    for _ in range(many):
        picture = background(rng) + np.zeros((SIDE, SIDE))
        for _ in range(rng.integers(4)):
            cover, level = disc(rng, radii), rng.uniform(*levels)
            picture = picture * (1 - (not adds) * cover) + level * cover
        pictures.append(picture + rng.normal(0, noise, picture.shape))
    return np.array(pictures)


def slope(rng: np.random.Generator) -> Array:
    """A linear gradient."""
    start, stop = rng.uniform(0, 0.4, 2)
    slope: Array = start + (stop - start) * _X / SIDE
    return slope


def vignette(rng: np.random.Generator) -> Array:
    """White paper under a lamp: light that falls off from somewhere."""
    x, y = rng.uniform(0.3 * SIDE, 0.7 * SIDE, 2)
    light: Array = 0.9 - 0.6 * ((_X - x) ** 2 + (_Y - y) ** 2) / SIDE**2
    return light


def lumps(rng: np.random.Generator) -> Array:
    """Soft lumps, wider than any object."""
    x, y = rng.uniform(0, SIDE, 2)
    bump: Array = 0.25 * np.exp(-((_X - x) ** 2 + (_Y - y) ** 2) / (2 * 18**2))
    return bump


def texture(rng: np.random.Generator) -> Array:
    """Stripes in a random direction, as fine as objects."""
    angle, phase = rng.uniform(0, 6, 2)
    stripes: Array = 0.4 + 0.2 * np.sin(0.7 * (_X * np.cos(angle) + _Y * np.sin(angle)) + phase)
    return stripes


def bytes_of(levels: Array) -> Array:
    """Grey levels as uint8."""
    found: Array = np.rint(255 * levels.clip(0, 1)).astype(np.uint8)
    return found


def seen(levels: Array) -> Findings:
    """What is found in pictures of grey levels in 0..1."""
    return look(bytes_of(levels))


@pytest.mark.parametrize(
    ("levels", "background", "polarity", "noise"),
    [
        (discs(), "none", "bright", 0.0),
        (discs(noise=0.02, background=lambda _: 0.2), "constant", "bright", 0.02),
        (discs(lambda rng: rng.uniform(0.7, 0.9), levels=(0, 0.3)), "constant", "dark", 0.0),
        (discs(lambda rng: rng.uniform(), levels=(0, 1)), "constant", "both", 0.0),
        (discs(slope, levels=(0.8, 1), noise=0.05), "plane", "bright", 0.05),
        (discs(vignette, levels=(0, 0.2), noise=0.02), "quadratic", "dark", 0.02),
        (discs(lumps, noise=0.02, adds=True), "smooth", "bright", 0.015),
        (1 - discs(lumps, noise=0.02, adds=True), "smooth", "dark", 0.015),
    ],
)
@pytest.mark.parametrize("shape", [(SIDE, SIDE), (36, SIDE), (SIDE, 30)], ids=str)
def test_background_polarity_noise_and_sizes(
    levels: Array, background: str, polarity: str, noise: float, shape: tuple[int, int]
) -> None:
    found = seen(levels[:, : shape[0], : shape[1]])
    assert (found.background, found.polarity) == (background, polarity)
    assert found.noise == pytest.approx(noise, abs=0.007)
    assert found.object_size == pytest.approx(10.5, abs=1.5)
    assert 7 <= found.object_sizes[0] <= found.object_size <= found.object_sizes[1] <= 15
    assert 3 <= found.most_objects <= 4
    assert not found.doubts


@pytest.mark.parametrize("polarity", ["bright", "dark"])
@pytest.mark.parametrize(("side", "size", "most"), [(50, 21.0, 2), (64, 18.0, 3)])
def test_digits_are_found_to_be_what_they_are(
    side: int, size: float, most: int, polarity: str
) -> None:
    data = DataConfig(source="strokes", canvas_size=side, digit_size=size, max_digits=most)
    images = compose(data, "train", load("strokes").pools["train"], 0, 150).image
    found = look(images if polarity == "bright" else 255 - images)
    assert (found.polarity, found.compositing) == (polarity, "add")
    assert found.background == ("none" if polarity == "bright" else "constant")
    assert found.digit_size == pytest.approx(size, rel=0.1)
    assert most <= found.most_objects <= most + 2
    assert found.contrast == pytest.approx(PicturesConfig().contrast, abs=0.2)
    assert not found.doubts


@pytest.mark.parametrize("grain", [0.07, 0.1])
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_objects_with_a_grain_hide_each_other_unless_some_are_far_brighter(
    grain: float, noise: float
) -> None:
    """A grain that is small for most objects parts the brightest ones, as nuclei."""
    ripples = 1 + grain * (np.sin(1.3 * _X) + np.sin(1.1 * _Y + _X))
    alike = discs(radii=(6, 9), levels=(0.2, 0.25), noise=noise)
    brighter = discs(radii=(6, 9), levels=(0.6, 0.9), noise=noise, many=60)
    assert seen(alike * ripples).compositing == "over"
    assert seen(np.concatenate([alike, brighter])).compositing == "over"
    assert seen(np.concatenate([alike, brighter]) * ripples).compositing == "add"


def test_flat_discs_hide_each_other_unless_overlaps_are_brighter() -> None:
    crowded = {"radii": (6.0, 9.0), "levels": (0.35, 0.45)}
    assert seen(discs(**crowded)).compositing == "over"  # type: ignore[arg-type]
    assert seen(discs(**crowded, adds=True)).compositing == "add"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "turned", [lambda x: x[:, ::-1], lambda x: x[:, :, ::-1], lambda x: x.transpose(0, 2, 1)]
)
def test_turned_pictures_are_found_alike(turned: Callable[[Array], Array]) -> None:
    levels = discs(slope, levels=(0.8, 1), noise=0.03)
    one, other = seen(levels), seen(turned(levels))
    assert one.pictures() == other.pictures()
    assert (one.object_sizes, one.most_objects) == (other.object_sizes, other.most_objects)


def test_inverting_turns_bright_to_dark_and_nothing_else() -> None:
    levels = discs(lambda _: 0.2, noise=0.02)
    one, other = seen(levels), seen(1 - levels)
    assert (one.polarity, other.polarity) == ("bright", "dark")
    assert one.pictures().model_copy(update={"polarity": "dark"}) == other.pictures()
    assert one.object_sizes == other.object_sizes


def test_brighter_and_weaker_pictures_keep_their_sizes() -> None:
    levels = discs(levels=(0.5, 0.8))
    one, brighter, weaker = seen(levels), seen(levels + 0.2), seen(levels / 2)
    assert brighter.background == "constant"
    assert one.contrast == pytest.approx(brighter.contrast, rel=0.4)
    assert weaker.contrast == pytest.approx(one.contrast / 2, abs=0.01)
    assert one.object_sizes == weaker.object_sizes
    assert one.most_objects == weaker.most_objects


def test_larger_pictures_of_larger_objects() -> None:
    levels = discs(many=60)
    one, other = seen(levels), seen(levels.repeat(2, 1).repeat(2, 2))
    assert other.object_size == pytest.approx(2 * one.object_size, abs=1)
    assert other.most_objects == one.most_objects


@pytest.mark.parametrize(
    ("levels", "word"),
    [
        (discs(texture, levels=(0.9, 1)), "textured"),
        (discs(radii=(17, 20), background=lambda _: 0.2), "as large as"),
        (discs(background=lambda _: 0.5, levels=(0.56, 0.6)), "stand out by"),
        (discs(levels=(0.05, 0.5), noise=0.02, adds=True), "model.pixel_sd="),
        (np.concatenate([discs(radii=(3, 4)), discs(radii=(8, 10), many=60)]), "sizes differ"),
        (np.zeros((20, SIDE, SIDE)), "empty"),
        (np.ones((20, SIDE, SIDE)), "empty"),
        (0.5 + np.random.default_rng(0).normal(0, 0.15, (50, SIDE, SIDE)), "noise"),
        (np.concatenate([discs(many=10), np.zeros((90, SIDE, SIDE))]), "look empty"),
    ],
)
def test_doubts_are_told(levels: Array, word: str) -> None:
    found = seen(levels)
    assert any(word in str(doubt) for doubt in found.doubts)


@pytest.mark.parametrize("level", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("sign", [1, -1])
def test_objects_along_most_of_the_border_are_no_texture(level: float, sign: int) -> None:
    rng, pictures = np.random.default_rng(5), []
    for _ in range(30):
        picture = np.full((SIDE, SIDE), level)
        for place in range(0, SIDE, 16):
            for x, y in ((place, 3), (place, SIDE - 3), (3, place), (SIDE - 3, place)):
                off = np.hypot(_X - x - rng.uniform(-2, 6), _Y - y - rng.uniform(-2, 2))
                picture[off < rng.uniform(4, 6)] = level + rng.uniform(0.3, 0.6)
        pictures.append(picture + rng.normal(0, 0.005, picture.shape))
    levels = np.array(pictures)
    found = seen(levels if sign > 0 else 1 - levels)
    assert not any("textured" in str(doubt) for doubt in found.doubts)


def test_crowds_are_told() -> None:
    rng = np.random.default_rng(1)
    crowd = [sum(disc(rng, (1.6, 2)) for _ in range(30)) for _ in range(40)]
    found = seen(np.array(crowd))
    (tile,) = (it.text.split("tile=")[1] for it in found.doubts if "tiles" in it.text)
    assert 4 * found.object_size <= int(tile) <= 5 * found.object_size


@pytest.mark.parametrize(("radii", "tiled"), [((4, 5), True), ((5.5, 6.5), False)])
def test_a_tile_is_smaller_than_the_pictures(
    radii: tuple[float, float], *, tiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of objects of 9 px and of 12 px, of which tiles of 41 and of 54 px would hold ten."""
    monkeypatch.setattr(objects, "most", lambda *_: 30)
    (doubt,) = (it.text for it in seen(discs(radii=radii)).doubts if "more than 20" in it.text)
    assert ("tile=" in doubt, "too many for its 48 px" in doubt) == (tiled, not tiled)


@pytest.mark.parametrize("many", [1, 3])
def test_a_few_pictures_are_enough(many: int) -> None:
    found = look(bytes_of(discs(many=40)[-many:]))
    assert 1 <= found.most_objects <= 4


def test_findings_fit_the_settings() -> None:
    found = seen(discs(radii=(20, 23)))
    DataConfig(canvas_size=SIDE, digit_size=found.digit_size, digit_size_sd=0)
    assert seen(np.zeros((9, SIDE, SIDE))).digit_size == 4


def test_a_look_is_repeatable() -> None:
    images = bytes_of(discs(many=400))
    assert look(images) == look(images)


def test_candidates_are_boxes_of_what_stands_out() -> None:
    ink = discs(levels=(0.9, 1), many=20)
    sides = np.concatenate(candidates(ink, noise=0.0))[:, 2:].max(1)
    assert 8 <= np.median(sides) <= 14
    assert [len(each) for each in candidates(0 * ink, noise=0.0, faint=True)] == [0] * 20


def test_a_crooked_line_is_one_part() -> None:
    line = np.array([[0, 1, 0, 0], [1, 0, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1]], bool)
    assert connected(line[None]).tolist() == [0] * 6
    assert connected(line[None], corners=False).tolist() == [0, 1, 1, 2, 3, 4]


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), corners=st.booleans())
def test_parts_are_those_of_a_flood_fill(seed: int, corners: bool) -> None:
    rng = np.random.default_rng(seed)
    flags = rng.random((rng.integers(1, 4), *rng.integers(1, 32, 2))) < rng.uniform(0.2, 0.8)
    assert connected(flags, corners=corners).tolist() == flood_filled(flags, corners)


def flood_filled(flags: Array, corners: bool) -> list[int]:
    """Number of the part of each pixel that is set, in the order of ``nonzero``."""
    steps = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if corners or not x or not y]
    pixels: list[tuple[int, int, int]] = [(n, y, x) for n, y, x in np.argwhere(flags).tolist()]
    part: dict[tuple[int, int, int], int] = {}
    for start in pixels:
        number, front = max(part.values(), default=-1) + 1, {start} - part.keys()
        while front:
            part |= dict.fromkeys(front, number)
            near = {(n, y + down, x + along) for n, y, x in front for down, along in steps}
            front = near.intersection(pixels) - part.keys()
    return [part[pixel] for pixel in pixels]
