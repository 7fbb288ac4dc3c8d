"""Exports: read back with the programs that they are for, whole or not there."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tiny_runs
import torch
from command_line import fails, run
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from safetensors import safe_open
from safetensors.torch import load_file

from airkit.config import settings
from airkit.data import reader
from airkit.data.coco import ANNOTATIONS
from airkit.data.sources import SPLITS
from airkit.errors import AirkitError, DataFileError, OutputError
from airkit.model.air import AIR
from airkit.model.scene import explain
from airkit.runs import export_folder
from airkit.runs.export import export
from airkit.runs.export_folder import WEIGHTS
from airkit.runs.folder import RunFolder
from airkit.runs.trained import build
from airkit.system import files
from airkit.system.callbacks import SILENT, Listener
from airkit.system.locks import exclusive


def coco(folder: Path) -> Any:
    """An export as pycocotools read it."""
    with redirect_stdout(StringIO()):
        return COCO(str(folder / "annotations.json"))


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder, byte for byte."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


class At(Listener):
    """Calls back when a split's part was exported."""

    def __init__(self, task: str, act: Callable[[], None]) -> None:
        self.task, self.act = task, act

    def progress(self, task: str, done: int, total: int) -> None:
        if task == self.task:
            self.act()


def names(home: Path) -> list[str]:
    return sorted(path.name for path in home.iterdir())


def spoilt(home: Path, **first: float) -> Path:
    """A copy of the data file in which the first value of some arrays of test is another."""
    path = home / "spoilt.h5"
    shutil.copy(tiny_runs.data_file(), path)
    with h5py.File(path, "r+") as file:
        for name, value in first.items():
            values = file["test"][name][:]
            values.flat[0] = value
            file["test"][name][...] = values
    return path


# Canvases as COCO


def test_every_pixel_box_and_label_is_there(home: Path) -> None:
    export(tiny_runs.data_file(), "out")
    truth, found = reader.read_split(tiny_runs.data_file(), "test"), coco(Path("out"))
    assert 0 < (truth.count == 0).sum() < len(truth.count), "some canvases are empty, not all"
    assert len(found.imgs) == len(truth.count)
    for place, (number, image) in enumerate(found.imgs.items()):
        with Image.open(Path("out/images") / image["file_name"]) as picture:
            assert (picture.format, picture.mode) == ("PNG", "L")
            assert np.array_equal(np.asarray(picture), truth.image[place])
            assert picture.size == (image["width"], image["height"])
        boxes = found.loadAnns(found.getAnnIds(imgIds=[number]))
        many = int(truth.count[place])
        assert [box["bbox"] for box in boxes] == truth.box[place, :many].tolist()
        labels = [found.cats[box["category_id"]]["name"] for box in boxes]
        assert labels == [str(label) for label in truth.label[place, :many]]
        assert all(box["area"] == box["bbox"][2] * box["bbox"][3] for box in boxes)
        assert not any(box["iscrowd"] for box in boxes)


def test_what_is_said_beside_the_boxes(home: Path) -> None:
    export(tiny_runs.data_file(), "out")
    found, about = coco(Path("out")).dataset, reader.read_info(tiny_runs.data_file())
    assert found["info"] == {
        "airkit_version": about.airkit_version,
        "description": "canvases of digits: test",
        "version": "1",
        "contributor": "digits drawn by airkit",
        "content_digest": about.content_digest,
        "seed": 0,
    }
    assert [(it["id"], it["name"]) for it in found["licenses"]] == [(1, "Apache-2.0")]
    assert {it["license"] for it in found["images"]} == {1}
    assert found["categories"] == [
        {"id": label + 1, "name": str(label), "supercategory": "digit"} for label in range(10)
    ]
    assert [it["id"] for it in found["images"]] == list(range(1, 21))
    many = len(found["annotations"])
    assert [it["id"] for it in found["annotations"]] == list(range(1, many + 1))


def test_the_truth_as_detections_has_average_precision_one(home: Path) -> None:
    export(tiny_runs.data_file(), "out")
    truth = coco(Path("out"))
    keys = ("image_id", "category_id", "bbox")
    detections = [{**{key: box[key] for key in keys}, "score": 1.0} for box in truth.anns.values()]
    with redirect_stdout(StringIO()):
        measured = COCOeval(truth, truth.loadRes(detections), "bbox")
        measured.evaluate()
        measured.accumulate()
        measured.summarize()
    assert measured.stats[0] == pytest.approx(1, abs=1e-12)


