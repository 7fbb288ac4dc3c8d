"""The measures, recomputed by other means; and what ``evaluate`` refuses."""

from __future__ import annotations

import json
import math
import random
import shlex
import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import command_line
import numpy as np
import pytest
import torch
from tiny_runs import STEPS, Recorder, data_file, evaluated, fit, reference, state, tree
from torch import Tensor

from airkit.config import settings
from airkit.data.dataset import CanvasDataset, to_float
from airkit.data.reader import read_info
from airkit.errors import CheckpointError, ConfigError, DataFileError
from airkit.evaluation.compare import compare
from airkit.evaluation.evaluate import Evaluation, evaluate
from airkit.evaluation.results import Measures
from airkit.figures.render import render
from airkit.model.air import AIR
from airkit.model.objectives import elbo
from airkit.model.scene import explain
from airkit.runs import checkpoint
from airkit.runs.folder import RunFolder
from airkit.runs.trained import open_run
from airkit.runs.training_data import TrainingData
from airkit.runs.weights import build
from airkit.system import seeds
from airkit.system.callbacks import SILENT
from airkit.system.statistics import wilson
from airkit.web.report import report


@pytest.fixture(scope="module")
def run() -> Path:
    return evaluated()


@pytest.fixture(scope="module")
def air(run: Path) -> AIR:
    saved = state(run)
    air = build(saved, torch.device("cpu"))
    air.guide.sharpness = saved.config.eval.look_sharpness
    return air


def canvases() -> CanvasDataset:
    return CanvasDataset(data_file(), "test")


def measure(run: Path, data: Path | None = None, **keys: Any) -> Measures:
    keys = {key.replace("__", "."): value for key, value in keys.items()}
    checkpoint = keys.pop("checkpoint", "last")
    return evaluate(run, data, checkpoint=checkpoint, settings=keys)


def same_but(one: Measures, other: Measures, *names: str) -> bool:
    free = dict.fromkeys(("seconds", *names))
    return {**vars(one), **free} == {**vars(other), **free}


# Recomputed


def test_one_look_recomputed_canvas_by_canvas(run: Path, air: AIR) -> None:
    """Nothing is drawn for the counts and the reconstructions of one look."""
    found, test = measure(run, eval__looks=1), canvases()
    counts, errors = [], []
    for image in to_float(test.images):
        with torch.no_grad():
            scene = explain(air, image[None])
        counts.append(int(scene.count_probability[0].argmax()))
        errors.append(float(((image - scene.canvases[0, counts[-1]]) ** 2).sum()) / 24**2)
    truth = test.truth("counts").tolist()
    right = [one == other for one, other in zip(counts, truth, strict=True)]
    assert found.canvases == 20
    assert found.count_accuracy == found.count_accuracy_one_look == sum(right) / 20
    assert found.count_accuracy_interval == wilson(sum(right), 20)
    assert found.mse == pytest.approx(np.mean(errors), rel=1e-5)
    assert list(found.per_count_accuracy) == [str(count) for count in sorted(set(truth))]
    for count in set(truth):
        rows = [one for one, true in zip(counts, truth, strict=True) if true == count]
        share = rows.count(count) / len(rows)
        assert found.per_count_accuracy[str(count)] == share
        assert found.per_count_accuracy_interval[str(count)] == wilson(rows.count(count), len(rows))
        assert found.confusion[count] == [rows.count(one) for one in range(4)]


def test_a_sampled_count_has_the_boxes_and_the_canvas_of_as_many(run: Path, tmp_path: Path) -> None:
    doubtful = state(run)
    doubtful.model["guide.proposer.4.bias"][0] -= 2  # else nearly all slots are on
    checkpoint.write(tmp_path / "doubtful.pt", doubtful)
    given = {"eval.looks": 1, "eval.counts": "sampled"}
    trained = open_run(run, None, str(tmp_path / "doubtful.pt"), given, SILENT)
    evaluation, errors, surplus = Evaluation(trained), list[Tensor](), 0
    draws = torch.Generator().manual_seed(seeds.integer(0, "counts"))
    for batch in evaluation.batches(SILENT):
        scene = batch.scene
        assert scene is batch.one_look
        drawn = torch.multinomial(scene.count_probability, 1, generator=draws)[:, 0]
        assert torch.equal(scene.count, drawn)
        assert torch.equal((scene.box[:, :, 2] > 0).sum(1), drawn)
        canvas = torch.stack([scene.canvases[row, count] for row, count in enumerate(drawn)])
        errors.append((batch.images - canvas).square().mean((1, 2, 3)))
        surplus = max(surplus, int((drawn - scene.mode).max()))
    assert surplus > 0
    found = evaluation.measures("")
    assert found.count_accuracy == found.count_accuracy_one_look
    assert found.mse == pytest.approx(float(torch.cat(errors).mean()), rel=1e-5)


