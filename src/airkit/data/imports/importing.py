"""From pictures of a user's own to a data file: ``airkit import``.

All pictures are walked through twice: to survey them, and to write them. In between it is decided
which grey levels become black and white, how large canvases are, and which split each picture is
in. Equal pictures are never in two splits.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airkit.config.pictures import Edges
from airkit.config.schema import Config
from airkit.config.sections import PICTURES
from airkit.config.settings import Settings, layers, resolve
from airkit.data import writer
from airkit.data.canvases import SPLITS
from airkit.data.digits import NOT_STATED
from airkit.data.format import DTYPES, Arrays, pack
from airkit.data.imports.colourful import keeps_colour
from airkit.data.imports.configuration import ImportOptions, check_alike, configuration, others
from airkit.data.imports.conversion import Walk, canvases_of
from airkit.data.imports.given import sources_of
from airkit.data.imports.notes import doubts, notes
from airkit.data.imports.pictures import Bad, Pictures, Reading
from airkit.data.imports.regions import split_by_region
from airkit.data.imports.survey import Survey
from airkit.data.imports.truth import all_checked
from airkit.data.make import check_free, locked
from airkit.data.sources import Origin
from airkit.errors import ImageError
from airkit.system.callbacks import SILENT, Listener
from airkit.system.paths import output_file
from airkit.system.signals import defer_signals

_ARRAYS = {"count": ("count",), "boxes": ("box",), "labels": ("label",), "mask": ("mask",)}
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
        object_size: typical side of an object, in pixels; by default what a look finds.
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
    options = ImportOptions(
        most_objects=most_objects,
        object_size=object_size,
        tile=tile,
        pad=pad,
        crop=reading.crop,
        scale=scale,
        channel=channel,
        behind=behind,
        levels=levels,
    )
    base = resolve(*layers(settings))
    check_free(target, force)
    bad = Bad(skip_bad)
    sources = sources_of(given, reading, listener)
    reading.colour = keeps_colour(color, reading, sources["train"])
    if tile is not None:
        sources = split_by_region(sources, tile, bad, listener)
    survey = _survey(sources, base.data.seed, options, bad, listener)
    noticed = Counter(reading.noticed)  # before the second walk, which notices the same
    config, found = configuration(layers(settings), survey, options)
    output = _Output(target, config, _arrays(sources, survey))
    digest = output.write(Walk(sources, survey, bad, listener), force)
    in_doubt = tuple(doubts(found, config, options))
    for note in (*notes(noticed, survey, config), *(f"in doubt: {each}" for each in in_doubt)):
        listener.note(note)
    return output.report(
        object_size=config.object_size if object_size is None else object_size,
        seen=found.describe(),
        doubts=in_doubt,
        skipped=bad.skipped,
        digest=digest,
        seconds=time.perf_counter() - began,
    )


@dataclass(frozen=True)
class _Output:
    """The data file to write: what the first walk and the options decide."""

    path: Path
    config: Config
    arrays: Arrays

    def write(self, walk: Walk, force: bool) -> str:
        """Write the file, in a second walk through all pictures; returns its digest."""
        config, digest = self.config, walk.survey.digest.hexdigest()
        origin = Origin(PICTURES, digest, NOT_STATED, f"pictures of {walk.sources['train'].name}")
        with defer_signals(), locked(self.path, "import", walk.listener):
            check_free(self.path, force)  # again: another process may have made it meanwhile
            with writer.create(self.path, config, origin, self.arrays) as file:
                for split, canvases in canvases_of(walk, config, self.arrays):
                    file.append(pack(config.data, split, canvases))
        return file.digest

    def report(
        self,
        *,
        object_size: float,
        seen: Iterable[str],
        doubts: tuple[str, ...],
        skipped: Iterable[str],
        digest: str,
        seconds: float,
    ) -> ImportReport:
        """Return what was imported, once the file is there."""
        data, pictures = self.config.data, self.config.pictures
        return ImportReport(
            path=self.path,
            splits={split: getattr(data, split) for split in SPLITS},
            truth={split: tuple(names[1:]) for split, names in self.arrays.items()},
            canvas_size=data.canvas_size,
            height=data.shape[0],
            width=data.shape[1],
            channels=data.channels,
            low=pictures.low,
            high=pictures.high,
            most_objects=data.max_digits,
            object_size=object_size,
            seen=tuple(seen),
            doubts=doubts,
            skipped=tuple(skipped),
            content_digest=digest,
            seconds=seconds,
            bytes=self.path.stat().st_size,
        )


def _survey(
    sources: Mapping[str, Pictures], seed: int, options: ImportOptions, bad: Bad, listener: Listener
) -> Survey:
    """Walk through all pictures for the first time."""
    survey = Survey(seed, options.tile, tuple(sources))
    for split, pictures in sources.items():
        for place, picture in enumerate(all_checked(pictures, bad)):
            survey.add(split, picture, place)
            listener.progress(f"surveying {split}", min(place + 1, pictures.many), pictures.many)
        survey.end_of(split)
    if not survey.canvases["train"]:
        raise ImageError(
            "There are no pictures to train on",
            where=sources["train"].name,
            expected="at least one that can be read and that no held-out split has",
            got=f"{survey.dropped['train']:,} in a held-out split, {len(bad.skipped):,} unreadable",
            hint=others(),
        )
    check_alike(survey, options)
    return survey


def _arrays(sources: Mapping[str, Pictures], survey: Survey) -> Arrays:
    """Names of each split's arrays: what is known of its source."""
    arrays = {}
    for split in SPLITS:
        parts = survey.known.get(split if split in sources else "train", ())
        names = {"image"}.union(*(_ARRAYS[part] for part in parts))
        arrays[split] = tuple(name for name in DTYPES if name in names)
    return arrays
