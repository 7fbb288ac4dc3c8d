"""One large picture for all splits: train, val and test are regions of it that do not overlap.

Shapes: H x W pixels of a picture, S side of a tile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import islice

from airkit.data.canvases import SPLITS
from airkit.data.imports.geometry import within
from airkit.data.imports.pictures import LARGEST, SMALLEST, Bad, Picture, Pictures
from airkit.data.imports.survey import SHARE
from airkit.data.imports.truth import all_checked
from airkit.errors import ImageError
from airkit.system.callbacks import Listener
from airkit.system.text import argument

FEW = 2
"""Most pictures that are split by region."""
Window = tuple[slice, slice]


def split_by_region(
    sources: Mapping[str, Pictures], side: int, bad: Bad, listener: Listener
) -> dict[str, Pictures]:
    """Sources of all splits, where those that are missing are regions of one or two pictures.

    Args:
        sources: the pictures of the splits that were given, train among them.
        side: side of a tile.
        bad: hears of files that cannot be read.
        listener: hears that regions are splits.

    Raises:
        ImageError: there are no tiles of this side.
    """
    _check_side(side)
    missing = [split for split in ("test", "val") if split not in sources]
    train = sources["train"]
    if not missing or train.many > FEW:
        return dict(sources)
    with train.reading.unnoticed():
        if len([*islice(train.walk(bad), FEW + 1)]) > FEW:
            return dict(sources)
    listener.note(f"{' and '.join(reversed(missing))}: regions of the picture, as there are so few")
    parts = {split: Region(train, split, side, missing) for split in (*missing, "train")}
    return {split: {**sources, **parts}[split] for split in reversed(SPLITS)}


def _check_side(side: int) -> None:
    if not (isinstance(side, int) and SMALLEST <= side <= LARGEST):
        raise ImageError(
            "Tiles cannot have this side",
            where=argument("tile"),
            expected=f"{SMALLEST} to {LARGEST:,} whole pixels",
            got=side,
            hint=argument("tile", 64),
        )


class Region(Pictures):
    """The region of each picture of a source that belongs to a split."""

    def __init__(self, whole: Pictures, split: str, side: int, held_out: Sequence[str]) -> None:
        super().__init__(
            whole.name, whole.many, replace(whole.reading, crop=(0, 0, 0, 0), scale=1.0)
        )
        self.whole, self.split, self.side, self.held_out = whole, split, side, held_out

    def walk(self, bad: Bad) -> Iterator[Picture]:
        """See ``Pictures.walk``; pictures too small to be split are all for train."""
        with self.reading.unnoticed() if self.split != "train" else nullcontext():
            for picture in all_checked(self.whole, bad):
                window = regions(*picture.size, self.side, self.held_out).get(self.split)
                if window is not None:
                    truth = within(picture.truth, window)
                    yield replace(picture, levels=picture.levels[window], truth=truth)


def regions(height: int, width: int, side: int, held_out: Sequence[str]) -> dict[str, Window]:
    """The region of each split; of a picture too small for several, all is for train.

    Held-out regions are whole tiles at the end of the longer side, two of them abreast where the
    shorter one allows.
    """
    long, short = max(height, width) // side, min(height, width) // side
    abreast = len(held_out) == 2 and short > 1
    many = max(1 if abreast else len(held_out), round(SHARE * len(held_out) * long))
    edge, end = side * (long - many), max(height, width)
    if edge <= 0:
        return {"train": (slice(0, height), slice(0, width))}
    middle = side * (short // 2 if abreast else long - many // 2)
    low, high = slice(0, min(height, width)), slice(edge, end)
    found = {"train": (slice(0, edge), low)}
    if abreast:
        halves = (high, slice(0, middle)), (high, slice(middle, low.stop))
    else:
        halves = (slice(edge, middle), low), (slice(middle, end), low)
    parts = halves if len(held_out) == 2 else ((high, low),)
    found |= dict(zip(held_out, parts, strict=True))
    return found if height > width else {split: it[::-1] for split, it in found.items()}
