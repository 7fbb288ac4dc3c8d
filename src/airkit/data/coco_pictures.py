"""Pictures that a COCO JSON file lists, with counts, boxes and labels of their objects."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from airkit.data.pictures import Files, Reading, Truth, reading_of
from airkit.errors import ImageError

_FOLDERS = (".", "images", "data")
"""Where pictures are, seen from the JSON file."""
_MOST_LABEL = 127


def is_coco(path: Path) -> bool:
    """Whether a JSON file begins like an object that may be COCO's."""
    with path.open("rb") as file:
        return b'"' in (start := file.read(4096)) and start.lstrip()[:1] == b"{"


def annotated(path: Path, reading: Reading) -> Files:
    """The listed pictures in their order; those without an annotation have no objects.

    Boxes without an extent and crowds are left out; segmentations are not read. All that is told
    by ``reading.noticed``.

    Raises:
        ImageError: the file is not COCO's, or a picture is not there.
    """
    with reading_of(path):
        content = json.loads(path.read_text("utf-8"))
    try:
        listed = {each["id"]: _place(path, str(each["file_name"])) for each in content["images"]}
        classes = _classes(content.get("categories", ()))
        objects = _objects(content.get("annotations", ()), reading)
        truth = {
            place: _truth([(box, classes[kind]) for box, kind in objects.get(key, ())])
            for key, place in listed.items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _unlike(path, error) from error
    if not listed:
        raise _unlike(path, "no images")
    return Files(str(path), list(listed.values()), reading, truth)


def _place(path: Path, name: str) -> Path:
    """A listed picture's file, beside the JSON file or in a folder there."""
    for folder in _FOLDERS:
        place = path.parent / folder / name
        if place.is_file() and place.resolve().is_relative_to(path.parent.resolve()):
            return place
    raise ImageError(
        "A picture that the COCO file lists is not there",
        where=path,
        expected=f"{name} beside it, or in its folder images",
        got="no such file",
        hint="keep the JSON file and its pictures together",
    )


def _classes(categories: Any) -> dict[Any, int]:
    """Labels by category: the names where all are numbers, as airkit writes them, or 0, 1, 2 ..."""
    names = {each["id"]: str(each["name"]) for each in categories}
    if all(name.isdecimal() and int(name) <= _MOST_LABEL for name in names.values()):
        return {key: int(name) for key, name in names.items()}
    if len(names) > _MOST_LABEL + 1:
        raise ValueError(f"{len(names):,} categories, more than {_MOST_LABEL + 1}")
    return {key: label for label, key in enumerate(sorted(names))}


def _objects(annotations: Any, reading: Reading) -> dict[Any, list[tuple[Any, Any]]]:
    """Boxes and categories by picture."""
    found: dict[Any, list[tuple[Any, Any]]] = defaultdict(list)
    for each in _usable(annotations, reading):
        found[each["image_id"]].append((each["bbox"], each["category_id"]))
    return found


def _usable(annotations: Any, reading: Reading) -> Iterator[Any]:
    for each in annotations:
        box = np.asarray(each["bbox"], float)
        if each.get("iscrowd") or box.shape != (4,) or not (box[2:] > 0).all():
            reading.noticed["boxes left out"] += 1
            continue
        reading.noticed["segmentations"] += bool(each.get("segmentation"))
        yield each


def _truth(objects: list[tuple[Any, int]]) -> Truth:
    boxes = np.array([box for box, _ in objects], np.float32).reshape(-1, 4)
    return Truth(len(objects), boxes, np.array([label for _, label in objects], int))


def _unlike(path: Path, got: object) -> ImageError:
    return ImageError(
        "This is no COCO file",
        where=path,
        expected="images, annotations with bbox, and categories",
        got=got,
        hint="name a folder of pictures, where there are no annotations",
    )
