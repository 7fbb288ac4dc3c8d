"""Export canvases as a COCO detection data set: PNGs, grey or RGB, and one ``annotations.json``.

Canvases are written one by one, so that memory does not grow with their number.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from airkit._version import __version__
from airkit.config.sections import PICTURES
from airkit.data import reader
from airkit.data.canvases import Canvases
from airkit.data.info import ANOTHER, DataInfo
from airkit.data.shapes import SPRITES
from airkit.errors import DataFileError
from airkit.system import files
from airkit.system.callbacks import Listener
from airkit.system.signals import StopRequest

Entry = dict[str, Any]

ANNOTATIONS = "annotations.json"
"""The file that lists the images and their boxes."""


@dataclass
class Coco:
    """Writes splits of a data file to a folder.

    Ids of images, annotations and categories start at 1: some readers take 0 for none.
    """

    info: DataInfo
    splits: Sequence[str]
    folder: Path
    stop: StopRequest
    listener: Listener
    images: int = field(default=0, init=False)
    """Images written so far."""
    annotations: int = field(default=0, init=False)
    """Annotations written so far."""
    counts: dict[str, Counter[int]] = field(default_factory=dict, init=False)
    """Canvases by their number of objects, of each split; empty where that is not known."""
    _labels: set[int] = field(default_factory=set, init=False)
    """Labels found, and the digits 0 to 9 or all sprites; a category's id is its label + 1."""

    def __post_init__(self) -> None:
        if self._what == "digit":
            self._labels.update(range(10))
        elif self._what == "sprite":
            self._labels.update(range(len(SPRITES)))

    @property
    def _what(self) -> str:
        """What an object is: digit, sprite, cell, or object on imported pictures."""
        kinds = {PICTURES: "object", "sprites": "sprite", "cells": "cell"}
        return kinds.get(self.info.source, "digit")

    @cached_property
    def _known(self) -> set[str]:
        """What is known of the canvases of any split that is exported."""
        return {name for split in self.splits for name in self.info.arrays[split]}

    def write(self) -> None:
        """Write all files.

        Raises:
            DataFileError: the data file cannot be read, or an object has no label though others do.
            OSError: a file cannot be written.
        """
        path, info = self.folder / ANNOTATIONS, self.info
        about = {
            "airkit_version": __version__,  # first, where it identifies an export
            "description": f"canvases of {self._source()}: {', '.join(self.splits)}",
            "version": "1",
            "contributor": info.shared_attribution,
            "content_digest": info.content_digest,
            "seed": info.config.data.seed,
        }
        licence = {"id": 1, "name": info.licence, "attribution": info.shared_attribution, "url": ""}
        with path.open("w", encoding="utf-8") as file:
            file.write(f'{{\n"info": {json.dumps(about)}')
            file.flush()  # its start identifies the folder of a killed export
            (self.folder / "images").mkdir()
            _write_list(file, "licenses", [licence])
            _write_list(file, "images", self._images())
            annotations = self._annotations()
            if "box" in self._known:
                _write_list(file, "annotations", annotations)
            else:  # an empty list would say that there are no objects
                for _ in annotations:
                    pass
            _write_list(file, "categories", self._categories())
            file.write("\n}\n")
        files.sync(path)

    def _source(self) -> str:
        return "imported pictures" if self.info.source == PICTURES else f"{self._what}s"

    def _categories(self) -> Iterator[Entry]:
        """The labels; where objects have boxes alone, one category for all of them."""
        if "label" in self._known:
            names = dict(enumerate(SPRITES)) if self._what == "sprite" else {}
            for label in sorted(self._labels):
                name = names.get(label, str(label))
                yield {"id": label + 1, "name": name, "supercategory": self._what}
        elif "box" in self._known:
            yield {"id": 1, "name": self._what, "supercategory": self._what}

    def _images(self) -> Iterator[Entry]:
        height, width = self.info.config.data.shape
        names = (_name(split, it) for split in self.splits for it in range(self.info.splits[split]))
        for number, name in enumerate(names, 1):
            yield {"id": number, "file_name": name, "width": width, "height": height, "license": 1}

    def _annotations(self) -> Iterator[Entry]:
        """Write the PNGs, and yield the annotations of each."""
        for split in self.splits:
            done, total = 0, self.info.splits[split]
            counts = self.counts[split] = Counter()
            for part in reader.read_parts(self.info.path, split):
                for place in range(len(part.image)):
                    self.stop.check()
                    image = Image.fromarray(part.image[place])
                    image.save(self.folder / "images" / _name(split, done + place))
                    self.images += 1
                    yield from self._boxes(part, place)
                counts.update([] if part.count is None else part.count.tolist())
                done += len(part.image)
                self.listener.progress(f"exporting {split}", done, total)

    def _boxes(self, part: Canvases, place: int) -> Iterator[Entry]:
        """The annotations of one canvas of a part."""
        if part.box is None:
            return
        unlabelled = -1 if "label" in self._known else 0
        known = None if part.count is None else range(part.count[place])
        for digit in np.flatnonzero(part.box[place, :, 2] > 0) if known is None else known:
            label = unlabelled if part.label is None else int(part.label[place, digit])
            box = part.box[place, digit].tolist()
            if label < 0:
                what, path = "An object has no label, but others have", self.info.path
                raise DataFileError(what, where=path, got=label, hint=ANOTHER)
            self._labels.add(label)
            self.annotations += 1
            entry: Entry = {
                "id": self.annotations,
                "image_id": self.images,
                "category_id": label + 1,
            }
            entry |= {"bbox": box, "area": box[2] * box[3], "iscrowd": 0}
            if part.mask is not None:
                visible = part.mask[place] == digit + 1
                entry |= {"area": int(visible.sum()), "segmentation": run_lengths(visible)}
            yield entry


def run_lengths(inside: NDArray[np.bool_]) -> Entry:
    """A mask [H, W] as COCO's uncompressed run lengths, down the columns, outside first."""
    flat = inside.T.ravel()
    changes = np.flatnonzero(np.diff(flat, prepend=False))
    counts = np.diff(changes, prepend=0, append=flat.size)
    return {"size": list(inside.shape), "counts": counts.tolist()}


def _name(split: str, number: int) -> str:
    return f"{split}-{number:06d}.png"


def _write_list(file: IO[str], name: str, entries: Iterable[Entry]) -> None:
    """Write a list of the JSON object, one entry a line."""
    file.write(f',\n"{name}": [')
    for number, entry in enumerate(entries):
        file.write(("," if number else "") + "\n" + json.dumps(entry))
    file.write("\n]")
