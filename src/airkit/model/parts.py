"""Parts of what is left to explain, and the objects that the guide reads from them.

A part is half of what is in a window, or what an object leaves of it. The guide reads each as if
there was nothing else on the canvas.

Legend: M images, C channels, J = 2 ``DIRECTIONS`` halves of a window, N rows (M, or M J), S the
longer side of a canvas, w window side, P channels of a decoded window.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from airkit.model.air import AIR, Object
from airkit.model.canvas import compose
from airkit.model.guides import MEANS
from airkit.model.guides.checks import proposed
from airkit.model.guides.residual import Blur, Peak, Residual
from airkit.model.spatial_transformer import Patches, paint_at, pixel_centres

DIRECTIONS = 4
"""Directions of the lines that cut a window in halves."""
EDGE_SHARPNESS = 3.0
"""How sharply a half ends at its line, in log odds per pixel."""
AROUND = 2.0
"""Side of the part of a canvas that is looked at around a window, in sides of that."""

Window = tuple[Tensor, Tensor, Tensor]
"""Decoded windows [N, P, w, w], their sizes [N] and centres [N, 2]."""
Keep = Callable[[Tensor, Tensor, Tensor], Tensor]
"""What a part keeps of windows [N, 2 C, w, w] that were cropped at sizes [N] and centres [N, 2]."""


def placed(object_: Object) -> Window:
    """The window of an object."""
    return object_.window, object_.size, object_.centre


def around(air: AIR, size: Tensor, centre: Tensor) -> Patches:
    """The parts of a canvas around windows, of sizes [N] and centres [N, 2]."""
    return Patches.around(AROUND * size, centre, air.shape, air.guide.window)


class Reader:
    """Reads objects in one window of each of M images."""

    def __init__(self, air: AIR, ink: Tensor, left: Residual, size: Tensor, centre: Tensor) -> None:
        """Read from what is ``left`` of ``ink`` [M, C, H, W].

        Args:
            air: the trained model.
            ink: ``Background.ink``, [M, C, H, W].
            left: what objects elsewhere leave of it.
            size: window sides as fractions of S, [M].
            centre: (x, y) on [-1, 1], [M, 2].
        """
        self._air, self._left, self._state = air, left, air.guide.start(ink)
        self._size, self._centre = size, centre
        self._patches = around(air, size, centre)

    def one(self) -> Object:
        """The object of the whole window, M rows."""
        return self._read(lambda windows, *_: windows, 1)

    def two(self) -> tuple[Object, Object]:
        """Two objects of each window, M rows each.

        One is read from each half, another from what it leaves, and the first anew from what that
        leaves. The pair that explains the window best is taken.
        """
        many, halves = len(self._size), 2 * DIRECTIONS
        windows = self._left.crop(self._size, self._centre, self._air.guide.window)
        middle = _middle(windows, self._size, self._centre)
        half = _halves(middle, EDGE_SHARPNESS * self._air.canvas_size / 2)
        first = self._read(half, halves)
        second = self._read(_without(first), halves)
        first = self._read(_without(second), halves)
        best = self.score(first, second).view(many, halves).argmax(1)
        best += halves * torch.arange(many, device=best.device)
        return first.rows(best), second.rows(best)

    def _read(self, keep: Keep, parts: int) -> Object:
        """The object of each part that ``keep`` keeps, M ``parts`` rows."""
        size, centre = (each.repeat_interleave(parts, 0) for each in (self._size, self._centre))
        windows = self._left.crop(size, centre, self._air.guide.window)
        start = _middle(keep(windows, size, centre), size, centre)
        part = _Part(self._left, self._patches, keep, start)
        looks = start[:, 0]  # so that there are as many; the part says where they are
        logit, q_where, _ = proposed(self._air.guide, self._state, part, looks, len(looks))
        return self._air.draw(logit, q_where, part, MEANS)

    def score(self, *objects: Object) -> Tensor:
        """Minus the ``error`` and the KLs of objects, in nats, [N]."""
        costs = torch.stack([self._air.kl(each) for each in objects]).sum(0)
        return -self.error(*map(placed, objects)) - costs

    def error(self, *windows: Window) -> Tensor:
        """What is unexplained around the window with others painted, without the noise found, [N].

        In nats: it is what the log-likelihood lacks.
        """
        parts = len(windows[0][0]) // len(self._size)
        index = torch.arange(len(self._size), device=self._size.device).repeat_interleave(parts)
        patches = self._patches.of(index)
        ink, left = self._left.read(self._patches)[index].chunk(2, 1)
        canvas = ink - left
        for each in windows:
            canvas = compose(canvas, patches.paint(*each))
        error = ((ink - canvas).square() - self._air.config.noise**2).sum((1, 2, 3))
        return error / (2 * self._air.pixel_sd**2)


class _Part(Residual):
    """A part of a residual of M images, as if there was nothing else, in N rows.

    Attributes:
        start: where every look at it is, (x, y) on [-1, 1], [N, 2].
    """

    def __init__(self, whole: Residual, patches: Patches, keep: Keep, start: Tensor) -> None:
        """The part that ``keep`` keeps of ``whole`` and its ``patches``, one of each image."""
        self._whole, self._patches, self._keep, self.start = whole, patches, keep, start

    def crop(self, size: Tensor, centre: Tensor, side: int) -> Tensor:
        """See ``Residual.crop``."""
        return self._keep(self._whole.crop(size, centre, side), size, centre)

    def peak(
        self, blurs: Sequence[Blur], mask: Tensor, sharpness: float, look: Tensor | None
    ) -> Peak:
        """Where looks are, and the height of the patch's peak; see ``Residual.peak``."""
        del sharpness, look
        height = self._whole.height(blurs, mask, self._patches)
        return Peak(self.start, height.repeat_interleave(len(self.start) // len(height)))


def _halves(middle: Tensor, sharpness: float) -> Keep:
    """Keep what is on one side of a line through ``middle`` [M, 2], for J lines each.

    ``sharpness`` is in log odds per unit of length, of which a canvas is 2 long.
    """
    angle = torch.arange(2 * DIRECTIONS).to(middle) * (math.pi / DIRECTIONS)
    normal = torch.stack([angle.cos(), angle.sin()], 1).repeat(len(middle), 1)
    middle = middle.repeat_interleave(len(angle), 0)

    def keep(windows: Tensor, size: Tensor, centre: Tensor) -> Tensor:
        offset = _points(size, centre, windows.shape[-1]) - middle[:, :, None]
        x, y = (normal[:, :, None] * offset).unbind(1)
        inside = torch.sigmoid(sharpness * (x[:, None, :] + y[:, :, None]))
        return windows * inside[:, None]

    return keep


def _without(object_: Object) -> Keep:
    """Keep what is left once an object, of N rows, is painted."""

    def keep(windows: Tensor, size: Tensor, centre: Tensor) -> Tensor:
        x, y = _points(size, centre, windows.shape[-1]).unbind(1)
        painted = paint_at(object_.window, object_.size, object_.centre, y, x)
        if painted.shape[1] * 2 > windows.shape[1]:  # it has a mask, and hides what is behind it
            return windows * (1 - painted[:, -1:])
        return windows - painted.repeat(1, 2, 1, 1)

    return keep


def _points(size: Tensor, centre: Tensor, side: int) -> Tensor:
    """Where on the canvas the pixels along the sides of windows are, (x, y), [N, 2, w]."""
    return centre[:, :, None] + size[:, None, None] * pixel_centres(side, size)


def _middle(windows: Tensor, size: Tensor, centre: Tensor) -> Tensor:
    """The centre of gravity (x, y) of unexplained ink in windows [N, 2 C, w, w], on the canvas.

    It is that of absolute values, so that it exists where ink is of either sign.
    """
    ink = windows.chunk(2, 1)[1].abs().mean(1)
    ink = ink / ink.sum((1, 2), keepdim=True).clamp(min=1e-6)
    x, y = _points(size, centre, ink.shape[-1]).unbind(1)
    return torch.stack([(ink.sum(1) * x).sum(1), (ink.sum(2) * y).sum(1)], 1)
