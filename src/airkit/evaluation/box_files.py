"""Boxes found, for other programs: ImageJ's regions of interest, napari's shapes.

A file holds the boxes of one image, or of all images of its stack. Where nothing was found there is
no file, as neither program opens one without boxes.
"""

from __future__ import annotations

import csv
import math
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import BytesIO, StringIO
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from airkit.data.imports.images import Place
from airkit.evaluation.found import Inferred
from airkit.system.extras import check_installed
from airkit.system.files import check_replaceable, remove, start_of, write_bytes

_MARK = b"airkit infer --rois"
"""The comment of every zip of ROIs; tells it from a file of the user's."""
_AXES = ("axis-0", "axis-1", "axis-2")
_COLUMNS = "index", "shape-type", "vertex-index"
"""Columns by which napari knows a table of shapes, with two axes, or three of a stack."""
_OURS = "confidence"
"""The last column, which no table has that napari wrote."""


class BoxFormat(NamedTuple):
    """A format of files with boxes."""

    option: str
    """The option that asks for it."""
    ending: str
    """How the files' names end."""
    what: str
    """Such a file in words, for messages."""
    content: Callable[[Sequence[Inferred]], bytes]
    """Returns the content of the file of an image, or of all images of a stack."""
    is_ours: Callable[[Path], bool]
    """Whether a file was written by an earlier call."""

    def check(self, path: Path, places: Sequence[Place]) -> None:
        """Refuse, before the work, what ``write`` could not do; raises OutputError."""
        if self.option == "--rois":
            check_installed("roifile", "rois")
        twice = [place.path for place, many in Counter(places).items() if many > 1]
        images = [*dict.fromkeys(place.path for place in places), *twice]
        targets = [(self._target(path, image), image) for image in images]
        check_replaceable(targets, self.option, self.what, self.is_ours)

    def write(self, path: Path, found: Sequence[Inferred]) -> None:
        """Write the boxes of each image.

        Args:
            path: a folder, or the file, by its ending, where there is one image or stack.
            found: what was found on all images.

        Raises:
            OutputError: a file cannot be written.
        """
        for image, each in groupby(found, lambda it: it.image):
            target, stack = self._target(path, Path(image)), list(each)
            if any(it.objects for it in stack):
                write_bytes(target, self.content(stack))
            else:
                remove(target)

    def _target(self, path: Path, image: Path) -> Path:
        if path.suffix.lower() == Path(self.ending).suffix:
            return path
        return path / f"{image.stem}{self.ending}"


def _rois(stack: Sequence[Inferred]) -> bytes:
    """A zip of ImageJ's ROIs, numbered as in label images, on their slices of a stack."""
    from roifile import ROI_OPTIONS, ROI_TYPE, ImagejRoi  # noqa: PLC0415 - an extra

    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.comment = _MARK
        for found in stack:
            for number, each in enumerate(found.objects, 1):
                x, y, width, height = each.box
                page = "" if found.index is None else f"{found.index}-"
                roi = ImagejRoi(
                    roitype=ROI_TYPE.RECT,
                    options=ROI_OPTIONS.SUB_PIXEL_RESOLUTION,
                    name=f"{page}{number}",
                    left=math.floor(x),
                    top=math.floor(y),
                    right=math.ceil(x + width),
                    bottom=math.ceil(y + height),
                    xd=x,
                    yd=y,
                    widthd=width,
                    heightd=height,
                    position=0 if found.index is None else found.index + 1,
                )
                archive.writestr(zipfile.ZipInfo(f"{roi.name}.roi"), roi.tobytes())
    return file.getvalue()


def _shapes(stack: Sequence[Inferred]) -> bytes:
    """A table of napari's rectangles: corners (row, column), whole at the middle of a pixel."""
    text, index = StringIO(), 0
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_header(2 if stack[0].index is None else 3))
    for found in stack:
        page = () if found.index is None else (found.index,)
        for each in found.objects:
            x, y, width, height = each.box
            left, top, right, bottom = x - 0.5, y - 0.5, x + width - 0.5, y + height - 0.5
            corners = (top, left), (top, right), (bottom, right), (bottom, left)
            for place, corner in enumerate(corners):
                writer.writerow((index, "rectangle", place, *page, *corner, each.confidence))
            index += 1
    return text.getvalue().encode()


def _has_mark(path: Path) -> bool:
    with suppress(Exception), zipfile.ZipFile(path) as archive:
        return archive.comment == _MARK
    return False


def _header(axes: int) -> tuple[str, ...]:
    return *_COLUMNS, *_AXES[:axes], _OURS


def _has_header(path: Path) -> bool:
    with suppress(OSError):
        first = start_of(path, 512).partition(b"\n")[0].decode("latin-1")
        return first in (",".join(_header(axes)) for axes in (2, 3))
    return False


ROIS = BoxFormat("--rois", "_rois.zip", "zip of ROIs", _rois, _has_mark)
SHAPES = BoxFormat("--shapes", "_shapes.csv", "table of shapes", _shapes, _has_header)
