"""What is at a path, for a message that helps."""

from __future__ import annotations

import os
from pathlib import Path

from airkit.errors import CheckpointError
from airkit.system import files
from airkit.system.text import quoted

PLAN = "sweep.json"
"""The file by which a folder is one of ``airkit sweep``."""
_ANOTHER = "name another; airkit train makes one"


def is_sweep(path: Path) -> bool:
    """Whether a folder is one of ``airkit sweep``."""
    return os.path.isfile(path / PLAN)


def no_run(path: Path) -> CheckpointError:
    """What to tell of a path at which there is no trained run."""
    got, hint = _folder(path) if os.path.isdir(path) else _file(path)
    return CheckpointError(
        "There is no trained run here",
        where=path,
        expected="a folder with checkpoints/step-*.pt",
        got=got,
        hint=hint,
    )


def _folder(path: Path) -> tuple[str | None, str]:
    """What a folder is instead of a run's, and what to do."""
    runs = sorted(file.parent.parent for file in files.matching(path, "*/checkpoints/step-*.pt"))
    if is_sweep(path):
        one = quoted(runs[0] if runs else path / "seed-000")
        both = f"airkit report --run {quoted(path)} compares them"
        return "the folder of a sweep", f"name one of its runs, such as {one}; {both}"
    if runs:
        return "a folder of runs", f"name one of them, such as {quoted(runs[0])}"
    if files.matching(path, "step-*.pt"):
        named = path.name not in ("", "..") and not path.is_symlink()
        parent = path.parent if named else path / ".."
        return "the checkpoints of a run", f"name the run itself: {quoted(parent)}"
    if files.matching(path, "*"):
        return "a folder of other things", _ANOTHER
    return None, f"airkit train --run {quoted(path)}"


def _file(path: Path) -> tuple[str | None, str]:
    """What is there instead of a folder, and what to do."""
    if os.path.lexists(path) and not os.path.exists(path):
        return "a link to nothing", _ANOTHER
    if not os.path.exists(path):
        return None, f"airkit train --run {quoted(path)}"
    kind = files.file_kind(path)
    if kind is None:
        return "a file", _ANOTHER
    option = {"data file": "--data", "checkpoint": "--checkpoint"}[kind]
    return f"a {kind}", f"name it with {option}, and a run in its place"
