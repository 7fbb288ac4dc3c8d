"""Small pictures as PNG."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image


def png(pixels: np.ndarray[Any, Any], largest: int) -> bytes:
    """Return pixels, uint8 [H, W, 1 or 3], as PNG, reduced to ``largest`` a side where larger."""
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    image.thumbnail((largest, largest), Image.Resampling.BOX)
    buffer = BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
