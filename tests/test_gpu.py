"""A GPU computes what the CPU does, up to rounding; each needs the one beside the other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import command_line
import numpy as np
import pytest
import torch
from PIL import Image
from tiny_runs import (
    COMBINATIONS,
    CPU,
    STEPS,
    TRAIN,
    Recorder,
    data_file,
    fit,
    folder,
    go_on,
    metrics,
    options,
    state,
    trainer,
)

from airkit.data.dataset import CanvasDataset
from airkit.evaluation.evaluate import evaluate
from airkit.figures import FIGURES
from airkit.model.guides import Noise
from airkit.sweeps.engines import Processes
from airkit.sweeps.sweep import sweep
from airkit.system.device import deterministic
from airkit.training.step import Trainer

pytestmark = pytest.mark.gpu
GPU = torch.device("cuda")


@pytest.fixture(scope="module")
def run() -> Path:
    """A run that was trained on the GPU."""
    path = folder() / "on-a-gpu"
    if not path.exists():
        fit(path, train__device="cuda", train__learning_rate=5e-3, prior__ratio=0.3)
    return path


@pytest.mark.parametrize("same_bits", [False, True])
@pytest.mark.parametrize("guide", ["saliency", "lstm"])
def test_loss_and_gradient_are_those_of_the_cpu(guide: str, *, same_bits: bool) -> None:
    """With the same weights, canvases and random numbers, both ways of reading windows."""
    one, other = (trainer(device, **options(guide, "exact")) for device in (CPU, GPU))
    images, random, log_prior = one.inputs(0)
    moved = Noise(*(each.to(GPU) for each in random))
    with deterministic(same_bits):
        loss = backward(one, images, random, log_prior)
        assert backward(other, images.to(GPU), moved, log_prior.to(GPU)) == pytest.approx(loss)
    for here, there in zip(one.air.parameters(), other.air.parameters(), strict=True):
        assert here.grad is not None
        assert there.grad is not None
        near = 1e-3 * float(here.grad.abs().max())
        torch.testing.assert_close(there.grad.cpu(), here.grad, rtol=1e-3, atol=near)


def backward(model: Trainer, *given: Any) -> float:
    """The loss; the gradients are left with the parameters."""
    loss, surrogate = model.objective(*given)
    surrogate.backward()
    return float(loss)


def test_counts_are_those_of_the_cpu(run: Path) -> None:
    """Without a draw, on every canvas; what is drawn differs."""
    one, other = (
        evaluate(run, settings={"train.device": name, "eval.looks": 1}) for name in ("cpu", "cuda")
    )
    assert other.confusion == one.confusion
    assert other.mse == pytest.approx(one.mse, rel=1e-4)
    assert other.mean_iou == pytest.approx(one.mean_iou, rel=1e-3)
    assert other.elbo == pytest.approx(one.elbo, rel=0.02)


def test_a_run_goes_on_on_the_other_device(run: Path, tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    fit(there, train__device="cuda")
    fit(here)
    for path, device in ((there, "cpu"), (here, "cuda")):
        go_on(path, train__steps=STEPS + 4, train__device=device)
        assert [row["step"] for row in metrics(path)][-1] == STEPS + 4
        assert all(bool(each.isfinite().all()) for each in state(path, STEPS + 4).model.values())


@pytest.mark.parametrize(("guide", "estimator"), COMBINATIONS)
def test_no_step_is_refused(guide: str, estimator: str, tmp_path: Path) -> None:
    """Each combination trains to its end, with a graph wherever the estimator allows one."""
    listener = Recorder()
    fit(tmp_path, listener=listener, train__device="cuda", **options(guide, estimator))
    assert not [note for note in listener.notes if "graph" in note]
    assert metrics(tmp_path)[-1]["step"] == STEPS


@pytest.mark.parametrize("kind", list(FIGURES))
def test_every_picture_is_drawn(run: Path, kind: str, tmp_path: Path) -> None:
    out = tmp_path / "picture.png"
    done("render", "--kind", kind, "--run", run, "--device", "cuda", "--out", out)
    with Image.open(out) as picture:
        assert picture.width > 100


def test_measures_a_report_and_images(run: Path, tmp_path: Path) -> None:
    canvas, page = tmp_path / "canvas.npy", tmp_path / "page.html"
    np.save(canvas, CanvasDataset(data_file(), "test").images[0, 0].numpy())
    there = ("--run", run, "--device", "cuda")
    assert json.loads(done("eval", *there, "--json"))["canvases"] == 20
    assert json.loads(done("infer", canvas, *there))["count"] in range(4)
    done("report", *there, "--out", page)
    assert "<html" in page.read_text(encoding="utf-8")


def test_seeds_share_a_gpu(tmp_path: Path) -> None:
    given = {**TRAIN, "train.device": "cuda"}
    found = sweep(data_file(), tmp_path, seeds=2, settings=given, engine=Processes(workers=2))
    assert [row.failure for row in found.rows] == [None, None]


def done(*arguments: object) -> str:
    """What a command prints that ends well."""
    result = command_line.run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout
