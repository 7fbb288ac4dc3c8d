"""The measures: recomputed by other means, and refused where there is nothing to measure."""

from __future__ import annotations

import json
import math
import random
import shlex
import shutil
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import command_line
import numpy as np
import pytest
import torch
from tiny_runs import STEPS, Recorder, data_file, fit, folder, reference, state
from torch import Tensor

from airkit.config import settings
from airkit.data.dataset import CanvasDataset, to_ink
from airkit.data.reader import read_info
from airkit.errors import CheckpointError, ConfigError, DataFileError
from airkit.evaluation import evaluate as evaluation
from airkit.evaluation.compare import compare
from airkit.evaluation.detection import average_precision, mean_iou, pairwise_iou
from airkit.evaluation.evaluate import Measures, evaluate
from airkit.figures.render import render
from airkit.model.air import AIR
from airkit.model.guides import Noise
from airkit.model.objectives import elbo
from airkit.model.scene import INK, Scene, explain
from airkit.model.spatial_transformer import paint
from airkit.runs import checkpoint
from airkit.runs.folder import RunFolder
from airkit.runs.origin import TrainingData
from airkit.runs.trained import build
from airkit.system import seeds
from airkit.system.statistics import wilson
from airkit.web.report import report

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def run() -> Path:
    """A run whose counts are right for some canvases and wrong for others."""
    path = folder() / "evaluated"
    if not path.exists():
        fit(path, train__steps=STEPS, train__learning_rate=5e-3, prior__ratio=0.3)
    return path


def measure(run: Path, data: Path | None = None, **keys: Any) -> Measures:
    keys = {key.replace("__", "."): value for key, value in keys.items()}
    checkpoint = keys.pop("checkpoint", "last")
    return evaluate(run, data, checkpoint=checkpoint, settings=keys)


def model(run: Path) -> AIR:
    return build(state(run), CPU)


def same_but(one: Measures, other: Measures, *names: str) -> bool:
    free = ("seconds", *names)
    return all(
        getattr(one, field.name) == getattr(other, field.name)
        for field in fields(Measures)
        if field.name not in free
    )


# Recomputed


def test_one_look_recomputed_canvas_by_canvas(run: Path) -> None:
    """Nothing is drawn for the counts and the reconstructions of one look."""
    found, test, air = measure(run, eval__looks=1), CanvasDataset(data_file(), "test"), model(run)
    counts, errors = [], []
    for image in to_ink(test.images):
        with torch.no_grad():
            scene = explain(air, image[None])
        counts.append(int(scene.count_probability[0].argmax()))
        canvas = scene.canvases[0, counts[-1]]
        errors.append(float(((image - canvas) ** 2).sum()) / 24**2)
    truth = test.counts.tolist()
    right = [one == other for one, other in zip(counts, truth, strict=True)]
    assert found.canvases == 20
    assert found.count_accuracy == found.count_accuracy_one_look == sum(right) / 20
    assert found.count_accuracy_interval == wilson(sum(right), 20)
    assert found.mse == pytest.approx(np.mean(errors), rel=1e-5)
    for count in set(truth):
        rows = [one for one, true in zip(counts, truth, strict=True) if true == count]
        assert found.per_count_accuracy[str(count)] == rows.count(count) / len(rows)
        assert found.confusion[count] == [rows.count(one) for one in range(4)]
    assert list(found.per_count_accuracy) == [str(count) for count in sorted(set(truth))]


def test_a_sampled_count_recomputed_canvas_by_canvas(run: Path, tmp_path: Path) -> None:
    """Boxes and reconstruction are those of as many objects as were counted."""
    doubtful = state(run)
    doubtful.model["guide.proposer.4.bias"][0] -= 2  # else nearly all slots are on
    checkpoint.write(tmp_path / "doubtful.pt", doubtful)
    given: dict[str, Any] = {"eval__looks": 1, "eval__counts": "sampled"}
    found = measure(run, checkpoint=str(tmp_path / "doubtful.pt"), **given)
    test, air = CanvasDataset(data_file(), "test"), build(doubtful, CPU)
    draws = torch.Generator().manual_seed(seeds.integer(0, "counts"))
    counts, modes, errors = list[int](), list[int](), list[float]()
    boxes, presence = np.full((20, 3, 4), -1.0), list[Tensor]()
    for images in torch.split(to_ink(test.images), 7):
        with torch.no_grad():
            scene, unrolled = explain(air, images), air(images)
        q = scene.count_probability
        drawn = torch.multinomial(q, 1, generator=draws)[:, 0].tolist()
        for row, (image, count) in enumerate(zip(images, drawn, strict=True)):
            canvas = torch.zeros(24, 24)
            for slot in range(count):
                part = paint(
                    unrolled.windows[row, slot][None],
                    unrolled.size[row, slot][None],
                    unrolled.centre[row, slot][None],
                    24,
                )[0]
                canvas += part
                boxes[len(counts), slot] = extent(part)
            errors.append(float(((image - canvas) ** 2).mean()))
            counts.append(count)
        presence.append(scene.presence)
        modes += q.argmax(1).tolist()
    assert max(np.subtract(counts, modes)) > 0
    truth = test.counts.numpy()
    iou = pairwise_iou(test.boxes.numpy(), boxes)
    ranked = torch.cat(presence).numpy()
    assert found.count_accuracy == found.count_accuracy_one_look == np.mean(counts == truth)
    assert found.mse == pytest.approx(np.mean(errors), rel=1e-5)
    assert found.mean_iou == pytest.approx(mean_iou(iou, truth.sum()))
    assert found.ap50 == pytest.approx(average_precision(iou, ranked, truth.sum(), 0.5))


def extent(part: Tensor) -> tuple[int, int, int, int]:
    """The box of the ink of one object, which has some."""
    rows, columns = np.nonzero(part.numpy() >= INK)
    left, top = columns.min(), rows.min()
    return left, top, columns.max() - left + 1, rows.max() - top + 1


def test_elbo_recomputed(run: Path) -> None:
    """The mean of the estimator over the canvases, with the same stream."""
    found, test, air = measure(run), CanvasDataset(data_file(), "test"), model(run)
    generator = torch.Generator().manual_seed(seeds.integer(0, "elbo"))
    parts = []
    for images in torch.split(to_ink(test.images), 7):
        noise = Noise.draw(generator, len(images), 3, 4, looks=False)
        with torch.no_grad():
            parts.append(elbo.elbo(air, images, noise))
    assert found.elbo == pytest.approx(float(torch.cat(parts).double().mean()), rel=1e-6)


def test_the_bound_is_tighter_with_more_samples(run: Path) -> None:
    few, many = measure(run, eval__likelihood_samples=1), measure(run, eval__likelihood_samples=50)
    assert few.log_likelihood_bound < many.log_likelihood_bound
    assert few.elbo == many.elbo < many.log_likelihood_bound


# Constructed: the model's answers are put in its mouth


def scene(count: list[int], box: Tensor, size: int) -> Scene:
    counts = torch.tensor(count)
    batch, slots = box.shape[:2]
    q = torch.nn.functional.one_hot(counts, slots + 1).float()
    present = (torch.arange(slots) < counts[:, None]).float()
    return Scene(
        count=counts,
        count_probability=q,
        presence=present * 0.9,
        box=torch.where(present[:, :, None] > 0, box, -torch.ones_like(box)),
        centre=torch.zeros(batch, slots, 2),
        where=torch.zeros(batch, slots, 3),
        what=torch.zeros(batch, slots, 4),
        windows=torch.zeros(batch, slots, 8, 8),
        canvases=torch.zeros(batch, slots + 1, size, size),
        score=torch.zeros(batch),
    )


