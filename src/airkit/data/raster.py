"""Painting digits on canvases, and finding where ink is.

Shapes: N canvases of side H, K patches of side s.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from airkit.data.draws import Ints
from airkit.data.resize import Bytes

INK = 26
"""Least value of an inked pixel: a tenth of full ink, 255."""


def fill(canvases: Bytes, row: Ints, corner: Ints, patches: Bytes) -> None:
    """Paint one patch [K, s, s] on each of the blank canvases ``row`` [K] of [N, H, H]."""
    _windows(canvases, patches.shape[1])[row, corner[:, 1], corner[:, 0]] = patches


def add(canvases: Bytes, row: Ints, corner: Ints, patches: Bytes) -> NDArray[np.bool_]:
    """Add one patch [K, s, s] to each of the canvases ``row`` [K], cutting at full ink.

    Returns whether all of its ink went on: [K].
    """
    windows = _windows(canvases, patches.shape[1])
    x, y = corner.T
    before = windows[row, y, x]
    room = ~before  # 255 less what is there
    windows[row, y, x] = before + np.minimum(patches, room)
    whole: NDArray[np.bool_] = ~(patches > room).reshape(len(row), -1).any(1)
    return whole


def _windows(canvases: Bytes, side: int) -> Bytes:
    """All squares of ``side`` as a writeable view: [N, H - side + 1, H - side + 1, side, side]."""
    many, size, _ = canvases.shape
    across, along = canvases.strides[:2]
    room = size - side + 1
    # quicker than sliding_window_view, which takes longer than to paint some hundred patches
    return np.ndarray(
        (many, room, room, side, side), np.uint8, canvases, 0, (across, along, 1, along, 1)
    )


def extents(patches: Bytes) -> Ints:
    """Where the ink of each patch is: u8 [K, s, s] to i64 [K, 4] of x, y, width, height.

    A patch fainter than ``INK`` throughout has the extent of whatever it shows, a blank one
    its own.
    """
    many, side, _ = patches.shape
    greatest = patches.reshape(many, -1).max(1)
    least = np.where(greatest >= INK, INK, np.minimum(greatest, 1)).astype(np.uint8)
    inked = np.zeros((many, side, -side % 64 + side), np.bool_)
    np.greater_equal(patches, least[:, None, None], out=inked[..., :side])
    # a line of pixels is a few words of bits: quicker than to look at each pixel twice
    words = np.packbits(inked).view(np.uint64).reshape(many, side, -1)
    columns = np.unpackbits(np.bitwise_or.reduce(words, 1).view(np.uint8), axis=1)[:, :side]
    rows = (words != 0).any(2)
    x, y = columns.argmax(1), rows.argmax(1)
    right, bottom = side - columns[:, ::-1].argmax(1), side - rows[:, ::-1].argmax(1)
    return np.stack([x, y, right - x, bottom - y], 1)
