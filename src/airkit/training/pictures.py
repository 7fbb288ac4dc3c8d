"""Pictures that a training is given in place of a data file, kept as one in the run folder."""

from __future__ import annotations

import os
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


def keep(images: Any, run: RunFolder, given: Settings, *, fresh: bool, listener: Listener) -> Path:
    """Import pictures into a run folder, unless it holds the same ones already.

    Args:
        images: what ``import_scenes`` takes.
        run: the run folder, which the caller has locked.
        given: settings, of which those of ``data`` matter.
        fresh: replace other pictures that it holds.
        listener: hears notes, what a look at the pictures found, and progress.

    Returns:
        The data file.

    Raises:
        AirkitError: as ``import_scenes`` does.
        CheckpointError: the folder holds other pictures.
    """
    kept = run.path / NAME
    new = kept.with_stem(f"{kept.stem}-new")
    with arguments_of("airkit.import_scenes"):
        report = import_scenes(images, path=new, force=True, settings=given, listener=listener)
    try:
        if not fresh and (run.saved() or os.path.exists(kept)):
            _check_same(kept, report.content_digest)
        else:
            for line in report.seen:
                listener.note(f"seen in the pictures: {line}")
        with writing(kept):
            new.replace(kept)
    finally:
        new.unlink(missing_ok=True)
    return kept


def _check_same(kept: Path, digest: str) -> None:
    """Refuse other pictures than those kept, and those of a run on a data file from elsewhere."""
    there = os.path.exists(kept)
    ours = reader.read_info(kept).content_digest if there else ""
    if ours != digest:
        raise CheckpointError(
            "The run was started with other pictures",
            where=kept.parent,
            expected=f"those of digest {ours[:16]}, and the same data.seed"
            if there
            else "data=...",
            got=f"pictures of digest {digest[:16]}",
            hint="name another run for these, or fresh=True to remove the earlier training",
        )
