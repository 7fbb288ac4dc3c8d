from __future__ import annotations

import numpy as np
import pytest

from airkit.data import strokes
from airkit.data.raster import Bytes
from airkit.data.strokes import BOX, FIELD, draw
from airkit.system.callbacks import SILENT

COUNT = 3_000


@pytest.fixture(scope="module")
def digits() -> tuple[Bytes, Bytes]:
    return draw(COUNT, 3, "train")


@pytest.mark.parametrize("count", [0, 1, 256, 257])
def test_a_short_draw_is_the_start_of_a_long_one(count: int, digits: tuple[Bytes, Bytes]) -> None:
    images, labels = draw(count, 3, "train")
    assert images.shape == (count, 28, 28)
    assert np.array_equal(images, digits[0][:count])
    assert np.array_equal(labels, digits[1][:count])


def test_no_image_is_drawn_twice(digits: tuple[Bytes, Bytes]) -> None:
    """By any split or seed."""
    others = [draw(600, seed, split) for seed, split in ((3, "val"), (3, "test"), (4, "train"))]
    images = np.concatenate([digits[0], *(images for images, _ in others)])
    assert len({image.tobytes() for image in images}) == COUNT + 1800
    assert not any(np.array_equal(labels, digits[1][:600]) for _, labels in others)


def test_mass_is_centred(digits: tuple[Bytes, Bytes]) -> None:
    """In a box of 20 pixels within a clear border."""
    occupied = digits[0] > 0
    assert not occupied[:, [0, -1]].any()
    assert not occupied[:, :, [0, -1]].any()
    sides = np.stack([occupied.any(axis=axis).sum(axis=1) for axis in (1, 2)])
    assert sides.max() == BOX
    assert np.quantile(sides.max(axis=0), 0.02) >= BOX - 2
    mass = digits[0].astype(float)
    at = np.arange(FIELD)
    total = mass.sum(axis=(1, 2))
    for axis in (1, 2):
        centre = (mass.sum(axis=3 - axis) * at).sum(axis=1) / total
        assert abs(centre.mean() - 14) < 0.05
        # To the nearest pixel, but where the box of ink would come too near to the edge.
        inked = np.asarray((digits[0] > 0).any(axis=3 - axis))
        stopped = (inked.argmax(axis=1) <= 3) | (inked[:, ::-1].argmax(axis=1) <= 3)
        assert ((np.abs(centre - 14) <= 0.501) | stopped).all()
        assert np.abs(centre - 14).max() < 2


def test_ink_and_pen_are_as_in_mnist(digits: tuple[Bytes, Bytes]) -> None:
    assert (digits[0].max(axis=(1, 2)) > 200).all()
    ink = digits[0] / 255
    total = ink.sum(axis=(1, 2))
    down, right = np.diff(ink, axis=1)[:, :, :-1], np.diff(ink, axis=2)[:, :-1]
    rim = np.sqrt(down**2 + right**2).sum(axis=(1, 2))
    width = 2 * total / rim
    assert 90 < total.mean() < 115  # MNIST: 102
    assert 2.2 < width.mean() < 2.8  # MNIST, by the same measure: 2.46
    assert width.std() > 0.4


def test_digits_of_a_class_resemble_it_and_vary(digits: tuple[Bytes, Bytes]) -> None:
    images, labels = digits[0].reshape(COUNT, -1) / 255, digits[1]
    half = COUNT // 2
    means = np.stack([images[:half][labels[:half] == digit].mean(axis=0) for digit in range(10)])
    apart = np.stack([((images[half:] - mean) ** 2).sum(axis=1) for mean in means])
    right = apart.argmin(axis=0) == labels[half:]
    assert right.mean() > 0.65  # nearest mean image; 0.82 on MNIST
    for digit in range(10):
        assert images[labels == digit].std(axis=0).max() > 0.3


@pytest.mark.parametrize(
    ("digit", "count"), [(0, 1), (1, 0), (3, 0), (5, 0), (6, 1), (7, 0), (8, 2), (9, 1)]
)
def test_a_label_names_what_is_drawn(digit: int, count: int, digits: tuple[Bytes, Bytes]) -> None:
    holes = [_holes(image) for image in digits[0][digits[1] == digit][:60]]
    assert np.median([len(found) for found in holes]) == count
    heights = [row for found in holes for row in found]
    if digit == 6:
        assert np.mean(heights) > 15
    if digit == 9:
        assert np.mean(heights) < 13


def _holes(image: Bytes) -> list[float]:
    """The mean row of each blank region that ink encloses."""
    blank = image < 100
    regions = []
    for start in np.argwhere(blank):
        reached, todo = [], [(int(start[0]), int(start[1]))]
        while todo:
            y, x = todo.pop()
            if 0 <= y < FIELD and 0 <= x < FIELD and blank[y, x]:
                blank[y, x] = False
                reached.append(y)
                todo += [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
        if reached:
            regions.append(float(np.mean(reached)))
    return regions[1:]  # the first one found surrounds the digit


def test_the_pools_never_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever makes a data file of strokes gets these digits, in every version."""
    monkeypatch.setattr(strokes, "POOL_SIZES", {"train": 30, "val": 5, "test": 7})
    pools = strokes.Strokes().pools(SILENT)
    for split, count in strokes.POOL_SIZES.items():
        images, labels = draw(count, 0, split)
        assert np.array_equal(pools[split].images, images)
        assert np.array_equal(pools[split].labels, labels)
