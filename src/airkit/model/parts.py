"""Parts of what is left to explain, and the objects that the guide reads from them.

A part is what is on one side of a line through a window, or what an object leaves of it. The guide
reads each as if there was nothing else on the canvas.

Legend: M images, C channels, J pieces of a window, N rows (M, or M J), S the longer side
of a canvas, w window side, P channels of a decoded window.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import copy
from typing import NamedTuple, Self

import torch
from torch import Tensor

from airkit.model.air import AIR, Object
from airkit.model.canvas import compose
from airkit.model.guides import MEANS
from airkit.model.guides.residual import Blur, Peak, Residual
from airkit.model.spatial_transformer import Patches, paint_at, pixel_centres
from airkit.model.tuples import rows

DIRECTIONS = 8
"""Directions of the lines that cut a window."""
BEST_OF = 4
"""Of the pairs, the best one in this many has its first object read once more."""
LINE_SHARPNESS = 3.0
"""How sharply a piece ends at its line, in log odds per pixel."""
AROUND = 2.0
"""Side of the square around a window in which errors are measured, in sides of the window."""

Window = tuple[Tensor, Tensor, Tensor]
"""Decoded windows [N, P, w, w], their sizes [N] and centres [N, 2]."""
Keep = Callable[[Tensor, Tensor, Tensor], Tensor]
"""What a part keeps of windows [N, 2 C, w, w] that were cropped at sizes [N] and centres [N, 2]."""


def placed(object_: Object) -> Window:
    """The window of an object."""
    return object_.window, object_.size, object_.centre


class Around(NamedTuple):
    """The squares around N windows.

    Attributes:
        patches: patches of the canvas that hold them, [N].
        inside: 1 in the square, 0 elsewhere in its patch, which other windows may have made larger,
            [N, h, w'].
    """

    patches: Patches
    inside: Tensor

    @classmethod
    def of(cls, air: AIR, size: Tensor, centre: Tensor) -> Self:
        """Around windows of sizes [N], fractions of S, and centres [N, 2]."""
        patches = Patches.around(AROUND * size, centre, air.shape, air.guide.window)
        return cls(patches, _in_squares(air, patches, AROUND * size, centre))

    def nats(self, air: AIR, left: Tensor) -> Tensor:
        """What a residual ``left`` [N, C, h, w'] in the squares takes off log p(x | canvas), [N].

        In nats, beyond what the noise that was found in the pictures takes off anyway.
        """
        error = (left.square() - air.config.noise**2) * self.inside[:, None]
        return error.sum((1, 2, 3)) / (2 * air.pixel_sd**2)

    def rows(self, index: Tensor) -> Around:
        """Those at ``index``."""
        return Around(self.patches.of(index), self.inside[index])


class Reader:
    """Reads objects in one window of each of M images."""

    def __init__(
        self, air: AIR, ink: Tensor, residual: Residual, size: Tensor, centre: Tensor
    ) -> None:
        """Read from what other objects leave of ``ink``.

        Args:
            air: the trained model.
            ink: ``Background.ink``, [M, C, H, W].
            residual: of the canvas of the other objects.
            size: window sides as fractions of S, [M].
            centre: (x, y) on [-1, 1], [M, 2].
        """
        self._air, self._residual, self._state = air, residual, air.guide.start(ink)
        self._size, self._centre = size, centre
        self._around = Around.of(air, size, centre)
        self._window = residual.crop(size, centre, air.guide.window)
        self._image, self._left = residual.read(self._around.patches).chunk(2, 1)

    def rows(self, index: Tensor) -> Self:
        """The reader of the images at ``index``."""
        some = copy(self)
        some._state = self._air.guide.checked_rows(self._state, index, len(self._size))
        some._residual, some._around = self._residual.rows(index), self._around.rows(index)
        parts = self._size, self._centre, self._window, self._image, self._left
        some._size, some._centre, some._window, some._image, some._left = rows(parts, index)
        return some

    def one(self) -> Object:
        """The object of the whole window, M rows."""
        return self._read(lambda windows, *_: windows, 1)

    def two(self, offsets: Sequence[float]) -> tuple[Object, Object]:
        """The pair of objects that explains each window best, M rows each.

        Lines cut the window in two. On each side of each line an object is read, then a second one
        from what it leaves of the whole window. In the best of these pairs the first object is read
        once more, from what the second leaves.

        Args:
            offsets: how far lines are from the middle, in typical object sizes.
        """
        middle = _middle(self._window, self._size, self._centre)
        pieces = 2 * DIRECTIONS * len(offsets)
        first = self._read(_pieces(middle, self._air, offsets), pieces)
        second = self._read(_without(first), pieces)
        _, second = self._best(pieces // BEST_OF, first, second)
        first = self._read(_without(second), pieces // BEST_OF)
        first, second = self._best(1, first, second)
        return first, second

    def _best(self, few: int, *objects: Object) -> tuple[Object, ...]:
        """Of the rows of each image, the ``few`` whose objects explain its window best."""
        scores = self.score(*objects).view(len(self._size), -1)
        best = scores.topk(few, 1).indices
        first = scores.shape[1] * torch.arange(len(best), device=best.device)
        return rows(objects, (best + first[:, None]).flatten())

    def _read(self, keep: Keep, parts: int) -> Object:
        """The object of each part that ``keep`` keeps, M ``parts`` rows."""
        whole = self._window, self._size, self._centre
        window, size, centre = (each.repeat_interleave(parts, 0) for each in whole)
        start = _middle(keep(window, size, centre), size, centre)
        part = _Part(self._residual, self._around, keep, start)
        looks = torch.full_like(start[:, 0], 0.5)  # as many as rows; the part says where they are
        logit, q_where, _ = self._air.guide.checked_proposal(self._state, part, looks, len(looks))
        return self._air.draw(logit, q_where, part, MEANS)

    def score(self, *objects: Object) -> Tensor:
        """Minus what objects leave ``unexplained``, and minus their KLs, in nats, [N]."""
        kl = torch.stack([self._air.kl(each) for each in objects]).sum(0)
        return -self.unexplained(*map(placed, objects)) - kl

    def unexplained(self, *windows: Window) -> Tensor:
        """What the others and these windows leave unexplained around the window, in nats, [N]."""
        around, left = self._left_by(windows)
        return around.nats(self._air, left)

    def unexplained_inside(self, *windows: Window) -> Tensor:
        """What they leave unexplained inside of these windows, in nats, [N]."""
        (patches, _), left = self._left_by(windows)
        inside = [_in_squares(self._air, patches, size, centre) for _, size, centre in windows]
        return Around(patches, torch.stack(inside).amax(0)).nats(self._air, left)

    def _left_by(self, windows: Sequence[Window]) -> tuple[Around, Tensor]:
        """Around the window, and the residual there once these are painted, [N, C, h, w']."""
        parts = len(windows[0][0]) // len(self._size)
        index = torch.arange(len(self._size), device=self._size.device).repeat_interleave(parts)
        around, image = self._around.rows(index), self._image[index]
        canvas = image - self._left[index]
        for each in windows:
            canvas = compose(canvas, around.patches.paint(*each))
        return around, image - canvas


class _Part(Residual):
    """A part of a residual of M images, as if there was nothing else, in N rows.

    Attributes:
        start: where every look at it is, (x, y) on [-1, 1], [N, 2].
    """

    def __init__(self, whole: Residual, around: Around, keep: Keep, start: Tensor) -> None:
        """The part that ``keep`` keeps of ``whole``; ``around`` has a window of each image."""
        self._whole, self._around, self._keep, self.start = whole, around, keep, start

    def crop(self, size: Tensor, centre: Tensor, side: int) -> Tensor:
        """See ``Residual.crop``."""
        return self._keep(self._whole.crop(size, centre, side), size, centre)

    def crop_image(self, size: Tensor, centre: Tensor, side: int) -> Tensor:
        """See ``Residual.crop_image``."""
        return self.crop(size, centre, side).chunk(2, 1)[0]

    def peak(
        self, blurs: Sequence[Blur], mask: Tensor, sharpness: float, look: Tensor | None
    ) -> Peak:
        """Where looks are, and the height of the peak around; see ``Residual.peak``."""
        del sharpness, look
        height = self._whole.height(blurs, mask, *self._around)
        return Peak(self.start, height.repeat_interleave(len(self.start) // len(height)))


def _in_squares(air: AIR, patches: Patches, size: Tensor, centre: Tensor) -> Tensor:
    """1 in squares of 2 ``size`` [N] around ``centre`` [N, 2], 0 elsewhere in patches, [N, h, w'].

    A window of that size is 2 ``size`` wide, as a canvas is from -1 to 1.
    """
    pixels, half = pixel_centres(air.canvas_size, size), size[:, None]
    down = (pixels[patches.rows] - centre[:, 1:]).abs() <= half
    along = (pixels[patches.columns] - centre[:, :1]).abs() <= half
    return (down[:, :, None] & along[:, None]).to(size.dtype)


def _pieces(middle: Tensor, air: AIR, offsets: Sequence[float]) -> Keep:
    """Keep what is on one side of a line near ``middle`` [M, 2], for J lines each."""
    angle = torch.arange(2 * DIRECTIONS).to(middle) * (math.pi / DIRECTIONS)
    normal = torch.stack([angle.cos(), angle.sin()], 1).repeat_interleave(len(offsets), 0)
    away = normal.new_tensor(offsets).repeat(len(angle)) * (2 * air.config.object_size)
    place = middle[:, None] + normal * away[:, None] / air.canvas_size
    place, normal = place.flatten(0, 1), normal.repeat(len(middle), 1)
    sharpness = LINE_SHARPNESS * air.canvas_size / 2

    def keep(windows: Tensor, size: Tensor, centre: Tensor) -> Tensor:
        offset = _points(size, centre, windows.shape[-1]) - place[:, :, None]
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