def test_all_splits_make_one_data_set(home: Path) -> None:
    done = export(tiny_runs.data_file(), "out", split="all")
    truth = {split: reader.read_split(tiny_runs.data_file(), split) for split in SPLITS}
    found = coco(Path("out"))
    assert [image["file_name"] for image in found.imgs.values()] == [
        f"{split}-{place:06d}.png" for split in SPLITS for place in range(len(truth[split].count))
    ]
    counts = [len(found.getAnnIds(imgIds=[number])) for number in found.imgs]
    assert counts == [int(count) for split in SPLITS for count in truth[split].count]
    assert done.counts == {"images": 92, "annotations": sum(counts)}
    assert (done.path, done.format) == (Path("out"), "COCO")
    for split in SPLITS:
        last = Path(f"out/images/{split}-{len(truth[split].count) - 1:06d}.png")
        assert np.array_equal(np.asarray(Image.open(last)), truth[split].image[-1])


def test_parts_are_the_split_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "chunk_rows", lambda shape: 7)
    parts = list(reader.read_parts(tiny_runs.data_file(), "test"))
    whole = reader.read_split(tiny_runs.data_file(), "test")
    assert [len(part.count) for part in parts] == [7, 7, 6]
    for name, array in vars(whole).items():
        assert np.array_equal(np.concatenate([getattr(part, name) for part in parts]), array)


