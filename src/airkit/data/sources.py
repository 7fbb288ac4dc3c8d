"""Single digits in three pools, one for each split, that share no image.

Sources are ``mnist``, ``strokes`` (built in), ``auto`` (the first if it is at hand, else the
second) or a folder of four IDX files with MNIST's names, of which the train pair feeds the
train and val pools and the t10k pair the test pool. Letters in shapes: N digits of S x S
pixels.
"""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from airkit.data import idx, mnist, strokes
from airkit.errors import DigitsError
from airkit.system.callbacks import SILENT, Listener

SPLITS = ("train", "val", "test")
STROKE_COUNTS = {"train": 10_000, "val": 1_000, "test": 2_000}
"""Digits that the built-in source draws for each split."""

_NAMES = ("mnist", "strokes", "auto")
_MEND = f"mend the files, or {idx.OTHERS}"
_STROKE_SEED = 0  # one for all data seeds, so that the source is the same digits everywhere
_MAX_LABEL = 127  # canvas files hold labels as int8, with -1 for none


@dataclass(frozen=True, eq=False)
class Digits:
    """A pool of single digits."""

    images: npt.NDArray[np.uint8]
    """uint8 [N, S, S]: ink, from 0 (blank) to 255."""
    labels: npt.NDArray[np.uint8]
    """uint8 [N], at most 127."""
    index: npt.NDArray[np.int32]
    """int32 [N]: row of the file, or number in the stream of strokes, that the digit came from."""


@dataclass(frozen=True, eq=False)
class DigitSource:
    """Where digits come from, and the digits."""

    name: str
    """mnist, strokes, or the folder as given."""
    pools: Mapping[str, Digits]
    """By split; no image is in two of them."""
    digest: str
    """SHA-256, in hexadecimal, over the images and labels of all pools."""
    licence: str
    attribution: str


def load(
    source: str,
    seed: int,  # noqa: ARG001 - digits are the same for every seed; see the docstring
    listener: Listener = SILENT,
) -> DigitSource:
    """Load the digits of ``source``.

    Args:
        source: ``mnist``, ``strokes``, ``auto`` or a folder; one that has such a name is
            written ``./mnist``.
        seed: the seed of the canvases. No source makes use of it: the digits of a source, and
            with them its digest, are the same for every seed.
        listener: hears the progress of downloads, and a note where ``auto`` falls back on
            strokes or a pool leaves out digits that another pool holds.

    Raises:
        DigitsError: there is no such source, or it cannot be fetched or read.
    """
    if source == "mnist":
        return _from_mnist(mnist.fetch(listener), listener)
    if source == "strokes":
        return _from_strokes(listener)
    if source == "auto":
        return _from_either(listener)
    return _from_folder(source, listener)


def _from_either(listener: Listener) -> DigitSource:
    try:
        paths = mnist.fetch(listener, mnist.SHORT)
    except DigitsError as error:
        listener.note(
            f"{error.what}: using strokes, the built-in digits, instead "
            "(--source mnist tells more and waits longer)"
        )
        return _from_strokes(listener)
    return _from_mnist(paths, listener)


def _from_mnist(paths: Mapping[str, Path], listener: Listener) -> DigitSource:
    pools = _read_pools(paths)
    return _source("mnist", pools, mnist.LICENCE, mnist.ATTRIBUTION, listener)


def _from_strokes(listener: Listener) -> DigitSource:
    pools = {}
    for split, count in STROKE_COUNTS.items():
        images, labels = strokes.draw(count, _STROKE_SEED, split)
        pools[split] = Digits(images, labels, np.arange(count, dtype=np.int32))
    return _source("strokes", pools, "Apache-2.0", "digits drawn by airkit", listener)


def _from_folder(source: str, listener: Listener) -> DigitSource:
    try:
        paths = _find(source)
    except OSError as error:
        raise DigitsError(
            "Cannot read a folder of digits",
            where=source,
            got=error.strerror or error,
            hint=idx.OTHERS,
        ) from error
    pools = _read_pools(paths)
    return _source(source, pools, "not stated", f"digits of the folder {source}", listener)


