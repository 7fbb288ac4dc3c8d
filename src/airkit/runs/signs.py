"""Signs of how well a model does on pictures, taken without any truth.

They rest on the model's own results, and on an independent witness: a look at the same pictures
without the model (``airkit.data.look``), with its background and its candidates by a threshold.

Legend: B batch, C channels, H x W pixels, T slots, N pictures, K boxes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from airkit.config.schema import Config
from airkit.data.dataset import channels_last
from airkit.data.look.findings import behind, candidates, look, most_of
from airkit.data.look.objects import LEAST_CONTRAST
from airkit.model.air import AIR
from airkit.model.scene import Scene
from airkit.system import backgrounds
from airkit.system.boxes import pairwise_iou

LARGE = 0.6
"""Share of a picture's side from which on an object is large."""
SAME = 0.7
"""IoU from which on two boxes are of one object."""
_SIGNS = {"bright": 1.0, "dark": -1.0}
_EMPTY = 0.15
"""Least mean ink in a box that lies on something, as a share of the usual contrast."""


@dataclass(frozen=True, kw_only=True)
class Signs:
    """Numbers without truth. Shares are of pictures, unless others are named."""

    pictures: int
    """Pictures."""
    full: float
    """Share on which all slots are in use."""
    empty: float
    """Share without an object."""
    slot_rates: tuple[float, ...]
    """Share on which each slot is in use."""
    objects: int
    """Objects found on the pictures compared with candidates."""
    box_size: float
    """Median of the longer sides of the boxes found, in pixels; NaN where there are none, in JSON
    null."""
    object_size: float
    """Size of an object that the model expects, in pixels."""
    large: float
    """Share of the objects that are larger than 0.6 of the picture."""
    background_explains: float
    """Share of the pixels that the background that the model takes off explains, up to noise."""
    residual: float
    """Root mean square of what the reconstruction leaves, white being 1."""
    noise: float
    """Standard deviation of the pixel noise, in the same unit."""
    residual_correlation: float
    """Correlation of what is left in neighbouring pixels: 0 if it is noise."""
    unexplained: float
    """Share of the ink of what stands out that the reconstruction lacks."""
    candidates: int
    """Parts that stand out of the background by a threshold."""
    missed: float
    """Share of these that are in no box found."""
    needless: float
    """Share of the objects found where nothing stands out."""
    doubled: float
    """Share of the objects found in nearly the same box as another."""
    looks: int
    """Looks compared."""
    unstable: float
    """Share on which the guide at one look counts differently from several looks; NaN for one, in
    JSON null."""
    certainty: float
    """Mean probability of the most probable count by the guide, q(n), at one look."""

    @property
    def objects_per_picture(self) -> float:
        """Objects found on a picture, on average."""
        return sum(self.slot_rates)


