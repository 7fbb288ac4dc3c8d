"""Event files for TensorBoard: the rows of metrics, once each, and weights as without them."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sweeps import InTurn
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer
from tiny_runs import (
    STEPS,
    TRAIN,
    CrashError,
    Recorder,
    crash,
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

from airkit.data.dataset import CanvasDataset
from airkit.errors import AirkitError
from airkit.model.scene import explain
from airkit.runs.folder import RunFolder
from airkit.runs.weights import build
from airkit.sweeps.sweep import sweep
from airkit.training.tensorboard import CANVASES, MARGIN, reconstructions

ON: dict[str, Any] = {"train__tensorboard": True}
SCALARS = {
    "loss": "train/loss",
    "elbo": "train/elbo",
    "learning_rate": "train/learning_rate",
    "seconds": "train/seconds",
    "val_elbo": "val/elbo",
    "val_count_accuracy": "val/count_accuracy",
}
PICTURES = "val/reconstructions"


def events(run: Path) -> Any:
    """What TensorBoard reads."""
    read = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0, "images": 0})
    return read.Reload()


def assert_shows_every_row_once(run: Path, pictures: list[int] | None = None) -> None:
    """And pictures of these steps, or of every validation."""
    found = events(run)
    assert set(found.Tags()["scalars"]) == set(SCALARS.values())
    for name, tag in SCALARS.items():
        rows = [row for row in RunFolder(run).rows() if name in row]
        expected = [(row["step"], np.float32(row[name])) for row in rows]
        assert [(event.step, event.value) for event in found.Scalars(tag)] == expected, tag
    drawn = [event.step for event in found.Images(PICTURES)]
    assert drawn == (pictures or [5, 10, 15, 20, STEPS])


def assert_same_training(run: Path) -> None:
    """Weights, optimiser and metrics are those of a run without TensorBoard."""
    ours, theirs = state(run), state(reference())
    assert ours.config.train.tensorboard
    for part in ("model", "baselines", "optimiser", "best"):
        assert same(getattr(ours, part), getattr(theirs, part)), part
    assert metrics(run) == metrics(reference())


@pytest.fixture(autouse=True)
def _counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of one process and second are ordered by their names, in which the tenth is early."""
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(0))


def test_every_row_is_shown_and_no_weight_changes(tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    fit(tmp_path, **ON)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert_shows_every_row_once(tmp_path)
    assert_same_training(tmp_path)
    assert not (reference() / "tensorboard").exists()


@pytest.mark.parametrize(
    ("first", "end", "pictures"),
    [(True, interrupt, None), (True, crash, None), (False, interrupt, [10, 15, 20, STEPS])],
)
def test_a_run_that_goes_on_shows_every_row_once(
    first: bool, end: Callable[[], None], pictures: list[int] | None, tmp_path: Path
) -> None:
    """Also the row of step 6, which is trained again after a crash, and rows from before it was on.

    Pictures are of validations while it is on.
    """
    with suppress(CrashError):
        fit(tmp_path, listener=Recorder(step7=end), train__tensorboard=first)
    assert len(RunFolder(tmp_path).events()) == first
    go_on(tmp_path, **ON)
    assert_shows_every_row_once(tmp_path, pictures)
    assert_same_training(tmp_path)


def test_turned_off_and_on_again_it_shows_the_rows_in_between(tmp_path: Path) -> None:
    """Also those that an earlier crash made it forget; pictures begin anew."""
    with pytest.raises(CrashError):
        fit(tmp_path, listener=Recorder(step14=crash), train__checkpoint_every=50, **ON)
    assert go_on(tmp_path, Recorder(step11=interrupt)).resumed_from == 10
    go_on(tmp_path, Recorder(step15=interrupt), train__tensorboard=False)
    assert metrics(tmp_path) == [row for row in metrics(reference()) if row["step"] <= 15]
    go_on(tmp_path, train__checkpoint_every=4, **ON)
    assert_shows_every_row_once(tmp_path, pictures=[20, STEPS])
    assert_same_training(tmp_path)


def test_a_fresh_training_shows_itself_alone(tmp_path: Path) -> None:
    fit(tmp_path, train__steps=3, **ON)
    fit(tmp_path, fresh=True, train__seed=1, **ON)
    assert len(RunFolder(tmp_path).events()) == 1
    assert_shows_every_row_once(tmp_path)
    fit(tmp_path, fresh=True, train__steps=3)
    assert RunFolder(tmp_path).events() == []


def test_a_run_that_is_done_writes_nothing(tmp_path: Path) -> None:
    run = trained(tmp_path / "run")
    go_on(run, **ON)
    assert RunFolder(run).events() == []


def test_canvases_are_above_their_reconstructions(tmp_path: Path) -> None:
    fit(tmp_path, train__steps=5, **ON)
    air = build(state(tmp_path, 5), torch.device("cpu"))
    val = CanvasDataset(data_file(), "val")
    with torch.no_grad():
        picture, scenes = reconstructions(air, val), explain(air, val.images / 255).canvas
    side = air.canvas_size + MARGIN
    assert picture.shape == (2 * side - MARGIN, CANVASES * side - MARGIN, 1)
    for place in range(CANVASES):
        left = slice(place * side, place * side + air.canvas_size)
        above = picture[: air.canvas_size, left, 0]
        assert np.array_equal(above, val.images[place, 0].numpy())
        below = torch.from_numpy(picture[side:, left].copy()).permute(2, 0, 1)
        assert (below - 255 * scenes[place]).abs().max() <= 0.501
    assert (picture[air.canvas_size : side] == 128).all()
    newest = events(tmp_path).Images(PICTURES)[-1].encoded_image_string
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(newest)).convert("L")), picture[:, :, 0])


def test_without_val_canvases_there_are_curves_alone(tmp_path: Path) -> None:
    fit(tmp_path, data_file(val=0), **ON)
    assert events(tmp_path).Tags()["images"] == []
    assert len(events(tmp_path).Scalars("train/elbo")) == 7


def test_where_it_is_missing_nothing_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    engine, keys = InTurn(), {**TRAIN, "train.tensorboard": True}
    for begin in (
        lambda: fit(tmp_path / "run", **ON),
        lambda: sweep(data_file(), tmp_path / "sweep", settings=keys, engine=engine),
    ):
        with pytest.raises(AirkitError, match="tensorboard is not installed"):
            begin()
    assert tree(tmp_path) == []
    assert engine.ran == []


def test_a_sweep_shows_its_seeds_and_may_get_it_late(tmp_path: Path) -> None:
    sweep(data_file(), tmp_path, seeds=1, settings=TRAIN, engine=InTurn())
    engine = InTurn()
    given = {"train.tensorboard": True}
    assert len(sweep(None, tmp_path, seeds=2, settings=given, engine=engine).rows) == 2
    assert engine.ran == [1]
    assert_shows_every_row_once(tmp_path / "seed-001")


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").write_text("a file in the way")
    with pytest.raises(AirkitError, match="A file is in the way") as caught:
        fit(tmp_path, **ON)
    assert f"where     {tmp_path / 'tensorboard'}\n" in str(caught.value)
