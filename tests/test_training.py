"""Training: what it starts from, what moves the weights and what never does."""

from __future__ import annotations

import math
import random
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_runs import (
    DATA,
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
    tree,
)
from torch import Tensor

from airkit.config import settings
from airkit.config.schema import Config
from airkit.data.dataset import CanvasDataset, to_ink
from airkit.errors import (
    AirkitError,
    CheckpointError,
    ConfigError,
    DataFileError,
    DeviceError,
    OutputError,
)
from airkit.model.distributions import log_count_prior
from airkit.model.objectives import elbo as objective
from airkit.runs.folder import RunFolder
from airkit.training.loop import train
from airkit.training.resume import FREE
from airkit.training.step import Trainer, build_model, decay
from airkit.training.validation import validate

CPU = torch.device("cpu")
Estimate = Callable[..., tuple[Tensor, Tensor]]


def config(**keys: Any) -> Config:
    given = {**DATA, **TRAIN, **{key.replace("__", "."): value for key, value in keys.items()}}
    return settings.resolve(*settings.layers(given))


def trainer(**keys: Any) -> Trainer:
    return Trainer(config(**keys), CanvasDataset(data_file()).images, CPU)


def weights(run: Path, step: int = STEPS) -> Any:
    return state(run, step).model


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


def test_it_learns(tmp_path: Path) -> None:
    """On the same canvases in every batch, the bound rises."""
    fit(
        tmp_path,
        train__steps=100,
        train__batch_size=60,
        train__learning_rate=5e-3,
        train__log_every=10,
        train__val_every=100,
    )
    elbos = [row["elbo"] for row in metrics(tmp_path) if "elbo" in row]
    assert elbos[-1] > elbos[0] + 5


def test_a_row_is_the_mean_of_its_steps() -> None:
    model = trainer()
    losses = [model.step(step).item() for step in range(6)]
    logs = [row["loss"] for row in metrics(reference()) if "loss" in row]
    assert logs[:2] == pytest.approx([np.mean(losses[:3]), np.mean(losses[3:])], rel=1e-6)


def test_validation_is_what_it_says() -> None:
    model = trainer()
    val = CanvasDataset(data_file(), "val")
    counts: list[int] = []
    original = objective.elbo
    seen: list[Tensor] = []

    def spy(air: Any, images: Tensor, *rest: Any) -> Tensor:
        seen.append(images)
        return original(air, images, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objective, "elbo", spy)
        elbo, accuracy = validate(model, val)
    assert torch.equal(torch.cat(seen), to_ink(val.images))
    assert math.isfinite(elbo)
    with torch.no_grad():
        logits = model.air(to_ink(val.images)).logits
    for row in logits.sigmoid().tolist():
        on = [math.prod(row[:n]) * (1 - row[n]) for n in range(3)] + [math.prod(row)]
        counts.append(max(range(4), key=on.__getitem__))
    assert accuracy == np.mean(np.array(counts) == val.counts.numpy())
    assert validate(model, val) == (elbo, accuracy)


# What moves the weights, and what does not


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    torch.manual_seed(12345)
    fit(tmp_path / "run")
    assert same(weights(tmp_path / "run"), weights(reference()))


def test_another_seed_gives_others(tmp_path: Path) -> None:
    fit(tmp_path / "run", train__seed=1)
    assert not any(
        torch.equal(one, other)
        for one, other in zip(
            weights(tmp_path / "run").values(), weights(reference()).values(), strict=True
        )
        if one.numel() > 1
    )


@pytest.mark.parametrize(
    "every",
    [
        {"train__val_every": 1, "train__log_every": 1, "train__checkpoint_every": 1},
        {"train__val_every": 99, "train__log_every": 99, "train__checkpoint_every": 99},
        {"eval__batch_size": 3, "eval__looks": 9, "eval__seed": 4, "train__keep": 1},
    ],
)
def test_looking_at_a_training_does_not_change_it(tmp_path: Path, every: dict[str, Any]) -> None:
    fit(tmp_path / "run", **every)
    assert same(weights(tmp_path / "run"), weights(reference()))


@pytest.mark.parametrize("switched_off", [torch.no_grad, torch.inference_mode])
def test_gradients_that_the_caller_switched_off(
    tmp_path: Path, switched_off: Callable[[], AbstractContextManager[None]]
) -> None:
    with switched_off():
        fit(tmp_path, listener=Recorder(step9=interrupt))
        assert not torch.is_grad_enabled()
        go_on(tmp_path)
    assert_as_if_never_stopped(tmp_path)


