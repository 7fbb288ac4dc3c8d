"""From pictures of a user's own to a data file: ``airkit import``.

All pictures are walked through twice: to survey them, and to write them. In between it is decided
which grey levels become black and white, how large canvases are, and which split each picture is
in. Equal pictures are never in two splits.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from airkit.config.pictures import Edges
from airkit.config.schema import Config
from airkit.config.sections import PICTURES
from airkit.config.settings import Settings, layers, resolve
from airkit.data import writer
from airkit.data.canvases import SPLITS, Canvases
from airkit.data.digits import NOT_STATED
from airkit.data.format import DTYPES, Arrays, pack, rows_of
from airkit.data.imports.configuration import (
    ImportOptions,
    check_alike,
    configuration,
    if_blank,
    keeps_colour,
)
from airkit.data.imports.geometry import cut
from airkit.data.imports.given import sources_of
from airkit.data.imports.levels import scaled
from airkit.data.imports.notes import doubts, notes
from airkit.data.imports.pictures import Array, Bad, Picture, Pictures, Reading, Truth
from airkit.data.imports.regions import split_by_region
from airkit.data.imports.survey import Survey
from airkit.data.imports.truth import all_checked
from airkit.data.make import check_free, locked
from airkit.data.sources import Origin
from airkit.errors import ImageError
from airkit.system.callbacks import SILENT, Listener
from airkit.system.paths import output_file
from airkit.system.signals import defer_signals

_ARRAYS = {"count": "count", "boxes": "box", "labels": "label", "mask": "mask"}
"""Arrays of a data file by part of the truth."""


@dataclass(frozen=True)
class ImportReport:
    """What was imported: the file, its canvases by split, what is known of them."""

    path: Path
    """The data file."""
    splits: Mapping[str, int]
    """Canvases of each split."""
    truth: Mapping[str, tuple[str, ...]]
    """What is known of each split's canvases: count, box, label, mask."""
    canvas_size: int
    """Longer side of the canvases in pixels."""
    height: int
    """Height of the canvases in pixels."""
    width: int
    """Width of the canvases in pixels."""
    channels: int
    """3 where the canvases are in colour, else 1."""
    low: float
    """Grey level that became black, in the pictures' own unit."""
    high: float
    """Grey level that became white."""
    most_objects: int
    """Most objects to expect on a canvas."""
    object_size: float
    """Typical side of an object in pixels."""
    seen: tuple[str, ...]
    """What a look at the pictures found, in words."""
    doubts: tuple[str, ...]
    """What may go wrong with these pictures, a sentence each with the way out."""
    skipped: tuple[str, ...]
    """Files that could not be read and were left out."""
    content_digest: str
    """SHA-256 of the content."""
    seconds: float
    """Time taken."""
    bytes: int
    """Size of the file."""


