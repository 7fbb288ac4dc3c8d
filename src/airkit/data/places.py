"""Placing digits one after the other, so that their boxes obey the rule on overlap.

Shapes: n canvases, M digits at most on one.
"""

from __future__ import annotations

import numpy as np

from airkit.data.draws import Ints
from airkit.data.placement import Block, Mask, Scenes, corners


def place_digits(block: Block, scenes: Scenes, attempt: int) -> Mask:
    """Place digits one after the other, setting ``scenes.corner``; which canvases got all: [n]."""
    limit = 0.0 if block.config.overlap == "none" else float(block.config.overlap)
    words = block.words("places", scenes.row, attempt, 64 + 32 * block.places)
    boxes = scenes.ink.copy()
    done = np.zeros_like(scenes.count)
    for move in words.T:
        now = np.flatnonzero(done < scenes.count)
        if not len(now):
            break
        place = done[now]
        corner = corners(block, scenes.side[now, place], move[now])
        scenes.corner[now, place] = corner
        boxes[now, place, :2] = scenes.ink[now, place, :2] + corner
        seen = boxes[now, : place.max() + 1]
        earlier = np.arange(seen.shape[1]) < place[:, None]
        done[now] += ~(_clash(seen, boxes[now, place], limit) & earlier).any(1)
    complete: Mask = done == scenes.count
    return complete


def _clash(boxes: Ints, one: Ints, limit: float) -> Mask:
    """Whether boxes [n, m, 4] overlap ``one`` [n, 4] of their canvas too much: [n, m]."""
    size, one = boxes[..., 2:], one[:, None]
    near = np.maximum(boxes[..., :2], one[..., :2])
    far = np.minimum(boxes[..., :2] + size, one[..., :2] + one[..., 2:])
    shared = np.maximum(far - near, 0).prod(2)
    union = size.prod(2) + one[..., 2:].prod(2) - shared
    clash: Mask = shared > limit * union
    return clash
