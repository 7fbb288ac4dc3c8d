"""Predictions of another model: counts, boxes or masks, matched to the canvases of a split.

Shapes: N canvases of H x W pixels, K objects found on one, S slots.
"""

from __future__ import annotations

import csv
import json
import math
import os
import re
import sys
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from airkit.data.imports.segmentations import paint
from airkit.data.imports.tables import delimiter
from airkit.errors import PredictionsError, sanitize
from airkit.evaluation.found_files import read_labels
from airkit.model.spatial_transformer import Shape
from airkit.system.files import check_regular

_NOT_NUMBERS = TypeError, ValueError, OverflowError
_EXPECTED = "a .csv, .json, .jsonl or .npy file, or a folder of label images"
MOST = 1_000
"""Greatest count: the confusion matrix has a column for each."""
_NAMES = "image_id", "index", "image", "file_name", "file"


@dataclass(frozen=True)
class ExternalPredictions:
    """Predictions in the order of the canvases; what they do not have is None."""

    counts: np.ndarray
    """Objects found, int64 [N]."""
    boxes: list[np.ndarray] | None = None
    """(x, y, width, height, score) of each object, f64 [K, 5], for each canvas."""
    labels: np.ndarray | None = None
    """Object of each pixel, from 1; 0 is the background; uint16 [N, H, W]."""
    masks: list[list[tuple[float, np.ndarray]]] | None = None
    """Score and mask, bool [H, W], of each object, for each canvas."""
    about: str = ""
    """The data file that all of them name, as a table by ``airkit predict`` does."""
    best: float = math.inf
    """Greatest score of an object, where objects have scores."""


