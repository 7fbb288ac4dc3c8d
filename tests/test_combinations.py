"""Every guide with every estimator trains, resumes, is measured and is drawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import (
    COMBINATIONS,
    SEARCH,
    TRAIN,
    Recorder,
    data_file,
    fit,
    interrupt,
    metrics,
    options,
    same,
    state,
    uninterrupted,
)

from airkit.config import settings
from airkit.config.schema import Config
from airkit.config.settings import Layer
from airkit.errors import DataFileError
from airkit.evaluation.evaluate import evaluate
from airkit.figures import FIGURES
from airkit.figures.render import render
from airkit.runs.folder import RunFolder
from airkit.training.train import train


@pytest.mark.parametrize(("guide", "estimator"), COMBINATIONS)
def test_it_learns_and_is_measured(guide: str, estimator: str) -> None:
    run = uninterrupted(guide, estimator)
    elbos = [row["elbo"] for row in metrics(run) if "elbo" in row]
    assert elbos[-1] > elbos[0] + 1
    measures = evaluate(run, settings={"eval.candidates": SEARCH})
    assert measures.log_likelihood_bound >= measures.elbo
    assert measures.looks == (3 if guide == "saliency" else 1)
    if guide == "lstm":
        assert measures.count_accuracy == measures.count_accuracy_one_look


@pytest.mark.parametrize("guide", ["saliency", "lstm"])
@pytest.mark.parametrize("kind", list(FIGURES))
def test_it_is_drawn(guide: str, kind: str, tmp_path: Path) -> None:
    out = tmp_path / "picture.png"
    render(uninterrupted(guide, "nvil"), out=out, settings={"render.kind": kind})
    assert out.read_bytes().startswith(b"\x89PNG")


def test_baselines_learn_and_are_saved() -> None:
    run = uninterrupted("lstm", "nvil")
    first = RunFolder(run).saved()[0]
    early, late = state(run, int(first.stem.removeprefix("step-"))), state(run)
    assert not same(early.baselines, late.baselines)
    assert not state(uninterrupted("lstm", "exact")).baselines
    assert not state(uninterrupted("lstm", "nvil", train__baseline="none")).baselines


@pytest.mark.parametrize("look", [evaluate, render])
def test_the_lstm_guide_refuses_canvases_of_another_size(look: Callable[..., Any]) -> None:
    with pytest.raises(DataFileError, match="reads canvases of one size only") as caught:
        look(uninterrupted("lstm", "exact"), data=data_file(canvas_size=30))
    assert all(size in str(caught.value) for size in ("24x24 px", "30x30 px"))


def test_the_lstm_guide_takes_more_slots() -> None:
    measures = evaluate(uninterrupted("lstm", "exact"), data_file(max_digits=3))
    assert len(measures.confusion[0]) == 5


# Settings without effect

LSTM_IDLE = "eval.candidates,eval.looks,guide.blur,guide.refinements"


@pytest.mark.parametrize(
    ("keys", "idle"),
    [
        ({}, "guide.predict_net prior.anneal_from train.masking"),
        (options("lstm", "nvil"), f"{LSTM_IDLE} prior.anneal_from"),
    ],
)
def test_settings_without_effect_are_noted(keys: dict[str, Any], idle: str, tmp_path: Path) -> None:
    listener = Recorder(step1=interrupt)
    idle_keys = {"train__masking": False, "guide__predict_net": (3,), "guide__refinements": 2}
    idle_keys |= {"guide__blur": 0.2, "prior__schedule": "constant", "prior__anneal_from": 0.8}
    fit(tmp_path, listener=listener, **(keys | idle_keys))
    assert [each.replace(", ", ",") for each in _idle(listener)] == idle.split()


def _idle(listener: Recorder) -> list[str]:
    """The settings that were noted to have no effect."""
    return [note.partition(": no effect")[0] for note in listener.notes if ": no effect" in note]


def test_defaults_and_presets_are_not_noted(tmp_path: Path) -> None:
    """A file may spell all settings out, and a preset may serve several guides."""
    path, listener = tmp_path / "all.toml", Recorder(step1=interrupt)
    path.write_text(settings.to_toml(Config()))
    whole = settings.from_file(path).values
    spelled = Layer(str(path), {name: whole[name] for name in ("guide", "train")})
    preset = Layer("preset own", {"guide": {"embed_net": [3]}}, preset=True)
    for name, layer in (("file", spelled), ("preset", preset)):
        ours = [layer, *settings.layers(TRAIN)]
        train(data_file(), tmp_path / name, settings=ours, listener=listener)
    assert _idle(listener) == []
