"""A checkpoint holds the whole state, and nothing that is amiss in one goes unnoticed."""

from __future__ import annotations

import json
import os
import random
import zipfile
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import fails
from tiny_runs import STEPS, reference, same, state, trained

import airkit
from airkit.config import settings
from airkit.errors import CheckpointError, ExtensionError, OutputError
from airkit.model.air import AIR
from airkit.runs import checkpoint
from airkit.runs.checkpoint import Checkpoint
from airkit.runs.folder import RunFolder
from airkit.runs.versions import as_written
from airkit.runs.weights import build

EXPECTED = "\n  expected  a checkpoint written by airkit train"
HINT = "\n  try       name another with --checkpoint"
CPU = torch.device("cpu")


def whole() -> bytes:
    return RunFolder(reference()).file(STEPS).read_bytes()


def content() -> dict[str, Any]:
    loaded = torch.load(RunFolder(reference()).file(STEPS), weights_only=True)
    assert isinstance(loaded, dict)
    return loaded


def refused(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        checkpoint.read(path)
    return str(caught.value)


def test_it_is_read_back_as_it_was(tmp_path: Path) -> None:
    """Saving, loading and saving without a step in between changes nothing."""
    first = state(reference())
    for number in range(3):
        checkpoint.write(tmp_path / f"{number}.pt", first)
        again = checkpoint.read(tmp_path / f"{number}.pt")
        assert same(vars(again), vars(first))
        first = again


def test_what_it_holds() -> None:
    found = state(reference())
    assert found.step == STEPS
    assert found.loss_count == STEPS % 3
    assert found.best is not None
    assert found.best.step in (5, 10, 15, 20, STEPS)
    steps = {float(part["step"]) for part in found.optimiser["state"].values()}
    assert steps == {STEPS}


def test_the_file_without_airkit() -> None:
    """Plain values that any PyTorch reads without running code."""
    found = content()
    assert found["format"] == "airkit-checkpoint"
    assert found["format_version"] == 2
    assert found["airkit_version"] == airkit.__version__
    assert settings.from_json(found["config"], "test") == state(reference()).config
    assert all(type(weights) is torch.Tensor for weights in found["model"].values())


def test_there_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "none.pt"
    assert refused(path) == f"There is no such checkpoint\n  where     {path}{EXPECTED}{HINT}"
    assert "Is a directory" in refused(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.99, 0.9999])
def test_truncated(tmp_path: Path, share: float) -> None:
    path = tmp_path / "cut.pt"
    path.write_bytes(whole()[: int(share * len(whole()))])
    assert refused(path).startswith(f"This checkpoint cannot be read\n  where     {path}\n")


def test_any_byte_amiss_is_told_or_harmless(tmp_path: Path) -> None:
    """``torch.load`` takes a flipped bit in the weights for a weight; nothing here does."""
    draw, path, wanted = random.Random(0), tmp_path / "flipped.pt", vars(state(reference()))
    good = whole()
    read = 0
    for _ in range(100):
        spoilt = bytearray(good)
        for _ in range(draw.choice([1, 1, 20])):
            spoilt[draw.randrange(len(spoilt))] ^= 1 << draw.randrange(8)
        path.write_bytes(spoilt)
        try:
            found = vars(checkpoint.read(path))
        except CheckpointError:
            continue
        assert same(found, wanted)
        read += 1
    assert read < 30, "only the padding between parts of the file has no checksum"


def garbage_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"nothing that unpickles")


NO_ZIP = [b"", b"\0" * 1000, b"a letter\n" * 100, b"\x80\x02.", b"\x80\x02}(K\x01K\x02u."]
OTHERS: list[Any] = [{"weight": torch.ones(3)}, [1, 2], torch.ones(2), {}]


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (garbage_zip, "This checkpoint cannot be read"),
        *((partial(Path.write_bytes, data=it), "This checkpoint cannot be read") for it in NO_ZIP),
        *((partial(torch.save, it), "This is no airkit checkpoint") for it in OTHERS),
    ],
)
def test_files_of_another_kind(tmp_path: Path, write: Callable[[Path], object], told: str) -> None:
    write(tmp_path / "file.pt")
    assert refused(tmp_path / "file.pt").startswith(f"{told}\n")


class Payload:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("zipped", [True, False])
def test_no_code_is_run(tmp_path: Path, zipped: bool) -> None:
    path, target = tmp_path / "evil.pt", tmp_path / "made"
    evil = {**content(), "model": Payload(target)}
    torch.save(evil, path, _use_new_zipfile_serialization=zipped)
    assert refused(path).startswith("This checkpoint cannot be read\n")
    assert not target.exists()
    torch.load(path, weights_only=False)
    assert target.exists(), "the payload was harmless, so that the test showed nothing"


def test_an_older_format_means_what_it_meant(tmp_path: Path) -> None:
    """Where an auto means something else by now."""
    pictures = {"compositing": "over", "stretch": 0.03, "polarity": "both"}
    for model, wanted in (
        ({}, (-2.0, 0.03)),
        ({"compositing": "add", "background": "learned"}, (-2.0, 0.03)),
        ({"decoder_output": "linear", "stretch": 0.1}, (0.0, 0.1)),
    ):
        config = state(reference()).config.updated("pictures", **pictures)
        config = config.updated("model", **model)
        found = as_written(config, 1)
        assert (found.decoder_bias, found.stretch) == wanted
        assert as_written(config, 2) == config
    plain = state(reference()).config
    assert as_written(plain, 1) == plain
    path = tmp_path / "old.pt"
    torch.save({**content(), "format_version": 1}, path)
    assert checkpoint.read(path).config == plain


