"""The picture files of a folder."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from airkit.errors import ImageError
from airkit.system.text import quoted

ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
"""Names of files that are read as pictures; what they are is for their first bytes to say."""
COMPANION = re.compile(r"_(masks?|overlay|labels?|seg|flows?|outlines?)$", re.IGNORECASE)
"""End of a name, without its ending, of a file that other programs write beside a picture."""


def files_of(folder: Path, noticed: Counter[str], *, inside: bool = False) -> list[Path]:
    """The picture files of a folder in natural order, without hidden ones and companions.

    Args:
        folder: the folder.
        noticed: how many files and folders were passed over.
        inside: take those of the folders inside too, one level down.

    Raises:
        ImageError: there are none.
    """
    found = list(_files_of(folder, noticed, int(inside)))
    if not found:
        raise ImageError(
            "There are no pictures in this folder",
            where=folder,
            expected=f"files that end in {', '.join(ENDINGS)}",
            got=f"{len([*folder.iterdir()]):,} other files and folders",
            hint=f"name the folder that holds them: {quoted(folder)}/NAME",
        )
    return found


def _files_of(folder: Path, noticed: Counter[str], levels: int) -> Iterator[Path]:
    for path in sorted(folder.iterdir(), key=natural):
        if path.is_dir() and levels and not path.name.startswith("."):
            yield from _files_of(path, noticed, levels - 1)
        elif path.is_dir():
            noticed["folders"] += 1
        elif path.name.startswith("."):
            continue
        elif path.suffix.lower() not in ENDINGS:
            noticed["no pictures"] += 1
        elif COMPANION.search(path.stem):
            noticed["companions"] += 1
        else:
            yield path


def natural(path: Path) -> list[tuple[int, int, str]]:
    """Key of a file's place in natural order: 2.png before 10.png."""
    parts = re.findall(r"(\d+)|(\D+)", path.name)
    return [(0, int(digits), "") if digits else (1, 0, text.lower()) for digits, text in parts]
