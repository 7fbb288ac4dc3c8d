"""What airkit wrote, in the formats of other programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from airkit.data import reader
from airkit.data.reader import DataInfo
from airkit.data.sources import SPLITS
from airkit.errors import AirkitError, DataFileError
from airkit.runs import describe
from airkit.runs.export_folder import filling
from airkit.system.callbacks import SILENT, Listener
from airkit.system.text import quoted


@dataclass(frozen=True)
class Exported:
    """What was written."""

    path: Path
    """The folder."""
    format: str
    """COCO or safetensors."""
    counts: Mapping[str, int]
    """Numbers by name: ``images`` and ``annotations``, or ``step`` and ``parameters``."""


def export(
    path: str | Path,
    out: str | Path,
    *,
    split: str | None = None,
    checkpoint: str | None = None,
    force: bool = False,
    listener: Listener = SILENT,
) -> Exported:
    """Write a data file as COCO, or a trained model as safetensors.

    Args:
        path: a data file, a checkpoint or a run folder; its content tells which.
        out: the folder to write, new or empty; a new one appears when it is whole.
        split: canvases of a data file: train, val, test, by default, or all.
        checkpoint: state of a run folder: best, by default, last or a checkpoint file.
        force: replace an earlier export.
        listener: hears of progress, and of a damaged checkpoint that was passed over.

    Raises:
        AirkitError: ``path`` is nothing of airkit's, or has no splits or no states to choose from;
            or safetensors is not installed.
        DataFileError: the data file is damaged, or there are no canvases in such a split.
        CheckpointError: the checkpoint or the run folder is damaged, or there is no such one.
        OutputError: the folder is not empty or cannot be written.
    """
    path, out = Path(path), Path(out)
    kind = describe.kind(path)
    _check_applies("--split", split, path, kind, "data file")
    _check_applies("--checkpoint", checkpoint, path, kind, "run folder")
    if kind == "data file":
        return _canvases(path, out, "test" if split is None else split, force, listener)
    if kind == "run folder" and checkpoint is None:
        checkpoint = "best"
    return _weights(path, out, checkpoint, force, listener)


def _check_applies(option: str, given: str | None, path: Path, kind: str, chooses: str) -> None:
    """Refuse an option that chooses from what another kind of thing holds."""
    if given is not None and kind != chooses:
        raise AirkitError(
            f"{option} is for a {chooses} alone",
            where=path,
            expected=f"a {chooses}",
            got=f"a {kind}",
            hint=f"airkit export {quoted(path)} without {option}, or with a {chooses}",
        )


def _canvases(path: Path, out: Path, split: str, force: bool, listener: Listener) -> Exported:
    from airkit.data.coco import Coco  # noqa: PLC0415 - weights are exported without it

    about = reader.read_info(path)
    splits = _splits(about, split)
    with filling(out, force=force, listener=listener) as (folder, stop):
        coco = Coco(about, splits, folder, stop, listener)
        coco.write()
    return Exported(out, "COCO", {"images": coco.images, "annotations": coco.annotations})


def _splits(about: DataInfo, split: str) -> list[str]:
    """The splits to export, of which one at least has canvases."""
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


def _weights(path: Path, out: Path, name: str | None, force: bool, listener: Listener) -> Exported:
    """Export the checkpoint ``path``, or the one called ``name`` of the run folder ``path``."""
    from airkit.runs import checkpoint, weights  # noqa: PLC0415 - as above
    from airkit.runs.folder import RunFolder  # noqa: PLC0415 - as above

    weights.library()  # found missing before anything is read or made
    state = RunFolder(path).find(name, listener)[1] if name is not None else checkpoint.read(path)
    with filling(out, force=force, listener=listener) as (folder, _):
        weights.write(state, folder)
    many = sum(value.numel() for value in state.model.values())
    return Exported(out, "safetensors", {"step": state.step, "parameters": many})