def test_perfect_answers(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test = CanvasDataset(data_file(), "test")
    boxes = torch.nn.functional.pad(test.boxes, (0, 0, 0, 1), value=-1.0)
    answer = scene(test.counts.tolist(), boxes, 24)
    answer = replace(answer, canvases=to_ink(test.images)[:, None].expand(-1, 4, -1, -1))
    monkeypatch.setattr(evaluation, "explain_both", lambda *_: (answer, answer))
    found = measure(run, eval__batch_size=20)
    assert (found.count_accuracy, found.count_accuracy_one_look, found.mse) == (1, 1, 0)
    assert found.mean_iou == pytest.approx(1)
    assert found.ap50 == pytest.approx(1)
    assert set(found.per_count_accuracy.values()) == {1.0}
    assert np.trace(np.array(found.confusion)) == 20


def test_answers_of_nothing(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test = CanvasDataset(data_file(), "test")
    right = scene([0] * 20, torch.zeros(20, 3, 4), 24)
    wrong = scene([3] * 20, torch.zeros(20, 3, 4), 24)
    monkeypatch.setattr(evaluation, "explain_both", lambda *_: (wrong, right))
    found = measure(run, eval__batch_size=20)
    totals = test.counts.bincount().tolist()
    assert found.count_accuracy == totals[0] / 20
    assert found.count_accuracy_one_look == 0
    assert found.confusion == [[total, 0, 0, 0] for total in totals]
    assert (found.mean_iou, found.ap50) == (0, 0)
    assert found.mse == pytest.approx(float(to_ink(test.images).square().mean()))


# Properties


def test_confusion_has_a_row_for_each_true_count(run: Path) -> None:
    found, truth = measure(run), CanvasDataset(data_file(), "test").counts
    assert [sum(row) for row in found.confusion] == truth.bincount().tolist()
    assert {len(row) for row in found.confusion} == {4}
    diagonal = sum(found.confusion[n][n] for n in range(3))
    assert found.count_accuracy == diagonal / 20
    low, high = found.count_accuracy_interval
    assert low <= found.count_accuracy <= high


def test_a_function_of_the_seed(run: Path) -> None:
    one, other = measure(run), measure(run, eval__seed=1)
    assert same_but(one, measure(run))
    assert one.elbo != other.elbo
    assert one.log_likelihood_bound != other.log_likelihood_bound
    assert one.count_accuracy_one_look == other.count_accuracy_one_look


def test_the_batch_size_moves_nothing_that_is_not_drawn(run: Path) -> None:
    drawn = ("elbo", "log_likelihood_bound")
    one, other = (measure(run, eval__looks=1, eval__batch_size=size) for size in (3, 20))
    assert same_but(one, other, "mse", *drawn)
    assert one.mse == pytest.approx(other.mse, rel=1e-5)


def test_settings_do_not_move_each_other(run: Path) -> None:
    """Looking more often leaves the bounds as they are, and the other way round."""
    base = measure(run)
    looks, samples = measure(run, eval__looks=5), measure(run, eval__likelihood_samples=5)
    sampled = measure(run, eval__counts="sampled")
    assert (looks.elbo, looks.log_likelihood_bound) == (base.elbo, base.log_likelihood_bound)
    assert same_but(base, samples, "log_likelihood_bound", "likelihood_samples")
    one_look = ("count_accuracy_one_look", "count_accuracy_one_look_interval")
    assert same_but(base, sampled, *one_look)


def test_nothing_else_is_touched(run: Path) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    drawn = random.getstate(), str(np.random.get_state(legacy=False)), torch.get_rng_state()
    measure(run)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert random.getstate() == drawn[0]
    assert str(np.random.get_state(legacy=False)) == drawn[1]
    assert torch.equal(torch.get_rng_state(), drawn[2])


def test_what_it_says_of_itself(run: Path) -> None:
    listener = Recorder()
    found = evaluate(str(run), listener=listener, checkpoint="last")
    assert (found.looks, found.likelihood_samples, found.split) == (3, 2, "test")
    assert found.run == str(run)
    assert found.data == str(data_file())
    assert found.checkpoint == str(RunFolder(run).file(STEPS))
    assert found.seconds > 0
    assert listener.notes == []


def test_other_splits_and_checkpoints(run: Path) -> None:
    assert measure(run, eval__split="train").canvases == 60
    found = measure(run, eval__split="val", eval__looks=1, checkpoint="best")
    best = state(run).best
    assert best is not None
    assert found.checkpoint == str(RunFolder(run).file(best.step))
    assert found.count_accuracy == best.count_accuracy
    older = RunFolder(run).saved()[0]
    assert measure(run, checkpoint=str(older)).checkpoint == str(older)


def test_larger_canvases_with_more_digits(run: Path) -> None:
    other = data_file(canvas_size=40, max_digits=5)
    found = measure(run, other)
    assert found.data == str(other)
    truth = CanvasDataset(other, "test").counts
    assert len(found.confusion) == int(truth.max()) + 1
    assert {len(row) for row in found.confusion} == {7}, "counts from 0 to 6 slots"
    assert sum(map(sum, found.confusion)) == 20
    assert math.isfinite(found.elbo)


def test_blank_canvases_have_no_boxes(run: Path) -> None:
    found = measure(run, data_file(max_digits=0))
    assert math.isnan(found.mean_iou)
    assert math.isnan(found.ap50)
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert (plain["mean_iou"], plain["ap50"]) == (None, None)
    assert list(found.per_count_accuracy) == ["0"]


def test_as_json(run: Path) -> None:
    found = measure(run)
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert list(plain) == [field.name for field in fields(Measures)][:-1]
    assert plain["count_accuracy"] == found.count_accuracy
    assert plain["count_accuracy_interval"] == list(found.count_accuracy_interval)


@pytest.mark.parametrize(
    ("right", "total", "interval"),
    [
        (50, 100, (0.403832, 0.596168)),
        (0, 10, (0.0, 0.277533)),
        (10, 10, (0.722467, 1.0)),
        (1, 1, (0.206549, 1.0)),
        (984, 1000, (0.974169, 0.990127)),
    ],
)
def test_wilson(right: int, total: int, interval: tuple[float, float]) -> None:
    """The shares p at which the data lie 1.96 standard errors of p away."""
    low, high = wilson(right, total)
    assert (low, high) == pytest.approx(interval, abs=2e-6)
    assert 0 <= low <= right / total <= high <= 1, "rounding must not leave the share outside"
    for end in (low, high):
        if 0 < end < 1:
            distance = abs(right / total - end)
            assert distance == pytest.approx(1.959964 * math.sqrt(end * (1 - end) / total))


# Refused


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        evaluate(tmp_path / "none")
    assert str(caught.value) == (
        "There is no trained run here\n"
        f"  where     {tmp_path / 'none'}\n"
        "  expected  a folder with checkpoints/step-*.pt\n"
        f"  try       airkit train --run {tmp_path / 'none'}"
    )


def test_an_empty_split(run: Path) -> None:
    path = data_file(val=0)
    with pytest.raises(DataFileError) as caught:
        measure(run, path, eval__split="val")
    assert str(caught.value) == (
        "The data file has no canvases in its val split\n"
        f"  where     {path}\n"
        "  expected  at least one\n"
        "  try       choose another with --split, or make a file that has some"
    )


def test_no_data_and_wrong_settings(run: Path, tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"none\.h5"):
        measure(run, tmp_path / "none.h5")
    with pytest.raises(ConfigError, match=r"eval\.looks"):
        measure(run, eval__looks=0)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in a folder with its own data file, of a name to be quoted."""
    home = tmp_path_factory.mktemp("own")
    shutil.copy(data_file(), home / "its data.h5")
    fit(home / "run", home / "its data.h5", train__steps=9)
    return home


READERS: dict[str, Callable[[Path, Path | None], Any]] = {
    "evaluate": evaluate,
    "compare": lambda run, data: compare(run, reference(), data),
    "reconstructions": lambda run, data: render(run, kind="reconstructions", data=data),
    "data": lambda run, data: render(run, kind="data", data=data),
    "report": lambda run, data: report(run, data=data),
    "report of several": lambda run, data: report([run, reference()], data=data),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_a_data_file_that_was_replaced_has_to_be_named(
    own: Path, read: Callable[[Path, Path | None], Any]
) -> None:
    run, data = own / "run", own / "its data.h5"
    shutil.copy(data_file(seed=5), data)
    with pytest.raises(DataFileError) as caught:
        read(run, None)
    told = str(caught.value)
    assert told.startswith("The data file is not the one that the run was trained on\n")
    assert f"  expected  canvases with digest {digest(data_file())[:16]}\n" in told
    assert f"  got       digest {digest(data)[:16]}\n" in told
    assert f"--data '{data}' takes this one all the same; airkit make-data " in told
    read(run, data)


def test_the_measures_name_the_canvases_measured_on(own: Path) -> None:
    other = data_file(seed=5)
    assert measure(own / "run", other, eval__looks=1).data_digest == digest(other)


def test_a_data_file_that_is_gone_is_made_anew(own: Path) -> None:
    run, data = own / "run", own / "its data.h5"
    data.unlink(missing_ok=True)
    with pytest.raises(DataFileError) as caught:
        evaluate(run)
    assert str(caught.value).startswith(f"There is no such data file\n  where     {data}\n")
    command = caught.value.hint.partition(" makes it again")[0]
    assert command_line.run(*shlex.split(command)[1:]).exit_code == 0
    assert evaluate(run).data_digest == digest(data_file())


@pytest.mark.parametrize(
    ("given", "source", "words"),
    [
        ("auto", "mnist", "--set data.source=mnist --out gone.h5 makes it again"),
        ("auto", None, "--out gone.h5 (with --source mnist or strokes, as auto took then)"),
        ("my digits", "my digits", "--set 'data.source=my digits' --out gone.h5 makes it again"),
        ("strokes", None, "--set data.source=strokes --out gone.h5 makes it again"),
    ],
)
def test_the_digits_that_auto_took_are_told_where_known(
    given: str, source: str | None, words: str
) -> None:
    config = settings.resolve(*settings.layers({"data.source": given}))
    with pytest.raises(DataFileError) as caught:
        TrainingData("run", Path("gone.h5"), "0", config, source).read()
    assert caught.value.hint.startswith(f"airkit make-data {words}")


def digest(data: Path) -> str:
    return read_info(data).content_digest
