"""Built-in digits: drawn by random writers along skeletons, with nothing to download.

A writer has a slant, a pen, a roundness and habits (which allograph of a digit he writes); each
of his digits then varies around them. As in MNIST, the ink's longer side fills 20 pixels, and
its centre of mass lies at the centre of a field of 28 x 28, to the nearest pixel.

Shapes: n digits drawn together, a allographs, k control points, s samples of the pen's path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airkit.data.canvases import SPLITS
from airkit.data.digits import Digits, DigitSource
from airkit.data.raster import Bytes, Floats, Ints
from airkit.system import seeds
from airkit.system.callbacks import Listener

POOL_SIZES = {"train": 10_000, "val": 1_000, "test": 2_000}
"""Digits of each pool."""
FIELD = 28
"""Side of a digit's image."""
BOX = 20
"""Side of the box that the ink fills."""
CHUNK = 256
"""Digits drawn together from one random stream."""
DIGITS = 10
"""Classes of digits."""
WRITERS = 32
"""Writers that share a chunk."""
SAMPLES = 128
"""Samples of the pen's path: at most about half a pixel apart."""
EDGE = 1.1
"""Width of the grey edge of the ink, in pixels."""
REACH = 3
"""Pixels around a sample that its ink can reach; bounds the pen's radius."""


class Strokes(DigitSource):
    """Digits drawn by airkit, the same for every ``data.seed``."""

    licence = "Apache-2.0"
    attribution = "digits drawn by airkit"

    def pools(self, listener: Listener) -> Mapping[str, Digits]:
        """Draw all pools from one seed."""
        del listener
        return {split: Digits(*draw(count, 0, split)) for split, count in POOL_SIZES.items()}