class Watch:
    """Takes signs from the batches of an evaluation, in order."""

    def __init__(self, air: AIR, config: Config, images: Tensor, looks: int) -> None:
        """Look at the pictures without the model.

        Args:
            air: the model.
            config: the run's settings.
            images: the pictures, or the first of them, uint8 [N, C, H, W]; at least one.
            looks: most looks at a picture.
        """
        self.air, self.config, self.looks = air, config, looks
        self.found = look(channels_last(images))
        self._most = min(most_of(images.shape[-2] * images.shape[-1]), len(images))
        """Pictures on which results are compared with the look."""
        self._counts: list[Tensor] = []
        self._sides: list[Tensor] = []
        self._compared: list[tuple[Tensor, ...]] = []

    def add(self, images: Tensor, scene: Scene, one_look: Scene) -> None:
        """Take note of a batch.

        Args:
            images: levels in 0..1, [B, C, H, W].
            scene: what all looks say together.
            one_look: the explanation of one look.
        """
        log_q, mode = one_look.found.log_q.max(1)
        self._counts.append(torch.stack([scene.count, mode, log_q.exp()]).cpu())
        self._sides.append(scene.box[scene.box[..., 2] > 0][:, 2:].amax(1).cpu())
        if more := self._most - sum(len(levels) for levels, *_ in self._compared):
            some = images[:more]
            parts = some, scene.canvas[:more], self.air.background.estimate(some), scene.box[:more]
            self._compared.append(tuple(part.detach().cpu() for part in parts))

    def signs(self) -> Signs:
        """Return the signs of all batches."""
        count, mode, certainty = torch.cat(self._counts, 1)
        side, slots = torch.cat(self._sides), self.air.slots
        levels, canvas, under, boxes = map(torch.cat, zip(*self._compared, strict=True))
        off = (levels - under).abs().amax(1)
        return Signs(
            pictures=len(count),
            full=_share(count == slots),
            empty=_share(count == 0),
            slot_rates=tuple(_share(count > slot) for slot in range(slots)),
            box_size=float(side.median()) if len(side) else math.nan,
            object_size=self.config.object_size,
            large=_share(side > LARGE * self.air.canvas_size),
            background_explains=_share(off < 2.5 * max(self.found.noise, 0.015)),
            noise=self.found.noise,
            looks=self.looks,
            unstable=_share(mode != count) if self.looks > 1 else math.nan,
            certainty=float(certainty.mean()),
            **_of_residual(levels - canvas),
            **self._compare(levels, canvas, boxes.numpy()),
        )

    def _compare(self, levels: Tensor, canvas: Tensor, boxes: np.ndarray) -> dict[str, Any]:
        """Compare reconstructions [N, C, H, W] and boxes [N, T, 4] with what stands out."""
        found = self.found
        off = levels - torch.from_numpy(behind(levels.numpy(), found))
        toward = off.sign() if found.polarity == "both" else off.new_tensor(_SIGNS[found.polarity])
        ink, strongest = (off * toward).max(1)
        lacking = ((levels - canvas) * toward).gather(1, strongest[:, None])[:, 0]
        calm = backgrounds.blur(ink, 3)
        there = calm > max(LEAST_CONTRAST, 4 * found.noise, 0.3 * self._contrast)
        left = backgrounds.blur(lacking, 3)[there].clamp(min=0)
        standing = candidates(ink.numpy(), found.noise, faint=found.stretch > 0)
        own = [row[row[:, 2] > 0] for row in boxes]
        inside = [_inside(*each) for each in zip(standing, own, strict=True)]
        on = [self._is_on(*each) for each in zip(calm.numpy(), own, strict=True)]
        return {
            "unexplained": min(1.0, float(left.sum() / calm[there].sum().clamp(min=1e-6))),
            "candidates": sum(map(len, standing)),
            "missed": 1 - _mean(inside),
            "objects": sum(map(len, own)),
            "needless": 1 - _mean(on),
            "doubled": 1 - _mean([_iou_of_others(each) < SAME for each in own]),
        }

    @property
    def _contrast(self) -> float:
        """Contrast of the faintest objects that count."""
        return self.found.stretch or self.found.contrast

    def _is_on(self, ink: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Whether something stands out in boxes [K, 4] of blurred ink [H, W], bool [K]."""
        noise = 0.8 * self.found.noise * (self.found.polarity == "both")
        corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1).round()
        parts = [ink[y:low, x:right] for x, y, right, low in corners.clip(0).astype(int)]
        least = _EMPTY * self._contrast + noise
        return np.array([part.size > 0 and part.mean() > least for part in parts], bool)


def _of_residual(residual: Tensor) -> dict[str, Any]:
    """Size of a residual [N, C, H, W], and the correlation of its neighbouring pixels."""
    square = float(residual.square().mean())
    product = float((residual[..., 1:] * residual[..., :-1]).mean())
    return {"residual": math.sqrt(square), "residual_correlation": product / max(square, 1e-12)}


def _inside(standing: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Which candidates [K, 4] have their centres in one of the boxes [M, 4], bool [K]."""
    centre = standing[:, None, :2] + standing[:, None, 2:] / 2
    low, high = boxes[None, :, :2] - 1, boxes[None, :, :2] + boxes[None, :, 2:] + 1
    within: np.ndarray = np.all((low <= centre) & (centre <= high), 2)
    return np.asarray(np.any(within, 1))


def _iou_of_others(boxes: np.ndarray) -> np.ndarray:
    """The greatest IoU of each box [K, 4] with another one, [K]."""
    (iou,) = pairwise_iou(boxes[None], boxes[None])
    np.fill_diagonal(iou, 0)
    return np.asarray(iou.max(1, initial=0))


def _share(flags: Tensor) -> float:
    return float(flags.double().mean()) if len(flags) else 0.0


def _mean(flags: list[np.ndarray]) -> float:
    """The share of all flags that are set; 1 where there are none."""
    joined = np.concatenate(flags)
    return float(joined.mean()) if len(joined) else 1.0
