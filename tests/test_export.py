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
from airkit.data.digits import SPLITS
from airkit.errors import AirkitError, DataFileError, OutputError
from airkit.model.air import AIR
from airkit.model.scene import explain
from airkit.runs.export import export
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

    def __init__(self, task: str, act: Callable[[], object]) -> None:
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
    done = export(tiny_runs.reference(), "weights", checkpoint="last")
    many = sum(value.numel() for value in tiny_runs.state(tiny_runs.reference()).model.values())
    assert done.format == "safetensors"
    assert done.counts == {"step": tiny_runs.STEPS, "parameters": many}
    return home / "weights"


def test_every_tensor_is_the_checkpoints_bit_for_bit(exported: Path) -> None:
    tensors = load_file(exported / "model.safetensors")
    model = tiny_runs.state(tiny_runs.reference()).model
    assert set(tensors) == set(model)
    for name, value in model.items():
        assert tensors[name].dtype == value.dtype
        assert tensors[name].shape == value.shape
        assert tensors[name].numpy().tobytes() == value.numpy().tobytes()


def test_the_metadata_identify_the_run(exported: Path) -> None:
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


def test_without_safetensors_a_hint_says_how_to_get_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "safetensors"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    told = fails("export", tiny_runs.reference(), "--out", "out")
    assert told.endswith('pip install "airkit[export]"\n')
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


SOURCES = pytest.mark.parametrize("source", [tiny_runs.data_file, tiny_runs.reference])


@SOURCES
def test_an_earlier_export_is_replaced_with_force_alone(
    home: Path, source: Callable[[], Path]
) -> None:
    export(tiny_runs.reference(), "weights")
    export(tiny_runs.data_file(), "canvases")
    export(source(), "expected")
    before = contents(home)
    for out in ("weights", "canvases"):
        assert "airkit: There is an export already" in fails("export", source(), "--out", out)
        assert contents(home) == before
    for out in ("weights", "canvases"):
        export(source(), out, force=True)
        assert contents(home / out) == contents(home / "expected")
    assert names(home) == ["canvases", "expected", "weights"]


def _user_config(home: Path) -> Path:
    """A COCO export with a file that only exports of weights have."""
    export(tiny_runs.data_file(), "out")
    Path("out/config.toml").write_text("mine")
    return Path("out/config.toml")


def _notes(home: Path) -> Path:
    export(tiny_runs.data_file(), "out")
    Path("out/images/notes.txt").write_text("mine")
    return Path("out/images/notes.txt")


def _run(home: Path) -> Path:
    tiny_runs.trained(home / "out")
    return Path("out/best.json")


def _other_coco(home: Path) -> Path:
    """A data set of another program."""
    Path("out/images").mkdir(parents=True)
    Path("out/annotations.json").write_text('{"info": {"description": "cats"}}')
    return Path("out/annotations.json")


def _link(home: Path) -> Path:
    export(tiny_runs.data_file(), "out")
    Path("out/images/test-000000.png").unlink()
    Path("out/images/test-000000.png").symlink_to("mine")
    return Path("out/images/test-000000.png")


@pytest.mark.parametrize("fill", [_user_config, _notes, _run, _other_coco, _link])
@pytest.mark.parametrize("force", [False, True])
def test_what_no_export_made_is_never_replaced(
    home: Path, fill: Callable[[Path], Path], force: bool
) -> None:
    first = fill(home)
    before = contents(home)
    with pytest.raises(OutputError, match="This folder holds what no export made") as caught:
        export(tiny_runs.data_file(), "out", force=force)
    assert f"  got       {first.relative_to('out')}" in str(caught.value)
    assert contents(home) == before


@SOURCES
def test_an_empty_folder_and_a_link_to_one_are_filled(
    home: Path, source: Callable[[], Path]
) -> None:
    Path("folder").mkdir()
    Path("link").symlink_to("folder")
    export(source(), "expected")
    export(source(), "link")
    export(source(), "link", force=True)
    assert contents(home / "folder") == contents(home / "expected")
    assert names(home) == ["expected", "folder", "link"]
    assert Path("link").is_symlink()


