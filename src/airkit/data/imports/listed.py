"""Pictures of a list in memory: arrays, tensors and PIL images of any size and mode, and files.

Shapes: N pictures of H x W pixels; C channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from airkit.data.imports.pictures import Bad, Files, InMemory, Picture, Pictures, Reading
from airkit.data.imports.stacks import as_array, check_known, known_of_each, of_array, rows_of
from airkit.data.imports.truth_rows import contradiction, truth_of
from airkit.errors import ImageError
from airkit.system.paths import to_path


class Listed(Pictures):
    """Pictures and files of a list; the row of each array of truth is its place in the list."""

    def __init__(
        self, name: str, items: Sequence[Any], known: Mapping[str, Any], reading: Reading
    ) -> None:
        super().__init__(name, len(items), reading)
        check_known(name, known, len(items))
        self.known = known
        self.sources = [_one(f"{name}, picture {i}", each, reading) for i, each in enumerate(items)]

    def walk(self, bad: Bad) -> Iterator[Picture]:
        """See ``Pictures.walk``."""
        pairs = zip(self.sources, known_of_each(self.known), strict=False)
        for place, (source, known) in enumerate(pairs):
            for picture in source.walk(bad):
                if known and picture.index:  # not the first page
                    raise contradiction(
                        picture.name,
                        "files of one page, as truth is given for each file",
                        "several",
                    )
                truth = truth_of(picture.name, known, self.reading)
                index = place if picture.index is None else picture.index
                yield replace(picture, truth=truth, index=index)


def pictures_of_list(
    name: str, items: Sequence[Any], known: Mapping[str, Any], reading: Reading
) -> Pictures:
    """The pictures of a list: a stack where all are arrays of one shape and type.

    Args:
        name: of the list, for messages.
        items: arrays or tensors [H, W], [H, W, C] or [C, H, W]; PIL images; paths of files.
        known: arrays of counts, boxes, labels, masks of its pictures, those that are known.
        reading: how they are read.

    Raises:
        ImageError: an item is no picture, or the truth does not go with them.
    """
    if any(isinstance(each, Image.Image | str | Path) for each in items):
        return Listed(name, items, known, reading)
    try:
        numbers = not any(hasattr(each, "dtype") for each in items)
        arrays = np.asarray(items) if numbers else [as_array(each) for each in items]
    except ValueError as error:
        raise _no_picture(name, str(error).partition(".")[0]) from error
    if len({(each.shape, each.dtype) for each in arrays}) > 1:
        return Listed(name, [*arrays], known, reading)
    return rows_of(of_array(name, np.asarray(arrays)), known, reading)


def _one(name: str, given: Any, reading: Reading) -> Pictures:
    if isinstance(given, Image.Image):
        return InMemory(name, given, reading)
    if isinstance(given, str | Path):
        return Files(str(given), [to_path(given)], reading)
    array = as_array(given)
    if array.ndim not in (2, 3):
        raise _no_picture(name, f"{array.dtype} {list(array.shape)}")
    return rows_of(replace(of_array(name, array[None]), single=True), {}, reading)


def _no_picture(name: str, got: str) -> ImageError:
    return ImageError(
        "A list holds what is no picture",
        where=name,
        expected="arrays or tensors [H, W], [H, W, C] or [C, H, W] of numbers, PIL images, files",
        got=got,
        hint="correct it, or leave it out",
    )
