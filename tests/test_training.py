"""Training: what it reports, what moves the weights, and which data and settings it takes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_runs import (
    STEPS,
    TRAIN,
    Recorder,
    assert_as_if_never_stopped,
    data_file,
    fit,
    go_on,
    interrupt,
    metrics,
    reference,
    same,
    state,
    trained,
    trainer,
    tree,
)

from airkit.config import settings
from airkit.errors import (
    AirkitError,
    CheckpointError,
    ConfigError,
    DataFileError,
    DeviceError,
    ExtensionError,
    OutputError,
)
from airkit.runs.folder import RunFolder
from airkit.training.resume import FREE
from airkit.training.train import train

# What it does


def test_the_report(tmp_path: Path) -> None:
    listener = Recorder()
    report = fit(tmp_path / "run", listener=listener)
    assert (report.steps, report.resumed_from, report.stopped) == (STEPS, 0, False)
    assert report.run == tmp_path / "run"
    assert report.data == data_file()
    assert report.seconds > 0
    assert report.best == state(reference()).best
    assert listener.notes == []
    assert [dict(row) for row in listener.rows] == RunFolder(tmp_path / "run").rows()


def test_the_metrics() -> None:
    rows = RunFolder(reference()).rows()
    logs = [row for row in rows if "loss" in row]
    assert [row["step"] for row in logs] == list(range(3, STEPS, 3))
    assert all(set(row) == {"step", "loss", "elbo", "learning_rate", "seconds"} for row in logs)
    assert all(row["elbo"] == -row["loss"] for row in logs)
    vals = [row for row in rows if "val_elbo" in row]
    assert [row["step"] for row in vals] == [5, 10, 15, 20, STEPS]
    assert all(set(row) == {"step", "val_elbo", "val_count_accuracy"} for row in vals)
    best = state(reference()).best
    assert best is not None
    top = max(vals, key=lambda row: float(row["val_elbo"]))
    assert (best.step, best.elbo, best.count_accuracy) == tuple(top.values())


# What moves the weights, and what does not


def test_the_seed_alone_decides(tmp_path: Path) -> None:
    torch.manual_seed(12345)
    for seed in (0, 1):
        fit(tmp_path / str(seed), train__seed=seed)
    expected, other = state(reference()).model, state(tmp_path / "1").model
    assert same(state(tmp_path / "0").model, expected)
    assert not any(torch.equal(other[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    "every",
    [
        {"train__val_every": 1, "train__log_every": 1, "train__checkpoint_every": 1},
        {"train__val_every": 9, "train__val_early": 2},
        {"train__val_every": 99, "train__log_every": 99, "train__checkpoint_every": 99},
        {"eval__batch_size": 3, "eval__looks": 9, "eval__seed": 4, "train__keep": 1},
    ],
)
def test_looking_at_a_training_does_not_change_it(tmp_path: Path, every: dict[str, Any]) -> None:
    fit(tmp_path / "run", **every)
    assert same(state(tmp_path / "run").model, state(reference()).model)


@pytest.mark.parametrize("switched_off", [torch.no_grad, torch.inference_mode])
def test_gradients_that_the_caller_switched_off(
    tmp_path: Path, switched_off: Callable[[], AbstractContextManager[None]]
) -> None:
    with switched_off():
        fit(tmp_path, listener=Recorder(step9=interrupt))
        assert not torch.is_grad_enabled()
        go_on(tmp_path)
    assert_as_if_never_stopped(tmp_path)


# Data that it can and cannot use


def test_settings_lie_over_those_in_the_data_file(tmp_path: Path) -> None:
    other = data_file(seed=3)
    train(other, tmp_path / "run", settings={**TRAIN, "model.code_size": 5})
    found = state(tmp_path / "run").config
    assert (found.model.code_size, found.data.seed, found.slots) == (5, 3, 3)


def test_without_a_val_split(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert fit(run, data_file(val=0)).best is None
    assert not any("val_elbo" in row for row in metrics(run))
    assert "best.json" not in tree(run)
    assert RunFolder(run).find("best", Recorder())[1].step == STEPS


@pytest.mark.parametrize(
    ("data", "keys", "slots"), [({}, {"train__batch_size": 1000}, 3), ({"max_digits": 0}, {}, 1)]
)
def test_few_canvases_and_blank_ones(
    data: dict[str, Any], keys: dict[str, Any], slots: int, tmp_path: Path
) -> None:
    assert fit(tmp_path, data_file(**data), train__steps=3, **keys).steps == 3
    assert state(tmp_path, 3).config.slots == slots


@pytest.mark.parametrize("fresh", [False, True])
def test_data_files_that_cannot_be_used(tmp_path: Path, fresh: bool) -> None:
    """Nothing is made, and what is there stays."""
    torn, run = tmp_path / "torn.h5", tmp_path / "run"
    torn.write_bytes(data_file().read_bytes()[:5000])
    if fresh:
        trained(run)
    for data in (torn, tmp_path / "none.h5", data_file(train=0)):
        with pytest.raises(DataFileError) as caught:
            fit(run, data, fresh=fresh)
        assert str(data) in str(caught.value)
    assert "no canvases to train on" in caught.value.what
    assert tree(run) == (tree(reference()) if fresh else [])


def test_settings_that_contradict_the_file(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match="contradict the data file") as caught:
        fit(tmp_path / "run", data__max_digits=3, data__canvas_size=30)
    for fact in (str(data_file()), "canvas_size = 30, data.max_digits = 3", "canvas_size = 24"):
        assert fact in str(caught.value)


def test_settings_of_the_data_that_have_no_effect(tmp_path: Path) -> None:
    """The same command goes on with them, too: it is how runs with a preset are resumed."""
    other: dict[str, Any] = {"data__train": 7, "data__seed": 9}
    for _ in range(2):
        listener = Recorder()
        fit(tmp_path, listener=listener, **other)
        (note,) = listener.notes
        assert note.startswith("data.train, data.seed: taken from the data file")
    assert state(tmp_path).config.data.train == 60
    assert same(state(tmp_path).model, state(reference()).model)


# Going on with other settings or data


def test_changed_settings_are_refused(tmp_path: Path) -> None:
    run = trained(tmp_path / "run")
    before = tree(run)
    with pytest.raises(CheckpointError, match="was started with other settings") as caught:
        fit(run, train__batch_size=16, model__code_size=6, train__steps=50)
    for fact in (str(run), "code_size = 4, train.batch_size = 8", "code_size = 6", "--fresh"):
        assert fact in str(caught.value)
    assert tree(run) == before
    assert metrics(run) == metrics(reference())


def test_what_moves_the_weights_is_fixed() -> None:
    """A new setting is fixed until someone decides otherwise."""
    free = {key for key in settings.fields() if key.startswith(FREE)}
    train = "checkpoint_every clip_norm cuda_graph deterministic device keep log_every steps"
    assert {key for key in free if not key.startswith(("eval.", "render."))} == {
        f"train.{name}" for name in [*train.split(), "tensorboard", "val_early", "val_every"]
    }


def test_free_settings(tmp_path: Path) -> None:
    run = trained(tmp_path / "run")
    every: dict[str, Any] = {"train__log_every": 1, "train__val_every": 2, "train__keep": 2}
    every |= {"train__checkpoint_every": 1, "train__device": "auto", "eval__looks": 1}
    report = go_on(run, train__steps=26, render__rows=2, **every)
    assert (report.resumed_from, report.steps) == (STEPS, 26)
    assert RunFolder(run).saved()[-2:] == [RunFolder(run).file(step) for step in (25, 26)]
    assert state(run, 26).config.render.rows == 2


def test_a_changed_log_interval_still_gives_means(tmp_path: Path) -> None:
    """The losses since the last row are divided by their own number."""
    run = trained(tmp_path / "run")
    go_on(run, train__steps=28, train__log_every=14)
    model, restored = trainer(train__steps=28), state(reference())
    model.air.load_state_dict(restored.model)
    model.optimiser.load_state_dict(restored.optimiser)
    losses = [model.step(step).item() for step in range(STEPS, 28)]
    row = [row for row in metrics(run) if "loss" in row][-1]
    assert row["step"] == 28
    assert row["loss"] == pytest.approx((restored.loss_sum + sum(losses)) / 7, rel=1e-5)


def test_a_finished_run_has_nothing_to_do(tmp_path: Path) -> None:
    run = trained(tmp_path / "run")
    before = {name: (run / name).read_bytes() for name in tree(run)}
    for report in (go_on(run), go_on(run, train__steps=5)):
        assert (report.steps, report.resumed_from, report.stopped) == (STEPS, STEPS, False)
    assert {name: (run / name).read_bytes() for name in tree(run)} == before


def test_other_data_are_refused(tmp_path: Path) -> None:
    run, other = trained(tmp_path / "run"), data_file(seed=3)
    with pytest.raises(CheckpointError, match="trained on other data") as caught:
        train(other, run)
    assert f"({data_file()})" in str(caught.value)
    assert f"({other})" in str(caught.value)


def test_a_data_file_that_is_gone_is_made_anew(tmp_path: Path) -> None:
    run, data = tmp_path / "run", tmp_path / "data.h5"
    shutil.copy(data_file(source="auto"), data)
    fit(run, data, listener=Recorder(step1=interrupt))
    data.unlink()
    with pytest.raises(DataFileError, match="There is no such data file") as caught:
        go_on(run)
    assert f" --out {data} makes it again" in caught.value.hint
    assert "data.source=auto" not in caught.value.hint, "what auto took is recorded"


def test_the_data_file_may_move_and_be_packed_otherwise(tmp_path: Path) -> None:
    run, moved = trained(tmp_path / "run"), tmp_path / "moved.h5"
    shutil.copy(data_file(compression="none"), moved)
    report = train(moved, run, settings={"train.steps": 25})
    assert (report.resumed_from, report.steps) == (STEPS, 25)
    assert report.data == moved
    assert state(run, 25).data == str(moved)


def test_adams_hyperparameters_are_those_of_the_settings(tmp_path: Path) -> None:
    run, whole = trained(tmp_path / "run"), trained(tmp_path / "whole")
    path = RunFolder(run).file(STEPS)
    loaded = torch.load(path, weights_only=True)
    for group in loaded["optimiser"]["param_groups"]:
        group["betas"] = (0.0, 0.0)
    torch.save(loaded, path)
    for each in (run, whole):
        go_on(each, train__steps=30)
    assert same(state(run, 30).model, state(whole, 30).model)


# Starting anew


def test_fresh(tmp_path: Path) -> None:
    run = trained(tmp_path / "run")
    (run / "figures").mkdir()
    (run / "figures" / "steps.png").write_text("drawn")
    report = fit(run, fresh=True, train__seed=1, train__steps=7)
    assert (report.resumed_from, report.steps) == (0, 7)
    files = RunFolder(run)
    assert files.saved() == [files.file(step) for step in (4, 5, 7)]
    assert (run / "figures" / "steps.png").exists()
    assert max(row["step"] for row in metrics(run)) == 7


@pytest.mark.parametrize(
    ("error", "given"),
    [
        (ConfigError, {"train.steps": 0}),
        (DataFileError, {"data.max_digits": 1}),
        (DeviceError, {"train.device": "cuda:7"}),
        (ExtensionError, {"guide.kind": "nowhere:Guide"}),
    ],
)
def test_fresh_with_faults_destroys_nothing(
    tmp_path: Path, error: type[AirkitError], given: dict[str, Any]
) -> None:
    run = trained(tmp_path / "run")
    with pytest.raises(error):
        fit(run, fresh=True, **given)
    assert tree(run) == tree(reference())
    assert metrics(run) == metrics(reference())


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    """As with ``--run .`` in a project that has a configuration of its own."""
    for name in ("config.toml", "figures/one.png", "checkpoints/other.ckpt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    with pytest.raises(CheckpointError, match="files that belong to no checkpoint") as caught:
        fit(tmp_path)
    assert "got       config.toml\n" in str(caught.value)
    assert tree(tmp_path) == ["checkpoints/other.ckpt", "config.toml", "figures/one.png"]


def test_a_run_is_not_scattered_over_a_folder_of_other_files(tmp_path: Path) -> None:
    """Logs, hidden files and a run's own may be there, and ``fresh`` starts all the same."""
    for name in (".hidden", "slurm-1.out", "train.log"):
        (tmp_path / name).write_text("mine")
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="files that belong to no checkpoint") as caught:
        fit(tmp_path, train__steps=1)
    assert "got       thesis.txt\n" in str(caught.value)
    with pytest.raises(CheckpointError, match="thesis"):
        train(None, tmp_path, images=np.zeros((3, 24, 24), np.uint8))
    assert tree(tmp_path) == [".hidden", "slurm-1.out", "thesis.txt", "train.log"]
    (tmp_path / "thesis.txt").unlink()
    assert fit(tmp_path, train__steps=1).steps == 1


def test_a_folder_that_cannot_be_written_is_found_before_the_first_step(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    listener = Recorder(step1=lambda: pytest.fail("a step was taken"))
    with pytest.raises(OutputError, match="A file is in the way"):
        fit(tmp_path / "file" / "run", listener=listener)
