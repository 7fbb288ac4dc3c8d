"""A first walk through all pictures: their sizes, grey levels and splits, and a sample of them.

Memory does not grow with the number of pictures: a picture's split follows from a digest of its
content, of which only a histogram is kept.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from heapq import heappush, heapreplace
from itertools import product
from typing import Any

import numpy as np

from airkit.data.imports.geometry import cut, divided, starts, tiles_of
from airkit.data.imports.pictures import UNKNOWN, Array, Picture
from airkit.errors import ImageError
from airkit.system.text import argument

SHARE = 0.1
"""Share of the pictures that goes to val, and to test, where none are given."""
_EARLIER: dict[str, tuple[str, ...]] = {"test": (), "val": ("test",), "train": ("test", "val")}
_BINS = 2**18
_SAMPLE, _SAMPLE_BYTES = 400, 2**26
MOST = 100
"""Most objects on a canvas."""
_PARTS = 2**10
"""Most arrays that ``Levels`` keeps before it joins them: each takes a hundred bytes more."""
_LEVELS = 2**18
"""Most grey levels kept to take percentiles of."""


def key_of(picture: Picture, place: int, seed: int) -> int:
    """A number of 64 bits that is the same for pictures of the same content alone.

    Pictures of one grey level, which have nothing to tell, differ by their place in the source.
    """
    state = hashlib.blake2b(digest_size=8, key=str(seed).encode())
    if picture.levels.min() == picture.levels.max():
        state.update(place.to_bytes(8, "big"))
    state.update(f"{picture.levels.dtype.str} {picture.levels.shape}".encode())
    state.update(np.ascontiguousarray(picture.levels).data)
    return int.from_bytes(state.digest(), "big")


class Levels:
    """Grey levels of all pictures: least, greatest, and a random sample of them."""

    def __init__(self) -> None:
        self.least, self.greatest = np.inf, -np.inf
        self.kind: np.dtype[Any] | None = None
        self._kept: list[Array] = []
        self._many, self._share = 0, 1.0
        self._draws = np.random.default_rng(0)

    def add(self, levels: Array) -> None:
        """Take note of the levels of a picture."""
        self.kind = levels.dtype if self.kind is None else np.promote_types(self.kind, levels.dtype)
        self.least = min(self.least, float(levels.min()))
        self.greatest = max(self.greatest, float(levels.max()))
        flat = levels.ravel()
        while self._share * len(flat) > _LEVELS:  # a picture may have far more
            self._halve()
        if self._share < 1:
            some = int(self._share * len(flat) + self._draws.random())
            flat = flat[self._draws.integers(0, len(flat), some)]
        self._kept.append(flat.copy())
        self._many += len(flat)
        if len(self._kept) > _PARTS:
            self._kept = [np.concatenate(self._kept)]
        while self._many > _LEVELS:
            self._halve()

    def _halve(self) -> None:
        """Keep about half of the levels."""
        if self._kept:
            whole = np.concatenate(self._kept)
            whole = whole[self._draws.random(len(whole)) < 0.5]
            self._kept, self._many = [whole], len(whole)
        self._share /= 2

    def percentiles(self, *shares: float) -> tuple[float, ...]:
        """Percentiles of the levels kept."""
        found = np.percentile(np.concatenate(self._kept).astype(np.float64), shares)
        return tuple(found.tolist())


@dataclass
class Survey:
    """What the first walk finds; the second one asks it for the split of each picture."""

    seed: int
    side: int | None
    """Side of a tile; None where pictures are not cut."""
    given: tuple[str, ...]
    """Splits that have a source of their own."""
    pictures: int = 0
    levels: Levels = field(default_factory=Levels)
    sizes: dict[tuple[int, ...], str] = field(default_factory=dict)
    """The first sizes found, [H, W], with the picture where each was."""
    kinds: dict[np.dtype[Any], str] = field(default_factory=dict)
    """Types of the grey levels, with the first picture of each."""
    planes: int = 1
    """3 where levels are colours, else 1."""
    channels: set[int] = field(default_factory=set)
    canvases: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    """Pictures left out because a held-out split has them too."""
    known: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Parts of the truth that are known, by the split of the source."""
    most: int = 0
    """Greatest true count of a canvas."""
    uncounted: int = 0
    """Pictures whose count says nothing of their tiles."""
    divided: int = 0
    """Objects that no tile holds as a whole."""
    digest: Any = field(default_factory=hashlib.sha256)

    def __post_init__(self) -> None:
        self._held_out = {name: array("Q") for name in ("test", "val")}
        self._bins = np.zeros((2, _BINS), np.int64)  # pictures, canvases
        self._edges = {"test": 0, "val": 0}
        self._sample: list[tuple[int, int, int, Array]] = []
        self._largest = np.zeros(2, int)

    def add(self, split: str, picture: Picture, place: int) -> None:
        """Take note of a picture, the source of which is that of ``split``, with its place there.

        Test comes first, train last.
        """
        key = key_of(picture, place, self.seed)
        if self._is_held_out(split, key):
            self.dropped[split] += 1
            return
        self.digest.update(key.to_bytes(8, "big"))
        self.pictures += 1
        self.levels.add(picture.levels)
        self.kinds.setdefault(picture.levels.dtype, picture.name)
        self.channels.add(picture.channels)
        self.planes = 3 if picture.levels.ndim == 3 else 1
        if len(self.sizes) < 3:
            self.sizes.setdefault(picture.size, picture.name)
        self._largest = np.maximum(self._largest, picture.size)
        many = 1 if self.side is None else tiles_of(picture.size, self.side)
        self._note_truth(split, picture, many)
        if split == "train":
            self._bins[:, key >> 46] += (1, many)
            self._keep(key, picture)
        else:
            self.canvases[split] += many
            self._held_out[split].append(key)

    def end_of(self, split: str) -> None:
        """All pictures of a source were added; decide the splits that have none."""
        if split != "train":
            np.frombuffer(self._held_out[split], np.uint64).sort()
            return
        sums, edge = self._bins[0].cumsum(), 0
        wanted = max(1, round(SHARE * sums[-1])) if sums[-1] > 2 else 0
        for name in ("test", "val"):
            if name not in self.given:
                last, before = edge, sums[edge - 1] if edge else 0
                edge = int(np.searchsorted(sums, before + wanted, "right"))
                self.canvases[name] = int(self._bins[1, last:edge].sum())
            self._edges[name] = edge
        self.canvases["train"] = int(self._bins[1, edge:].sum())

    def split_of(self, source: str, picture: Picture, place: int) -> str | None:
        """The split of a picture of a source; None where a held-out split has it too."""
        key = key_of(picture, place, self.seed)
        if self._is_held_out(source, key):
            return None
        if source != "train":
            return source
        bin_ = key >> 46
        return next((name for name in ("test", "val") if bin_ < self._edges[name]), "train")

    @property
    def canvas(self) -> tuple[int, int]:
        """Height and width of a canvas: the greatest there are, up to those of a tile."""
        height, width = (min(side, self.side or side) for side in self._largest.tolist())
        return height, width

    def sample(self) -> Iterator[Array]:
        """Some canvases of ``train``'s source, the same for the same pictures.

        Some of them may go to val and test; no truth is looked at.
        Where sizes are mixed they are parts of one size of most pictures, so that none is padded.
        """
        ranked = [levels for *_, levels in sorted(self._sample, key=lambda each: each[:3])]
        sizes = np.array([levels.shape[:2] for levels in ranked])
        least = np.minimum(np.quantile(sizes, 0.25, axis=0, method="lower"), self.canvas)
        height, width = least.astype(int).tolist()
        for levels in ranked:
            if levels.shape[0] >= height and levels.shape[1] >= width:
                yield from (canvas for canvas, _ in cut(Picture("", levels), (height, width)))

    def _is_held_out(self, split: str, key: int) -> bool:
        """Whether a split that comes before ``split``, from test on, has the picture."""
        for keys in (self._held_out[name] for name in _EARLIER[split]):
            place = bisect_left(keys, key)
            if place < len(keys) and keys[place] == key:
                return True
        return False

    def _note_truth(self, split: str, picture: Picture, many: int) -> None:
        truth = picture.truth
        found = tuple(name for name, part in vars(truth).items() if part is not None)
        if many > 1 and truth.boxes is None:
            self.uncounted += truth.count is not None
            found, truth = (), UNKNOWN
        if self.known.setdefault(split, found) != found:
            raise ImageError(
                "Some pictures have truth that others lack",
                where=picture.name,
                expected=" and ".join(self.known[split]) or "nothing, as of those before",
                got=" and ".join(found) or "nothing",
                hint="give it for all pictures of a split, or for none",
            )
        count = truth.count or 0
        if many > 1 and truth.boxes is not None and self.side is not None:
            unmasked = replace(picture, truth=replace(truth, mask=None))
            count = max(tile.count or 0 for _, tile in cut(unmasked, (self.side, self.side)))
            self.divided += divided(truth.boxes, picture.size, self.side)
        if count > MOST:
            raise ImageError(
                "There are too many objects on a picture or tile",
                where=picture.name,
                expected=f"at most {MOST}",
                got=count,
                hint=f"{argument('tile', 'S')} cuts pictures into S x S tiles; about 4 times an "
                "object's size",
            )
        self.most = max(self.most, count)

    def _keep(self, key: int, picture: Picture) -> None:
        """Keep those of a picture's tiles that are among those of the greatest ranks."""
        height, width = (min(side, self.side or side) for side in picture.size)
        corners = [*product(starts(picture.size[0], height), starts(picture.size[1], width))]
        ranks = [key]
        if len(corners) > 1:
            draws = np.random.default_rng(key)
            ranks = draws.integers(2**64, size=len(corners), dtype=np.uint64).tolist()
        for place, (rank, (top, left)) in enumerate(zip(ranks, corners, strict=True)):
            tile = picture.levels[top : top + height, left : left + width]
            free = len(self._sample) < min(_SAMPLE, max(8, _SAMPLE_BYTES // tile.nbytes))
            if free or rank > self._sample[0][0]:
                entry = (rank, self.pictures, place, tile.copy())
                (heappush if free else heapreplace)(self._sample, entry)
