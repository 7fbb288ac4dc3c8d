"""Every guide with every estimator trains, resumes, is measured and is drawn."""

from __future__ import annotations

from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from tiny_runs import (
    STEPS,
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

from airkit import settings
from airkit.config import RenderConfig
from airkit.errors import CheckpointError, DataFileError
from airkit.estimators import exact
from airkit.evaluation import evaluate
from airkit.listener import SILENT
from airkit.model.guides import MEANS
from airkit.rendering import render
from airkit.run import RunFolder, build

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


def test_baselines_that_do_not_fit_are_told(tmp_path: Path) -> None:
    given = options("lstm", "nvil")
    fit(tmp_path, listener=Recorder(step4=interrupt), **given)
    path = RunFolder(tmp_path).file(4)
    content = torch.load(path, weights_only=True)
    content["baselines"].popitem()
    torch.save(content, path)
    with pytest.raises(CheckpointError, match="weights do not fit its configuration"):
        go_on(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [("train.baseline", "mlp"), ("train.masking", False), ("train.baseline_scale", 2.0)],
)
def test_the_estimators_settings_are_fixed(key: str, value: Any, tmp_path: Path) -> None:
    fit(tmp_path, listener=Recorder(step1=interrupt), **options("lstm", "nvil"))
    with pytest.raises(CheckpointError, match=key):
        go_on(tmp_path, **{key.replace(".", "__"): value})


@pytest.mark.parametrize("estimator", ["exact", "nvil"])
def test_a_learning_rate_that_explodes_is_told(estimator: str, tmp_path: Path) -> None:
    keys: dict[str, Any] = {
        "train__learning_rate": 10.0,
        "train__steps": 400,
        "train__schedule": "constant",
    }
    with pytest.raises(Exception, match="The loss is no longer a number"):
        fit(tmp_path, **options("lstm", estimator), **keys)


def test_the_lstm_guide_refuses_canvases_of_another_size() -> None:
    run, other = uninterrupted("lstm", "exact"), data_file(canvas_size=30)
    with pytest.raises(DataFileError) as caught:
        evaluate(run, other)
    checkpoint = RunFolder(run).find("best", SILENT)[0]
    assert str(caught.value) == (
        "The lstm guide of this run reads canvases of one size only\n"
        f"  where     {other}\n"
        f"  expected  24x24 px, as {checkpoint} was trained on\n"
        "  got       30x30 px\n"
        "  try       train on such canvases, or with the saliency guide, which serves every size"
    )


def test_the_lstm_guide_takes_more_slots() -> None:
    measures = evaluate(uninterrupted("lstm", "exact"), data_file(max_digits=3))
    assert len(measures.confusion[0]) == 5


def test_validation_is_exact_whatever_the_estimator() -> None:
    """The same weights, measured by the same formula: only the training differs."""
    for estimator in ("exact", "nvil"):
        run = state(uninterrupted("lstm", estimator), STEPS)
        air = build(run, torch.device("cpu"))
        images = torch.zeros(3, 24, 24)
        assert exact.elbo(air, images, MEANS).isfinite().all()
    assert settings.differences(run.config, run.config) == {}