def test_elbo_recomputed(run: Path, air: AIR) -> None:
    """The mean of the estimator over the canvases, with the same stream."""
    generator = torch.Generator().manual_seed(seeds.integer(0, "elbo"))
    parts = []
    for images in torch.split(to_float(canvases().images), 12):
        noise = air.noise(generator, len(images), looks=False)
        with torch.no_grad():
            parts.append(elbo.elbo(air, images, noise))
    assert measure(run).elbo == pytest.approx(float(torch.cat(parts).double().mean()), rel=1e-6)


def test_the_bound_is_tighter_with_more_samples(run: Path) -> None:
    few, many = measure(run, eval__likelihood_samples=1), measure(run, eval__likelihood_samples=50)
    assert few.log_likelihood_bound < many.log_likelihood_bound
    assert few.elbo == many.elbo < many.log_likelihood_bound


# Properties


def test_a_function_of_the_seed(run: Path) -> None:
    """And of the batch size, as far as it is drawn."""
    one, other = (measure(run, eval__looks=1, eval__batch_size=size) for size in (3, 20))
    drawn = "mse", "elbo", "log_likelihood_bound", "trust", "calibration", "calibration_one_look"
    assert same_but(one, other, *drawn)
    assert one.mse == pytest.approx(other.mse, rel=1e-5)
    one, other = measure(run), measure(run, eval__seed=1)
    assert same_but(one, measure(run))
    assert one.elbo != other.elbo
    assert one.log_likelihood_bound != other.log_likelihood_bound
    assert one.count_accuracy_one_look == other.count_accuracy_one_look


def test_settings_do_not_move_each_other(run: Path) -> None:
    """Looking more often leaves the bounds as they are, and the other way round."""
    base = measure(run)
    looks, samples = measure(run, eval__looks=5), measure(run, eval__likelihood_samples=5)
    sampled = measure(run, eval__counts="sampled")
    assert (looks.elbo, looks.log_likelihood_bound) == (base.elbo, base.log_likelihood_bound)
    assert same_but(base, samples, "log_likelihood_bound", "likelihood_samples")
    assert same_but(base, sampled, *(name for name in vars(base) if "one_look" in name))


def test_nothing_else_is_touched(run: Path) -> None:
    """Neither a file of the run, but for what it found, nor anyone's random numbers."""

    def everything() -> list[Any]:
        files = {name: (run / name).read_bytes() for name in tree(run)}
        numpy = str(np.random.get_state(legacy=False))
        return [files, random.getstate(), numpy, torch.get_rng_state().tolist()]

    before = everything()
    measure(run)
    assert everything() == before


def test_what_it_says_of_itself(run: Path) -> None:
    listener = Recorder()
    found = evaluate(str(run), listener=listener, checkpoint="last")
    assert (found.looks, found.likelihood_samples, found.split) == (3, 2, "test")
    assert (found.run, found.data) == (str(run), str(data_file()))
    assert found.checkpoint == str(RunFolder(run).file(STEPS))
    assert found.seconds > 0
    assert listener.notes == []
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert list(plain) == [field.name for field in fields(Measures) if field.name != "outside"]
    assert plain["count_accuracy"] == found.count_accuracy
    assert plain["count_accuracy_interval"] == list(found.count_accuracy_interval)


def test_other_splits_and_checkpoints(run: Path) -> None:
    assert measure(run, eval__split="train").canvases == 60
    found = measure(run, eval__split="val", eval__looks=1, checkpoint="best")
    best = state(run).best
    assert best is not None
    assert found.checkpoint == str(RunFolder(run).file(best.step))
    assert found.count_accuracy == best.count_accuracy
    older = str(RunFolder(run).saved()[0])
    assert measure(run, checkpoint=older).checkpoint == older


def test_larger_canvases_with_more_digits(run: Path) -> None:
    other = data_file(canvas_size=40, max_digits=5)
    found = measure(run, other)
    assert found.data == str(other)
    totals = CanvasDataset(other, "test").truth("counts").bincount().tolist()
    assert [sum(row) for row in found.confusion] == totals
    assert {len(row) for row in found.confusion} == {7}, "counts from 0 to 6 slots"
    assert math.isfinite(found.elbo)


def test_blank_canvases_have_no_boxes(run: Path) -> None:
    found = measure(run, data_file(max_digits=0))
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    for name in ("mean_iou", "ap", "ap50", "ap75", "ap50_voc"):
        assert math.isnan(getattr(found, name))
        assert plain[name] is None
    assert list(found.per_count_accuracy) == ["0"]


# Refused


def test_what_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="There is no trained run here"):
        evaluate(tmp_path / "none")
    with pytest.raises(DataFileError, match=r"none\.h5"):
        measure(run, tmp_path / "none.h5")
    with pytest.raises(ConfigError, match=r"eval\.looks"):
        measure(run, eval__looks=0)
    with pytest.raises(DataFileError, match="no canvases in its val split") as caught:
        measure(run, data_file(val=0), eval__split="val")
    assert "eval.split=test" in caught.value.hint


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
