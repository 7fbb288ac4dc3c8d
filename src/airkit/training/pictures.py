"""Pictures that a training is given in place of a data file, kept as one in the run folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airkit.config.settings import Settings
from airkit.data import reader
from airkit.data.imports.importing import import_scenes
from airkit.errors import CheckpointError
from airkit.runs.folder import RunFolder
from airkit.system.callbacks import Listener
from airkit.system.files import writing
from airkit.system.text import arguments_of

NAME = "pictures.h5"


@contextmanager
def kept(
    images: Any, run: RunFolder, given: Settings, *, fresh: bool, listener: Listener
) -> Iterator[Path]:
    """Import pictures into a run folder, unless it holds the same ones already.

    Those that it held are put back where what is done inside fails, as an earlier training needs
    them until the new one begins.

    Args:
        images: what ``import_scenes`` takes.
        run: the run folder, which the caller has locked.
        given: settings, of which those of ``data`` matter.
        fresh: replace other pictures that it holds.
        listener: hears notes, what a look at the pictures found, and progress.

    Yields:
        The data file.

    Raises:
        AirkitError: as ``import_scenes`` does.
        CheckpointError: the folder holds other pictures.
    """
    file = run.path / NAME
    new, old = (file.with_stem(f"{file.stem}-{name}") for name in ("new", "old"))
    with arguments_of("airkit.import_scenes"):
        report = import_scenes(images, path=new, force=True, settings=given, listener=listener)
    try:
        if not fresh and (run.saved() or os.path.exists(file)):
            _check_same(file, report.content_digest)
        else:
            for line in report.seen:
                listener.note(f"seen in the pictures: {line}")
        with writing(file):
            if os.path.exists(file):
                file.replace(old)
            new.replace(file)
        yield file
    except BaseException:
        if os.path.exists(old):
            old.replace(file)
        raise
    finally:
        for each in (new, old):
            each.unlink(missing_ok=True)


def _check_same(file: Path, digest: str) -> None:
    """Refuse other pictures than those kept, and those of a run on a data file from elsewhere."""
    there = os.path.exists(file)
    ours = reader.read_info(file).content_digest if there else ""
    if ours != digest:
        raise CheckpointError(
            "The run was started with other pictures",
            where=file.parent,
            expected=f"those of digest {ours[:16]}, and the same data.seed"
            if there
            else "data=...",
            got=f"pictures of digest {digest[:16]}",
            hint="name another run for these, or fresh=True to remove the earlier training",
        )
