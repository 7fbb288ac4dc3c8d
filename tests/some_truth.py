"""Copies of the tests' data file with some of its truth, or with masks added."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from tiny_runs import data_file

from airkit.data import writer
from airkit.data.canvases import SPLITS, Canvases
from airkit.data.compose import Composed
from airkit.data.format import DTYPES, Arrays, pack
from airkit.data.reader import read_info, read_split
from airkit.data.sources import Origin

ORIGIN = Origin("pictures", "ab" * 32, "CC0-1.0", "by the tests")


def whole(split: str, path: Path | None = None) -> Composed:
    """The canvases of a split whose truth is all known, as it is of digits."""
    canvases = read_split(path or data_file(), split)
    return Composed(**canvases.known)


def masked(canvases: Canvases) -> Canvases:
    """Canvases with the inside of each true box as a mask."""
    mask = np.zeros_like(canvases.image)
    assert canvases.box is not None
    for row, boxes in enumerate(canvases.box.round().astype(int)):
        for place, (x, y, width, height) in enumerate(boxes[boxes[:, 2] > 0]):
            mask[row, y : y + height, x : x + width] = place + 1
    return Canvases(**{**canvases.known, "mask": mask})


def write(path: Path, arrays: Arrays, source: Path | None = None, **sections: Any) -> Path:
    """Write a copy with these arrays alone, and other sections; returns its path."""
    source = source or data_file()
    config = read_info(source).config.model_copy(update=sections)
    path.parent.mkdir(parents=True, exist_ok=True)
    with writer.create(path, config, ORIGIN, arrays) as file:
        for split in SPLITS:
            known = masked(whole(split, source)).known
            part = Canvases(**{name: known[name] for name in arrays[split]})
            if len(part.image):
                file.append(pack(config.data, split, part))
    return path


def knowing(*truth: str, splits: Iterable[str] = SPLITS) -> Arrays:
    """The arrays of a file that has this truth in these splits, and images in all."""
    named = {split: ("image", *truth) if split in splits else ("image",) for split in SPLITS}
    return {split: tuple(name for name in DTYPES if name in named[split]) for split in SPLITS}