def import_scenes(  # noqa: PLR0913 - an argument for each option of the command
    images: Any,
    counts: Any = None,
    boxes: Any = None,
    labels: Any = None,
    masks: Any = None,
    *,
    val: Any = None,
    test: Any = None,
    path: str | Path = "pictures.h5",
    most_objects: int | None = None,
    object_size: float | None = None,
    tile: int | None = None,
    pad: bool = False,
    crop: Edges = (0, 0, 0, 0),
    scale: float = 1.0,
    levels: tuple[float, float] | None = None,
    channel: str = "grey",
    color: str = "auto",
    behind: float = 0.0,
    skip_bad: bool = False,
    force: bool = False,
    settings: Settings = (),
    listener: Listener = SILENT,
) -> ImportReport:
    """Write pictures to a data file, to train and evaluate on.

    Args:
        images: pictures to train on: a folder, a picture file, .npy, .npz, ``FILE.h5:/path``, a
            COCO JSON file; an array or tensor [N, H, W], [N, H, W, C] or [N, C, H, W]; a list of
            arrays, PIL images, files. A tenth each is val and test if not given, by ``data.seed``.
        counts: true counts of ``images``, [N]; or a CSV file of file names, pages (from 1) where
            files have several, and counts. What is not given is not known, and nothing is made up.
        boxes: true boxes (x, y, width, height) in pixels, [N, M, 4], width 0 or less where there is
            none, or a list of [k, 4].
        labels: true classes from 0 to 127, in the order of ``boxes``, [N, M] or a list of [k].
        masks: 0 for the background, another number for each object, [N, H, W]; or a mask for each
            object, [N, M, H, W], of which later ones hide earlier ones.
        val: pictures to validate on, as ``images``; or a mapping with ``images`` and what is known.
        test: pictures to measure on, likewise.
        path: the data file to write.
        most_objects: most objects to expect on a picture; by default what a look at the pictures
            finds, or the greatest true count where that is more.
        object_size: typical side of an object, in pixels; by default what is found in the pictures.
        tile: cut pictures into tiles of this side in pixels; splits are of whole pictures,
            or of regions where there are but one or two.
        pad: allow pictures of several sizes, padded by the median of their outermost pixels to
            the greatest height and the greatest width.
        crop: pixels to cut off at the left, the top, the right and the bottom of every picture,
            before all else. Boxes are those of the whole pictures; counts without boxes are taken
            for those of what is left.
        scale: factor that sides of pictures are multiplied by, once cropped: objects of about 14
            pixels train fast and well. All other sizes are those after it.
        levels: grey levels that become black and white; found by default.
        channel: what becomes of colours that are not kept: grey (luminance), red, green or blue.
        color: auto keeps the colours of colourful pictures, rgb those of all, grey none. A channel
            other than grey keeps none.
        behind: grey behind transparent pixels, 0 (black) to 1 (white).
        skip_bad: leave out files that cannot be read, and list them in the report.
        force: replace a data file that is there.
        settings: dotted keys and values, or layers, which the file records for the training.
        listener: hears notes and progress.

    Raises:
        ImageError: pictures or truth that cannot be read or used.
        ConfigError: the settings are not valid.
        OutputError: the file is there already, or cannot be written.
    """
    began, target = time.perf_counter(), output_file(path, "pictures.h5")
    known = {"counts": counts, "boxes": boxes, "labels": labels, "masks": masks}
    given = {"train": {"images": images, **known}, "val": val, "test": test}
    reading = Reading(channel, behind, tile is not None, crop=crop, scale=scale)
    options = ImportOptions(most_objects, object_size, tile, pad, levels)
    base = resolve(*layers(settings))
    check_free(target, force)
    bad = Bad(skip_bad)
    sources = sources_of(given, reading, listener)
    reading.colour = keeps_colour(color, reading, sources["train"])
    if tile is not None:
        sources = split_by_region(sources, tile, bad, listener)
    walk = _Walk(sources, bad, listener)
    survey = _survey(walk, base.data.seed, options)
    noticed = Counter(reading.noticed)  # before the second walk, which notices the same
    config, found = configuration(layers(settings), survey, options, reading)
    arrays = _arrays(sources, survey)
    origin = Origin(
        PICTURES, survey.digest.hexdigest(), NOT_STATED, f"pictures of {sources['train'].name}"
    )
    with defer_signals(), locked(target, "import", listener):
        check_free(target, force)  # again: another process may have made it meanwhile
        with writer.create(target, config, origin, arrays) as file:
            for split, canvases in _canvases_of(walk, survey, config, arrays):
                file.append(pack(config.data, split, canvases))
    in_doubt = tuple(doubts(found, survey, config, options))
    for note in (*notes(noticed, survey, config), *(f"in doubt: {each}" for each in in_doubt)):
        listener.note(note)
    data, pictures = config.data, config.pictures
    return ImportReport(
        path=target,
        splits={split: getattr(data, split) for split in SPLITS},
        truth={split: tuple(names[1:]) for split, names in arrays.items()},
        canvas_size=data.canvas_size,
        height=data.shape[0],
        width=data.shape[1],
        channels=data.channels,
        low=pictures.low,
        high=pictures.high,
        most_objects=data.max_digits,
        object_size=config.object_size if object_size is None else object_size,
        seen=tuple(found.describe()),
        doubts=in_doubt,
        skipped=tuple(bad.skipped),
        content_digest=file.digest,
        seconds=time.perf_counter() - began,
        bytes=target.stat().st_size,
    )


