"""Label images, ``airkit infer --labels``: the number of the object that each pixel belongs to.

Shapes: H x W pixels of an image.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from airkit.data.imports.images import Place
from airkit.system.files import check_replaceable, write_bytes

Array = np.ndarray[Any, Any]
_MARK = "airkit infer --labels"
"""The text ``Software`` of every label image; tells it from a file of the user's."""
_SOFTWARE = 305


def check_labels(folder: Path, places: Sequence[Place]) -> None:
    """Refuse, before the work, what ``write_labels`` could not do; raises OutputError."""
    targets = [(label_file(folder, place), place.path) for place in places]
    check_replaceable(targets, "--labels", "label image", _is_ours)


def label_file(folder: Path, place: Place) -> Path:
    """The label image of an image; other programs and airkit know it by the end of its name."""
    return folder / f"{place.name}_labels.tif"


def write_labels(target: Path, labels: Array) -> None:
    """Write a TIFF of labels, uint16 [H, W]; raises OutputError where it cannot be written."""
    file = BytesIO()
    Image.fromarray(labels).save(file, "TIFF", compression="tiff_adobe_deflate", software=_MARK)
    write_bytes(target, file.getvalue())


def _is_ours(path: Path) -> bool:
    with suppress(Exception), Image.open(path, formats=["TIFF"]) as image:
        return getattr(image, "tag_v2", {}).get(_SOFTWARE) == _MARK
    return False


def read_labels(path: Path) -> Array:
    """Return the labels of a label image [H, W]; raises OSError or ValueError."""
    try:
        with Image.open(path) as image:
            return np.asarray(image)
    except Image.DecompressionBombError as error:
        raise ValueError(str(error)) from error
