"""Splits that are too large for memory: read as they are asked for, shuffled in blocks."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from some_truth import knowing, write
from tiny_runs import (
    Recorder,
    assert_as_if_never_stopped,
    data_file,
    fit,
    go_on,
    interrupt,
    reference,
    same,
    state,
)
from torch.utils.data import DataLoader

from airkit.data import format as layout
from airkit.data import reader, stream
from airkit.data.dataset import CanvasDataset
from airkit.data.make import make_data
from airkit.data.reader import ArrayFile
from airkit.data.stream import Streamed, block_of
from airkit.errors import DataFileError
from airkit.evaluation.evaluate import evaluate
from airkit.evaluation.predict import write_predictions
from airkit.runs import checkpoint
from airkit.runs.folder import RunFolder
from airkit.system import seeds
from airkit.training.batches import Batches
from airkit.web.report import report

BLOCK = 20


@pytest.fixture(name="small")
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory for no image, and for ``BLOCK`` tiny canvases at a time, in chunks of 8."""
    monkeypatch.setattr(stream, "HELD", 0)
    monkeypatch.setattr(stream, "BLOCK", BLOCK * 24 * 24)
    monkeypatch.setattr(stream, "rows_of", lambda *_: 8)


@pytest.fixture(name="read")
def _read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows at which something was read, one after the other."""
    found: list[int] = []
    rows = ArrayFile.rows

    def noted(file: ArrayFile, start: int, stop: int | None) -> Any:
        found.append(start)
        return rows(file, start, stop)

    monkeypatch.setattr(ArrayFile, "rows", noted)
    return found


# The order


def epoch(batches: Batches, number: int) -> list[int]:
    steps = range(number * batches.per_epoch, (number + 1) * batches.per_epoch)
    return [index for step in steps for index in batches.at(step).tolist()]


@pytest.mark.parametrize(
    ("count", "size", "block", "chunk"),
    [(1000, 10, 200, 16), (1000, 7, 333, 16), (1003, 64, 100, 8), (50, 8, 3, 4), (17, 16, 8, 16),
     (5, 64, 2, 2), (1, 1, 1, 1)],
)  # fmt: skip
def test_an_epoch_of_blocks_takes_each_canvas_once(
    count: int, size: int, block: int, chunk: int
) -> None:
    """What one epoch leaves out, others take."""
    batches = Batches(count, size, seed=3, block=block, chunk=chunk)
    epochs = [epoch(batches, number) for number in range(40)]
    for taken in epochs:
        assert len({*taken}) == len(taken) == count - count % min(size, count)
    assert set().union(*map(set, epochs)) == {*range(count)}
    assert count < 10 or len({*map(tuple, epochs)}) == 40


def test_a_block_is_of_few_chunks_of_the_file_in_another_order_each_epoch() -> None:
    batches = Batches(10_000, 10, seed=3, block=500, chunk=25)
    parts = [
        [
            {index // 25 for index in epoch(batches, number)[start : start + 500]}
            for number in (0, 1)
        ]
        for start in range(0, 10_000, 500)
    ]
    assert all(20 <= len(chunks) <= 21 for both in parts for chunks in both)
    assert all(one != other for one, other in parts)
    first = epoch(batches, 0)[:500]
    assert len({index // 25 for index in first[:20]}) > 8  # mixed within


def test_an_order_in_blocks_is_a_function_of_the_step() -> None:
    given: dict[str, Any] = {"seed": 5, "block": 100, "chunk": 16}
    forward, jumping = Batches(1000, 30, **given), Batches(1000, 30, **given)
    wanted = [forward.at(step).tolist() for step in range(70)]
    for step in (69, 3, 35, 33, 0, 12):
        assert jumping.at(step).tolist() == wanted[step]
    assert Batches(1000, 30, seed=6, block=100, chunk=16).at(0).tolist() != wanted[0]


def test_sets_that_are_held_keep_the_order_of_ever() -> None:
    ever = seeds.generator(3, "batches", 2).permutation(60)
    assert Batches(60, 10, seed=3).at(2 * 6 + 1).tolist() == ever[10:20].tolist()
    assert block_of(reader.read_info(data_file()), "train") == 0


def test_what_is_in_memory_depends_on_the_canvases_alone() -> None:
    info = reader.read_info(data_file())
    for many, side, block in [(429_496, 50, 0), (429_497, 50, 107_374), (4097, 512, 1024)]:
        config = info.config.updated("data", train=many, canvas_size=side)
        large = replace(info, config=config, splits={"train": many})
        assert block_of(large, "train") == block


# Reading


@pytest.mark.parametrize("kind", ["grey", "colour", "masks"])
@pytest.mark.usefixtures("small")
def test_it_is_as_a_tensor(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = data_file()
    if kind == "colour":
        path = data_file(source="sprites", channels=3, digit_size_sd=1.0)
    if kind == "masks":
        path = write(tmp_path / "masks.h5", knowing("count", "mask"))
    name = "mask" if kind == "masks" else "image"
    rows = CanvasDataset(path, "test").rows[name]
    monkeypatch.undo()
    held = CanvasDataset(path, "test").rows[name]
    assert isinstance(rows, Streamed)
    assert isinstance(held, torch.Tensor)
    assert (len(rows), rows.shape) == (20, tuple(held.shape))
    chosen = torch.tensor([19, 0, 7, 7, 8, 3])
    for index in (0, 19, -1, slice(5), slice(3, 17), slice(None), chosen, chosen[:0]):
        assert torch.equal(rows[index], held[index])
    with pytest.raises(IndexError):
        rows[20]


@pytest.mark.usefixtures("small")
def test_a_dataset_is_as_one_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    large = CanvasDataset(data_file(), "val")
    again = pickle.loads(pickle.dumps(large))
    loaded = [*DataLoader(large, batch_size=5, num_workers=1)]
    whole = large.images
    monkeypatch.undo()
    held = CanvasDataset(data_file(), "val")
    assert torch.equal(whole, held.images)
    for place in (0, 11, -2):
        assert same(large[place], held[place])
        assert same(again[place], held[place])
    images = torch.cat([batch["image"] for batch in loaded])
    assert torch.equal(images, torch.stack([held[place]["image"] for place in range(12)]))


@pytest.mark.usefixtures("small")
def test_a_block_is_read_once(read: list[int]) -> None:
    images = Streamed(data_file(), "train", "image", BLOCK)
    batches = Batches(60, 6, 0, block=BLOCK, chunk=images.chunk)
    for step in range(batches.per_epoch):
        images[batches.at(step)]
    assert {*read} == {*range(0, 60, 8)}
    assert len(read) <= 8 + 3  # a chunk at the cut of two blocks is in both


# Work with it


@pytest.mark.usefixtures("small")
def test_a_training_from_the_file_goes_on_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where all canvases would be held by now."""
    fit(tmp_path / "whole")
    fit(tmp_path / "stopped", listener=Recorder(step6=interrupt))
    go_on(tmp_path / "stopped", listener=Recorder(step13=interrupt))
    monkeypatch.setattr(stream, "HELD", 2**30)
    go_on(tmp_path / "stopped")
    assert_as_if_never_stopped(tmp_path / "stopped", tmp_path / "whole")
    assert state(tmp_path / "stopped").block == BLOCK


