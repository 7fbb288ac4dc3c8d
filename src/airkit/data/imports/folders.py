"""The picture files of a folder."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path, PurePath

import numpy as np

from airkit.errors import ImageError
from airkit.system.text import quoted

HEIC = ".heic", ".heif"
ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
"""Names of files that are read as pictures; what they are is for their first bytes to say."""
COMPANION = re.compile(r"_(masks?|overlay|labels?|seg|flows?|outlines?)$", re.IGNORECASE)
"""End of a name, without its ending, of a file that other programs write beside a picture."""
_END = b"\0\0"
"""Occurs in no file name, and sorts before all that does."""
_SOME = 10_000


class Names(Collection[Path]):
    """Files by their names in a folder, kept as bytes: a ``Path`` takes half a kilobyte."""

    def __init__(self, folder: Path, names: Iterable[bytes]) -> None:
        self._folder, self._names = folder, bytearray()
        for name in names:
            self._names += name + b"\0"

    def __len__(self) -> int:
        return self._names.count(0)

    def __iter__(self) -> Iterator[Path]:
        found = re.finditer(rb"[^\0]+", self._names)
        return (self._folder / os.fsdecode(name[0]) for name in found)

    def __contains__(self, path: object) -> bool:
        return any(each == path for each in self)


def files_of(folder: Path, noticed: Counter[str], *, inside: bool = False) -> Names:
    """The picture files of a folder in natural order, without hidden ones and companions.

    Args:
        folder: the folder.
        noticed: how many files and folders were passed over.
        inside: take those of the folders inside too, one level down.

    Raises:
        ImageError: there are none.
    """
    found = Names(folder, _names_of(folder, "", noticed, int(inside)))
    if not found:
        raise ImageError(
            "There are no pictures in this folder",
            where=folder,
            expected=f"files that end in {', '.join(ENDINGS)}",
            got=f"{len([*folder.iterdir()]):,} other files and folders",
            hint="convert them to one of these, or name the folder that holds them: "
            f"{quoted(folder)}/NAME",
        )
    return found


def _names_of(folder: Path, inner: str, noticed: Counter[str], levels: int) -> Iterator[bytes]:
    for key in _sorted(map(natural, _listed(folder / inner))):
        name = os.fsdecode(key.rpartition(_END)[2])
        is_folder, file = name.endswith("/"), PurePath(name)
        if name.startswith("."):
            continue
        if is_folder and levels:
            yield from _names_of(folder, inner + name, noticed, levels - 1)
        elif is_folder:
            noticed["folders"] += 1
        elif file.suffix.lower() not in ENDINGS:
            noticed["heic" if file.suffix.lower() in HEIC else "no pictures"] += 1
        elif COMPANION.search(file.stem):
            noticed["companions"] += 1
        else:
            yield os.fsencode(inner + name)


def _listed(folder: Path) -> Iterator[str]:
    """Names in a folder, those of folders with a slash at their end."""
    with os.scandir(folder) as entries:
        for entry in entries:
            yield entry.name + "/" * _is_folder(entry)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    with suppress(OSError):  # a link to itself
        return entry.is_dir()
    return False


def _sorted(keys: Iterator[bytes]) -> Iterator[bytes]:
    """Texts in their order; as arrays, since a million strings of Python's take 100 MB."""
    parts = [np.empty(0, "S1")]
    while some := list(islice(keys, _SOME)):
        parts.append(np.array(some))
    whole = np.concatenate(parts)
    parts.clear()
    whole.sort()
    yield from whole


def natural(name: str) -> bytes:
    """A key that sorts names in natural order, 2.png before 10.png, and ends with the name.

    Each number is preceded by its length; case is ignored.
    """
    plain = name.rstrip("/").lower()
    key = re.sub(r"0*(\d+)", lambda digits: f"\0{chr(len(digits[1]))}{digits[1]}", plain)
    return os.fsencode(key) + _END + os.fsencode(name)