@dataclass(frozen=True)
class _Walk:
    """What is walked through twice, and who hears of it."""

    sources: Mapping[str, Pictures]
    bad: Bad
    listener: Listener

    def pictures(self) -> Iterator[tuple[str, int, Picture]]:
        """Yield the split of a source, a place in it and the picture there, checked."""
        for split, pictures in self.sources.items():
            for place, picture in enumerate(all_checked(pictures, self.bad)):
                yield split, place, picture


def _survey(walk: _Walk, seed: int, options: ImportOptions) -> Survey:
    """Walk through all pictures for the first time."""
    survey, sources = Survey(seed, options.tile, tuple(walk.sources)), walk.sources
    for split, pictures in sources.items():
        for place, picture in enumerate(all_checked(pictures, walk.bad)):
            survey.add(split, picture, place)
            done = min(place + 1, pictures.many)
            walk.listener.progress(f"surveying {split}", done, pictures.many)
        survey.end_of(split)
    if not survey.canvases["train"]:
        raise ImageError(
            "There are no pictures to train on",
            where=sources["train"].name,
            expected="at least one that can be read and that no held-out split has",
            got=f"{survey.dropped['train']:,} in a held-out split, "
            f"{len(walk.bad.skipped):,} unreadable",
            hint=if_blank(),
        )
    check_alike(survey, options)
    return survey


def _arrays(sources: Mapping[str, Pictures], survey: Survey) -> Arrays:
    """Names of each split's arrays: what is known of its source."""
    arrays = {}
    for split in SPLITS:
        parts = survey.known.get(split if split in sources else "train", ())
        names = {"image", *(_ARRAYS[part] for part in parts)}
        arrays[split] = tuple(name for name in DTYPES if name in names)
    return arrays


def _canvases_of(
    walk: _Walk, survey: Survey, config: Config, arrays: Arrays
) -> Iterator[tuple[str, Canvases]]:
    """Yield canvases of a split and its name, a chunk of the data file at a time.

    Raises:
        ImageError: there are not as many pictures as were surveyed.
    """
    shape, done = config.data.shape, dict.fromkeys(SPLITS, 0)
    limits = config.pictures
    waiting: dict[str, list[tuple[Array, Truth]]] = {split: [] for split in SPLITS}
    for source, place, picture in walk.pictures():
        split = survey.split_of(source, picture, place)
        if split is None:  # a held-out split has it too
            continue
        for levels, truth in cut(picture, shape):
            waiting[split].append((scaled(levels, limits.low, limits.high), truth))
            done[split] += 1
            if len(waiting[split]) == rows_of(config.data, split):
                yield split, _stacked(waiting[split], config, arrays[split])
                waiting[split].clear()
        total = survey.canvases.total()
        walk.listener.progress("importing", min(sum(done.values()), total), total)
    for split in SPLITS:
        if waiting[split]:
            yield split, _stacked(waiting[split], config, arrays[split])
    if any(done[split] != getattr(config.data, split) for split in SPLITS):
        raise ImageError(
            "The pictures changed while they were imported",
            where=walk.sources["train"].name,
            expected=dict(survey.canvases),
            got=done,
            hint="repeat the command when nothing writes to them any more",
        )


def _stacked(
    waiting: Sequence[tuple[Array, Truth]], config: Config, names: Sequence[str]
) -> Canvases:
    """Canvases of some images, each with its truth."""
    many, places = len(waiting), max(config.data.max_digits, 1)
    label = np.full((many, places), -1, np.int8)
    box = np.full((many, places, 4), -1, np.float32)
    for row, (_, truth) in enumerate(waiting):
        if truth.labels is not None:
            label[row, : len(truth.labels)] = truth.labels
        if truth.boxes is not None:
            box[row, : len(truth.boxes)] = truth.boxes
    every = {
        "image": np.stack([image for image, _ in waiting]),
        "count": np.array([truth.count or 0 for _, truth in waiting], np.uint8),
        "label": label,
        "box": box,
    }
    if "mask" in names:
        every["mask"] = np.stack([truth.mask for _, truth in waiting if truth.mask is not None])
    return Canvases(**{name: every[name] for name in names})
