"""A folder that appears when all of it is written, and replaces only what an export made."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from airkit.data.coco import ANNOTATIONS
from airkit.errors import OutputError
from airkit.system import files
from airkit.system.callbacks import Listener
from airkit.system.locks import exclusive
from airkit.system.signals import StopRequest, held

WEIGHTS = "model.safetensors"
_MARK = b'"airkit_version"'
"""In the first 4,096 bytes of one of these two files in every export."""
_OURS = {
    ANNOTATIONS: r"annotations\.json|images|images/(train|val|test)-\d{6,}\.png",
    WEIGHTS: r"model\.safetensors|config\.toml",
}
"""Names that an export gives, by its marked file."""
_TOP = (ANNOTATIONS, WEIGHTS, "config.toml", "images")
"""What an export may hold, the marked files first."""
_PART, _ASIDE, _OLD = _WITHIN = (".airkit.part", ".airkit.aside", ".airkit.old")
"""Folders in one that was there before: the new export; the older one, on its way out and out."""
_LOCK = ".airkit.lock"


@contextmanager
def filling(out: Path, *, force: bool, listener: Listener) -> Iterator[tuple[Path, StopRequest]]:
    """Yield a new folder, whose content is that of ``out`` where the body ends well.

    It is ``out`` + ``.part``, and becomes ``out``; where ``out`` is there, it is in it, and ``out``
    stays the folder that it is. Also yields whether a stop was asked for, which long work asks
    now and then: signals wait until the end. Whatever goes wrong, nothing is left, and an older
    export stays as it was.

    Raises:
        OutputError: ``out`` is there and not empty, or with ``force`` holds what no export made;
            or it cannot be written, or is being written.
    """
    target = Path(os.path.realpath(out))
    if not any(os.path.lexists(target / name) for name in _WITHIN):
        _check_free(target, out, force)
    with held() as stop, _locked(target, out, listener):
        with files.writing(out):
            _settle(target)
        _check_free(target, out, force)  # once more: another process may have filled it meanwhile
        partial = _place(target, _PART, ".part")
        _remove_leftover(partial)
        try:
            with files.writing(out):
                partial.mkdir()
                yield partial, stop
                files.sync(partial)
                _check_free(target, out, force)
                _put(partial, target)
        finally:
            if not os.path.lexists(target / _OLD):  # else the next export does what this could not
                shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _locked(target: Path, out: Path, listener: Listener) -> Iterator[None]:
    """Keep other exports to the same folder out."""
    lock = _place(target, _LOCK, ".lock")
    hint = "wait for its end, or name another --out"
    work = "export is writing this folder"
    with exclusive(lock, out, work=work, hint=hint, listener=listener):
        yield


def _place(target: Path, within: str, ending: str) -> Path:
    """A name in a folder that is there, whose own may be a mount's; else one beside its name."""
    return target / within if os.path.isdir(target) else target.with_name(target.name + ending)


def _check_free(target: Path, out: Path, force: bool) -> None:
    """Refuse a file, and a folder that is not empty unless it is to be replaced and may be."""
    with files.writing(out):
        if target.exists() and not target.is_dir():
            raise OutputError("A file is in the way", where=out, hint="another --out")
        empty = not target.exists() or not _top(target)
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
        if not (_is_folder(partial) and (_just_begun(partial) or not _foreign(partial))):
            raise _taken(partial)
        shutil.rmtree(partial)


def _taken(folder: Path) -> OutputError:
    return OutputError(
        "The folder to write to first is taken",
        where=folder,
        hint="move it away, or name another --out",
    )


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _just_begun(folder: Path) -> bool:
    """Whether there is nothing but a file that was to be marked: the first that an export makes."""
    names = [path.name for path in folder.iterdir()]
    return names in ([ANNOTATIONS], [WEIGHTS]) and not (folder / names[0]).lstat().st_size


def _foreign(folder: Path) -> list[str]:
    """Names in a folder that no export gave; all of them where it has no export's mark."""
    top = _top(folder)
    marked = [file.name for file in _heads(folder) if _marked(file)]
    return _misnamed(folder, top, marked) if marked else [path.name for path in top]


def _top(folder: Path) -> list[Path]:
    """What is in a folder, but for what an export in progress has there."""
    return sorted(path for path in folder.iterdir() if path.name not in (*_WITHIN, _LOCK))


def _misnamed(folder: Path, top: list[Path], marked: Iterable[str] = tuple(_OURS)) -> list[str]:
    """Names that no export of such marked files gives, among some in a folder and all below."""
    ours = re.compile("|".join(_OURS[name] for name in marked))
    below = [path for each in top if _is_folder(each) for path in each.rglob("*")]
    names = sorted(path.relative_to(folder).as_posix() for path in [*top, *below])
    return [name for name in names if not ours.fullmatch(name) or (folder / name).is_symlink()]


def _heads(folder: Path) -> list[Path]:
    return [file for name in (ANNOTATIONS, WEIGHTS) if (file := folder / name).is_file()]


def _marked(file: Path) -> bool:
    """Whether an export wrote this file, or began to."""
    with file.open("rb") as opened:
        return _MARK in opened.read(4096)


def _put(partial: Path, target: Path) -> None:
    """Give a whole export its place; an older one goes when the new one is there."""
    if partial.parent != target:
        partial.rename(target)
        files.sync(target.parent)
        return
    (target / _ASIDE).mkdir()
    try:
        _rename_all(_moves(target))
    except OSError:
        (target / _ASIDE).rmdir()
        raise
    files.sync(target)
    shutil.rmtree(target / _OLD, ignore_errors=True)


def _moves(target: Path) -> list[tuple[Path, Path]]:
    """The renamings that put a new export in the place of what there is, in their order.

    A folder has a mark only while its export is whole, and the name of the older one's tells
    which of the two was on its way, should they be cut short.
    """
    part, aside, old = (target / name for name in _WITHIN)
    out = [(target / name, aside / name) for name in _TOP if (target / name).exists()]
    return [*out, (aside, old), *_moves_in(part, target)]


def _moves_in(folder: Path, target: Path) -> list[tuple[Path, Path]]:
    """The renamings that bring an export into its place, its mark last."""
    return [(folder / name, target / name) for name in reversed(_TOP) if (folder / name).exists()]


def _rename_all(moves: list[tuple[Path, Path]]) -> None:
    """Rename one after the other; where one fails, back to how it was."""
    done = []
    try:
        for source, target in moves:
            source.rename(target)
            done.append((source, target))
    except OSError:
        for source, target in reversed(done):
            target.rename(source)
        raise


def _settle(target: Path) -> None:
    """Undo or finish what an export that was killed did to a folder that was there."""
    part, aside, old = left = [target / name for name in _WITHIN]
    for folder in filter(os.path.lexists, left):
        if not _is_folder(folder) or _misnamed(folder, list(folder.iterdir())):
            raise _taken(folder)
    if aside.exists():
        _rename_all(_moves_in(aside, target))
        aside.rmdir()
    elif old.exists():
        _rename_all(_moves_in(part, target))
    for folder in filter(os.path.lexists, (part, old)):
        shutil.rmtree(folder)