def _find(source: str) -> dict[str, Path]:
    """The four files of a folder by their names in MNIST, each plain or with ``.gz`` behind."""
    folder = Path(os.path.expanduser(source))
    if not folder.is_dir():
        near = difflib.get_close_matches(source, _NAMES, n=1)
        raise DigitsError(
            "No such source of digits",
            expected="mnist, strokes, auto or a folder of IDX files in MNIST's layout",
            got=source,
            hint=f"--source {near[0] if near else 'strokes'}",
        )
    found = {}
    for name in mnist.SHA256:
        present = [path for path in (folder / name, folder / f"{name}.gz") if path.exists()]
        if present:
            found[name] = present[0]
    missing = [name for name in mnist.SHA256 if name not in found]
    if missing:
        raise DigitsError(
            "A folder of digits lacks files",
            where=folder,
            expected=" and ".join(f"{name}[.gz]" for name in missing),
            got=", ".join(path.name for path in found.values()) or "none of MNIST's four files",
            hint=f"give the files MNIST's names, or {idx.OTHERS}",
        )
    return found


def _read_pools(paths: Mapping[str, Path]) -> dict[str, Digits]:
    learn = _read_pair(paths, "train")
    held_out = _read_pair(paths, "t10k")
    if learn.images.shape[1:] != held_out.images.shape[1:]:
        raise DigitsError(
            "Train and test digits differ in size",
            where=paths["t10k-images-idx3-ubyte"],
            expected=f"side {learn.images.shape[1]}, as in {paths['train-images-idx3-ubyte'].name}",
            got=f"side {held_out.images.shape[1]}",
            hint=_MEND,
        )
    count = len(learn.labels)
    if count < 2:
        raise DigitsError(
            "Too few digits to part into train and val",
            where=paths["train-images-idx3-ubyte"],
            expected="at least 2",
            got=count,
            hint=_MEND,
        )
    first_val = count - max(1, count // 10)
    rows = np.arange(count)
    return {
        "train": _take(learn, rows < first_val),
        "val": _take(learn, rows >= first_val),
        "test": held_out,
    }


def _read_pair(paths: Mapping[str, Path], part: str) -> Digits:
    """The images and labels of ``part``, which is train or t10k."""
    image_path, label_path = paths[f"{part}-images-idx3-ubyte"], paths[f"{part}-labels-idx1-ubyte"]
    images, labels = idx.read(image_path, 3), idx.read(label_path, 1)
    count, height, width = images.shape
    if height != width:
        raise DigitsError(
            "Digits are not square",
            where=image_path,
            expected="as many rows as columns",
            got=f"{height} x {width}",
            hint=_MEND,
        )
    if len(labels) != count:
        raise DigitsError(
            "Images and labels differ in number",
            where=label_path,
            expected=f"{count} labels, one for each image in {image_path.name}",
            got=f"{len(labels)} labels",
            hint=_MEND,
        )
    if labels.max() > _MAX_LABEL:
        row = int(np.argmax(labels > _MAX_LABEL))
        raise DigitsError(
            "A label is too large",
            where=f"{label_path}, row {row}",
            expected=f"0 to {_MAX_LABEL}",
            got=labels[row],
            hint=_MEND,
        )
    return Digits(images, labels, np.arange(count, dtype=np.int32))


def _source(
    name: str, pools: Mapping[str, Digits], licence: str, attribution: str, listener: Listener
) -> DigitSource:
    parted = _without_shared(name, pools, listener)
    return DigitSource(name, parted, _digest(parted), licence, attribution)


def _without_shared(
    name: str, pools: Mapping[str, Digits], listener: Listener
) -> dict[str, Digits]:
    """The pools less the digits of train and val whose very image a held-out pool holds.

    Test keeps all of its digits, val those that are not in test, and train the rest.
    """
    seen: set[bytes] = set()
    kept: dict[str, Digits] = {}
    for split in reversed(SPLITS):
        keys = [hashlib.sha256(image.tobytes()).digest() for image in pools[split].images]
        kept[split] = _take(pools[split], np.array([key not in seen for key in keys]))
        seen.update(keys)
    dropped = {split: len(pools[split].labels) - len(kept[split].labels) for split in SPLITS}
    for split, count in dropped.items():
        if not len(kept[split].labels):
            raise DigitsError(
                f"All {split} digits are in a held-out split too",
                where=name,
                expected="other images in the train files than in the t10k files",
                got=f"{count} shared images",
                hint=_MEND,
            )
        if count:
            listener.note(f"{name}: left out {count} {split} digits that a held-out split has too")
    return {split: kept[split] for split in SPLITS}


def _take(digits: Digits, which: npt.NDArray[np.bool_]) -> Digits:
    return Digits(digits.images[which], digits.labels[which], digits.index[which])


def _digest(pools: Mapping[str, Digits]) -> str:
    state = hashlib.sha256()
    for split, digits in pools.items():
        state.update(f"{split} {digits.images.shape}".encode())
        state.update(digits.images.tobytes())
        state.update(digits.labels.tobytes())
    return state.hexdigest()
