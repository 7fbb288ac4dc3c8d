"""Paths as people type them, and as files record them. Standard library only."""

from __future__ import annotations

import os
from pathlib import Path


def to_path(path: str | Path) -> Path:
    """Return a path that a person gave, with ``~`` expanded: shells leave that of ``--out=~/x``.

    A name that the file system's encoding lacks, such as ``ä`` where that is ASCII, is UTF-8.
    """
    text = os.path.expanduser(path)
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return from_record(text)
    return Path(text)


def path_or_none(path: str | Path | None) -> Path | None:
    """Return a path that a person gave as ``to_path`` does; None where none was given."""
    return None if path is None else to_path(path)


def output_file(out: str | Path, name: str) -> Path:
    """Return the file to write for ``--out``: ``name`` inside it if it ends with a slash."""
    path = to_path(out)
    return path / name if os.fspath(out).endswith(os.sep) else path


def absolute(path: Path) -> Path:
    """Return an absolute path to record, which does not depend on folders before a ``..``.

    Links behind the last ``..`` stay, so that where they point may change.
    """
    parts = path.absolute().parts
    if ".." not in parts:
        return Path(*parts)
    end = len(parts) - parts[::-1].index("..")
    return Path(os.path.realpath(Path(*parts[:end])), *parts[end:])


def to_record(path: Path) -> str:
    """Return a path as text that means the same file whatever the file system's encoding."""
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def from_record(text: str) -> Path:
    """Return the path that ``to_record`` made text of."""
    return Path(os.fsdecode(text.encode("utf-8", "surrogateescape")))
