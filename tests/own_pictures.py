"""Small pictures of blobs to import, with all that is known of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from airkit.data.canvases import SPLITS
from airkit.data.imports.importing import ImportReport, import_scenes
from airkit.data.reader import read_split

Array = np.ndarray[Any, Any]
EXPECT: dict[str, Any] = {"most_objects": 3, "object_size": 6.0}


def blobs(many: int = 40, height: int = 24, width: int = 24, seed: int = 0) -> dict[str, Array]:
    """Pictures uint8 [N, H, W] of 0 to 3 squares on a noisy background, and their truth."""
    draws = np.random.default_rng(seed)
    images = draws.integers(0, 20, (many, height, width)).astype(np.uint8)
    counts = draws.integers(0, 4, many)
    boxes, labels = np.full((many, 3, 4), -1.0), np.full((many, 3), -1)
    masks = np.zeros(images.shape, np.uint8)
    for row, count in enumerate(counts):
        for place in range(count):
            x, y = 1 + place * (width // 3), int(draws.integers(0, height - 6))
            images[row, y : y + 6, x : x + 6] = 200 + 20 * place
            masks[row, y : y + 6, x : x + 6] = place + 1
            boxes[row, place], labels[row, place] = (x, y, 6, 6), place
    return {"images": images, "counts": counts, "boxes": boxes, "labels": labels, "masks": masks}


def sixteen(many: int = 30) -> Array:
    """Squares of 6 px, of 4,000 on 1,000 in 16 bits, [N, 24, 24]."""
    images = np.full((many, 24, 24), 1000, np.uint16)
    for row, image in enumerate(images):
        image[4 + row % 9 : 10 + row % 9, 8:14] = 4000
    return images


def save(folder: Path, images: Array, ending: str = ".png", **options: Any) -> Path:
    """Write pictures as files 0.png, 1.png ... of a new folder; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number}{ending}", **options)
    return folder


def all_images(path: Path) -> Array:
    """The images of all splits of a data file, [N, H, W]."""
    return np.concatenate([read_split(path, split).image for split in SPLITS])


def as_set(images: Array) -> set[bytes]:
    """Images as a set, which has no order."""
    return {image.tobytes() for image in images}


def imported(images: Any, path: Path, **options: Any) -> ImportReport:
    """Import with what the blobs are like."""
    return import_scenes(images, path=path, **{**EXPECT, **options})