def test_parts_number_on(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export(tiny_runs.data_file(), "whole")
    monkeypatch.setattr(reader, "chunk_rows", lambda shape: 7)
    export(tiny_runs.data_file(), "parts")
    assert contents(Path("parts")) == contents(Path("whole"))


def test_labels_above_nine_become_categories(home: Path) -> None:
    export(spoilt(home, count=1, label=42), "out")
    found = coco(Path("out"))
    assert found.cats[43] == {"id": 43, "name": "42", "supercategory": "digit"}
    assert len(found.cats) == 11
    assert [box["image_id"] for box in found.anns.values() if box["category_id"] == 43] == [1]


# Weights as safetensors


@pytest.fixture(name="exported")
def _exported(home: Path) -> Path:
    """The uninterrupted run as safetensors."""
    export(tiny_runs.reference(), "weights", checkpoint="last")
    return home / "weights"


def test_every_tensor_is_the_checkpoints_bit_for_bit(exported: Path) -> None:
    tensors = load_file(exported / "model.safetensors")
    model = tiny_runs.state(tiny_runs.reference()).model
    assert set(tensors) == set(model)
    for name, value in model.items():
        assert tensors[name].dtype == value.dtype
        assert tensors[name].shape == value.shape
        assert tensors[name].numpy().tobytes() == value.numpy().tobytes()


def test_the_metadata_say_whence_the_weights_are(exported: Path) -> None:
    state = tiny_runs.state(tiny_runs.reference())
    with safe_open(exported / "model.safetensors", "pt") as file:
        about = file.metadata()
    config = settings.from_json(about.pop("config"), "metadata")
    assert config == state.config
    assert settings.resolve(settings.from_file(exported / "config.toml")) == config
    assert about == {
        "airkit_version": reader.read_info(tiny_runs.data_file()).airkit_version,
        "format": "pt",
        "format_version": "1",
        "step": str(tiny_runs.STEPS),
        "seed": "0",
        "data_digest": reader.read_info(tiny_runs.data_file()).content_digest,
    }


def test_the_weights_explain_as_the_run_does(exported: Path) -> None:
    state = tiny_runs.state(tiny_runs.reference())
    with safe_open(exported / "model.safetensors", "pt") as file:
        air = AIR(settings.from_json(file.metadata()["config"], "metadata"))
    air.load_state_dict(load_file(exported / "model.safetensors"))
    canvases = reader.read_split(tiny_runs.data_file(), "test").image
    images = torch.from_numpy(canvases).float() / 255
    with torch.no_grad():
        ours = explain(air.eval(), images)
        theirs = explain(build(state, torch.device("cpu")), images)
    assert tiny_runs.same(vars(ours), vars(theirs))


def test_the_same_checkpoint_gives_the_same_bytes(exported: Path) -> None:
    """In another process too, where the library orders metadata otherwise."""
    one = RunFolder(tiny_runs.reference()).file(tiny_runs.STEPS)
    command = [sys.executable, "-m", "airkit", "export", str(one), "--out", "again"]
    subprocess.run(command, check=True, capture_output=True)
    assert contents(Path("again")) == contents(exported)


def test_best_last_and_a_file_are_told_apart(home: Path) -> None:
    folder = RunFolder(tiny_runs.trained(home / "run"))
    steps = [int(file.stem.removeprefix("step-")) for file in folder.saved()]
    best = folder.find("best", SILENT)[1].step
    assert export("run", "best").counts["step"] == best
    assert export("run", "last", checkpoint="last").counts["step"] == tiny_runs.STEPS
    first = folder.file(steps[0])
    assert export("run", "first", checkpoint=str(first)).counts["step"] == steps[0]
    assert export(first, "file").counts["step"] == steps[0]
    assert steps[0] < tiny_runs.STEPS


def test_a_checkpoint_may_be_called_best(home: Path) -> None:
    shutil.copy(RunFolder(tiny_runs.reference()).file(tiny_runs.STEPS), "best")
    assert export("best", "out").counts["step"] == tiny_runs.STEPS


def test_parameters_are_counted(exported: Path) -> None:
    done = export(tiny_runs.reference(), "again")
    many = sum(value.numel() for value in load_file(exported / "model.safetensors").values())
    assert (done.format, done.counts["parameters"]) == ("safetensors", many)


def test_without_safetensors_a_hint_says_how_to_get_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "safetensors"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    assert fails("export", tiny_runs.reference(), "--out", "out") == (
        "airkit: safetensors is not installed\n"
        '  try       pip install "airkit[export]"\n'
    )  # fmt: skip
    assert names(home) == []
    assert export(tiny_runs.data_file(), "out").format == "COCO", "which needs no extra"


# What is refused


def test_the_command_tells_what_it_wrote(home: Path) -> None:
    result = run("export", tiny_runs.data_file(), "--out", "deep/out", "--split", "val")
    many = int(reader.read_split(tiny_runs.data_file(), "val").count.sum())
    assert (result.exit_code, result.stdout) == (
        0,
        f"folder       deep/out\nformat       COCO\nimages       12\nannotations  {many}\n",
    )
    assert result.stderr == "exporting val: 12 of 12\n"
    assert names(home / "deep") == ["out"]


@pytest.mark.parametrize("source", [tiny_runs.data_file, tiny_runs.reference])
def test_an_earlier_export_stays_without_force(home: Path, source: Callable[[], Path]) -> None:
    export(tiny_runs.reference(), "out")
    before = contents(home)
    assert fails("export", source(), "--out", "out") == (
        "airkit: There is an export already\n"
        "  where     out\n"
        "  try       --force to replace it, or another --out\n"
    )
    assert contents(home) == before


@pytest.mark.parametrize("source", [tiny_runs.data_file, tiny_runs.reference])
def test_force_replaces_an_earlier_export(home: Path, source: Callable[[], Path]) -> None:
    export(tiny_runs.reference(), "weights")
    export(tiny_runs.data_file(), "canvases")
    export(source(), "expected")
    for out in ("weights", "canvases"):
        export(source(), out, force=True)
        assert contents(home / out) == contents(home / "expected")
    assert names(home) == ["canvases", "expected", "weights"]


def test_a_file_that_exports_of_another_kind_make_stays(home: Path) -> None:
    data = tiny_runs.data_file()
    export(data, "canvases")
    (home / "canvases/config.toml").write_text("mine")
    before = contents(home)
    told = fails("export", data, "--out", "canvases", "--force")
    assert "airkit: This folder holds what no export made" in told
    assert "  got       config.toml\n" in told
    assert contents(home) == before


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_what_no_export_made_is_never_replaced(home: Path, force: list[str]) -> None:
    tiny_runs.trained(home / "run")
    before = contents(home)
    assert fails("export", "run", "--out", "run", *force) == (
        "airkit: This folder holds what no export made\n"
        "  where     run\n"
        "  expected  a new or empty folder, or an earlier export\n"
        "  got       best.json, checkpoints, config.toml, ...\n"
        "  try       another --out\n"
    )
    assert contents(home) == before


def test_a_file_of_the_users_among_an_export_stays(home: Path) -> None:
    export(tiny_runs.data_file(), "out")
    Path("out/images/notes.txt").write_text("mine")
    before = contents(home)
    with pytest.raises(OutputError, match=r"(?m)^  got       images/notes\.txt$"):
        export(tiny_runs.data_file(), "out", force=True)
    assert contents(home) == before


def test_a_coco_data_set_of_another_program_stays(home: Path) -> None:
    Path("out/images").mkdir(parents=True)
    Path("out/annotations.json").write_text('{"info": {"description": "cats"}}')
    with pytest.raises(OutputError, match=r"(?m)^  got       annotations\.json, images$"):
        export(tiny_runs.data_file(), "out", force=True)


@pytest.mark.parametrize("source", [tiny_runs.data_file, tiny_runs.reference])
@pytest.mark.parametrize("out", ["folder", "link", "."])
def test_a_folder_that_is_there_is_filled_and_stays(
    home: Path, monkeypatch: pytest.MonkeyPatch, source: Callable[[], Path], out: str
) -> None:
    """An empty one, and with ``--force`` one with an earlier export, keep what they are."""
    place = home / "folder"
    place.mkdir()
    place.chmod(0o2750)
    Path("link").symlink_to("folder")
    export(source(), "expected")
    if out == ".":
        monkeypatch.chdir(place)
    before = place.stat()
    for force in (False, True):
        export(source(), out, force=force)
        after = place.stat()
        assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
        assert contents(place) == contents(home / "expected")
    assert names(home) == ["expected", "folder", "link"]
    assert names(place) == names(home / "expected")
    assert (home / "link").is_symlink()


def test_a_file_that_comes_while_a_folder_is_filled_stays(home: Path) -> None:
    Path("out").mkdir()

    def comes() -> None:
        Path("out/notes.txt").write_text("mine")

    with pytest.raises(OutputError, match="This folder holds what no export made"):
        export(tiny_runs.data_file(), "out", listener=At("exporting test", comes))
    assert contents(home) == {"out/notes.txt": b"mine"}


def test_a_file_in_the_way_is_told(home: Path) -> None:
    Path("out").write_text("mine")
    assert fails("export", tiny_runs.data_file(), "--out", "out", "--force") == (
        "airkit: A file is in the way\n  where     out\n  try       another --out\n"
    )
    assert Path("out").read_text() == "mine"


def test_a_name_too_long_is_told(home: Path) -> None:
    told = fails("export", tiny_runs.data_file(), "--out", "o" * 300)
    assert told.splitlines()[0] == "airkit: Cannot write a file"
    assert "  got       File name too long\n" in told


def test_a_run_without_checkpoints_is_told(home: Path) -> None:
    Path("run").mkdir()
    assert fails("export", "run", "--out", "out") == (
        "airkit: There is no trained run here\n"
        "  where     run\n"
        "  expected  a folder with checkpoints/step-*.pt\n"
        "  try       airkit train --run run\n"
    )
    assert names(home) == ["run"]


def test_a_path_that_is_neither_is_told(home: Path) -> None:
    Path("notes.txt").write_text("my notes")
    assert fails("export", "notes.txt", "--out", "out") == (
        "airkit: This is none of airkit's files\n"
        "  where     notes.txt\n"
        "  expected  a data file, a checkpoint or a run folder\n"
        "  got       a file that begins with b'my n'\n"
        "  try       name what airkit make-data or airkit train wrote\n"
    )
    assert fails("export", "nothing", "--out", "out") == (
        "airkit: Cannot read this\n"
        "  where     nothing\n"
        "  expected  a data file, a checkpoint or a run folder\n"
        "  got       No such file or directory\n"
        "  try       name what airkit make-data or airkit train wrote\n"
    )
    assert names(home) == ["notes.txt"]


def test_a_split_that_is_none_is_told(home: Path) -> None:
    path = tiny_runs.data_file()
    assert fails("export", path, "--out", "out", "--split", "tests") == (
        "airkit: No such split\n"
        f"  where     {path}\n"
        "  expected  train or val or test or all\n"
        "  got       tests\n"
        "  try       --split all takes every one\n"
    )
    with pytest.raises(DataFileError, match=r"No such split\n(.*\n)*  expected  train or val or"):
        next(reader.read_parts(path, "tests"))
    assert names(home) == []


@pytest.mark.parametrize("value", ["test", "best"])
def test_an_option_for_another_kind_is_refused(home: Path, value: str) -> None:
    """The default value too: it was asked for, and would have no effect."""
    run, data = tiny_runs.reference(), tiny_runs.data_file()
    state = RunFolder(run).file(tiny_runs.STEPS)
    for path, kind, option, takes in (
        (run, "run folder", "--split", "data file"),
        (state, "checkpoint", "--split", "data file"),
        (state, "checkpoint", "--checkpoint", "run folder"),
        (data, "data file", "--checkpoint", "run folder"),
    ):
        assert fails("export", path, "--out", "out", option, value) == (
            f"airkit: {option} is for a {takes} alone\n"
            f"  where     {path}\n"
            f"  expected  a {takes}\n"
            f"  got       a {kind}\n"
            f"  try       airkit export {path} without {option}, or with a {takes}\n"
        )
    assert names(home) == []


def test_a_split_without_canvases_is_told(home: Path) -> None:
    path = tiny_runs.data_file(val=0)
    assert fails("export", path, "--out", "out", "--split", "val") == (
        "airkit: There are no canvases to export\n"
        f"  where     {path}\n"
        "  expected  at least one\n"
        "  got       60 train, 0 val, 20 test\n"
        "  try       choose another with --split\n"
    )
    assert export(path, "out", split="all").counts["images"] == 80


# Whole or not there


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_leaves_nothing(home: Path, number: int) -> None:
    listener = At("exporting train", lambda: signal.raise_signal(number))
    with pytest.raises(KeyboardInterrupt):
        export(tiny_runs.data_file(), "out", split="all", listener=listener)
    assert names(home) == []


def test_a_stop_leaves_an_earlier_export(home: Path) -> None:
    export(tiny_runs.reference(), "out")
    before = contents(home)
    listener = At("exporting train", tiny_runs.interrupt)
    with pytest.raises(KeyboardInterrupt):
        export(tiny_runs.data_file(), "out", split="all", force=True, listener=listener)
    assert contents(home) == before


def test_a_stop_at_the_end_comes_after_the_export(home: Path) -> None:
    export(tiny_runs.data_file(), "expected")
    with pytest.raises(KeyboardInterrupt):
        export(tiny_runs.data_file(), "out", listener=At("exporting test", tiny_runs.interrupt))
    assert contents(home / "out") == contents(home / "expected")


def test_a_full_disk_leaves_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = Image.Image.save

    def full(image: Image.Image, path: Path) -> None:
        if path.name == "test-000013.png":
            raise OSError(28, os.strerror(28))
        save(image, path)

    export(tiny_runs.reference(), "old")
    before = contents(home)
    monkeypatch.setattr(Image.Image, "save", full)
    for out in ("old", "new"):
        assert fails("export", tiny_runs.data_file(), "--out", out, "--force") == (
            "airkit: Cannot write a file\n"
            f"  where     {out}\n"
            "  got       No space left on device\n"
            "  try       check the folder's permissions and the free space, or name another path\n"
        )
    assert contents(home) == before
    assert names(home) == ["old"]


def test_weights_that_cannot_be_written_leave_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(files, "sync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        export(tiny_runs.reference(), "out")
    assert names(home) == []


def test_an_older_export_is_back_where_the_new_one_cannot_take_its_place(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(tiny_runs.reference(), "out")
    before, rename = contents(home), Path.rename

    def refused(path: Path, target: Path) -> Path:
        if path == home / "out/.airkit.part/annotations.json":
            raise OSError(5, os.strerror(5))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(OutputError, match="Input/output error"):
        export(tiny_runs.data_file(), "out", force=True)
    assert contents(home) == before
    assert names(home) == ["out"]


@pytest.mark.parametrize(
    ("first", "message"),
    [
        ({"count": 9}, "a count of 9"),
        ({"box": np.nan}, "nan or inf"),
        ({"count": 1, "label": -1}, "A digit has no label"),
    ],
)
def test_a_damaged_file_leaves_nothing(home: Path, first: dict[str, float], message: str) -> None:
    with pytest.raises(DataFileError, match=message):
        export(spoilt(home, **first), "out")
    assert names(home) == ["spoilt.h5"]


KILLED = (
    "import os, sys\n"
    "from airkit.exporting.export import export\n"
    "from airkit.listener import Listener\n"
    "class Kill(Listener):\n"
    "    def progress(self, task, done, total):\n"
    "        os.kill(os.getpid(), 9)\n"
    "export(sys.argv[1], 'out', listener=Kill())\n"
)


@pytest.mark.parametrize("there", [False, True])
def test_what_a_killed_export_left_is_replaced(home: Path, there: bool) -> None:
    if there:
        Path("out").mkdir()
    command = [sys.executable, "-c", KILLED, str(tiny_runs.data_file())]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    if there:
        assert names(home / "out") == [".airkit.lock", ".airkit.part"]
    else:
        assert names(home) == ["out.lock", "out.part"]
    left = home / ("out/.airkit.part" if there else "out.part")
    assert len(names(left / "images")) == 20
    export(tiny_runs.reference(), "out")
    assert names(home) == ["out"]
    assert names(home / "out") == ["config.toml", "model.safetensors"]


@pytest.mark.parametrize("old", [None, tiny_runs.data_file, tiny_runs.reference])
@pytest.mark.parametrize("new", [tiny_runs.data_file, tiny_runs.reference])
def test_an_export_killed_between_two_renamings_is_undone_or_done(
    home: Path, old: Callable[[], Path] | None, new: Callable[[], Path]
) -> None:
    """Wherever it was killed, the next finds what was there before or the new one, whole."""
    export(new(), "new")
    if old:
        export(old(), "old")
    else:
        Path("old").mkdir()
    before, after = len(names(home / "old")), len(names(home / "new"))
    for cut in range(before + 1 + after + 1):
        out = Path(shutil.copytree("old", f"out{cut}"))
        shutil.copytree("new", out / ".airkit.part")
        (out / ".airkit.aside").mkdir()
        moves = export_folder._moves(out)
        assert len(moves) == before + 1 + after
        for source, target in moves[:cut]:
            source.rename(target)
        export_folder._settle(out)
        whole = home / ("old" if cut <= before else "new")
        assert (names(out), contents(out)) == (names(whole), contents(whole))


@pytest.mark.parametrize("name", [".airkit.part", ".airkit.aside", ".airkit.old"])
def test_a_hidden_folder_of_the_users_stays(home: Path, name: str) -> None:
    mine = home / "out" / name / "notes.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    assert fails("export", tiny_runs.data_file(), "--out", "out", "--force") == (
        "airkit: The folder to write to first is taken\n"
        f"  where     {mine.parent}\n"
        "  try       move it away, or name another --out\n"
    )
    assert contents(home) == {f"out/{name}/notes.txt": b"mine"}


@pytest.mark.parametrize("start", ["nothing", "an empty file"])
def test_what_was_killed_at_its_start_is_replaced(home: Path, start: str) -> None:
    Path("out.part").mkdir()
    if start == "an empty file":
        Path("out.part/model.safetensors").touch()
    export(tiny_runs.data_file(), "out")
    assert names(home) == ["out"]


def test_a_folder_of_the_users_in_the_place_to_write_first_stays(home: Path) -> None:
    Path("out.part").mkdir()
    Path("out.part/config.toml").write_text("mine")
    assert fails("export", tiny_runs.data_file(), "--out", "out") == (
        "airkit: The folder to write to first is taken\n"
        f"  where     {home / 'out.part'}\n"
        "  try       move it away, or name another --out\n"
    )
    assert contents(home) == {"out.part/config.toml": b"mine"}


@pytest.mark.parametrize("beside", [ANNOTATIONS, WEIGHTS])
def test_an_empty_file_among_others_is_no_mark(home: Path, beside: str) -> None:
    """Nor is it one where no export was at work."""
    Path("out.part/images").mkdir(parents=True)
    Path("out.part", beside).touch()
    Path("mine").mkdir()
    Path("mine", beside).touch()
    before = contents(home)
    with pytest.raises(OutputError, match="The folder to write to first is taken"):
        export(tiny_runs.data_file(), "out")
    with pytest.raises(OutputError, match=f"(?m)^  got       {beside}$"):
        export(tiny_runs.data_file(), "mine", force=True)
    assert contents(home) == before
    assert Path("out.part/images").is_dir()


@pytest.mark.parametrize("there", [False, True])
def test_two_exports_do_not_share_a_folder(home: Path, there: bool) -> None:
    if there:
        Path("out").mkdir()
    lock, hint = home / ("out/.airkit.lock" if there else "out.lock"), "wait"
    with (
        exclusive(lock, home / "out", work="export", hint=hint, listener=SILENT),
        pytest.raises(OutputError, match="Another export is writing this folder"),
    ):
        export(tiny_runs.data_file(), "out")
    assert names(home) == ["out"] * there
    assert contents(home) == {}


def test_a_damaged_checkpoint_is_refused(home: Path) -> None:
    Path("broken.pt").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(AirkitError, match="This checkpoint cannot be read"):
        export("broken.pt", "out")
    assert names(home) == ["broken.pt"]
