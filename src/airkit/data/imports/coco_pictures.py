"""Pictures that a COCO JSON file lists, with counts, boxes, labels and masks of their objects."""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from airkit.data.imports.pictures import (
    UNKNOWN,
    Array,
    Files,
    Picture,
    Reading,
    Truth,
    reading_of,
)
from airkit.data.imports.segmentations import paint
from airkit.data.imports.truth import contradiction
from airkit.errors import ImageError
from airkit.system.text import argument

_FOLDERS = (".", "images", "data")
"""Where pictures are, seen from the JSON file."""
_MOST_LABEL = 127


@dataclass(frozen=True)
class Entry:
    """What a COCO file says of a picture."""

    size: tuple[Any, Any]
    """Height and width; None where it does not say."""
    there: bool
    """Whether there is such a file."""
    boxes: list[Any] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    segmentations: list[Any] = field(default_factory=list)


class Annotated(Files):
    """Picture files with what a COCO file says of them."""

    def __init__(
        self, path: Path, listed: dict[Path, Entry], reading: Reading, *, known: bool, masks: bool
    ) -> None:
        super().__init__(str(path), [*listed], reading)
        self.path, self.listed, self.known, self.masks = path, listed, known, masks

    def _read(self, path: Path) -> Iterator[Picture]:
        listed = self.listed[path]
        if not listed.there:
            raise ImageError(
                "A picture that the COCO file lists is not there",
                where=path,
                expected="a file beside the JSON file, or in its folder images or data",
                got="a link to elsewhere" if path.is_file() else "no such file there",
                hint=f"keep them together; {argument('skip_bad', True)} leaves such pictures out",
            )
        for picture in super()._read(path):
            self._check_size(picture, listed)
            yield replace(picture, truth=self._truth(picture, listed))

    def _check_size(self, picture: Picture, listed: Entry) -> None:
        """Refuse a picture of another size than it was annotated in; raises ImageError."""
        if listed.size == picture.size or None in listed.size:
            return
        if listed.size[::-1] != picture.size:
            height, width = listed.size
            got = " x ".join(map(str, picture.size[::-1]))
            raise contradiction(picture.name, f"{width} x {height} px, as {self.path} says", got)
        self.reading.noticed["swapped"] += 1

    def _truth(self, picture: Picture, listed: Entry) -> Truth:
        if not self.known:
            return UNKNOWN
        boxes = np.array(listed.boxes, np.float32).reshape(-1, 4)
        mask = self._mask(picture, listed.segmentations) if self.masks else None
        return Truth(len(boxes), boxes, np.array(listed.labels, int), mask)

    def _mask(self, picture: Picture, segmentations: list[Any]) -> Array:
        """Objects of a picture, of which later ones hide earlier ones."""
        mask = np.zeros(picture.size, np.uint16)
        for place, segmentation in enumerate(segmentations, 1):
            try:
                paint(mask, place, segmentation)
            except (ValueError, TypeError, KeyError) as error:
                expected = "polygons x, y, x, y ..., or run lengths as numbers or text"
                raise contradiction(picture.name, f"segmentations: {expected}", error) from error
        return mask


def is_coco(path: Path) -> bool:
    """Whether a JSON file begins like an object that may be COCO's."""
    with path.open("rb") as file:
        start = file.read(4096).removeprefix(BOM_UTF8)
    return b'"' in start and start.lstrip()[:1] == b"{"


def annotated(path: Path, reading: Reading) -> Annotated:
    """The listed pictures in their order; those without an annotation have no objects.

    Where the file has no list of annotations, nothing is known of the pictures.

    Boxes without an extent and crowds are left out. Masks are known where all other objects have a
    segmentation. What is left out is told by ``reading.noticed``.

    Raises:
        ImageError: the file is not COCO's.
    """
    with reading_of(path, "a COCO JSON file"):
        content = json.loads(path.read_text("utf-8-sig"))
    try:
        listed = _listed(path, content["images"])
        masks = _add_objects(listed, content, reading)
    except KeyError as error:
        raise _unlike(path, f"an entry without {error}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise _unlike(path, error) from error
    places = dict(listed.values())
    if not places or len(places) < len(content["images"]):
        raise _unlike(path, "an image or its id twice" if places else "no images")
    known = "annotations" in content  # COCO's test pictures have none
    reading.noticed["no annotations"] += 0 if known else len(places)
    return Annotated(path, places, reading, known=known, masks=masks)


def _listed(path: Path, images: Any) -> dict[Any, tuple[Path, Entry]]:
    """File and size of each listed picture, by its id."""
    found = {}
    for each in images:
        place = _place(path, str(each["file_name"]))
        size = each.get("height"), each.get("width")
        picture = Entry(size, place is not None)
        found[each["id"]] = place or path.parent / each["file_name"], picture
    return found


def _place(path: Path, name: str) -> Path | None:
    """A listed picture's file, beside the JSON file or in a folder there.

    Of a file in a folder ``annotations``, as COCO has it, beside that folder; then
    ``instances_train2017.json`` may have its pictures in a folder ``train2017``.
    """
    root = path.parent.parent if path.parent.name == "annotations" else path.parent
    for folder in (path.parent, *(root / each for each in (*_FOLDERS, path.stem.split("_")[-1]))):
        place = folder / name
        if place.is_file() and place.resolve().is_relative_to(root.resolve()):
            return place
    return None


def _classes(categories: Any) -> dict[Any, int]:
    """Labels by category: the names where these are numbers, as in airkit's files, or 0, 1 ..."""
    names = {each["id"]: str(each["name"]) for each in categories}
    numbers = {key: int(name) for key, name in names.items() if name.isdecimal()}
    if len({it for it in numbers.values() if it <= _MOST_LABEL}) == len(names):
        return numbers
    if len(names) > _MOST_LABEL + 1:
        raise ValueError(f"{len(names):,} categories, more than {_MOST_LABEL + 1}")
    return {key: label for label, key in enumerate(sorted(names))}


def _add_objects(listed: dict[Any, tuple[Path, Entry]], content: Any, reading: Reading) -> bool:
    """Add the objects to their pictures; returns whether all of them have a segmentation."""
    classes = _classes(content.get("categories", ()))
    usable, with_mask = 0, 0
    for each in _usable(content.get("annotations", ()), reading):
        if each["image_id"] not in listed:
            reading.noticed["unlisted"] += 1
            continue
        picture, segmentation = listed[each["image_id"]][1], each.get("segmentation")
        picture.boxes.append(each["bbox"])
        if (category := each["category_id"]) not in classes:
            raise ValueError(f"category {category!r}, which its categories do not list")
        picture.labels.append(classes[category])
        picture.segmentations.append(segmentation)
        usable, with_mask = usable + 1, with_mask + bool(segmentation)
    if with_mask < usable:
        reading.noticed["segmentations"] += with_mask
    return 0 < usable == with_mask


def _usable(annotations: Any, reading: Reading) -> Iterator[Any]:
    """Annotations with a box of some extent, but for crowds."""
    for each in annotations:
        box = np.asarray(each["bbox"], float)
        if each.get("iscrowd") or box.shape != (4,) or not (box[2:] > 0).all():
            reading.noticed["boxes left out"] += 1
        else:
            yield each


def _unlike(path: Path, got: object) -> ImageError:
    return ImageError(
        "This is not a COCO file",
        where=path,
        expected="images, annotations with bbox, and categories",
        got=got,
        hint="if there are no annotations, name a folder of pictures",
    )
