"""What was found on images, as files: tables, label images, ImageJ's ROIs, napari's shapes.

A file of boxes holds those of one image, or of all images of its stack. Where nothing was found
there is none, as neither ImageJ nor napari opens one without boxes.

Shapes: H x W pixels of an image.
"""

from __future__ import annotations

import csv
import math
import os
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from io import BytesIO, StringIO
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from airkit.data.imports.images import Place
from airkit.errors import OutputError
from airkit.evaluation.found import Inferred
from airkit.system.extras import check_installed
from airkit.system.files import check_replaceable, check_target, remove, start_of, write_bytes

COUNTS = ("image", "index", "width", "height", "count", "least", "greatest", "touching_border",
          "status")  # fmt: skip
"""Columns of the table of counts."""
OBJECTS = ("image", "index", "object", "x", "y", "width", "height", "centre_x", "centre_y",
           "confidence", "touches_border")  # fmt: skip
"""Columns of the table of objects; all lengths are in pixels of the image."""
_LABELS_MARK = "airkit infer --labels"
"""The text ``Software`` of every label image; tells it from a file of the user's."""
_SOFTWARE = 305
_ROIS_MARK = b"airkit infer --rois"
"""The comment of every zip of ROIs; tells it from a file of the user's."""
_AXES = ("axis-0", "axis-1", "axis-2")
_COLUMNS = "index", "shape-type", "vertex-index"
"""Columns by which napari knows a table of shapes, with two axes, or three of a stack."""
_OURS = "confidence"
"""The last column, which no table has that napari wrote."""


def check_tables(counts: Path | None, objects: Path | None, shapes: Path | None) -> None:
    """Refuse, before the work, names that ``write_counts`` and ``write_objects`` cannot use.

    Raises:
        OutputError: a name has another ending, two of the three are one file, or a file of the
            user's is there.
    """
    what = "The name of a table does not end in .csv"
    for path, option, columns in ((counts, "--csv", COUNTS), (objects, "--objects", OBJECTS)):
        if path is None:
            continue
        check_target(path, what, ".csv", option=option)
        if os.path.lexists(path) and not _starts_with(path, _csv(columns, []).encode()):
            raise OutputError(
                "A table that airkit infer did not write is in the way",
                where=path,
                expected=f"no such file, or one of an earlier {option}",
                hint=f"move it away, or name another {option}",
            )
    named = [path for path in (counts, objects, shapes) if path is not None]
    if len(set(map(os.path.realpath, named))) < len(named):
        hint = "name another --csv, --objects or --shapes"
        raise OutputError("Two tables cannot be one file", where=named[0], hint=hint)


def _starts_with(path: Path, first: bytes) -> bool:
    """Whether a file is empty or begins with ``first``."""
    with suppress(OSError):
        return start_of(path, len(first)) in (b"", first)
    return False


def write_counts(path: Path, found: Sequence[Inferred], bad: Mapping[str, str]) -> None:
    """Write a row for each image, and one for each file that could not be read, by name.

    Raises:
        OutputError: it cannot be written; an older file is as it was.
    """
    rows = [
        (it.image, _index(it), it.width, it.height, it.count, *it.interval, it.touching_border,
         it.status)
        for it in found
    ]  # fmt: skip
    blank = ("",) * (len(COUNTS) - 2)
    _write(
        path, COUNTS, [*rows, *((name, *blank, f"bad file: {why}") for name, why in bad.items())]
    )


def write_objects(path: Path, found: Sequence[Inferred]) -> None:
    """Write a row for each object; raises OutputError as ``write_counts`` does."""
    rows = []
    for it in found:
        for number, each in enumerate(it.objects, 1):
            x, y, width, height = each.box
            centre = x + width / 2, y + height / 2
            confidence, touches = f"{each.confidence:.6g}", int(each.touches_border)
            rows.append((it.image, _index(it), number, *each.box, *centre, confidence, touches))
    _write(path, OBJECTS, rows)


def check_labels(folder: Path, places: Sequence[Place]) -> None:
    """Refuse, before the work, what ``write_labels`` could not do; raises OutputError."""
    targets = [(label_file(folder, place), place.path) for place in places]
    check_replaceable(targets, "--labels", "label image", _is_label_image)


def label_file(folder: Path, place: Place) -> Path:
    """The label image of an image; other programs and airkit know it by the end of its name."""
    return folder / f"{place.name}_labels.tif"


def write_labels(target: Path, labels: np.ndarray) -> None:
    """Write a TIFF of labels, uint16 [H, W]; raises OutputError where it cannot be written."""
    file = BytesIO()
    Image.fromarray(labels).save(
        file, "TIFF", compression="tiff_adobe_deflate", software=_LABELS_MARK
    )
    write_bytes(target, file.getvalue())


def _is_label_image(path: Path) -> bool:
    with suppress(Exception), Image.open(path, formats=["TIFF"]) as image:
        return getattr(image, "tag_v2", {}).get(_SOFTWARE) == _LABELS_MARK
    return False


def read_labels(path: Path) -> np.ndarray:
    """Return the labels of a label image [H, W]; raises OSError or ValueError."""
    try:
        with Image.open(path) as image:
            return np.asarray(image)
    except Image.DecompressionBombError as error:
        raise ValueError(str(error)) from error


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
        archive.comment = _ROIS_MARK
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
    rows: list[Sequence[object]] = []
    every = [(found.index, each) for found in stack for each in found.objects]
    for number, (page, each) in enumerate(every):
        x, y, width, height = each.box
        left, top, right, bottom = x - 0.5, y - 0.5, x + width - 0.5, y + height - 0.5
        corners = (top, left), (top, right), (bottom, right), (bottom, left)
        for place, corner in enumerate(corners):
            where = corner if page is None else (page, *corner)
            rows.append((number, "rectangle", place, *where, each.confidence))
    return _csv(_header(2 if stack[0].index is None else 3), rows).encode()


def _has_mark(path: Path) -> bool:
    with suppress(Exception), zipfile.ZipFile(path) as archive:
        return archive.comment == _ROIS_MARK
    return False


def _header(axes: int) -> tuple[str, ...]:
    return *_COLUMNS, *_AXES[:axes], _OURS


def _has_header(path: Path) -> bool:
    with suppress(OSError):
        first = start_of(path, 512).partition(b"\n")[0].decode("latin-1")
        return first in (",".join(_header(axes)) for axes in (2, 3))
    return False


def _index(found: Inferred) -> object:
    return "" if found.index is None else found.index


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    write_bytes(path, _csv(columns, rows).encode("utf-8", "surrogateescape"))


def _csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    return text.getvalue()


ROIS = BoxFormat("--rois", "_rois.zip", "zip of ROIs", _rois, _has_mark)
SHAPES = BoxFormat("--shapes", "_shapes.csv", "table of shapes", _shapes, _has_header)