def test_global_generators_are_left_alone(tmp_path: Path) -> None:
    before = random.getstate(), str(np.random.get_state(legacy=False)), torch.get_rng_state()
    fit(tmp_path / "run", train__steps=2, train__val_every=1)
    assert random.getstate() == before[0]
    assert str(np.random.get_state(legacy=False)) == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])


def test_initial_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    one = build_model(config(), CPU).state_dict()
    torch.manual_seed(2)
    assert same(one, build_model(config(), CPU).state_dict())
    assert not same(one, build_model(config(train__seed=5), CPU).state_dict())


@pytest.mark.parametrize("looks", ["argmax", "drawn"])
@pytest.mark.parametrize("estimator", ["exact", "nvil"])
def test_a_step_is_a_function_of_its_number(looks: str, estimator: str) -> None:
    """The loss of a step does not depend on the steps asked for before."""
    keys: dict[str, Any] = {"guide__looks": looks, "train__estimator": estimator}
    keys |= {"train__learning_rate": 1e-10, "train__baseline_learning_rate": 1e-10}
    model = trainer(**keys)
    losses = [model.step(step).item() for step in range(8)]
    assert model.step(3).item() == pytest.approx(losses[3], rel=1e-6)
    assert trainer(**keys).step(7).item() == pytest.approx(losses[7], rel=1e-6)
    assert len(set(losses)) == 8


# Its settings


def test_learning_rate() -> None:
    cosine = config(train__steps=100, train__learning_rate=0.01)
    assert decay(cosine, 0) == 1
    assert decay(cosine, 50) == pytest.approx(0.5)
    assert decay(cosine, 25) == pytest.approx((2 + math.sqrt(2)) / 4)
    assert 0 < decay(cosine, 99) < 1e-3
    assert decay(cosine, 100) == decay(cosine, 150) == 0
    constant = config(train__schedule="constant", train__learning_rate=0.01)
    assert {decay(constant, step) for step in (0, 7, 10**6)} == {1}


def test_the_learning_rates_reach_the_optimiser() -> None:
    own = {"train__learning_rate": 0.01, "train__baseline_learning_rate": 0.3}
    model = trainer(train__steps=10, train__estimator="nvil", **own)
    for step in (0, 4, 9):
        model.step(step)
        share = decay(model.config, step)
        rates = [group["lr"] for group in model.optimiser.param_groups]
        assert rates == [0.01 * share, 0.3 * share]


def gradient(model: Trainer) -> float:
    parts = [each.grad.norm() for each in model.air.parameters() if each.grad is not None]
    return float(torch.stack(parts).norm())


def test_clipping_bounds_the_gradient() -> None:
    free, clipped, loose = trainer(), trainer(train__clip_norm=0.5), trainer(train__clip_norm=1e6)
    for model in (free, clipped, loose):
        model.step(0)
    assert gradient(free) > 5
    assert gradient(clipped) == pytest.approx(0.5, rel=1e-4)
    assert gradient(loose) == gradient(free)


def test_the_prior_of_the_step_reaches_the_estimator() -> None:
    model = trainer(
        prior__schedule="linear", prior__anneal_from=0.5, prior__ratio=0.1, prior__anneal_duration=4
    )
    given: list[Tensor] = []
    forward: Estimate = model.estimator.forward

    def spy(*arguments: Any) -> tuple[Tensor, Tensor]:
        given.append(arguments[2])
        return forward(*arguments)

    setattr(model.estimator, "forward", spy)  # noqa: B010 - mypy knows its exact type
    for step in (0, 1, 4, 9):
        model.step(step)
    for prior, ratio in zip(given, (0.5, 0.4, 0.1, 0.1), strict=True):
        assert torch.allclose(prior, log_count_prior("geometric", ratio, 3))


def test_settings_lie_over_those_in_the_data_file(tmp_path: Path) -> None:
    other = data_file(seed=3)
    train(other, tmp_path / "run", settings={**TRAIN, "model.code_size": 5})
    found = state(tmp_path / "run").config
    assert found.model.code_size == 5
    assert found.data.seed == 3
    assert found.slots == 3


# Data that it can and cannot use


