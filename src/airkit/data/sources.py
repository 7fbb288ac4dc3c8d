"""Loading digits from the source that ``data.source`` names.

It names one of airkit's own sources (``SOURCES``), ``auto``, a folder of IDX files in MNIST's
layout, or a class derived from ``DigitSource`` as ``package.module:Class``.

Shapes: N digits of S x S pixels.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from airkit.config.registry import Registry, is_outside
from airkit.config.sections import DRAWN, PICTURES
from airkit.data.canvases import SPLITS
from airkit.data.digits import OTHERS, Digits, DigitSource
from airkit.data.idx import HOW_TO, IdxFolder
from airkit.data.look.ink import is_binary, level_fault, thinned
from airkit.data.mnist import SHORT, Mnist
from airkit.data.strokes import Strokes
from airkit.errors import DigitsError
from airkit.system.callbacks import SILENT, Listener
from airkit.system.paths import to_path
from airkit.system.text import numbered

SOURCES: Registry[DigitSource] = Registry(
    "data.source",
    {"mnist": "airkit.data.mnist:Mnist", "strokes": "airkit.data.strokes:Strokes"},
    "airkit.data.digits:DigitSource",
    recorded="These canvases were made with",
)
"""airkit's own sources by name; a folder and ``auto`` are not among them."""
_MAX_LABEL = 127  # data files hold labels as int8, with -1 for none


@dataclass(frozen=True, eq=False)
class Origin:
    """Where the content of a data file is from, as the file records it."""

    name: str
    """The source as ``data.source`` names it; for ``auto``, the one that was taken."""
    digest: str
    """SHA-256, in hexadecimal, over the source's content."""
    licence: str
    attribution: str


@dataclass(frozen=True, eq=False)
class LoadedDigits(Origin):
    """The digits of a source, checked; the digest is over the images and labels of all pools."""

    pools: Mapping[str, Digits]
    """By split; no image is in two of them."""


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
    if source == PICTURES and not os.path.isdir(source):
        raise DigitsError(
            "Imported pictures are no source of digits",
            where=f"data.source = {PICTURES}",
            expected="mnist, strokes, auto, a folder of IDX files or package.module:Class",
            hint="airkit import FOLDER --out FILE writes pictures to a data file",
        )
    if source in SOURCES or is_outside(source):
        with SOURCES.running(source):
            return _loaded(source, SOURCES[source](), listener)
    if os.path.isdir(to_path(source)):
        return _loaded(source, IdxFolder(source), listener)
    raise DigitsError(
        "No such source of digits",
        expected="mnist, strokes, auto, sprites, cells, a folder of IDX files in MNIST's layout, "
        "or package.module:Class",
        got=source,
        hint=_instead(source),
    )


def _instead(source: str) -> str:
    """The next step for a source that there is not: a relative of MNIST, a file, a slip."""
    if re.fullmatch("[a-z_-]+mnist", source.lower()):
        return f"fetch its files and name their folder, --source FOLDER: {HOW_TO}"
    if os.path.isfile(to_path(source)):
        return f"--source FOLDER that holds MNIST's four files, not one of them: {HOW_TO}"
    near = difflib.get_close_matches(source.lower(), [*SOURCES, *DRAWN, "auto"], n=1)
    return f"--source {near[0] if near else 'strokes'}"


def _load_either(listener: Listener) -> LoadedDigits:
    """MNIST where it is cached or quick to fetch, else strokes."""
    try:
        return _loaded("mnist", Mnist(SHORT), listener)
    except DigitsError as error:
        listener.note(
            f"{error.what}: using strokes, the built-in digits, instead "
            "(--source mnist waits longer and says more)"
        )
    return _loaded("strokes", Strokes(), listener)


def _loaded(name: str, source: DigitSource, listener: Listener) -> LoadedDigits:
    pools: object = source.pools(listener)
    if not isinstance(pools, Mapping) or set(pools) != set(SPLITS):
        got = list(pools) if isinstance(pools, Mapping) else type(pools).__name__
        raise _unusable(name, "a mapping with the pools train, val and test", got)
    checked = {split: _checked(f"{name}, {split} digits", pools[split]) for split in SPLITS}
    sides = {digits.images.shape[1] for digits in checked.values()}
    if len(sides) > 1:
        raise _unusable(name, "images of one side in all pools", f"sides of {sorted(sides)} px")
    disjoint = _disjoint(name, _inked(name, checked, listener), listener)
    return LoadedDigits(name, _digest(disjoint), source.licence, source.attribution, disjoint)


def _checked(where: str, digits: object) -> Digits:
    """A pool, after checking types, shapes and labels."""
    if not isinstance(digits, Digits):
        raise _unusable(where, "airkit.data.digits.Digits", type(digits).__name__)
    images, labels, index = map(np.asarray, (digits.images, digits.labels, digits.index))
    square = images.ndim == 3 and 0 < images.shape[1] == images.shape[2]
    whole = labels.dtype.kind in "iu" and index.dtype.kind in "iu"
    same = labels.shape == index.shape == images.shape[:1]
    if not (images.dtype == np.uint8 and square and whole and same):
        got = ", ".join(f"{array.dtype} {list(array.shape)}" for array in (images, labels, index))
        raise _unusable(where, "images uint8 [N, S, S], labels and rows, whole numbers [N]", got)
    wrong = labels[(labels < 0) | (labels > _MAX_LABEL)]
    if len(wrong):
        raise _unusable(where, f"labels of 0 to {_MAX_LABEL}", wrong[0])
    return Digits(images, labels.astype(np.uint8), index.astype(np.int32))


def _unusable(where: str, expected: str, got: object) -> DigitsError:
    what, hint = "The digits cannot be used", f"mend the digits, or {OTHERS}"
    return DigitsError(what, where=where, expected=expected, got=got, hint=hint)


def _inked(name: str, pools: Mapping[str, Digits], listener: Listener) -> Mapping[str, Digits]:
    """The pools, scaled where they hold 0 and 1 alone; says what is off with their ink."""
    binary = is_binary(digits.images for digits in pools.values())
    if binary:
        pools = {split: replace(it, images=it.images * 255) for split, it in pools.items()}
    some = np.concatenate([thinned(digits.images) for digits in pools.values()])
    if fault := level_fault(some, "0 and 1" if binary else "grey"):
        listener.note(f"{name}: {fault.text}")
    return pools


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
        if dropped := len(keys) - len(kept[split].labels):
            words = "left out {n} {split} {digit|digits} that a held-out split has too"
            listener.note(f"{name}: {numbered(words, dropped, split=split)}")
    return {split: kept[split] for split in SPLITS}


def _digest(pools: Mapping[str, Digits]) -> str:
    state = hashlib.sha256()
    for split, digits in pools.items():
        state.update(f"{split} {digits.images.shape}".encode())
        state.update(digits.images.tobytes())
        state.update(digits.labels.tobytes())
    return state.hexdigest()
