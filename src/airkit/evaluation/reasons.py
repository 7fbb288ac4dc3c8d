"""Why nothing was found on an image: a look at its ink without the model.

Shapes: C channels, H x W pixels of an image or a tile, K boxes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from airkit.config.schema import Config
from airkit.data.look.findings import candidates
from airkit.model.background import Background, without_weights

NOTHING, POLARITY = "nothing stands out", "other polarity"
TEXTS: dict[str, str] = {
    POLARITY: "what stands out is darker than the background where the objects of the "
    "training are brighter, or vice versa; --invert inverts grey levels",
    "other size": "what stands out is of another size than the objects of the training; "
    "scale the images to that",
    "too faint": "what stands out has less than half the contrast of the objects of the training",
}
"""What is said of images; of other reasons, nothing."""
_OPPOSITE = {"bright": "dark", "dark": "bright"}
_SMALLEST, _LARGEST = 0.55, 1.8
"""Usual sides of objects, as multiples of the typical one; a digit's ink fills 20 of its 28 px."""
_STRONGER = 1.5
"""How much stronger what has the other polarity is: a smooth background leaves rims of it."""
_FAINT = 0.5
"""Least contrast, relative to the typical one."""


class Reasons:
    """Finds why nothing was found, by what the model takes for background and objects."""

    def __init__(self, config: Config) -> None:
        config = without_weights(config)
        self.size, self.config = config.object_size, config
        self.background, self.turned = Background(config), None
        if other := _OPPOSITE.get(config.polarity):
            self.turned = Background(config.updated("model", polarity=other))

    def common(self, images: Sequence[np.ndarray]) -> str:
        """Return the most common reason of tiles, levels in 0..1, [C, H, W] each."""
        found = [self.reason(image) for image in images]
        told = [reason for reason in found if reason != NOTHING]
        return max(told, key=told.count) if told else NOTHING

    def reason(self, image: np.ndarray) -> str:
        """Return why nothing was found on an image, levels in 0..1, [C, H, W]."""
        peak, boxes = self._candidates(image, self.background)
        if self.turned is not None and self._candidates(image, self.turned)[0] > _STRONGER * peak:
            return POLARITY
        if not len(boxes):
            return NOTHING
        side = float(np.median(boxes[:, 2:].max(1)))
        if not _SMALLEST * self.size <= side <= _LARGEST * self.size:
            return "other size"
        faint = peak < _FAINT * self.config.contrast
        return "too faint" if faint else "not taken for objects"

    def _candidates(self, image: np.ndarray, background: Background) -> tuple[float, np.ndarray]:
        """Median of the brightest ink, 0 without any, and boxes [K, 4] of what may be objects."""
        ink = background.ink(torch.from_numpy(image)[None]).numpy()
        ink = (np.abs(ink) if background.signed else ink).max(1)
        boxes = self._clear(candidates(ink, self.config.noise)[0], image.shape[1:])
        return _peak(ink[0], boxes), boxes

    def _clear(self, boxes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Boxes without small ones at the border, where an estimated background leaves specks."""
        inside = ((boxes[:, :2] > 0) & (boxes[:, :2] + boxes[:, 2:] < shape[::-1])).all(1)
        large = np.sqrt(boxes[:, 2:].prod(1)) >= self.size / 2
        return np.asarray(boxes[inside | large])


def _peak(ink: np.ndarray, boxes: np.ndarray) -> float:
    """Median over boxes of their brightest ink; 0 without a box."""
    if not len(boxes):
        return 0.0
    places = boxes.astype(int).tolist()
    return float(np.median([ink[y : y + h, x : x + w].max() for x, y, w, h in places]))