@dataclass(frozen=True)
class Reader:
    """Reads predictions for the canvases of a split, and refuses what does not match."""

    path: Path
    """The file or folder."""
    split: str
    many: int
    """N."""
    shape: Shape
    """H and W."""
    least: float
    """Least score of an object that is counted."""

    def read(self) -> ExternalPredictions:
        """Read the predictions, whatever they are.

        Raises:
            PredictionsError: they cannot be read, are empty, or do not match the canvases.
        """
        kinds: dict[str, Callable[[], ExternalPredictions]] = {
            ".csv": self._of_table, ".json": self._of_json, ".jsonl": self._of_json,
            ".npy": self._of_array,
        }  # fmt: skip
        kind = self._of_folder if os.path.isdir(self.path) else kinds.get(self.path.suffix.lower())
        if kind is None:
            self.refuse("Predictions of another kind", _EXPECTED, repr(self.path.suffix))
        try:
            check_regular(self.path)
            return kind()
        except PredictionsError:
            raise
        except Exception as error:  # NumPy and Pillow raise all sorts at damaged files
            got = str(error) or type(error).__name__
            self.refuse("The predictions cannot be read", _EXPECTED, got)

    def refuse(self, what: str, expected: object, got: object, hint: str = "") -> NoReturn:
        """Raise a PredictionsError about the file."""
        hint = hint or "airkit score --help; the how-to page has a file of each kind"
        raise PredictionsError(what, where=self.path, expected=expected, got=got, hint=hint)

    def _of_table(self) -> ExternalPredictions:
        text = self.path.read_text("utf-8-sig")
        lines = csv.reader(text.splitlines(), delimiter=delimiter(text))
        names, *rows = [[cell.strip() for cell in row] for row in lines if row] or [[]]
        names = [name.lower() for name in names]
        return self._of_counts([dict(zip(names, row, strict=False)) for row in rows])

    def _of_json(self) -> ExternalPredictions:
        text = self.path.read_text("utf-8-sig")
        lines = self.path.suffix.lower() == ".jsonl"
        content = (
            [json.loads(it) for it in text.split("\n") if it.strip()] if lines else json.loads(text)
        )
        if isinstance(content, dict) and "annotations" in content:
            content = self._named(content)
        if isinstance(content, dict):
            content = [{"image": name, "count": count} for name, count in content.items()]
        if not isinstance(content, list):
            self.refuse(
                "The predictions are not a list", "a list of results", type(content).__name__
            )
        if content and not any(isinstance(each, dict) for each in content):
            return self._in_order(content)
        if not all(isinstance(each, dict) for each in content):
            self.refuse("A result is not an object", '{"image_id": ..., ...}', "other values")
        if any("bbox" in each or "segmentation" in each for each in content):
            return self._of_objects(content)
        return self._of_counts(content)

    def _named(self, content: dict[str, Any]) -> list[dict[str, Any]]:
        """Annotations of a whole COCO file, with the names of their images where it has them."""
        annotations = self._objects("annotations", content["annotations"])
        images = self._objects("images", content.get("images") or [])
        names = {
            each["id"]: each["file_name"]
            for each in images
            if {"id", "file_name"} <= each.keys() and isinstance(each["id"], Hashable)
        }
        ids = [each.get("image_id") for each in annotations]
        named = [names.get(each, each) if isinstance(each, Hashable) else each for each in ids]
        return [{**each, "image_id": name} for each, name in zip(annotations, named, strict=True)]

    def _objects(self, name: str, value: Any) -> list[dict[str, Any]]:
        """A list of objects in a COCO file."""
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            got = sanitize(json.dumps(value), 60)
            self.refuse(f"The {name} are not a list of objects", f'"{name}": [{{...}}, ...]', got)
        return value

    def _of_array(self) -> ExternalPredictions:
        with self.path.open("rb") as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
        wanted = (self.many, *self.shape)
        if array.ndim == 1:
            return self._in_order(array.tolist())
        if array.shape == wanted and array.dtype.kind in "ui":
            return self._labelled(array)
        slots = array.shape[:1] + array.shape[2:] if array.ndim == 4 else ()
        if slots != wanted or array.dtype.kind not in "fuib" or not array.shape[1]:
            labels = f"labels {[*wanted]} of whole numbers"
            expected = f"counts [{self.many}], {labels}, or masks [{self.many}, S, H, W]"
            got = f"{array.dtype} {[*array.shape]}"
            self.refuse("The array has another shape or type", expected, got)
        if not np.isfinite(array).all():
            self.refuse("Masks with nan or inf", "finite numbers", self.path.name)
        return self._labelled(_behind(array.argmax(1)))

    def _of_folder(self) -> ExternalPredictions:
        files = sorted(each for each in self.path.iterdir() if each.suffix.lower() in
                       (".png", ".tif", ".tiff"))  # fmt: skip
        found = []
        for file in files:
            labels = read_labels(file)
            if labels.shape != self.shape or labels.dtype.kind not in "uib":
                self.refuse("A label image of another size", f"{[*self.shape]}", file.name)
            found.append((self._place({"image": file.stem.removesuffix("_labels")}), labels))
        return self._labelled(np.stack(self._complete(found)))

    def _labelled(self, labels: np.ndarray) -> ExternalPredictions:
        if labels.size and not 0 <= labels.min() <= labels.max() < 2**16:
            self.refuse("Labels out of range", "0 to 65535", f"{labels.min()} to {labels.max()}")
        counts = [len(np.unique(each[each > 0])) for each in labels]
        return ExternalPredictions(np.array(counts), labels=_consecutive(labels))

    def _of_counts(self, rows: list[dict[str, Any]]) -> ExternalPredictions:
        if rows and "count" not in rows[0]:
            self.refuse("The predictions have no counts", "a column count", ", ".join(rows[0]))
        found = [(self._place(row), self._count(row.get("count"))) for row in rows]
        named = {str(row.get("image", "")) for row in rows}
        about = named.pop() if len(named) == 1 else ""
        return ExternalPredictions(np.array(self._complete(found), np.int64), about=about)

    def _in_order(self, values: list[Any]) -> ExternalPredictions:
        if len(values) != self.many:
            self.refuse(
                "There are not as many counts as canvases", f"{self.many:,}", f"{len(values):,}"
            )
        return ExternalPredictions(np.array([self._count(value) for value in values], np.int64))

    def _count(self, value: Any) -> int:
        try:
            count = -1.0 if isinstance(value, bool) else float(value)
        except _NOT_NUMBERS:
            count = -1.0
        if not (0 <= count <= MOST and count.is_integer()):
            self.refuse("A count is not valid", f"a whole number from 0 to {MOST:,}", repr(value))
        return int(count)

    def _of_objects(self, results: list[dict[str, Any]]) -> ExternalPredictions:
        """COCO results: a score and a box, a mask or both for each object found."""
        boxed, masked = (all(name in each for each in results) for name in ("bbox", "segmentation"))
        boxes: list[list[np.ndarray]] = [[] for _ in range(self.many)]
        masks: list[list[tuple[float, np.ndarray]]] = [[] for _ in range(self.many)]
        counts, best = np.zeros(self.many, np.int64), -math.inf
        for each in results:
            place, score = self._place(each), self._score(each)
            best = max(best, score)
            counts[place] += score >= self.least
            if boxed:
                boxes[place].append(self._box(each["bbox"], score))
            if masked:
                masks[place].append((score, self._mask(each["segmentation"])))
        if not boxed and not masked:
            self.refuse(
                "The results are of two kinds",
                "a bbox, or a segmentation, in each",
                "only some have it",
            )
        return ExternalPredictions(
            counts,
            [np.array(row).reshape(-1, 5) for row in boxes] if boxed else None,
            np.stack([self._painted(row) for row in masks]) if masked else None,
            masks if masked else None,
            best=best,
        )

    def _score(self, result: Mapping[str, Any]) -> float:
        score = result.get("score")
        if (
            isinstance(score, bool)
            or not isinstance(score, int | float)
            or not abs(score) <= sys.float_info.max
        ):
            self.refuse("A result without a score", "a finite number", repr(score))
        return float(score)

    def _box(self, box: Any, score: float) -> np.ndarray:
        try:
            row = np.array([*box, score], np.float64)
        except _NOT_NUMBERS:
            row = np.zeros(0)
        if row.shape != (5,) or not np.isfinite(row).all() or (row[2:4] < 0).any():
            self.refuse("A box is not valid", "[x, y, width, height], finite numbers", repr(box))
        return row

    def _mask(self, segmentation: Any) -> np.ndarray:
        mask = np.zeros(self.shape, np.uint8)
        try:
            paint(mask, 1, segmentation)
        except (KeyError, IndexError, *_NOT_NUMBERS) as error:
            size = [*self.shape]
            self.refuse("A mask is not valid", f"COCO run lengths of size {size}", error)
        return mask > 0

    def _painted(self, masks: list[tuple[float, np.ndarray]]) -> np.ndarray:
        """The masks of a canvas that are counted, the greater score on top, [H, W]."""
        labels = np.zeros(self.shape, np.uint16)
        counted = [mask for score, mask in sorted(masks, key=itemgetter(0)) if score >= self.least]
        for number, mask in enumerate(counted, 1):
            labels[mask] = number
        return labels

    def _place(self, record: Mapping[str, Any]) -> int:
        """Place of the canvas that a record is about, from 0."""
        key = next((it for it in _NAMES if record.get(it) not in (None, "")), None)
        if key is None:
            self.refuse("A result names no image", " or ".join(_NAMES), ", ".join(map(str, record)))
        value, first = record[key], 1 if key == "image_id" else 0
        number = _number(value, self.split, first)
        if number is None or not 0 <= number < self.many:
            last = f"{self.split}-{self.many - 1:06d}.png"
            expected = f"{self.split}-000000.png to {last}, or {first} to {self.many - 1 + first}"
            hint = "--split, if these are of another one; airkit predict --data names canvases so"
            self.refuse(f"No canvas of the {self.split} split has this {key}", expected,
                        repr(value), hint)  # fmt: skip
        return number

    def _complete(self, found: Iterable[tuple[int, Any]]) -> list[Any]:
        """Values in the order of the canvases, each of which must have one."""
        values: dict[int, Any] = {}
        for place, value in found:
            if place in values:
                self.refuse("An image appears twice", "one result for each", self._name(place))
            values[place] = value
        missing = [place for place in range(self.many) if place not in values]
        if missing:
            what = "There are no predictions" if not values else "Predictions are missing"
            expected = f"one for each of {self.many:,} canvases"
            got = f"none for {len(missing):,}, the first {self._name(missing[0])}"
            self.refuse(what, expected, got)
        return [values[place] for place in range(self.many)]

    def _name(self, place: int) -> str:
        return f"{self.split}-{place:06d}.png (image_id {place + 1})"


def _number(value: Any, split: str, first: int) -> int | None:
    """Place of a canvas by the name that an export gives it, or by number; None for another."""
    if isinstance(value, str):
        stem = Path(value).name.partition(".")[0]
        named = re.fullmatch(rf"{split}-(\d{{1,9}})", stem)
        if named:
            return int(named[1])
        value = int(value) if re.fullmatch(r"\d{1,9}", value) else None
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value - first if whole else None


def _behind(owners: np.ndarray) -> np.ndarray:
    """Slots that own each pixel [N, H, W], from 1; 0 is the one with most pixels of its canvas."""
    flat = owners.reshape(len(owners), -1)
    widest = np.array([np.bincount(each).argmax() for each in flat]).reshape(-1, 1, 1)
    return np.where(owners == widest, 0, owners + 1)


def _consecutive(labels: np.ndarray) -> np.ndarray:
    """Labels of each canvas without gaps, 0 as it is, uint16 [N, H, W]."""
    found = [np.unique(np.append(0, one), return_inverse=True)[1][1:] for one in labels]
    return np.stack(found).reshape(labels.shape).astype(np.uint16)
