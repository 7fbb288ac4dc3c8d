"""Built-in digits: written by random writers along our own skeletons, nothing to download.

A writer has a slant, a pen, a roundness and habits (which allograph of a digit he writes); each
of his digits then varies around them. As in MNIST, the ink's longer side fills 20 pixels, and
its centre of mass lies at the centre of a field of 28 x 28, to the nearest pixel.

Letters in shapes: n digits, k control points, s samples along the pen's path.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from airkit.data.stroke_skeletons import SKELETONS
from airkit.system import seeds

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]

SPLITS = ("train", "val", "test")
FIELD = 28
"""Side of a digit's image."""
BOX = 20
"""Side of the box that the ink fills."""
CHUNK = 256
"""Digits drawn together from one random stream."""
WRITERS = 32
"""Writers that share a chunk."""
SAMPLES = 128
"""Points along the pen's path: at most about half a pixel apart."""
EDGE = 1.1
"""Width of the grey edge of the ink, in pixels."""
REACH = 3
"""Pixels around a sample that its ink can reach; bounds the pen's radius."""


def draw(count: int, seed: int, split: str) -> tuple[Bytes, Bytes]:
    """Draw digits; digit i depends on (seed, split, i) alone, and no writer is in two splits.

    Args:
        count: how many digits.
        seed: the user's seed, a non-negative integer.
        split: ``"train"``, ``"val"`` or ``"test"``.

    Returns:
        Images, u8 [count, 28, 28], ink up to 255, and labels, u8 [count], 0 to 9.
    """
    images = np.zeros((count, FIELD, FIELD), np.uint8)
    labels = np.zeros(count, np.uint8)
    for start in range(0, count, CHUNK):
        part = slice(start, min(start + CHUNK, count))
        rng = seeds.generator(seed, "strokes", SPLITS.index(split), start // CHUNK)
        drawn, kinds = _chunk(rng)
        images[part] = drawn[: part.stop - start]
        labels[part] = kinds[: part.stop - start]
    return images, labels


@dataclass(frozen=True)
class _Shapes:
    """All allographs as arrays, row a for allograph a, so that digits are drawn together."""

    digit: Ints
    """Which digit it writes: [a]."""
    weight: Floats
    """How common it is among its digit's allographs: [a]."""
    points: Floats
    """Control points, the digit's height being 1, zero-padded: [a, k, 2]."""
    loose: Floats
    """How much a control point may stray, more at the ends of smooth pieces: [a, k]."""
    taps: Ints
    """The four control points that place a sample: [a, s, 4]."""
    smooth: Floats
    """Their weights on a smooth curve through the control points: [a, s, 4]."""
    straight: Floats
    """Their weights on straight lines from point to point: [a, s, 4]."""


@dataclass(frozen=True)
class _Hand:
    """What a writer keeps, and each of his digits varies: one row per digit, [n]."""

    slant: Floats
    aspect: Floats
    pen: Floats
    """Radius of the pen, in pixels."""
    angular: Floats
    """0 writes smooth curves, 1 straight lines from point to point."""
    unrest: Floats
    """Scale of everything that wobbles."""


def _pieces(path: str) -> list[list[tuple[int, int]]]:
    """Split a skeleton's path at corners and where the pen lifts, into smooth pieces."""
    pieces: list[list[tuple[int, int]]] = []
    for stroke in path.split("|"):
        piece: list[tuple[int, int]] = []
        for word in stroke.split():
            x, y = (int(number) for number in word.split(","))
            if piece and piece[-1] == (x, y):
                pieces.append(piece)
                piece = []
            piece.append((x, y))
        pieces.append(piece)
    return pieces


def _curve_weights(at: float, first: bool, last: bool) -> list[float]:
    """Weights of the four points around a span of a Catmull-Rom curve, at 0..1 along the span.

    Past the end of a piece there is no point: the neighbour's reflection stands in for it.
    """
    before = (-at + 2 * at**2 - at**3) / 2
    left = (2 - 5 * at**2 + 3 * at**3) / 2
    right = (at + 4 * at**2 - 3 * at**3) / 2
    after = (-(at**2) + at**3) / 2
    if first:
        left, right, before = left + 2 * before, right - before, 0.0
    if last:
        right, left, after = right + 2 * after, left - after, 0.0
    return [before, left, right, after]


class _Span(NamedTuple):
    """A stretch of the path between two control points, and the rows that shape it."""

    taps: tuple[int, int, int, int]
    """Rows of the control points before it, at its two ends, and after it."""
    first: bool
    """Whether no point comes before it: the row before repeats the left end."""
    last: bool
    """Whether no point comes after it: the row after repeats the right end."""


def _spans(rows: list[int]) -> list[_Span]:
    """The spans of a smooth piece that runs through the control points ``rows``."""
    padded = [rows[0], *rows, rows[-1]]
    count = len(rows) - 1
    return [
        _Span((padded[i], padded[i + 1], padded[i + 2], padded[i + 3]), i == 0, i == count - 1)
        for i in range(count)
    ]


class _Trace(NamedTuple):
    """One row of ``_Shapes``, unpadded: points [k, 2], loose [k], the others [s, 4]."""

    points: Floats
    loose: Floats
    taps: Ints
    smooth: Floats
    straight: Floats


def _trace(path: str) -> _Trace:
    """Sample a skeleton's path at even steps of the distance from control point to point."""
    pieces = _pieces(path)
    rows = {point: row for row, point in enumerate(dict.fromkeys(chain.from_iterable(pieces)))}
    points = np.array(list(rows)) / 100
    loose = np.ones(len(points))
    for piece in pieces:
        loose[[rows[piece[0]], rows[piece[-1]]]] = 1.6
    spans = [span for piece in pieces for span in _spans([rows[point] for point in piece])]
    taps = np.array([span.taps for span in spans])
    step = points[taps[:, 2]] - points[taps[:, 1]]
    length = np.sqrt(step[:, 0] ** 2 + step[:, 1] ** 2)
    ends = np.cumsum(length)
    travelled = (np.arange(SAMPLES) + 0.5) / SAMPLES * ends[-1]
    which = np.searchsorted(ends, travelled, side="right")
    along = 1 - (ends[which] - travelled) / length[which]
    smooth = [
        _curve_weights(float(at), spans[row].first, spans[row].last)
        for at, row in zip(along, which, strict=True)
    ]
    straight = np.stack([0 * along, 1 - along, along, 0 * along], axis=1)
    return _Trace(points, loose, taps[which], np.array(smooth), straight)


@cache
def _shapes() -> _Shapes:
    """All skeletons, traced once."""
    known = [(digit, shape) for digit, shapes in enumerate(SKELETONS) for shape in shapes]
    traces = [_trace(shape.path) for _, shape in known]
    most = max(len(trace.loose) for trace in traces)
    spare = [(0, most - len(trace.loose)) for trace in traces]
    return _Shapes(
        digit=np.array([digit for digit, _ in known]),
        weight=np.array([shape.weight for _, shape in known], float),
        points=np.stack(
            [np.pad(t.points, (n, (0, 0))) for t, n in zip(traces, spare, strict=True)]
        ),
        loose=np.stack([np.pad(t.loose, n) for t, n in zip(traces, spare, strict=True)]),
        taps=np.stack([trace.taps for trace in traces]),
        smooth=np.stack([trace.smooth for trace in traces]),
        straight=np.stack([trace.straight for trace in traces]),
    )


def _chunk(rng: np.random.Generator) -> tuple[Bytes, Ints]:
    """A whole chunk of digits: images, u8 [n, 28, 28], and labels, [n]."""
    labels = rng.integers(0, len(SKELETONS), CHUNK)
    hand = _hands(rng)
    path = _pose(rng, hand, _path(rng, hand, _habits(rng, labels)))
    radius = _pressure(rng, hand)
    return _centred(_ink(_fitted(path, radius), radius)), labels


def _hands(rng: np.random.Generator) -> _Hand:
    """The chunk's writers, each with his share of its digits."""

    def vary(between: float, within: float) -> Floats:
        writers = np.repeat(rng.normal(0.0, between, WRITERS), CHUNK // WRITERS)
        return writers + rng.normal(0.0, within, CHUNK)

    return _Hand(
        slant=0.09 + vary(0.2, 0.08),
        aspect=np.exp(vary(0.14, 0.12)),
        pen=np.clip(1.2 * np.exp(vary(0.25, 0.1)), 0.6, 2.2),
        angular=np.clip(0.05 + vary(0.12, 0.06), -0.15, 0.4),
        unrest=np.exp(vary(0.25, 0.2)),
    )


def _habits(rng: np.random.Generator, labels: Ints) -> Ints:
    """Which allograph writes each digit, [n]: mostly the writer's usual one."""
    shapes = _shapes()
    owner = np.repeat(np.arange(WRITERS), CHUNK // WRITERS)
    whim = rng.random(CHUNK) < 0.25
    usual = rng.random((WRITERS, len(SKELETONS)))[owner, labels]
    pick = np.where(whim, rng.random(CHUNK), usual)
    chosen = np.zeros(CHUNK, np.int64)
    for digit in range(len(SKELETONS)):
        rows = np.flatnonzero(shapes.digit == digit)
        share = np.cumsum(shapes.weight[rows])
        mine = labels == digit
        chosen[mine] = rows[np.searchsorted(share, pick[mine] * share[-1], side="right")]
    return chosen


def _path(rng: np.random.Generator, hand: _Hand, allograph: Ints) -> Floats:
    """Samples along the pen's path through jittered control points: [n, s, 2]."""
    shapes = _shapes()
    points = shapes.points[allograph]
    stray = 0.026 * hand.unrest[:, None] * shapes.loose[allograph]
    points = points + stray[..., None] * rng.normal(0.0, 1.0, points.shape)
    blend = hand.angular[:, None, None]
    weights = (1 - blend) * shapes.smooth[allograph] + blend * shapes.straight[allograph]
    digit = np.arange(CHUNK)[:, None]
    path = rng.normal(0.0, 0.005, (CHUNK, SAMPLES, 2))  # a rough rim
    for tap in range(4):
        path += weights[..., tap, None] * points[digit, shapes.taps[allograph, :, tap]]
    return path


def _pose(rng: np.random.Generator, hand: _Hand, path: Floats) -> Floats:
    """Bend, taper, warp, stretch, slant and turn each digit as a whole: [n, s, 2]."""

    def vary(scale: float, *more: int) -> Floats:
        return rng.normal(0.0, scale, (CHUNK, *more, 1))

    x, y = path[..., 0] - 0.4, path[..., 1] - 0.5
    x = x * (1 + vary(0.22) * y) + vary(0.12) * y**2
    y = y * (1 + vary(0.10) * x) + vary(0.12) * x**2 + vary(0.10) * (y**2 - 0.25)
    for _ in range(2):  # two slow waves across the paper shift neighbouring strokes together
        angle = vary(2.5) * x + vary(2.5) * y + rng.uniform(0.0, 2 * np.pi, (CHUNK, 1))
        wave = hand.unrest[:, None] * np.sin(angle)
        x, y = x + 0.03 * vary(1.0) * wave, y + 0.03 * vary(1.0) * wave
    x = hand.aspect[:, None] * x - hand.slant[:, None] * y
    turn = vary(0.07)
    return np.stack([x - turn * y, y + turn * x], axis=-1)


def _pressure(rng: np.random.Generator, hand: _Hand) -> Floats:
    """Radius of the pen along its path, in pixels: [n, s]."""
    along = np.arange(SAMPLES) / SAMPLES
    slow = rng.uniform(0.0, 2 * np.pi, (CHUNK, 2, 1)) + rng.normal(0.0, 8.0, (CHUNK, 2, 1)) * along
    press = 1 + 0.09 * np.sin(slow).sum(axis=1)
    radius: Floats = np.clip(hand.pen[:, None] * press, 0.5, REACH - EDGE / 2)
    return radius


def _fitted(path: Floats, radius: Floats) -> Floats:
    """Scale and shift each path so that its ink fills the box and no more: [n, s, 2]."""
    margin = (radius + EDGE / 2).max(axis=1)[:, None, None]
    low, high = path.min(axis=1, keepdims=True), path.max(axis=1, keepdims=True)
    scale = (BOX - 2 * margin) / (high - low).max(axis=2, keepdims=True)
    fitted: Floats = BOX / 2 + scale * (path - (low + high) / 2)
    return fitted


def _ink(path: Floats, radius: Floats) -> Bytes:
    """Paint a round pen along each path: u8 [n, 20, 20].

    A pixel takes the strongest ink of the samples near it, which falls from full to none over
    the edge's width across the pen's rim.
    """
    # Machines differ in the last bit of exp and sin. A grid of 1/512 pixel hides that, and all
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
    """Place each box of ink in its field, centre of mass at the centre: u8 [n, 28, 28]."""
    mass = ink.astype(np.int64)
    total = mass.sum(axis=(1, 2))
    row = (mass.sum(axis=2) * np.arange(BOX)).sum(axis=1) / total
    column = (mass.sum(axis=1) * np.arange(BOX)).sum(axis=1) / total
    images = np.zeros((len(ink), FIELD, FIELD), np.uint8)
    middle = FIELD / 2  # MNIST's centre: the pixel of index 14
    # The clip keeps a clear border of one pixel whatever the digit's balance.
    top = np.clip(np.round(middle - row), 1, FIELD - BOX - 1).astype(np.int64)
    left = np.clip(np.round(middle - column), 1, FIELD - BOX - 1).astype(np.int64)
    for image, box, y, x in zip(images, ink, top, left, strict=True):
        image[y : y + BOX, x : x + BOX] = box
    return images
