"""The noise that a look finds is the same in PNG, in JPEG and after resizing or blur."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from test_look import bytes_of, discs, lumps

from airkit.data.look import noise
from airkit.data.look.findings import look
from airkit.system import backgrounds

Array = np.ndarray[Any, Any]
FLAT = 0.5 + np.random.default_rng(3).normal(0, 0.03, (40, 64, 64))


def jpeg(quality: int) -> Callable[[Array], Array]:
    """Write and read pictures [N, H, W] as JPEG."""

    def one(picture: Array) -> Array:
        file = BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=quality)
        return np.array(Image.open(file))

    return lambda pictures: np.stack([one(each) for each in pictures])


def enlarged(pictures: Array) -> Array:
    """Pictures [N, H, W] of twice the sides, resampled linearly."""
    size, how = 2 * pictures.shape[1], Image.Resampling.BILINEAR
    larger = [Image.fromarray(each).resize((size, size), how) for each in pictures]
    return np.stack([np.array(each) for each in larger])


def blurred(pictures: Array) -> Array:
    """Means of 3 x 3 pixels."""
    levels = torch.from_numpy(pictures.astype(np.float32))
    means: Array = backgrounds.blur(levels, 3).round().byte().numpy()
    return means


CHANGES: dict[str, Callable[[Array], Array]] = {
    "JPEG 60": jpeg(60), "JPEG 80": jpeg(80), "JPEG 95": jpeg(95),
    "enlarged": enlarged, "blurred": blurred,
}  # fmt: skip


def found(pictures: Array) -> float:
    """Noise of pictures uint8 [N, H, W], white being 1."""
    levels = pictures[:, None] / np.float32(255)
    return max(noise.fine(levels), noise.coarse(levels))


def test_white_noise_is_found_as_it_is() -> None:
    assert found(bytes_of(FLAT)) == pytest.approx(0.03, rel=0.03)
    assert found(np.full((3, 8, 8), 90, np.uint8)) == 0


@pytest.mark.parametrize("change", CHANGES)
def test_noise_is_found_after_a_change(change: str) -> None:
    """Near the standard deviation that is left of it, of which the finest part is the least."""
    pictures = CHANGES[change](bytes_of(FLAT))
    assert found(pictures) == pytest.approx(pictures.std() / 255, rel=0.3)


@pytest.mark.parametrize("level", [0.0, 0.03])
def test_objects_and_soft_lumps_are_no_noise(level: float) -> None:
    levels = bytes_of(discs(lumps, noise=level, adds=True))
    fine = noise.fine(levels[:, None] / np.float32(255))
    assert found(levels) == pytest.approx(fine, abs=max(0.1 * fine, 0.001))


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("polarity", ["bright", "dark"])
def test_a_look_finds_the_same_after_a_change(polarity: str, change: str) -> None:
    """Bright discs on black, and dark ones on grey that the import stretches."""
    if polarity == "bright":
        before = bytes_of(discs(noise=0.03))
        after = CHANGES[change](before)
    else:
        narrow = bytes_of(0.5 + 0.5 * (1 - discs(lambda _: 0.05, levels=(0.7, 1), noise=0.06)))
        before, after = (_stretched(each) for each in (narrow, CHANGES[change](narrow)))
    one, other = look(before), look(after)
    scale = 2 if change == "enlarged" else 1
    assert one.polarity == other.polarity == polarity
    assert other.object_size / scale == pytest.approx(one.object_size, abs=2)
    assert other.contrast == pytest.approx(one.contrast, rel=0.2)
    assert one.most_objects == other.most_objects == 3
    assert one.doubts == other.doubts == ()


def _stretched(pictures: Array) -> Array:
    """Levels of 0.45 to 1 stretched to all levels."""
    return bytes_of((pictures / 255 - 0.45) / 0.55)
