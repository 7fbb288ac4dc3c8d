"""Every guide with every estimator trains, resumes, is measured and is drawn."""

from __future__ import annotations

import math
from contextlib import nullcontext
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from tiny_runs import (
    DATA,
    TRAIN,
    CrashError,
    Recorder,
    assert_as_if_never_stopped,
    crash,
    data_file,
    fit,
    folder,
    go_on,
    interrupt,
    metrics,
    same,
    state,
)

from airkit.config import settings
from airkit.config.schema import Config, RenderConfig
from airkit.config.settings import Layer
from airkit.data.dataset import CanvasDataset
from airkit.data.make import make_data
from airkit.errors import CheckpointError, DataFileError, TrainingError
from airkit.evaluation.evaluate import evaluate
from airkit.figures.render import render
from airkit.model.air import AIR
from airkit.runs.folder import RunFolder
from airkit.training.loop import train
from airkit.training.step import Trainer, build_estimator

GUIDES = ["saliency", "lstm"]
COMBINATIONS = [*product(GUIDES, ["exact", "nvil"])]
KINDS = get_args(RenderConfig.model_fields["kind"].annotation)
SMALL: dict[str, Any] = {"guide__rnn_size": 12, "train__baseline_net": (6,)}


def options(guide: str, estimator: str) -> dict[str, Any]:
    return {**SMALL, "guide__kind": guide, "train__estimator": estimator}


@cache
def uninterrupted(guide: str, estimator: str, **other: Any) -> Path:
    run = folder() / "-".join([guide, estimator, *map(str, other.values())])
    fit(run, **options(guide, estimator), **other)
    return run


@pytest.mark.parametrize(("guide", "estimator"), COMBINATIONS)
def test_it_learns_and_is_measured(guide: str, estimator: str) -> None:
    run = uninterrupted(guide, estimator)
    elbos = [row["elbo"] for row in metrics(run) if "elbo" in row]
    assert elbos[-1] > elbos[0] + 1
    measures = evaluate(run)
    assert measures.canvases == 20
    assert measures.log_likelihood_bound >= measures.elbo
    assert measures.looks == (3 if guide == "saliency" else 1)
    if guide == "lstm":
        assert measures.count_accuracy == measures.count_accuracy_one_look


@pytest.mark.parametrize(("guide", "estimator"), COMBINATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_drawn(guide: str, estimator: str, kind: str, tmp_path: Path) -> None:
    out = tmp_path / "picture.png"
    render(uninterrupted(guide, estimator), out=out, settings={"render.kind": kind})
    assert out.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("guide", "estimator"), COMBINATIONS[1:])
def test_stopped_and_gone_on(guide: str, estimator: str, tmp_path: Path) -> None:
    fit(tmp_path, listener=Recorder(step7=interrupt), **options(guide, estimator))
    assert go_on(tmp_path).resumed_from == 7
    assert_as_if_never_stopped(tmp_path, uninterrupted(guide, estimator))


@pytest.mark.parametrize("baseline", ["lstm", "mlp", "none"])
def test_baselines_go_on_as_well(baseline: str, tmp_path: Path) -> None:
    given = {**options("lstm", "nvil"), "train__baseline": baseline}
    with pytest.raises(CrashError):
        fit(tmp_path, listener=Recorder(step15=crash), **given)
    assert go_on(tmp_path).resumed_from == 12
    assert_as_if_never_stopped(tmp_path, uninterrupted("lstm", "nvil", train__baseline=baseline))
    names = set(state(tmp_path).baselines)
    assert bool(names) == (baseline != "none")


def test_exact_has_no_baselines_to_save() -> None:
    assert not state(uninterrupted("lstm", "exact")).baselines


def test_baselines_learn() -> None:
    run = uninterrupted("lstm", "nvil")
    first = RunFolder(run).saved()[0]
    early, late = state(run, int(first.stem.removeprefix("step-"))), state(run)
    assert not same(early.baselines, late.baselines)


def test_baselines_that_do_not_fit_are_passed_over(tmp_path: Path) -> None:
    given = options("lstm", "nvil")
    fit(tmp_path, listener=Recorder(step4=interrupt), **given)
    path = RunFolder(tmp_path).file(4)
    content = torch.load(path, weights_only=True)
    content["baselines"].popitem()
    torch.save(content, path)
    listener = Recorder()
    assert go_on(tmp_path, listener).resumed_from == 0
    assert listener.notes[0] == f"This checkpoint is damaged: {path}; going back to step 0"


@pytest.mark.parametrize(
    ("key", "value"),
    [("train.baseline", "mlp"), ("train.masking", False), ("train.baseline_scale", 2.0)],
)
def test_the_estimators_settings_are_fixed(key: str, value: Any, tmp_path: Path) -> None:
    fit(tmp_path, listener=Recorder(step1=interrupt), **options("lstm", "nvil"))
    with pytest.raises(CheckpointError, match=key):
        go_on(tmp_path, **{key.replace(".", "__"): value})


