"""What a data file holds for each split: the arrays' types, their shapes and their digest.

Shapes: N canvases of a split, M digits at most on one, H = W side of a canvas.
"""

from __future__ import annotations

import hashlib
from typing import Any

from numpy.typing import NDArray

from airkit.config.schema import DataConfig
from airkit.data.sources import SPLITS

DTYPES = {"image": "|u1", "count": "|u1", "label": "|i1", "box": "<f4", "source_index": "<i4"}
"""Type of each array of ``compose.Canvases``, in the order of the file."""


def shapes(data: DataConfig, split: str) -> dict[str, tuple[int, ...]]:
    """Shapes of a split's arrays, in the order of the file."""
    many, places = getattr(data, split), max(data.max_digits, 1)
    return {
        "image": (many, data.canvas_size, data.canvas_size),
        "count": (many,),
        "label": (many, places),
        "box": (many, places, 4),
        "source_index": (many, places),
    }


class ContentDigest:
    """Digest of all arrays: SHA-256 over a line for each, with its name, type, shape and SHA-256.

    It follows from the arrays alone, whatever their chunks, their compression and the order
    in which splits are written.
    """

    def __init__(self, data: DataConfig) -> None:
        self._heads = {
            (split, name): f"{split}/{name} {DTYPES[name]} {shape}"
            for split in SPLITS
            for name, shape in shapes(data, split).items()
        }
        self._hashes = {key: hashlib.sha256() for key in self._heads}

    def update(self, split: str, name: str, array: NDArray[Any]) -> None:
        """Take in the next rows of an array, contiguous and of its dtype."""
        self._hashes[split, name].update(array.data)

    def digest(self) -> str:
        """The digest of what was taken in so far, in hexadecimal."""
        lines = [f"{head} {self._hashes[key].hexdigest()}\n" for key, head in self._heads.items()]
        return hashlib.sha256("".join(lines).encode()).hexdigest()
