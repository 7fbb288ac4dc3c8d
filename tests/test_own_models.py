"""Guides, count priors and objectives from outside airkit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import command_line
import outside
import pytest
import torch
from outside import NAMED
from own_module import MODULE, forget
from tiny_runs import (
    Recorder,
    assert_as_if_never_stopped,
    data_file,
    fit,
    folder,
    go_on,
    interrupt,
    reference,
    same,
    state,
    trainer,
    tree,
)

import airkit
from airkit.config.registry import Named
from airkit.errors import AirkitError, CheckpointError, ExtensionError
from airkit.evaluation.compare import compare
from airkit.evaluation.evaluate import evaluate
from airkit.runs.folder import RunFolder
from airkit.runs.weights import build

pytestmark = pytest.mark.usefixtures("mine")


@pytest.fixture(name="whole", scope="module")
def _whole() -> Path:
    """A run that nothing interrupted."""
    run = folder() / "outside"
    fit(run, **NAMED)
    return run


def test_stopped_and_gone_on(whole: Path, tmp_path: Path) -> None:
    """Random numbers, buffers and the baseline included."""
    torch.seed()
    run = tmp_path / "run"
    fit(run, listener=Recorder(step7=interrupt), **NAMED)
    assert go_on(run, **NAMED).resumed_from == 7
    assert_as_if_never_stopped(run, whole)
    assert int(state(whole).model["guide.norm.num_batches_tracked"]) > 0
    assert set(state(whole).baselines) == {"weight", "bias"}


def test_looking_at_a_training_does_not_change_it(whole: Path, tmp_path: Path) -> None:
    """Validation neither draws from the training's random numbers nor updates the buffers."""
    run = tmp_path / "run"
    fit(run, train__val_every=1, train__log_every=1, train__tensorboard=True, **NAMED)
    assert same(state(run).model, state(whole).model)


@pytest.mark.parametrize("key", NAMED)
def test_going_on_without_naming_a_class(key: str, tmp_path: Path) -> None:
    """The run says what to name, and stays as it is."""
    run, listener = tmp_path / "run", Recorder()
    fit(run, listener=Recorder(step7=interrupt), **NAMED)
    named: dict[str, Any] = {name: NAMED[name] for name in NAMED if name != key}
    before = tree(run)
    with pytest.raises(ExtensionError, match="This run was trained with") as caught:
        go_on(run, listener, **named)
    assert f"--set {key.replace('__', '.')}={NAMED[key]}" in caught.value.hint
    assert (tree(run), listener.notes) == (before, [])
    assert "outside:Guide" in command_line.fails("train", "--run", run)
    with pytest.raises(CheckpointError, match="started with other settings"):
        go_on(run, **{**named, key: "outside:Other"})


@pytest.mark.parametrize(("setting", "recorded"), [("guide", "Guide"), ("prior", "Prior")])
def test_another_class_than_the_recorded_one(setting: str, recorded: str, whole: Path) -> None:
    told = command_line.fails("eval", "--run", whole, "--set", f"{setting}.kind=mine:Other")
    assert f"You named mine:Other, but this run was trained with outside:{recorded}\n" in told
    assert f"--set {setting}.kind=outside:{recorded}" in told


@pytest.mark.parametrize("kind", ["lstm", "mine:Guide", "nowhere:Guide"])
def test_a_guide_named_that_the_run_does_not_have(kind: str) -> None:
    listener = Recorder()
    found = evaluate(reference(), settings={"guide.kind": kind}, listener=listener)
    (told,) = listener.notes
    assert told.startswith(f"guide.kind = {kind}: no effect")
    assert found.elbo == evaluate(reference()).elbo
    with pytest.raises(CheckpointError, match="started with other settings"):
        go_on(reference(), guide__kind=kind)


def test_settings_of_the_trained_model_have_no_effect_and_it_says_so() -> None:
    listener, given = Recorder(), {"model.pixel_sd": 0.1, "guide.look_sharpness": 3}
    found = evaluate(reference(), settings=given, listener=listener)
    assert [note.partition(" = ")[0] for note in listener.notes] == list(given)
    assert all("no effect" in note for note in listener.notes)
    assert found.elbo == evaluate(reference()).elbo


def test_a_run_with_classes_of_ones_own_beside_one_without(whole: Path) -> None:
    named = {key.replace("__", "."): value for key, value in NAMED.items()}
    _, found = compare(whole, reference(), settings=named)
    assert found.against.elbo == evaluate(reference()).elbo