def test_runs_from_before_blocks_keep_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = reference()
    fit(tmp_path, listener=Recorder(step8=interrupt))
    for file in RunFolder(tmp_path).saved():
        old = torch.load(file, weights_only=True)
        assert old.pop("block") == 0
        torch.save(old, file)
        assert checkpoint.read(file).block == 0
    monkeypatch.setattr(stream, "HELD", 0)
    go_on(tmp_path)
    assert_as_if_never_stopped(tmp_path, expected)


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.usefixtures("small")
def test_measures_and_predictions_are_those_of_a_set_in_memory(
    tmp_path: Path, masks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(run := tmp_path / "run", train__steps=2)
    truth = ("count", "box", "mask") if masks else ()
    data = write(tmp_path / "masks.h5", knowing(*truth)) if masks else data_file()
    for held, name in ((0, "one"), (2**30, "other")):
        monkeypatch.setattr(stream, "HELD", held)
        found = {**evaluate(run, data).to_dict(), "seconds": 0}
        (tmp_path / f"{name}.json").write_text(json.dumps(found))
        write_predictions(tmp_path / f"{name}.csv", run, data=data)
    for end in ("json", "csv"):
        one, other = (tmp_path / f"{name}.{end}" for name in ("one", "other"))
        assert one.read_text() == other.read_text()


@pytest.mark.usefixtures("small")
def test_a_report_reads_from_the_file(tmp_path: Path, read: list[int]) -> None:
    fit(tmp_path / "run", train__steps=2)
    read.clear()
    report(tmp_path / "run")
    assert read


def test_damage_that_shows_as_rows_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the second of three chunks: the first is fine."""
    given = {"data.source": "strokes", "data.train": 600, "data.val": 0, "data.test": 0}
    path = tmp_path / "data.h5"
    make_data(path, settings=given)
    with h5py.File(path) as file:
        place = file["train/image"].id.get_chunk_info(1)
    with path.open("r+b") as file:
        file.seek(place.byte_offset + 10)
        file.write(bytes(place.size - 20))
    monkeypatch.setattr(stream, "HELD", 0)
    images = CanvasDataset(path).rows["image"]
    assert images[:256].any()
    with pytest.raises(DataFileError, match="damaged"):
        images[256]
    assert layout.CHUNK == 256
    assert np.all(images[:3].numpy() <= 255)
