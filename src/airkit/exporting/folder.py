"""A folder that appears when all of it is written, and replaces only what an export made."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from airkit import files
from airkit.errors import OutputError
from airkit.listener import Listener
from airkit.locks import exclusive
from airkit.signals import StopRequest, held

ANNOTATIONS, WEIGHTS = "annotations.json", "model.safetensors"
_MARK = b'"airkit_version"'
"""In the first 4,096 bytes of one of these two files in every export."""
_OURS = re.compile(
    r"annotations\.json|model\.safetensors|config\.toml|images|images/(train|val|test)-\d{6,}\.png"
)


@contextmanager
def filling(out: Path, *, force: bool, listener: Listener) -> Iterator[tuple[Path, StopRequest]]:
    """Yield ``out`` + ``.part``, a new folder, which becomes ``out`` where the body ends well.

    Also yields whether a stop was asked for, which long work asks now and then: signals wait
    until the end. Whatever goes wrong, nothing is left, and an older export stays as it was.

    Raises:
        OutputError: ``out`` is there and not empty, or with ``force`` holds what no export made;
            or it cannot be written, or is being written.
    """
    target = Path(os.path.realpath(out))
    _check_free(target, out, force)
    partial = target.with_name(target.name + ".part")
    with held() as stop, _locked(target, out, listener):
        _check_free(target, out, force)  # once more: another process may have filled it meanwhile
        _remove_leftover(partial)
        try:
            with files.writing(out):
                partial.mkdir()
                yield partial, stop
                files.sync(partial)
                _put(partial, target)
                files.sync(target.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _locked(target: Path, out: Path, listener: Listener) -> Iterator[None]:
    """Keep other exports to the same folder out."""
    lock = target.with_name(target.name + ".lock")
    hint = "wait for its end, or name another --out"
    work = "export is writing this folder"
    with exclusive(lock, out, work=work, hint=hint, listener=listener):
        yield


def _check_free(target: Path, out: Path, force: bool) -> None:
    """Refuse a file, and a folder that is not empty unless it is to be replaced and may be."""
    with files.writing(out):
        if target.exists() and not target.is_dir():
            raise OutputError("A file is in the way", where=out, hint="another --out")
        empty = not target.exists() or not any(target.iterdir())
        foreign = [] if empty else _foreign(target)
    if empty or (force and not foreign):
        return
    if foreign:
        raise OutputError(
            "This folder holds what no export made",
            where=out,
            expected="a new or empty folder, or an earlier export",
            got=", ".join(foreign[:3]) + ", ..." * (len(foreign) > 3),
            hint="another --out",
        )
    raise OutputError(
        "There is an export already", where=out, hint="--force to replace it, or another --out"
    )


def _remove_leftover(partial: Path) -> None:
    """Remove what an export left that was killed; a user's folder of this name stays."""
    if not os.path.lexists(partial):
        return
    with files.writing(partial):
        if partial.is_symlink() or not partial.is_dir() or _foreign(partial):
            raise OutputError(
                "The folder to write to first is taken",
                where=partial,
                hint="move it away, or name another --out",
            )
        shutil.rmtree(partial)


def _foreign(folder: Path) -> list[str]:
    """Names in a folder that no export gave; all of them where it has no export's mark."""
    if not any(map(_marked, _heads(folder))):
        return sorted(path.name for path in folder.iterdir())
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    return [name for name in names if not _OURS.fullmatch(name) or (folder / name).is_symlink()]


def _heads(folder: Path) -> list[Path]:
    return [file for name in (ANNOTATIONS, WEIGHTS) if (file := folder / name).is_file()]


def _marked(file: Path) -> bool:
    """Whether an export began this file; one without content was cut short at once."""
    with file.open("rb") as opened:
        start = opened.read(4096)
    return not start or _MARK in start


def _put(partial: Path, target: Path) -> None:
    """Give a whole export its name; an older one goes when the new one is there."""
    if not target.exists():
        partial.rename(target)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        old = target.rename(aside / "old")
        try:
            partial.rename(target)
        except OSError:
            old.rename(target)
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