def test_the_loss_of_an_objective_keeps_no_graph() -> None:
    assert not trainer(train__estimator=Named("outside:Undetached")).step(0).requires_grad


def test_weights_of_an_objective_that_would_not_learn_are_refused() -> None:
    with pytest.raises(ExtensionError, match="cannot be used") as caught:
        trainer(train__estimator=Named("outside:Weighted"))
    assert ("weight" in str(caught.value), "self.baselines" in str(caught.value)) == (True, True)


def test_an_error_of_a_guide_is_no_error_of_airkit(tmp_path: Path) -> None:
    """It comes with its traceback; what was saved before goes on."""
    named = {**NAMED, "guide__kind": "outside:Raising", "train__checkpoint_every": 5}
    outside.Raising.starts = -1000
    fit(tmp_path / "whole", **named)
    outside.Raising.starts = 0
    with pytest.raises(ZeroDivisionError):
        fit(tmp_path / "run", **named)
    run = RunFolder(tmp_path / "run")
    assert run.saved()[-1] == run.file(10)
    assert not [name for name in tree(run.path) if name.endswith((".part", ".lock"))]
    assert go_on(run.path, **named).resumed_from == 10
    assert_as_if_never_stopped(run.path, tmp_path / "whole")


def test_a_guide_that_has_changed(home: Path) -> None:
    """Its weights do not fit those saved; that is no damage of the checkpoint."""
    kind: dict[str, Any] = {"guide__kind": "mine:Guide"}
    layer = "\n    def __init__(self, *given):\n        "
    layer += "super().__init__(*given)\n        self.more = torch.nn.Linear(4, 1)\n"
    fit(home / "run", data_file(), Recorder(step3=interrupt), **kind)
    before = tree(home / "run")
    (home / "mine.py").write_text(MODULE.replace("(SaliencyGuide):", f"(SaliencyGuide):{layer}"))
    forget()
    with pytest.raises(AirkitError, match="do not fit the class named"):
        go_on(home / "run", **kind)
    assert tree(home / "run") == before


WITH_LAYER = MODULE.replace(
    "(SaliencyGuide):",
    """(SaliencyGuide):
    def __init__(self, *given):
        super().__init__(*given)
        self.more = torch.nn.Linear(SIZE, 1)
    def start(self, images):
        self.more(images.new_zeros(1, 4))
        return super().start(images)
""",
)


def test_a_guide_that_is_corrected_before_its_first_step(home: Path) -> None:
    """Nothing was trained: the same command starts anew, as if the first had never been."""
    kind: dict[str, Any] = {"guide__kind": "mine:Guide", "train__steps": 4}
    write_guide(WITH_LAYER.replace("SIZE", "3"))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        fit(home / "run", **kind)
    assert RunFolder(home / "run").saved()
    write_guide(WITH_LAYER.replace("SIZE", "4"))
    listener = Recorder()
    report = fit(home / "run", listener=listener, **kind)
    assert (report.resumed_from, report.steps) == (0, 4)
    assert sum("starting anew" in note for note in listener.notes) == 1
    fit(home / "whole", **kind)
    assert_as_if_never_stopped(home / "run", home / "whole", 4)


def test_weights_that_were_saved_by_hand_are_not_started_anew(home: Path) -> None:
    kind: dict[str, Any] = {"guide__kind": "mine:Guide", "train__steps": 4}
    fit(home / "run", **kind)
    named = {"guide.kind": "mine:Guide"}
    airkit.save(airkit.load(home / "run", settings=named), home / "saved", data_file())
    before = tree(home / "saved")
    write_guide(WITH_LAYER.replace("SIZE", "4"))
    with pytest.raises(CheckpointError, match="do not fit the class named") as caught:
        go_on(home / "saved", **kind)
    assert "--fresh" in caught.value.hint
    assert tree(home / "saved") == before


def test_the_guide_is_not_blamed_for_other_weights() -> None:
    kept = state(reference())
    model = {name.replace("decoder.", "decoder.old."): each for name, each in kept.model.items()}
    with pytest.raises(CheckpointError, match="do not fit the model of its settings") as caught:
        build(replace(kept, model=model), torch.device("cpu"))
    assert "guide.kind" not in str(caught.value)
    assert "where     decoder." in str(caught.value)


def write_guide(module: str) -> None:
    Path("mine.py").write_text(module)
    forget()
