"""What a model says of pictures, as arrays, as records and as tables.

Legend: N pictures, T slots, M most true objects, K samples, Z length of z_what, H x W pixels of the
largest picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from airkit.data.coco import run_lengths
from airkit.errors import AirkitError
from airkit.evaluation.found import interval
from airkit.system.extras import check_installed

if TYPE_CHECKING:
    import pandas as pd

Index = int | slice | Sequence[int] | Sequence[bool] | np.ndarray
Rows = Literal["pictures", "objects"]
ROWS = ("pictures", "objects")


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """What a model says of N pictures: arrays that have a row for each.

    ``predictions["count"]`` is ``predictions.count``; ``predictions[10:20]``, an array of places or
    of flags are some of the pictures. T slots, M most true objects, K samples, Z length of z_what,
    H x W pixels of the largest picture.
    """

    image: np.ndarray
    """The file, str [N]; for images in memory, image-I, numbered from 0."""
    index: np.ndarray
    """Place in the split of a data file or in a stack, from 0; -1 where the file is one picture;
    int64 [N]."""
    width: np.ndarray
    """In pixels, int64 [N]."""
    height: np.ndarray
    """In pixels, int64 [N]."""
    status: np.ndarray
    """``ok``, ``slots full``, or what is wrong: see the page of ``airkit infer``; str [N]."""
    true_count: np.ndarray | None = None
    """True number of objects, int64 [N]; None where it is not known, as with the following."""
    true_box: np.ndarray | None = None
    """True boxes of ink (x, y, width, height) in pixels, -1 pads, float32 [N, M, 4]."""
    true_label: np.ndarray | None = None
    """True classes, -1 pads, int64 [N, M]."""
    count: np.ndarray
    """Objects found: the mode of ``count_probability``, or a sample of it where ``eval.counts`` is
    sampled and ``eval.looks`` is 1; int64 [N]."""
    count_probability: np.ndarray
    """Probability of n objects, n = 0..T, float32 [N, T + 1]."""
    confidence: np.ndarray
    """Probability that a slot and all before it are on, float32 [N, T]."""
    box: np.ndarray
    """Extent of each object's ink (x, y, width, height) in pixels; -1 from slot ``count`` on,
    float32 [N, T, 4]."""
    z_where: np.ndarray
    """Mean of the pose in each slot, also in those from ``count`` on, float32 [N, T, 3]."""
    z_what: np.ndarray
    """Mean of the code in each slot, likewise, float32 [N, T, Z]."""
    score: np.ndarray
    """log p(x | canvas) + log p(n) - sum of the objects' KLs and charges, of the explanation kept,
    in nats, float32 [N]; a charge is what a split or restart costs beyond the prior."""
    mask: np.ndarray
    """Slot that each pixel belongs to, from 1; 0 for the background, and where a picture is smaller
    than the largest; uint16 [N, H, W]."""
    sample_count: np.ndarray | None = None
    """Objects in each sample of the posterior, int64 [N, K]; None without samples, as with the
    following."""
    sample_weight: np.ndarray | None = None
    """Weight of each sample; those of a picture sum to 1, float32 [N, K]."""
    sample_z_where: np.ndarray | None = None
    """Pose drawn in each slot; those from ``sample_count`` on are no part of the sample,
    float32 [N, K, T, 3]."""
    sample_z_what: np.ndarray | None = None
    """Code drawn in each slot, likewise, float32 [N, K, T, Z]."""
    bad: Mapping[str, str] = field(default_factory=dict)
    """Files that could not be read and were left out, and why."""

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name, without those that are None."""
        known = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: array for name, array in known.items() if isinstance(array, np.ndarray)}

    def __len__(self) -> int:
        return len(self.count)

    def __repr__(self) -> str:
        return f"<Predictions of {len(self):,} pictures: {', '.join(self.arrays)}>"

    @overload
    def __getitem__(self, index: str) -> np.ndarray: ...

    @overload
    def __getitem__(self, index: Index) -> Predictions: ...

    def __getitem__(self, index: str | Index) -> np.ndarray | Predictions:
        if isinstance(index, str):
            return self.arrays[index]
        rows = [index] if isinstance(index, int | np.integer) else index
        some: dict[str, Any] = {name: array[rows] for name, array in self.arrays.items()}
        return Predictions(**some, bad=self.bad)

    def to_pandas(self, rows: Rows = "pictures") -> pd.DataFrame:
        """Return a ``pandas.DataFrame`` with a row for each picture, or for each object found.

        Args:
            rows: ``pictures`` or ``objects``.

        Raises:
            OutputError: pandas is not installed.
            AirkitError: other rows.
        """
        check_rows(rows)
        check_installed("pandas", "tables")
        import pandas as pd  # noqa: PLC0415 - an extra

        return pd.DataFrame(self.table(rows))

    def table(self, rows: Rows = "pictures") -> dict[str, Any]:
        """Return columns by name, of the pictures or of the objects found, for a table."""
        return self._pictures() if rows == "pictures" else self._objects()

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield each picture as plain values: a line of JSON, or a row of Parquet."""
        for row in range(len(self)):
            height, width = int(self.height[row]), int(self.width[row])
            mask = self.mask[row, :height, :width]
            yield {
                "image": str(self.image[row]),
                "index": None if self.index[row] < 0 else int(self.index[row]),
                "width": width,
                "height": height,
                "status": str(self.status[row]),
                **self._truth_of(row),
                "count": int(self.count[row]),
                "interval": list(self._interval(row)),
                "count_probability": self.count_probability[row].tolist(),
                "score": float(self.score[row]),
                "objects": [self._object(row, slot, mask) for slot in range(self.count[row])],
                **self._samples_of(row),
            }

    def _interval(self, row: int) -> tuple[int, int]:
        return interval(self.count_probability[row], int(self.count[row]))

    def _object(self, row: int, slot: int, mask: np.ndarray) -> dict[str, Any]:
        names = ("box", "confidence", "z_where", "z_what")
        own = {name: getattr(self, name)[row, slot].tolist() for name in names}
        return {**own, "mask": run_lengths(mask == slot + 1)}

    def _truth_of(self, row: int) -> dict[str, Any]:
        """What is known of a picture, without what pads."""
        truth: dict[str, Any] = {}
        if self.true_count is not None:
            truth["true_count"] = int(self.true_count[row])
        for key, array in (("true_boxes", self.true_box), ("true_labels", self.true_label)):
            if array is not None:
                there = (array[row] >= 0).reshape(len(array[row]), -1).all(1)
                truth[key] = array[row][there].tolist()
        return truth

    def _samples_of(self, row: int) -> dict[str, Any]:
        if self.sample_count is None:
            return {}
        names = ("weight", "z_where", "z_what")
        counts = self.sample_count[row].tolist()
        weights, *latents = (getattr(self, f"sample_{name}")[row] for name in names)
        return {
            "samples": [
                {
                    "count": count,
                    "weight": float(weights[k]),
                    "z_where": latents[0][k, :count].tolist(),
                    "z_what": latents[1][k, :count].tolist(),
                }
                for k, count in enumerate(counts)
            ]
        }

    def _pictures(self) -> dict[str, Any]:
        names = ("image", "index", "width", "height", "status", "true_count", "count")
        columns = {name: self.arrays[name] for name in names if name in self.arrays}
        ends = np.array([self._interval(row) for row in range(len(self))]).reshape(-1, 2)
        columns |= {"least": ends[:, 0], "greatest": ends[:, 1], "score": self.score}
        return columns | _numbered("p", self.count_probability)

    def _objects(self) -> dict[str, Any]:
        row, slot = np.nonzero(np.arange(self.box.shape[1]) < self.count[:, None])
        box = self.box[row, slot]
        columns = {"image": self.image[row], "index": self.index[row]}
        columns["object"] = slot + 1  # as in masks
        columns |= dict(zip(("x", "y", "width", "height"), box.T, strict=True))
        centre = box[:, :2] + box[:, 2:] / 2
        columns |= dict(zip(("centre_x", "centre_y"), centre.T, strict=True))
        columns["confidence"] = self.confidence[row, slot]
        columns |= _numbered("z_where", self.z_where[row, slot])
        return columns | _numbered("z_what", self.z_what[row, slot])


def joined(parts: Sequence[Predictions], bad: Mapping[str, str]) -> Predictions:
    """Return several predictions as one; there is at least one."""
    arrays: dict[str, Any] = {
        name: np.concatenate(_padded([part.arrays[name] for part in parts]))
        for name in parts[0].arrays
    }
    return Predictions(**arrays, bad=bad)


def _padded(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Arrays [.., H, W] with 0 to the right and below, all of one size but for their rows."""
    sides = np.max([array.shape[1:] for array in arrays], 0, initial=0).astype(int)
    missing = [[(0, 0), *((0, more) for more in sides - array.shape[1:])] for array in arrays]
    return [np.pad(array, each) for array, each in zip(arrays, missing, strict=True)]


def check_rows(rows: str) -> None:
    """Refuse other rows of a table than there are; raises AirkitError."""
    if rows not in ROWS:
        raise AirkitError(
            "A table has no such rows", expected=" or ".join(ROWS), got=repr(rows), hint="pictures"
        )


def _numbered(name: str, array: np.ndarray) -> dict[str, np.ndarray]:
    """Columns ``name_0``, ``name_1`` ... of an array [N, D]."""
    return {f"{name}_{place}": column for place, column in enumerate(array.T)}