def draw(count: int, seed: int, split: str) -> tuple[Bytes, Bytes]:
    """Draw digits; digit i depends on (seed, split, i) alone, and no writer is in two splits.

    Args:
        count: how many digits.
        seed: the user's seed, a non-negative integer.
        split: ``"train"``, ``"val"`` or ``"test"``.

    Returns:
        Images, u8 [count, 28, 28], ink up to 255, and labels, u8 [count], 0 to 9.
    """
    chunks = range(max(1, -(-count // CHUNK)))
    streams = (seeds.generator(seed, "strokes", SPLITS.index(split), chunk) for chunk in chunks)
    images, labels = zip(*map(_chunk, streams), strict=True)
    return np.concatenate(images)[:count], np.concatenate(labels)[:count].astype(np.uint8)


@dataclass(frozen=True)
class _Allographs:
    """All skeletons as arrays, row a for allograph a, so that digits are drawn together."""

    digit: Ints
    """The digit that it writes: [a]."""
    weight: Floats
    """How common it is among its digit's allographs: [a]."""
    points: Floats
    """Control points, the digit's height being 1, zero-padded: [a, k, 2]."""
    jitter: Floats
    """Scale of each control point's jitter, more at the ends of smooth pieces: [a, k]."""
    taps: Ints
    """Rows of the four control points that place a sample: [a, s, 4]."""
    smooth: Floats
    """Their weights on a smooth curve through the control points: [a, s, 4]."""
    straight: Floats
    """Their weights on straight lines from point to point: [a, s, 4]."""


@dataclass(frozen=True)
class _Style:
    """What a writer keeps from digit to digit, with small variations: one row a digit, [n]."""

    slant: Floats
    aspect: Floats
    pen: Floats
    """Radius of the pen, in pixels."""
    angular: Floats
    """0 writes smooth curves, 1 straight lines from point to point."""
    wobble: Floats
    """Scale of all jitter."""


@cache
def _allographs() -> _Allographs:
    """Read and trace all skeletons."""
    lines = Path(__file__).with_name("skeletons.txt").read_text(encoding="ascii").splitlines()
    known = [line.split(maxsplit=2) for line in lines if line[:1].isdigit()]
    columns = zip(*(_trace(path) for _, _, path in known), strict=True)
    return _Allographs(
        np.array([int(digit) for digit, _, _ in known]),
        np.array([float(weight) for _, weight, _ in known]),
        *map(_stacked, columns),
    )


def _stacked(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Stack arrays after padding their first axis with zeros to the same length."""
    longest = max(map(len, arrays))
    return np.stack(
        [np.pad(it, [(0, longest - len(it))] + [(0, 0)] * (it.ndim - 1)) for it in arrays]
    )


def _pieces(path: str) -> list[list[tuple[int, int]]]:
    """Split a skeleton's path into smooth pieces, at corners and where the pen lifts."""
    pieces: list[list[tuple[int, int]]] = []
    for stroke in path.split("|"):
        points = [(int(x), int(y)) for x, y in (word.split(",") for word in stroke.split())]
        corners = [row for row in range(1, len(points)) if points[row] == points[row - 1]]
        pieces += [points[low:high] for low, high in pairwise([0, *corners, len(points)])]
    return pieces


def _trace(path: str) -> tuple[Floats, Floats, Ints, Floats, Floats]:
    """Sample a skeleton's path at even steps of the distance from control point to point.

    Returns:
        Points, jitter, taps, smooth and straight weights of ``_Allographs``, without padding.
    """
    pieces = _pieces(path)
    rows = {point: row for row, point in enumerate(dict.fromkeys(chain.from_iterable(pieces)))}
    points = np.array(list(rows)) / 100
    jitter = np.ones(len(points))
    for piece in pieces:
        jitter[[rows[piece[0]], rows[piece[-1]]]] = 1.6
    # the control points before, at the two ends of, and after each span; ends are repeated
    padded = [[rows[it] for it in (piece[0], *piece, piece[-1])] for piece in pieces]
    spans = np.array([it[i : i + 4] for it in padded for i in range(len(it) - 3)])
    step = points[spans[:, 2]] - points[spans[:, 1]]
    length = np.sqrt(step[:, 0] ** 2 + step[:, 1] ** 2)
    ends = np.cumsum(length)
    travelled = (np.arange(SAMPLES) + 0.5) / SAMPLES * ends[-1]
    which = np.searchsorted(ends, travelled, side="right")
    along = 1 - (ends[which] - travelled) / length[which]
    taps = spans[which]
    smooth = np.array(
        [_curve_weights(float(at), span) for at, span in zip(along, taps, strict=True)]
    )
    straight = np.stack([0 * along, 1 - along, along, 0 * along], axis=1)
    return points, jitter, taps, smooth, straight


def _curve_weights(at: float, taps: Ints) -> list[float]:
    """Weights of a span's four control points on a Catmull-Rom curve, at 0..1 along the span.

    At the end of a piece the neighbour's reflection stands in for the missing point.
    """
    before = (-at + 2 * at**2 - at**3) / 2
    left = (2 - 5 * at**2 + 3 * at**3) / 2
    right = (at + 4 * at**2 - 3 * at**3) / 2
    after = (-(at**2) + at**3) / 2
    if taps[0] == taps[1]:
        left, right, before = left + 2 * before, right - before, 0.0
    if taps[2] == taps[3]:
        right, left, after = right + 2 * after, left - after, 0.0
    return [before, left, right, after]


def _chunk(rng: np.random.Generator) -> tuple[Bytes, Ints]:
    """Draw a chunk of digits: images, u8 [n, 28, 28], and labels, [n]."""
    labels = rng.integers(0, DIGITS, CHUNK)
    style = _styles(rng)
    path = _pose(rng, style, _path(rng, style, _habits(rng, labels)))
    radius = _pressure(rng, style)
    return _centred(_ink(_fitted(path, radius), radius)), labels


def _styles(rng: np.random.Generator) -> _Style:
    """Styles of the chunk's digits: each writer's own, varied from digit to digit."""

    def vary(between: float, within: float) -> Floats:
        usual = np.repeat(rng.normal(0.0, between, WRITERS), CHUNK // WRITERS)
        return usual + rng.normal(0.0, within, CHUNK)

    return _Style(
        slant=0.09 + vary(0.2, 0.08),
        aspect=np.exp(vary(0.14, 0.12)),
        pen=np.clip(1.2 * np.exp(vary(0.25, 0.1)), 0.6, 2.2),
        angular=np.clip(0.05 + vary(0.12, 0.06), -0.15, 0.4),
        wobble=np.exp(vary(0.25, 0.2)),
    )


def _habits(rng: np.random.Generator, labels: Ints) -> Ints:
    """Allograph of each digit, [n]: mostly the writer's usual one."""
    known = _allographs()
    owner = np.repeat(np.arange(WRITERS), CHUNK // WRITERS)
    whim = rng.random(CHUNK) < 0.25
    usual = rng.random((WRITERS, DIGITS))[owner, labels]
    pick = np.where(whim, rng.random(CHUNK), usual)
    chosen = np.zeros(CHUNK, np.int64)
    for digit in range(DIGITS):
        rows = np.flatnonzero(known.digit == digit)
        share = np.cumsum(known.weight[rows])
        mine = labels == digit
        chosen[mine] = rows[np.searchsorted(share, pick[mine] * share[-1], side="right")]
    return chosen


def _path(rng: np.random.Generator, style: _Style, allograph: Ints) -> Floats:
    """Samples of the pen's path through jittered control points: [n, s, 2]."""
    known = _allographs()
    points = known.points[allograph]
    jitter = 0.026 * style.wobble[:, None] * known.jitter[allograph]
    points = points + jitter[..., None] * rng.normal(0.0, 1.0, points.shape)
    blend = style.angular[:, None, None]
    weights = (1 - blend) * known.smooth[allograph] + blend * known.straight[allograph]
    digit = np.arange(CHUNK)[:, None]
    path = rng.normal(0.0, 0.005, (CHUNK, SAMPLES, 2))  # a rough rim
    for tap in range(4):
        path += weights[..., tap, None] * points[digit, known.taps[allograph, :, tap]]
    return path


def _pose(rng: np.random.Generator, style: _Style, path: Floats) -> Floats:
    """Bend, taper, warp, stretch, slant and turn each digit as a whole: [n, s, 2]."""

    def vary(scale: float, *more: int) -> Floats:
        return rng.normal(0.0, scale, (CHUNK, *more, 1))

    x, y = path[..., 0] - 0.4, path[..., 1] - 0.5
    x = x * (1 + vary(0.22) * y) + vary(0.12) * y**2
    y = y * (1 + vary(0.10) * x) + vary(0.12) * x**2 + vary(0.10) * (y**2 - 0.25)
    for _ in range(2):  # two slow waves across the paper shift neighbouring strokes together
        angle = vary(2.5) * x + vary(2.5) * y + rng.uniform(0.0, 2 * np.pi, (CHUNK, 1))
        wave = style.wobble[:, None] * np.sin(angle)
        x, y = x + 0.03 * vary(1.0) * wave, y + 0.03 * vary(1.0) * wave
    x = style.aspect[:, None] * x - style.slant[:, None] * y
    turn = vary(0.07)
    return np.stack([x - turn * y, y + turn * x], axis=-1)


def _pressure(rng: np.random.Generator, style: _Style) -> Floats:
    """Radius of the pen along its path, in pixels: [n, s]."""
    along = np.arange(SAMPLES) / SAMPLES
    slow = rng.uniform(0.0, 2 * np.pi, (CHUNK, 2, 1)) + rng.normal(0.0, 8.0, (CHUNK, 2, 1)) * along
    press = 1 + 0.09 * np.sin(slow).sum(axis=1)
    radius: Floats = np.clip(style.pen[:, None] * press, 0.5, REACH - EDGE / 2)
    return radius


def _fitted(path: Floats, radius: Floats) -> Floats:
    """Scale and shift each path so that its ink just fills the box: [n, s, 2]."""
    margin = (radius + EDGE / 2).max(axis=1)[:, None, None]
    low, high = path.min(axis=1, keepdims=True), path.max(axis=1, keepdims=True)
    scale = (BOX - 2 * margin) / (high - low).max(axis=2, keepdims=True)
    fitted: Floats = BOX / 2 + scale * (path - (low + high) / 2)
    return fitted


def _ink(path: Floats, radius: Floats) -> Bytes:
    """Draw a round pen along each path: u8 [n, 20, 20].

    A pixel has the strongest ink of the samples near it. Across the pen's rim, ink falls from
    full to none within ``EDGE`` pixels.
    """
    # Machines differ in the last bit of exp and sin. Rounding to 1/512 pixel hides that, and all
    # that follows is exact or correctly rounded: the bytes are the same everywhere.
    path, radius = np.round(path * 512) / 512, np.round(radius * 512) / 512
    side = BOX + 2 * REACH
    near = np.arange(-REACH, REACH + 1)
    corner = np.floor(path)
    squares = (near + 0.5 - (path - corner)[..., None]) ** 2
    distance = np.sqrt(squares[:, :, 1, :, None] + squares[:, :, 0, None, :])
    paint = (radius[..., None, None] - distance).astype(np.float32)
    pixel = corner.astype(np.int64)[..., None] + REACH + near
    first = np.arange(CHUNK)[:, None, None, None] * side**2
    where = first + pixel[:, :, 1, :, None] * side + pixel[:, :, 0, None, :]
    inside = np.full(CHUNK * side**2, -1.0, np.float32)
    np.maximum.at(inside, where.ravel(), paint.ravel())
    field = inside.reshape(CHUNK, side, side)[:, REACH:-REACH, REACH:-REACH]
    share = np.clip(field / np.float32(EDGE) + np.float32(0.5), 0, 1)
    ink: Bytes = np.round(255 * share).astype(np.uint8)
    return ink


def _centred(ink: Bytes) -> Bytes:
    """Place each box of ink in its field, with its centre of mass in the middle: u8 [n, 28, 28]."""
    mass = ink.astype(np.int64)
    total = mass.sum(axis=(1, 2))
    row = (mass.sum(axis=2) * np.arange(BOX)).sum(axis=1) / total
    column = (mass.sum(axis=1) * np.arange(BOX)).sum(axis=1) / total
    images = np.zeros((len(ink), FIELD, FIELD), np.uint8)
    middle = FIELD / 2  # MNIST's centre: the pixel of index 14
    # clipped so that a blank border of one pixel stays
    top = np.clip(np.round(middle - row), 1, FIELD - BOX - 1).astype(np.int64)
    left = np.clip(np.round(middle - column), 1, FIELD - BOX - 1).astype(np.int64)
    for image, box, y, x in zip(images, ink, top, left, strict=True):
        image[y : y + BOX, x : x + BOX] = box
    return images
