"""Descriptions of data files, checkpoints, run folders and sweeps: ``airkit info``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airkit.config.schema import Config
from airkit.config.settings import changed
from airkit.data import reader
from airkit.errors import AirkitError, CheckpointError
from airkit.runs import cards
from airkit.runs.sweep_folder import RUN, Plan, is_sweep
from airkit.runs.sweep_report import REPORT, SweepReport
from airkit.system import files
from airkit.system.callbacks import SILENT, Listener
from airkit.system.paths import to_path
from airkit.system.tables import Labelled
from airkit.system.text import duration, size

if TYPE_CHECKING:
    from airkit.runs.checkpoint import Checkpoint


_OURS = "name what airkit make-data or airkit train wrote"


@dataclass(frozen=True)
class Description(Labelled):
    """What a file or folder of airkit's says about itself."""

    path: Path
    """The file or folder."""
    kind: str
    """data file, checkpoint, run folder, exported model or sweep."""
    facts: Mapping[str, Any]
    """Facts by name, in the order to print them."""
    config: Config
    """The settings it was made with."""

    @property
    def changed(self) -> dict[str, Any]:
        """Settings other than the defaults, by dotted key."""
        return changed(self.config)

    @property
    def settled(self) -> dict[str, Any]:
        """What a model's settings on auto came to, by dotted key; empty for data files."""
        return {} if self.kind == "data file" else self.config.settled

    def rows(self) -> list[tuple[str, str]]:
        """Return the kind and the facts in words, as labels and values."""
        facts = [(name.replace("_", " "), _told(name, it)) for name, it in self.facts.items()]
        return [(self.kind, str(self.path)), *facts]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return {
            "path": str(self.path),
            "kind": self.kind,
            **self.facts,
            "config": self.config.model_dump(mode="json"),
            "settled": self.settled,
        }


def _told(name: str, value: object) -> str:
    """Return a fact for people."""
    if value is None:
        return "not known"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_told(key, item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if name == "seconds" and isinstance(value, float):
        return duration(value)
    if name == "bytes" and isinstance(value, int):
        return size(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def describe(path: str | Path, *, verify: bool = False, listener: Listener = SILENT) -> Description:
    """Describe a file or folder of airkit's; its content decides what it is, not its name.

    Args:
        path: a data file, a checkpoint, or the folder of a run, a sweep or an exported model.
        verify: whether to read a data file through and compare its content with its digest.
        listener: hears of damaged checkpoints that were passed over.

    Raises:
        AirkitError: there is nothing, or no file of airkit's.
        DataFileError: a data file that is damaged, of another program, or of a newer airkit.
        CheckpointError: a checkpoint or run folder that is damaged, or of a newer airkit.
    """
    path = to_path(path)
    if path.name == cards.WEIGHTS and cards.is_shared(path.parent):
        path = path.parent
    if is_sweep(path):
        return _sweep(path)
    found = kind(path)
    if found == "run folder":
        return _run_folder(path, listener)
    if found == "data file":
        return _data_file(path, verify)
    state = read_checkpoint(path)
    return Description(path, "checkpoint", _state(state), state.config)


def kind(path: Path) -> str:
    """Return what ``path`` is: a file by its first bytes; a folder is taken for a run folder.

    Raises:
        AirkitError: there is nothing, or no file of airkit's.
    """
    if os.path.isdir(path):
        return "run folder"
    try:
        start = files.start_of(path, 4)
    except OSError as error:
        what, got = "Cannot read this", error.strerror or str(error)
    else:
        if found := files.file_kind(path):
            return found
        zipped = "a zip archive, such as NumPy's .npz"
        got = zipped if start == files.ZIP else f"a file that begins with {start!r}"
        what = "This is none of airkit's files"
    raise AirkitError(
        what,
        where=path,
        expected="a data file, a checkpoint or a run folder",
        got=got,
        hint=_OURS,
    )


def _data_file(path: Path, verify: bool) -> Description:
    info = reader.read_info(path)
    facts = {
        "canvases": dict(info.splits),
        "truth": {split: list(names[1:]) for split, names in info.arrays.items()},
        "source": info.source,
        "source_digest": info.source_digest,
        "content_digest": info.content_digest,
        "seed": info.config.data.seed,
        "licence": info.licence,
        "attribution": info.attribution,
        "bytes": path.stat().st_size,
        "airkit_version": info.airkit_version,
        "format_version": info.format_version,
    }
    if verify:
        reader.verify(path)  # raises where its content is not what its digest says
        facts["verified"] = True
    return Description(path, "data file", facts, info.config)


def read_checkpoint(path: Path) -> Checkpoint:
    """Return the checkpoint that a command was given to tell of, not to choose for a run.

    Raises:
        CheckpointError: as reading one does.
    """
    from airkit.runs import checkpoint  # noqa: PLC0415 - a data file is described without torch

    try:
        return checkpoint.read(path)
    except CheckpointError as error:
        raise error.advising(_OURS) if error.hint == checkpoint.ANOTHER else error from error


def _run_folder(path: Path, listener: Listener) -> Description:
    from airkit.runs.folder import RunFolder  # noqa: PLC0415 - as above

    run = RunFolder(path)
    file, state = run.find("last", listener)
    if file.name == cards.WEIGHTS:
        return Description(path, "exported model", _state(state), state.config)
    facts = {
        **_state(state),
        "checkpoints": [file.name for file in run.saved()],
        "metrics": len(run.rows()),
        "figures": sorted(file.name for file in files.matching(run.figures, "*.*")),
    }
    return Description(path, "run folder", facts, state.config)


def _sweep(path: Path) -> Description:
    plan = Plan.read(path)
    report = SweepReport.read(path) if os.path.exists(path / REPORT) else None
    done = {} if report is None else report.to_dict()
    told = ("seeds", "attempted", "failed", "successes", "threshold", "median", "worst")
    facts = {
        **{name: done.get(name) for name in told},
        "runs": sorted(each.name for each in path.iterdir() if RUN.fullmatch(each.name)),
        "data": str(plan.data),
        "data_digest": plan.digest,
    }
    return Description(path, "sweep", facts, plan.config)


def _state(state: Checkpoint) -> dict[str, Any]:
    """Return the facts of a checkpoint."""
    return {
        "step": state.step,
        "steps": state.config.train.steps,
        "best": None if state.best is None else vars(state.best),
        "parameters": state.parameters,
        "seconds": round(state.seconds, 3),
        "data": state.data,
        "data_digest": state.data_digest,
    }
