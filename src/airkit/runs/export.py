"""Exports for other programs: canvases as COCO, models as safetensors, each with its card.

The folder of an export is written beside its place and then renamed. Only a folder that an
export wrote is ever replaced.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from airkit.data import reader
from airkit.data.canvases import SPLITS
from airkit.data.coco import ANNOTATIONS
from airkit.data.info import DataInfo
from airkit.errors import AirkitError, DataFileError, OutputError
from airkit.runs import cards, describe
from airkit.system import files
from airkit.system.callbacks import SILENT, Listener
from airkit.system.locks import exclusive
from airkit.system.paths import path_or_none, to_path
from airkit.system.signals import StopRequest, defer_signals
from airkit.system.text import first_three, quoted

if TYPE_CHECKING:
    from airkit.runs.checkpoint import Checkpoint

_MARK = b'"airkit_version"'
"""In the first 4,096 bytes of one of these two files of every export."""
_FILES = {
    ANNOTATIONS: r"annotations\.json|README\.md|images|images/(train|val|test)-\d{6,}\.png",
    cards.CONFIG: r"config\.json|README\.md|model\.safetensors",
}
"""What an export holds, by its marked file."""
Writing = AbstractContextManager[tuple[Path, StopRequest]]
"""Yields a new folder to write into, and whether a signal came; see ``_replacing``."""


@dataclass(frozen=True)
class Exported:
    """What was written."""

    path: Path
    """The folder."""
    format: str
    """COCO or safetensors."""
    counts: Mapping[str, int]
    """Numbers by name: ``images`` and ``annotations``, or ``step`` and ``parameters``."""


def export(  # noqa: PLR0913 - an argument for each option of the command
    path: str | Path,
    out: str | Path,
    *,
    split: str | None = None,
    checkpoint: str | None = None,
    measures: str | Path | None = None,
    licence: str | None = None,
    force: bool = False,
    listener: Listener = SILENT,
) -> Exported:
    """Write a data file as COCO, or a trained model as safetensors, with a card about it.

    ``airkit.load`` and every ``run`` take the folder of a model.

    Args:
        path: a data file, a checkpoint or a run folder; its content tells which.
        out: the folder to write, new or empty; it appears when it is complete.
        split: canvases of a data file: train, val, test, by default, or all.
        checkpoint: of a run folder: ``best``, by default, ``last`` or a checkpoint file.
        measures: what ``airkit eval --json`` printed of the model, for its card.
        licence: for the card, as Hugging Face names it, such as ``cc-by-4.0``; by default that
            of the digits, and ``unknown`` for pictures and models.
        force: replace an earlier export.
        listener: hears progress.

    Raises:
        AirkitError: ``path`` is no file of airkit's, or has no splits or no checkpoints to choose
            from; or the measures cannot be read or are of another checkpoint.
        DataFileError: the data file is damaged, or there are no canvases in such a split.
        CheckpointError: the checkpoint or the run folder is damaged, or there is no such one.
        OutputError: the folder is not empty or cannot be written.
    """
    path, out = to_path(path), to_path(out)
    kind = describe.kind(path)
    _check_applies("--split", split, path, kind, "data file")
    if kind == "run folder":
        _check_run(path)
    _check_applies("--checkpoint", checkpoint, path, kind, "run folder")
    told = path_or_none(measures)
    writing = _replacing(out, force=force, listener=listener)
    if kind == "data file":
        _check_applies("--measures", told, path, kind, "model")
        wanted = "test" if split is None else split
        return Exported(out, "COCO", _canvases(path, wanted, licence, writing, listener))
    if kind == "run folder" and checkpoint is None:
        checkpoint = "best"
    card = partial(cards.model_card, measures=told, licence=licence)
    return Exported(out, "safetensors", _weights(path, checkpoint, card, writing, listener))


def _check_run(path: Path) -> None:
    """Refuse a folder that is no run, before a library is asked for."""
    from airkit.runs.folder import RunFolder, no_run_error  # noqa: PLC0415 - loads torch

    if not RunFolder(path).holds_model:
        raise no_run_error(path)


def _check_applies(option: str, given: object, path: Path, kind: str, needs: str) -> None:
    """Refuse an option that has no effect on this kind of file."""
    if given is not None and kind != needs:
        raise AirkitError(
            f"{option} is for a {needs} alone",
            where=path,
            expected=f"a {needs}",
            got=f"a {kind}",
            hint=f"airkit export {quoted(path)} without {option}, or with a {needs}",
        )


def _canvases(
    path: Path, split: str, licence: str | None, writing: Writing, listener: Listener
) -> dict[str, int]:
    """Export canvases, and return how many images and annotations there are."""
    from airkit.data.coco import Coco  # noqa: PLC0415 - weights are exported without it

    about = reader.read_info(path)
    splits = _splits(about, split)
    unknown = [name for name in splits if "box" not in about.arrays[name]]
    if unknown:
        listener.note(f"{path}: no boxes in {', '.join(unknown)}, exported without annotations")
    with writing as (folder, stop):
        coco = Coco(about, splits, folder, stop, listener)
        coco.write()
        _write(folder / cards.CARD, cards.data_card(about, splits, coco, licence).encode())
    return {"images": coco.images, "annotations": coco.annotations}


def _splits(about: DataInfo, split: str) -> list[str]:
    """Return the splits to export, at least one of which has canvases."""
    if split not in (*SPLITS, "all"):
        raise DataFileError(
            "No such split",
            where=about.path,
            expected=" or ".join([*SPLITS, "all"]),
            got=split,
            hint="--split all takes every one",
        )
    splits = [name for name in SPLITS if split in (name, "all") and about.splits[name]]
    if not splits:
        raise DataFileError(
            "There are no canvases to export",
            where=about.path,
            expected="at least one",
            got=", ".join(f"{many} {name}" for name, many in about.splits.items()),
            hint="choose another with --split",
        )
    return splits


def _weights(
    path: Path,
    name: str | None,
    card: Callable[[Checkpoint, list[str]], str],
    writing: Writing,
    listener: Listener,
) -> dict[str, int]:
    """Export the checkpoint ``path``, or the one called ``name`` of a run; return step and size."""
    from airkit.runs import hub  # noqa: PLC0415 - canvases are exported without torch
    from airkit.runs.folder import RunFolder  # noqa: PLC0415

    if name is None:
        state = describe.read_checkpoint(path)
    else:
        _, state = RunFolder(path).find(name, listener)
    told = card(state, RunFolder.of(path).trouble())
    contents = {**hub.contents(state), cards.CARD: told.encode()}
    with writing as (folder, _):
        for file, content in contents.items():
            _write(folder / file, content)
    return {"step": state.step, "parameters": state.parameters}


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    files.sync(path)


@contextmanager
def _replacing(out: Path, *, force: bool, listener: Listener) -> Iterator[tuple[Path, StopRequest]]:
    """Yield a new folder, which becomes ``out`` when the block ends without an error.

    Otherwise nothing is left, and an earlier export stays as it was. Signals wait until the end;
    long work asks the stop request, which is yielded too, whether one came.

    Args:
        out: the folder; a link is followed.
        force: whether an earlier export may be replaced.
        listener: hears of a folder that cannot be locked.

    Raises:
        OutputError: ``out`` is not empty, holds what no export wrote, or cannot be written.
    """
    target = Path(os.path.realpath(out))
    part, old = (target.parent / f".{target.name}.airkit-{name}" for name in ("part", "old"))
    lock = target.parent / f"{target.name}.lock"
    work, hint = "export is writing this folder", "wait for its end, or name another --out"
    with defer_signals() as stop, exclusive(lock, out, work=work, hint=hint, listener=listener):
        try:
            with files.writing(out):
                _clear(target, part, old)
                _check_free(target, out, force)
                part.mkdir()
                yield part, stop
                files.sync(part)
                _check_free(target, out, force)  # files may have come meanwhile
                _swap(target, part, old)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _clear(target: Path, part: Path, old: Path) -> None:
    """Remove what a killed export left, and put back the export that it was replacing."""
    if part.exists():
        shutil.rmtree(part)
    if old.exists() and not target.exists():
        old.rename(target)
    elif old.exists():
        shutil.rmtree(old)


def _swap(target: Path, part: Path, old: Path) -> None:
    """Give the new folder its name, then remove the earlier export."""
    if target.exists():
        target.rename(old)
    try:
        part.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise
    files.sync(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def _check_free(target: Path, out: Path, force: bool) -> None:
    """Refuse what is there, unless it is an empty folder or an export that may be replaced."""
    with files.writing(out):
        if not target.exists():
            return
        if not target.is_dir():
            raise OutputError("A file is in the way", where=out, hint="another --out")
        if target in (Path.cwd(), *Path.cwd().parents):
            raise OutputError(
                "The current folder cannot be replaced", where=out, hint="another --out"
            )
        empty, foreign = not any(target.iterdir()), _foreign(target)
    if foreign:
        raise OutputError(
            "This folder holds files that no export made",
            where=out,
            expected="a new or empty folder, or an earlier export",
            got=first_three(foreign),
            hint="another --out",
        )
    if not (empty or force):
        raise OutputError(
            "There is an export already", where=out, hint="--force to replace it, or another --out"
        )


def _foreign(folder: Path) -> list[str]:
    """Return the names in a folder that no export gave: all of them without a marked file."""
    marked = [name for name in _FILES if _is_marked(folder / name)]
    if not marked:
        return sorted(path.name for path in folder.iterdir())
    ours = re.compile("|".join(_FILES[name] for name in marked))
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    return [name for name in names if not ours.fullmatch(name) or (folder / name).is_symlink()]


def _is_marked(file: Path) -> bool:
    """Return whether this is the marked file of an export."""
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        return _MARK in opened.read(4096)