def test_without_a_val_split(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert fit(run, data_file(val=0)).best is None
    assert not any("val_elbo" in row for row in metrics(run))
    assert "best.json" not in tree(run)
    assert RunFolder(run).find("best", Recorder())[1].step == STEPS


def test_without_a_train_split(tmp_path: Path) -> None:
    path = data_file(train=0)
    with pytest.raises(DataFileError) as caught:
        fit(tmp_path / "run", path)
    assert str(caught.value) == (
        "The data file has no canvases to train on\n"
        f"  where     {path}\n"
        "  expected  at least one canvas in the train split\n"
        "  try       name one that has with --data, or make one: airkit make-data --out NAME"
    )
    assert not (tmp_path / "run").exists()


def test_batches_larger_than_the_split(tmp_path: Path) -> None:
    assert fit(tmp_path / "run", train__batch_size=1000, train__steps=3).steps == 3


def test_blank_canvases(tmp_path: Path) -> None:
    report = fit(tmp_path / "run", data_file(max_digits=0), train__steps=5)
    assert report.steps == 5
    assert state(tmp_path / "run", 5).config.slots == 1


def test_no_data_file(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"none\.h5"):
        fit(tmp_path / "run", tmp_path / "none.h5")
    assert not (tmp_path / "run").exists()


def test_settings_that_contradict_the_file(tmp_path: Path) -> None:
    with pytest.raises(DataFileError) as caught:
        fit(tmp_path / "run", data__max_digits=3, data__canvas_size=30)
    assert str(caught.value) == (
        "The settings contradict the data file\n"
        f"  where     {data_file()}\n"
        "  expected  data.canvas_size = 30, data.max_digits = 3 (settings)\n"
        "  got       data.canvas_size = 24, data.max_digits = 2 (data file)\n"
        "  try       leave those settings out, or make a file with them: airkit make-data"
    )


def test_settings_of_the_data_that_have_no_effect(tmp_path: Path) -> None:
    """The same command goes on with them, too: it is how runs with a preset are resumed."""
    note = "data.train, data.seed: taken from the data file, where the settings say otherwise"
    other: dict[str, Any] = {"data__train": 7, "data__seed": 9}
    for _ in range(2):
        listener = Recorder()
        fit(tmp_path, listener=listener, **other)
        assert listener.notes == [note]
    assert state(tmp_path).config.data.train == 60
    assert same(weights(tmp_path), weights(reference()))


# Going on with other settings


def test_changed_settings_are_refused(tmp_path: Path) -> None:
    run = trained(tmp_path / "run")
    before = tree(run)
    with pytest.raises(CheckpointError) as caught:
        fit(run, train__batch_size=16, model__code_size=6, train__steps=50)
    assert str(caught.value) == (
        "The run was started with other settings\n"
        f"  where     {run}\n"
        "  expected  model.code_size = 4, train.batch_size = 8\n"
        "  got       model.code_size = 6, train.batch_size = 16\n"
        "  try       leave those out to go on, name another --run, or remove this one with --fresh"
    )
    assert tree(run) == before
    assert metrics(run) == metrics(reference())


FIXED = {
    "model.pixel_sd": 0.2,
    "guide.looks": "argmax",
    "prior.ratio": 0.5,
    "train.seed": 3,
    "train.learning_rate": 0.1,
    "train.schedule": "constant",
}


@pytest.mark.parametrize(("key", "value"), FIXED.items())
def test_whatever_moves_the_weights_is_fixed(tmp_path: Path, key: str, value: Any) -> None:
    run = trained(tmp_path / "run")
    with pytest.raises(CheckpointError, match=rf"got       {key} = "):
        go_on(run, **{key: value})


def test_free_settings(tmp_path: Path) -> None:
    run = trained(tmp_path / "run")
    report = go_on(
        run,
        train__steps=26,
        train__device="auto",
        train__log_every=1,
        train__val_every=2,
        train__checkpoint_every=1,
        train__keep=2,
        eval__looks=1,
        render__rows=2,
    )
    assert (report.resumed_from, report.steps) == (STEPS, 26)
    assert [path.name for path in RunFolder(run).saved()][-2:] == [
        "step-000000025.pt",
        "step-000000026.pt",
    ]
    assert state(run, 26).config.render.rows == 2


def test_every_setting_is_fixed_or_free() -> None:
    """A new setting of training is fixed until someone decides otherwise."""
    names = [key for key in settings.fields() if key.startswith("train.")]
    assert sorted(key for key in names if key.startswith(FREE)) == [
        "train.checkpoint_every",
        "train.clip_norm",
        "train.cuda_graph",
        "train.deterministic",
        "train.device",
        "train.keep",
        "train.log_every",
        "train.steps",
        "train.tensorboard",
        "train.val_every",
    ]


def test_a_changed_log_interval_still_gives_means(tmp_path: Path) -> None:
    """The losses since the last row are divided by their own number."""
    run = trained(tmp_path / "run")
    go_on(run, train__steps=28, train__log_every=14)
    model = trainer(train__steps=28)
    restored = state(reference())
    model.air.load_state_dict(restored.model)
    model.optimiser.load_state_dict(dict(restored.optimiser))
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
    with pytest.raises(CheckpointError) as caught:
        train(other, run)
    assert "The run was trained on other data" in str(caught.value)
    assert f"({data_file()})" in str(caught.value)
    assert f"({other})" in str(caught.value)


def test_a_data_file_that_is_gone_is_made_anew(tmp_path: Path) -> None:
    run, data = tmp_path / "run", tmp_path / "data.h5"
    shutil.copy(data_file(source="auto"), data)
    fit(run, data, listener=Recorder(step1=interrupt))
    data.unlink()
    with pytest.raises(DataFileError) as caught:
        go_on(run)
    assert str(caught.value).startswith(f"There is no such data file\n  where     {data}\n")
    assert f" --out {data} makes it again" in caught.value.hint
    assert "data.source=auto" not in caught.value.hint, "what auto took is recorded"


def test_the_data_file_may_move_and_be_packed_otherwise(tmp_path: Path) -> None:
    run, moved = trained(tmp_path / "run"), tmp_path / "moved.h5"
    shutil.copy(data_file(compression="none"), moved)
    report = train(moved, run, settings={"train.steps": 25})
    assert (report.resumed_from, report.steps) == (STEPS, 25)
    assert report.data == moved
    assert state(run, 25).data == str(moved)


@pytest.mark.parametrize("field", ["model", "optimiser"])
def test_a_checkpoint_that_does_not_fit_is_passed_over(tmp_path: Path, field: str) -> None:
    run, listener = trained(tmp_path / "run"), Recorder()
    path = RunFolder(run).file(STEPS)
    torch.save({**torch.load(path, weights_only=True), field: {}}, path)
    assert go_on(run, listener).resumed_from == 20
    assert listener.notes[0] == f"This checkpoint is damaged: {path}; going back to step 20"
    assert_as_if_never_stopped(run)


def test_adams_numbers_are_those_of_the_settings(tmp_path: Path) -> None:
    run = trained(tmp_path / "run")
    path = RunFolder(run).file(STEPS)
    loaded = torch.load(path, weights_only=True)
    for group in loaded["optimiser"]["param_groups"]:
        group["betas"] = (0.0, 0.0)
    torch.save(loaded, path)
    go_on(run, train__steps=30)
    whole = trained(tmp_path / "whole")
    go_on(whole, train__steps=30)
    assert same(state(run, 30).model, state(whole, 30).model)


# Starting anew


def test_fresh(tmp_path: Path) -> None:
    run = trained(tmp_path / "run")
    (run / "figures").mkdir()
    (run / "figures" / "steps.png").write_text("drawn")
    report = fit(run, fresh=True, train__seed=1, train__steps=7)
    assert (report.resumed_from, report.steps) == (0, 7)
    assert tree(run) == [
        "best.json",
        "checkpoints/step-000000004.pt",
        "checkpoints/step-000000005.pt",
        "checkpoints/step-000000007.pt",
        "config.toml",
        "figures/steps.png",
        "metrics.jsonl",
    ]
    assert max(row["step"] for row in metrics(run)) == 7


@pytest.mark.parametrize(
    ("error", "given"),
    [
        (ConfigError, {"train.steps": 0}),
        (ConfigError, {"train.stepz": 3}),
        (DataFileError, {"data.max_digits": 1}),
        (DeviceError, {"train.device": "cuda:7"}),
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


def test_fresh_with_unusable_data_destroys_nothing(tmp_path: Path) -> None:
    run, torn = trained(tmp_path / "run"), tmp_path / "torn.h5"
    torn.write_bytes(data_file().read_bytes()[:5000])
    for data in (torn, tmp_path / "none.h5", data_file(train=0)):
        with pytest.raises(DataFileError):
            fit(run, data, fresh=True)
    assert tree(run) == tree(reference())


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    """As with ``--run .`` in a project that has a configuration of its own."""
    for name in ("config.toml", "figures/one.png", "checkpoints/other.ckpt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    with pytest.raises(CheckpointError) as caught:
        fit(tmp_path)
    assert str(caught.value) == (
        "The folder holds files that belong to no checkpoint\n"
        f"  where     {tmp_path}\n"
        "  expected  a new folder, or one with checkpoints/step-*.pt\n"
        "  got       config.toml\n"
        "  try       name another --run, or move those files away"
    )
    assert tree(tmp_path) == ["checkpoints/other.ckpt", "config.toml", "figures/one.png"]
    (tmp_path / "config.toml").unlink()
    fit(tmp_path, train__steps=1)
    assert (tmp_path / "figures/one.png").read_text() == "mine"
    assert (tmp_path / "checkpoints/other.ckpt").read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_found_before_the_first_step(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    listener = Recorder(step1=lambda: pytest.fail("a step was taken"))
    with pytest.raises(OutputError, match="A file is in the way"):
        fit(tmp_path / "file" / "run", listener=listener)