@pytest.mark.parametrize(("guide", "estimator"), COMBINATIONS)
@pytest.mark.parametrize("pose", ["uniform", "affine"])
def test_a_learning_rate_that_explodes_is_told(
    guide: str, estimator: str, pose: str, tmp_path: Path
) -> None:
    """Where the weights are still finite, but what they compute is not, presence is no number."""
    bears_it = (guide, pose) == ("lstm", "affine")
    given = options(guide, estimator) | {"train__steps": 100 if bears_it else 400}
    given |= {"train__schedule": "constant", "train__learning_rate": 10.0}
    given |= {"model__pose": pose, "prior__schedule": "constant"}
    told = pytest.raises(TrainingError, match="is no longer finite")
    with nullcontext() if bears_it else told:
        fit(tmp_path, **given)
    assert all(math.isfinite(value) for row in metrics(tmp_path) for value in row.values())


def test_the_lstm_guide_refuses_canvases_of_another_size() -> None:
    run, other = uninterrupted("lstm", "exact"), data_file(canvas_size=30)
    with pytest.raises(DataFileError) as caught:
        evaluate(run, other)
    assert str(caught.value) == (
        "The lstm guide of this run reads canvases of one size only\n"
        f"  where     {other}\n"
        "  expected  24x24 px, as the run was trained on\n"
        "  got       30x30 px\n"
        "  try       train on such canvases, or with guide.kind=saliency, which serves every size"
    )


def test_the_lstm_guide_takes_more_slots() -> None:
    measures = evaluate(uninterrupted("lstm", "exact"), data_file(max_digits=3))
    assert len(measures.confusion[0]) == 5


def test_what_an_estimator_or_guide_does_not_heed_is_told(tmp_path: Path) -> None:
    listener = Recorder(step1=interrupt)
    keys: dict[str, Any] = {
        "train__masking": False,
        "guide__predict_net": (3,),
        "guide__refinements": 2,
    }
    fit(tmp_path / "exact", listener=listener, **keys)
    assert listener.notes == [
        "guide.predict_net: no effect with guide.kind = saliency",
        "train.masking: no effect with train.estimator = exact",
    ]
    listener = Recorder(step1=interrupt)
    fit(tmp_path / "nvil", listener=listener, **(options("lstm", "nvil") | keys))
    assert listener.notes == ["guide.refinements: no effect with guide.kind = lstm"]


def test_defaults_that_a_file_spells_out_are_no_news(tmp_path: Path) -> None:
    path = tmp_path / "all.toml"
    path.write_text(settings.to_toml(Config()))
    whole, listener = settings.from_file(path), Recorder(step1=interrupt)
    kept = {name: whole.values[name] for name in ("guide", "train")}
    ours = [Layer(whole.origin, kept), *settings.layers({**TRAIN, "guide.predict_net": [3]})]
    train(data_file(), tmp_path / "run", settings=ours, listener=listener)
    assert listener.notes == ["guide.predict_net: no effect with guide.kind = saliency"]


def test_a_preset_may_set_more_than_a_guide_heeds(tmp_path: Path) -> None:
    listener = Recorder(step1=interrupt)
    layers = [settings.from_preset("tiny"), *settings.layers({"guide.kind": "lstm"})]
    data = tmp_path / "tiny.h5"
    sizes = {"data.source": "strokes", "data.train": 40, "data.val": 0, "data.test": 0}
    make_data(data, settings=[settings.from_preset("tiny"), *settings.layers(sizes)])
    train(data, tmp_path / "run", settings=layers, listener=listener)
    assert not [note for note in listener.notes if "no effect" in note]


@pytest.mark.parametrize("kind", ["reconstructions", "prior"])
def test_pictures_refuse_canvases_of_another_size_too(kind: str, tmp_path: Path) -> None:
    given = {"render.kind": kind}
    with pytest.raises(DataFileError, match="reads canvases of one size only"):
        render(
            uninterrupted("lstm", "exact"),
            data=data_file(canvas_size=30),
            out=tmp_path / "picture.png",
            settings=given,
        )


def test_baselines_begin_as_the_seed_says() -> None:
    def begun(seed: int) -> Any:
        given = {**DATA, **TRAIN, "train.estimator": "nvil", "train.seed": seed}
        config = settings.resolve(*settings.layers(given))
        return build_estimator(AIR(config), config).baselines.state_dict()

    torch.manual_seed(1)
    one = begun(0)
    torch.manual_seed(2)
    assert same(one, begun(0))
    assert not same(one, begun(1))


def test_clipping_is_of_the_models_gradient_alone() -> None:
    given = {**DATA, **TRAIN, "train.estimator": "nvil", "train.clip_norm": 1e-3}
    trainer = Trainer(
        settings.resolve(*settings.layers(given)),
        CanvasDataset(data_file()).images,
        torch.device("cpu"),
    )
    trainer.step(0)
    norms = [
        torch.cat([each.grad.flatten() for each in module.parameters() if each.grad is not None])
        for module in (trainer.air, trainer.estimator.baselines)
    ]
    assert float(norms[0].norm()) == pytest.approx(1e-3, rel=1e-3)
    assert float(norms[1].norm()) > 1
