"""Canvases with their truth, as they are composed, drawn, imported, written and read.

Shapes: N canvases of H x W pixels, M objects at most on one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SPLITS = ("train", "val", "test")
"""Names of the splits; random streams are seeded by their places in this order."""


@dataclass(frozen=True)
class Canvases:
    """Canvases and their truth; places without an object hold -1, and what is unknown is None.

    Attributes:
        image: u8 [N, H, W], ink from 0 to 255; of colours [N, H, W, 3].
        count: u8 [N], objects on each canvas.
        label: i8 [N, M], class of each object.
        box: f32 [N, M, 4], x, y, width, height of each object's ink, in pixels; x and y are the
            left and top edge.
        source_index: i32 [N, M], row of each digit in its source.
        mask: u8 [N, H, W], 0 for the background, k for pixels of the object in place k - 1.
    """

    image: NDArray[np.uint8]
    count: NDArray[np.uint8] | None = None
    label: NDArray[np.int8] | None = None
    box: NDArray[np.float32] | None = None
    source_index: NDArray[np.int32] | None = None
    mask: NDArray[np.uint8] | None = None

    @property
    def known(self) -> dict[str, NDArray[Any]]:
        """The arrays by name, without those that are None."""
        return {name: array for name, array in vars(self).items() if array is not None}
