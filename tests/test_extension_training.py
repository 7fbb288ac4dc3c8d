"""Training with a guide, a count prior and an objective from outside airkit."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import command_line
import outside
import pytest
import torch
from outside import NAMED
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
    trained,
    tree,
)

from airkit.errors import AirkitError, CheckpointError, ExtensionError
from airkit.runs.folder import RunFolder


@pytest.fixture(name="whole", scope="module")
def _whole() -> Path:
    """A run that nothing interrupted."""
    run = folder() / "outside"
    fit(run, **NAMED)
    return run


def test_stopped_and_gone_on(whole: Path, tmp_path: Path) -> None:
    """Random numbers, buffers and the baseline included."""
    torch.seed()
    fit(tmp_path, listener=Recorder(step7=interrupt), **NAMED)
    assert go_on(tmp_path, **NAMED).resumed_from == 7
    assert_as_if_never_stopped(tmp_path, whole)
    assert int(state(whole).model["guide.norm.num_batches_tracked"]) > 0
    assert set(state(whole).baselines) == {"weight", "bias"}
    assert str(state(whole).config.guide.kind) == "outside:Guide"


def test_looking_at_a_training_does_not_change_it(whole: Path, tmp_path: Path) -> None:
    """Validation neither draws from the training's random numbers nor updates the buffers."""
    fit(tmp_path, train__val_every=1, train__log_every=1, train__tensorboard=True, **NAMED)
    assert same(state(tmp_path).model, state(whole).model)


@pytest.mark.parametrize("key", NAMED)
def test_going_on_without_naming_a_class(key: str, whole: Path, tmp_path: Path) -> None:
    """The run says what to name; files alone import nothing."""
    fit(tmp_path, listener=Recorder(step7=interrupt), **NAMED)
    named: dict[str, Any] = {name: NAMED[name] for name in NAMED if name != key}
    before = tree(tmp_path)
    listener, setting = Recorder(), f"{key.replace('__', '.')}={NAMED[key]}"
    with pytest.raises(ExtensionError, match="This run was trained with") as caught:
        go_on(tmp_path, listener, **named)
    assert f"--set {setting}" in caught.value.hint
    assert (tree(tmp_path), listener.notes) == (before, [])
    told = command_line.fails("train", "--run", tmp_path)
    assert "outside:Guide" in told
    with pytest.raises(CheckpointError, match="started with other settings"):
        go_on(tmp_path, **{**named, key: "outside:Other"})


def test_an_error_of_the_class_is_no_error_of_airkit(tmp_path: Path) -> None:
    """It comes with its traceback; what was saved before goes on."""
    named = {**NAMED, "guide__kind": "outside:Raising"}
    outside.Raising.starts = -1000
    fit(tmp_path / "whole", **named)
    outside.Raising.starts = 0
    with pytest.raises(ZeroDivisionError) as caught:
        fit(tmp_path / "run", **named)
    assert Path(caught.traceback[-1].path).name == "outside.py"
    run = RunFolder(tmp_path / "run")
    assert run.saved()[-1] == run.file(10)
    assert not [name for name in tree(run.path) if name.endswith((".part", ".lock"))]
    assert go_on(run.path, **named).resumed_from == 10
    assert_as_if_never_stopped(run.path, tmp_path / "whole")


MODULE = """
from airkit.model.guides.saliency import SaliencyGuide
from torch import nn

class Guide(SaliencyGuide):
    def __init__(self, *given):
        super().__init__(*given)
        self.more = nn.Linear({size}, 1)
"""


@pytest.mark.parametrize(
    ("kind", "got"),
    [("nowhere:Guide", "nowhere"), ("json:JSONDecoder", "json.decoder.JSONDecoder")],
)
def test_a_class_that_cannot_be_used_begins_nothing(kind: str, got: str, tmp_path: Path) -> None:
    run = trained(tmp_path / "run")
    with pytest.raises(ExtensionError, match=f"{kind} cannot be used as guide.kind") as caught:
        fit(run, fresh=True, guide__kind=kind)
    assert got in str(caught.value)
    assert tree(run) == tree(reference())


def test_a_class_that_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its weights do not fit those saved; that is no damage of the checkpoint."""
    monkeypatch.syspath_prepend(tmp_path)

    def go(size: int, run: Any, **keys: Any) -> Any:
        (tmp_path / "changing.py").write_text(MODULE.format(size=size))
        sys.modules.pop("changing", None)
        return run(guide__kind="changing:Guide", **keys)

    run = tmp_path / "run"
    go(4, lambda **keys: fit(run, data_file(), Recorder(step3=interrupt), **keys))
    before = tree(run)
    with pytest.raises(AirkitError, match="do not fit the class named"):
        go(55, lambda **keys: go_on(run, **keys))
    assert tree(run) == before
    assert go(4, lambda **keys: go_on(run, **keys)).resumed_from == 3