def test_a_newer_format(tmp_path: Path) -> None:
    path = tmp_path / "new.pt"
    torch.save({**content(), "format_version": 3, "airkit_version": "9.1"}, path)
    told = refused(path)
    assert told.startswith("This checkpoint is from a newer airkit\n")
    assert "  got       format version 3, written by airkit 9.1\n" in told
    assert told.endswith("pip install --upgrade airkit")


@pytest.mark.parametrize("version", [None, "2", 0, -1, 1.5, True])
def test_a_version_that_never_was(tmp_path: Path, version: Any) -> None:
    path = tmp_path / "odd.pt"
    torch.save({**content(), "format_version": version}, path)
    assert refused(path).startswith("This checkpoint is damaged\n")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("step", "many"),
        ("step", None),
        ("step", -3),
        ("config", 7),
        ("config", "{"),
        ("config", '{"train": {"steps": "x"}}'),
        ("model", [1, 2]),
        ("model", None),
        ("baselines", None),
        ("optimiser", 3),
        ("seconds", "long"),
        ("loss_sum", None),
        ("loss_count", "x"),
        ("best", "the first"),
        ("best", {"step": 3}),
        ("threads", "two"),
        ("processes", -1),
        ("block", -1),
    ],
)
def test_fields_of_the_wrong_type(tmp_path: Path, field: str, value: Any) -> None:
    path = tmp_path / "wrong.pt"
    torch.save({**content(), field: value}, path)
    what, where = refused(path).splitlines()[:2]
    assert what.startswith("This checkpoint is damaged")
    assert where == f"  where     {path}"


@pytest.mark.parametrize("given", [{"candidates": 4}, {"looks": "some"}, {"blur": "smooth"}])
def test_settings_of_another_airkit_are_told(tmp_path: Path, given: dict[str, Any]) -> None:
    """A setting may have another name, other values, or be no more."""
    path, found = tmp_path / "other.pt", content()
    config = json.loads(found["config"])
    config["guide"] |= given
    torch.save({**found, "config": json.dumps(config)}, path)
    told = refused(path)
    assert "another airkit" in told.splitlines()[0]
    assert f"guide.{next(iter(given))} " in told


OLDER = {"threads", "processes", "data_source", "block"}
"""Fields that checkpoints of an older airkit do not have."""


@pytest.mark.parametrize("field", sorted({each.name for each in fields(Checkpoint)} - OLDER))
def test_fields_missing(tmp_path: Path, field: str) -> None:
    path = tmp_path / "less.pt"
    torch.save({name: value for name, value in content().items() if name != field}, path)
    assert refused(path).startswith("This checkpoint is damaged\n")


def test_a_checkpoint_of_an_older_airkit_is_read(tmp_path: Path) -> None:
    path = tmp_path / "old.pt"
    torch.save({name: value for name, value in content().items() if name not in OLDER}, path)
    found = checkpoint.read(path)
    assert (found.threads, found.processes, found.data_source) == (None, None, None)
    assert same(found.model, state(reference()).model)


def test_a_class_from_outside_is_not_needed_to_read_its_checkpoint(tmp_path: Path) -> None:
    """It is needed to use the model, and then the person has to name it."""
    path, found = tmp_path / "outside.pt", content()
    config = json.loads(found["config"])
    config["guide"]["kind"] = config["train"]["estimator"] = "nowhere:Nothing"
    config["train"]["backward"] = "reference"
    more = {"guide.steps": torch.tensor(7), "guide.half": torch.ones(2, dtype=torch.bfloat16)}
    found["model"].update(more)
    torch.save({**found, "config": json.dumps(config)}, path)
    assert same(checkpoint.read(path).model, found["model"])
    with pytest.raises(ExtensionError, match=r"name it with --set guide\.kind=nowhere:Nothing"):
        build(checkpoint.read(path), CPU)


def test_weights_larger_than_their_file_are_refused(tmp_path: Path) -> None:
    """As many layers can be one tensor of the file."""
    path, found = tmp_path / "dense.pt", content()
    config = json.loads(found["config"])
    config["model"]["encoder_net"] = [512] * 40
    found["config"] = json.dumps(config)
    first = torch.ones(512, 512)
    weights = AIR(settings.from_json(found["config"], "test")).state_dict()
    for name, weight in weights.items():
        if weight.shape == first.shape:
            weights[name] = first
    torch.save({**found, "model": weights, "optimiser": {"state": {}}}, path)
    assert path.stat().st_size < 2 * first.nbytes
    assert "tensors larger than the file" in refused(path)


def test_a_disk_that_refuses(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError):
        checkpoint.write(tmp_path / "file" / "step.pt", state(reference()))


def test_only_a_training_is_told_to_start_anew(tmp_path: Path) -> None:
    """And only where it would go on from what is damaged."""
    run = RunFolder(trained(tmp_path / "my run"))
    for path in run.saved():
        path.write_bytes(b"torn")
    for named in ([], ["--checkpoint", tmp_path / "no.pt"]):
        assert fails("eval", "--run", run.path, *named).endswith(f"{HINT}\n")
    told = fails("train", "--run", run.path)
    assert told.startswith("airkit: This checkpoint cannot be read\n")
    assert "the same command with --fresh removes the training of this one\n" in told


def test_a_training_throws_nothing_newer_away(tmp_path: Path) -> None:
    run = RunFolder(trained(tmp_path / "run"))
    for path in run.saved():
        content = torch.load(path, weights_only=True)
        torch.save({**content, "format_version": 99}, path)
    told = fails("train", "--run", run.path)
    assert told.endswith("  try       upgrade airkit: pip install --upgrade airkit\n")
