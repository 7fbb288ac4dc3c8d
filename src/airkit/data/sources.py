"""Loading digits from the source that ``data.source`` names.

It names one of airkit's own sources (``SOURCES``), ``auto``, a folder of IDX files in MNIST's
layout, or a class derived from ``DigitSource`` as ``package.module:Class``.

Shapes: N digits of S x S pixels.
"""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from airkit.config.registry import Registry, is_outside
from airkit.data.digits import OTHERS, SPLITS, Digits, DigitSource
from airkit.data.idx import Folder
from airkit.data.mnist import SHORT, Mnist
from airkit.data.strokes import Strokes
from airkit.errors import DigitsError
from airkit.system.callbacks import SILENT, Listener

SOURCES: Registry[DigitSource] = Registry(
    "data.source",
    {"mnist": "airkit.data.mnist:Mnist", "strokes": "airkit.data.strokes:Strokes"},
    "airkit.data.digits:DigitSource",
    recorded="These canvases were made with",
)
"""airkit's own sources by name; a folder and ``auto`` are not among them."""
_MEND = f"mend the digits, or {OTHERS}"
_MAX_LABEL = 127  # data files hold labels as int8, with -1 for none


@dataclass(frozen=True, eq=False)
class LoadedDigits:
    """The digits of a source, checked."""

    name: str
    """The source as ``data.source`` names it; for ``auto``, the one that was taken."""
    pools: Mapping[str, Digits]
    """By split; no image is in two of them."""
    digest: str
    """SHA-256, in hexadecimal, over the images and labels of all pools."""
    licence: str
    attribution: str


def load(source: str, listener: Listener = SILENT) -> LoadedDigits:
    """Load the digits of a source.

    Args:
        source: a name in ``SOURCES``, ``auto``, ``package.module:Class``, or a folder; one that
            has such a name is written ``./mnist``.
        listener: hears the progress of downloads, and a note where ``auto`` falls back on
            strokes or where a pool leaves out images that a held-out pool has too.

    Raises:
        DigitsError: there is no such source, or it cannot be fetched, read or used.
        ExtensionError: a class that cannot be used, or that was not named in this call.
    """
    if source == "auto":
        return _load_either(listener)
    if source in SOURCES or is_outside(source):
        with SOURCES.running(source):
            return _loaded(source, SOURCES[source](), listener)
    if os.path.isdir(os.path.expanduser(source)):
        return _loaded(source, Folder(source), listener)
    near = difflib.get_close_matches(source, [*SOURCES, "auto"], n=1)
    raise DigitsError(
        "No such source of digits",
        expected="mnist, strokes, auto, a folder of IDX files in MNIST's layout, or "
        "package.module:Class",
        got=source,
        hint=f"--source {near[0] if near else 'strokes'}",
    )


def _load_either(listener: Listener) -> LoadedDigits:
    """MNIST where it is cached or quick to fetch, else strokes."""
    try:
        return _loaded("mnist", Mnist(SHORT), listener)
    except DigitsError as error:
        listener.note(
            f"{error.what}: using strokes, the built-in digits, instead "
            "(--source mnist tells more and waits longer)"
        )
    return _loaded("strokes", Strokes(), listener)


def _loaded(name: str, source: DigitSource, listener: Listener) -> LoadedDigits:
    pools = _disjoint(name, _checked(name, source.pools(listener)), listener)
    return LoadedDigits(name, pools, _digest(pools), source.licence, source.attribution)


def _checked(name: str, pools: object) -> dict[str, Digits]:
    """The pools by split, after checking types, shapes and labels."""
    splits = list(pools) if isinstance(pools, Mapping) else type(pools).__name__
    if not (isinstance(pools, Mapping) and set(splits) == set(SPLITS)):
        raise _unusable(name, "a mapping with the pools train, val and test", splits)
    checked = {split: _checked_pool(f"{name}, {split} digits", pools[split]) for split in SPLITS}
    sides = {digits.images.shape[1] for digits in checked.values()}
    if len(sides) > 1:
        raise _unusable(name, "images of one side in all pools", f"sides of {sorted(sides)} px")
    return checked


def _checked_pool(where: str, digits: object) -> Digits:
    if not isinstance(digits, Digits):
        raise _unusable(where, "airkit.data.digits.Digits", type(digits).__name__)
    images, labels, index = map(np.asarray, (digits.images, digits.labels, digits.index))
    if images.dtype != np.uint8 or images.ndim != 3 or not 0 < images.shape[1] == images.shape[2]:
        raise _unusable(where, "square images, uint8 [N, S, S]", _described(images))
    for what, array in {"labels": labels, "rows": index}.items():
        if array.shape != images.shape[:1] or array.dtype.kind not in "iu":
            raise _unusable(where, f"{len(images)} {what}, whole numbers", _described(array))
    wrong = (labels < 0) | (labels > _MAX_LABEL)
    if wrong.any():
        raise _unusable(where, f"labels of 0 to {_MAX_LABEL}", labels[wrong][0])
    return Digits(images, labels.astype(np.uint8), index.astype(np.int32))


def _described(array: np.ndarray) -> str:
    return f"{array.dtype} {list(array.shape)}"


def _unusable(where: str, expected: str, got: object) -> DigitsError:
    return DigitsError(
        "The digits cannot be used", where=where, expected=expected, got=got, hint=_MEND
    )


def _disjoint(name: str, pools: Mapping[str, Digits], listener: Listener) -> dict[str, Digits]:
    """Drop images of train and val that a held-out pool has too.

    Test keeps all of its digits, val those that are not in test, and train the rest.
    """
    seen: set[bytes] = set()
    kept: dict[str, Digits] = {}
    for split in reversed(SPLITS):
        keys = [hashlib.sha256(image.tobytes()).digest() for image in pools[split].images]
        kept[split] = pools[split].take(np.array([key not in seen for key in keys], np.bool_))
        seen.update(keys)
    for split in SPLITS:
        dropped = len(pools[split].labels) - len(kept[split].labels)
        if dropped and not len(kept[split].labels):
            raise DigitsError(
                f"All {split} digits are in a held-out split too",
                where=name,
                expected=f"{split} images that no held-out split has",
                got=f"{dropped} shared images",
                hint=_MEND,
            )
        if dropped:
            listener.note(
                f"{name}: left out {dropped} {split} digits that a held-out split has too"
            )
    return {split: kept[split] for split in SPLITS}


def _digest(pools: Mapping[str, Digits]) -> str:
    state = hashlib.sha256()
    for split, digits in pools.items():
        state.update(f"{split} {digits.images.shape}".encode())
        state.update(digits.images.tobytes())
        state.update(digits.labels.tobytes())
    return state.hexdigest()