@pytest.mark.parametrize("out", [".", ".."])
def test_the_current_folder_is_not_replaced(
    home: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    Path("here").mkdir()
    monkeypatch.chdir("here")
    with pytest.raises(OutputError, match="The current folder cannot be replaced"):
        export(tiny_runs.data_file(), out)
    assert names(home) == ["here"]


def test_a_file_that_comes_while_a_folder_is_filled_stays(home: Path) -> None:
    Path("out").mkdir()
    comes = At("exporting test", lambda: Path("out/notes.txt").write_text("mine"))
    with pytest.raises(OutputError, match="This folder holds what no export made"):
        export(tiny_runs.data_file(), "out", listener=comes)
    assert contents(home) == {"out/notes.txt": b"mine"}


@pytest.mark.parametrize(
    ("out", "told"),
    [("file", "A file is in the way\n  where     file\n"), ("o" * 300, "Cannot write a file\n")],
)
def test_a_place_that_cannot_be_written_is_told(home: Path, out: str, told: str) -> None:
    Path("file").write_text("mine")
    with pytest.raises(OutputError, match=f"^{told}"):
        export(tiny_runs.data_file(), out, force=True)
    assert contents(home) == {"file": b"mine"}


def test_a_path_that_is_no_file_of_airkit_is_told(home: Path) -> None:
    Path("notes.txt").write_text("my notes")
    Path("run").mkdir()
    Path("broken.pt").write_bytes(b"PK\x03\x04 and no more")
    for path, what in {
        "run": "There is no trained run here",
        "notes.txt": "This is none of airkit's files",
        "nothing": "Cannot read this",
        "broken.pt": "This checkpoint cannot be read",
    }.items():
        told = fails("export", path, "--out", "out")
        assert told.startswith(f"airkit: {what}\n  where     {path}\n")
    assert names(home) == ["broken.pt", "notes.txt", "run"]


def test_a_split_that_is_none_or_empty_is_told(home: Path) -> None:
    path = tiny_runs.data_file(val=0)
    with pytest.raises(DataFileError, match=r"No such split\n(.*\n)*  expected  train or val or"):
        export(path, "out", split="tests")
    with pytest.raises(DataFileError, match=r"(?m)^  got       60 train, 0 val, 20 test$"):
        export(path, "out", split="val")
    assert names(home) == []
    assert export(path, "out", split="all").counts["images"] == 80


@pytest.mark.parametrize("value", ["test", "best"])
def test_an_option_for_another_kind_is_refused(home: Path, value: str) -> None:
    """The default value too: it was asked for, and would have no effect."""
    run, data = tiny_runs.reference(), tiny_runs.data_file()
    state = RunFolder(run).file(tiny_runs.STEPS)
    for path, kind, option, needs in (
        (run, "run folder", "--split", "data file"),
        (state, "checkpoint", "--split", "data file"),
        (state, "checkpoint", "--checkpoint", "run folder"),
        (data, "data file", "--checkpoint", "run folder"),
    ):
        told = rf"{option} is for a {needs} alone\n(.*\n)*  got       a {kind}\n"
        with pytest.raises(AirkitError, match=told):
            export(path, "out", **{option[2:]: value})  # type: ignore[arg-type]
    assert names(home) == []


# Complete or not there


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("old", [False, True])
def test_a_stop_leaves_what_was_there(home: Path, number: int, old: bool) -> None:
    if old:
        export(tiny_runs.reference(), "out")
    before = contents(home)
    listener = At("exporting train", lambda: signal.raise_signal(number))
    with pytest.raises(KeyboardInterrupt):
        export(tiny_runs.data_file(), "out", split="all", force=True, listener=listener)
    assert (contents(home), names(home)) == (before, ["out"] * old)


def test_a_stop_at_the_end_comes_after_the_export(home: Path) -> None:
    export(tiny_runs.data_file(), "expected")
    with pytest.raises(KeyboardInterrupt):
        export(tiny_runs.data_file(), "out", listener=At("exporting test", tiny_runs.interrupt))
    assert contents(home / "out") == contents(home / "expected")


def test_a_full_disk_leaves_what_was_there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = Image.Image.save

    def full(image: Image.Image, path: Path) -> None:
        if path.name == "test-000013.png":
            raise OSError(28, os.strerror(28))
        save(image, path)

    export(tiny_runs.reference(), "old")
    before = contents(home)
    monkeypatch.setattr(Image.Image, "save", full)
    for out in ("old", "new"):
        told = fails("export", tiny_runs.data_file(), "--out", out, "--force")
        assert f"  where     {out}\n  got       No space left on device\n" in told
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
        if path.name == ".out.airkit-part":
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


KILLED = """
import os, sys
from pathlib import Path
from airkit.runs.export import export

def kill(*_, **__):
    os.kill(os.getpid(), 9)

def at_second(path, target, renamed=[], rename=Path.rename):
    renamed.append(path)
    kill() if len(renamed) == 2 else rename(path, target)

if sys.argv[2] == "writing":
    from PIL import Image
    Image.Image.save = kill
elif sys.argv[2] == "swapping":
    Path.rename = at_second
else:
    import shutil
    shutil.rmtree = kill
export(sys.argv[1], "out", force=True)
"""


@pytest.mark.parametrize(
    ("moment", "left"),
    [
        ("writing", [".out.airkit-part", "out", "out.lock"]),
        ("swapping", [".out.airkit-old", ".out.airkit-part", "out.lock"]),
        ("removing", [".out.airkit-old", "out", "out.lock"]),
    ],
)
def test_what_a_killed_export_left_is_put_right(home: Path, moment: str, left: list[str]) -> None:
    """The next export finds the older one, or the new one, complete."""
    export(tiny_runs.reference(), "out")
    old = contents(home)
    command = [sys.executable, "-c", KILLED, str(tiny_runs.data_file()), moment]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert names(home) == left
    with pytest.raises(OutputError, match="There is an export already"):
        export(tiny_runs.reference(), "out")
    assert names(home) == ["out"]
    assert (contents(home) == old) == (moment != "removing")
    export(tiny_runs.reference(), "out", force=True)
    assert (contents(home), names(home)) == (old, ["out"])


def test_two_exports_do_not_share_a_folder(home: Path) -> None:
    with (
        exclusive(home / "out.lock", home / "out", work="export", hint="wait", listener=SILENT),
        pytest.raises(OutputError, match="Another export is writing this folder"),
    ):
        export(tiny_runs.data_file(), "out")
    assert names(home) == []
