"""Data files that know some of the truth: what is unknown is absent, and all else is as written."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from some_truth import knowing, masked, whole, write
from tiny_runs import Recorder, data_file

import airkit
from airkit.config import settings
from airkit.data.canvases import SPLITS, Canvases
from airkit.data.dataset import CanvasDataset
from airkit.data.format import DIGITS, DTYPES, from_words, to_words
from airkit.data.reader import read_info, read_parts, read_split, verify
from airkit.errors import DataFileError
from airkit.training.resume import configure

TRUTH = tuple(DTYPES)[1:]
SUBSETS = [each for many in range(len(TRUTH) + 1) for each in combinations(TRUTH, many)]


@pytest.mark.parametrize("truth", SUBSETS, ids="+".join)
def test_every_subset_is_read_back(tmp_path: Path, truth: tuple[str, ...]) -> None:
    arrays = knowing(*truth)
    path = write(tmp_path / "data.h5", arrays)
    info = read_info(path)
    five = arrays == knowing(*TRUTH[:4])
    assert (info.arrays, info.format_version) == (arrays, 1 if five else 2)
    assert verify(path) == info.content_digest
    for split in SPLITS:
        found, known = read_split(path, split), masked(whole(split)).known
        assert list(found.known) == list(arrays[split])
        assert all(np.array_equal(found.known[name], known[name]) for name in found.known)
    with h5py.File(path) as file:
        assert sorted(file["val"]) == sorted(arrays["val"])
        assert ("arrays" in file.attrs) == (not five)


def test_splits_may_know_different_things(tmp_path: Path) -> None:
    arrays = {**knowing(), "test": ("image", "count", "mask")}
    path = write(tmp_path / "data.h5", arrays)
    assert read_info(path).arrays == arrays
    assert CanvasDataset(path, "train").counts is None
    assert torch.equal(CanvasDataset(path, "test").truth("counts"), dataset("test").truth("counts"))
    assert [part.count for part in read_parts(path, "val")] == [None]


def dataset(split: str) -> CanvasDataset:
    return CanvasDataset(data_file(), split)


def test_a_file_of_digits_is_as_before(tmp_path: Path) -> None:
    path = write(tmp_path / "data.h5", DIGITS)
    digest = read_info(path).content_digest
    assert digest == read_info(data_file()).content_digest
    with h5py.File(path) as file:
        assert (file.attrs["format_version"], "arrays" in file.attrs) == (1, False)


def test_items_lack_what_is_unknown(tmp_path: Path) -> None:
    path = write(tmp_path / "data.h5", knowing("count", "mask"))
    canvases = CanvasDataset(path, "val")
    assert sorted(canvases[0]) == ["count", "image", "mask"]
    assert (canvases.labels, canvases.boxes) == (None, None)
    canvases[0]["mask"].add_(1)
    assert torch.equal(canvases[0]["mask"], torch.from_numpy(masked(whole("val")).known["mask"][0]))
    with pytest.raises(DataFileError, match="val canvases have no true boxes"):
        canvases.truth("boxes")
    assert sorted(CanvasDataset(write(tmp_path / "none.h5", knowing()), "val")[0]) == ["image"]


def _put(name: str, value: Any) -> Callable[[Any], None]:
    def edit(file: Any) -> None:
        del file[name]
        file[name] = value

    return edit


def _arrays(words: str) -> Callable[[Any], None]:
    return lambda file: file.attrs.__setitem__("arrays", np.bytes_(words))


GOOD = to_words(knowing("count", "mask"))
FAULTS: dict[str, tuple[Callable[[Any], None], str, str]] = {
    "no arrays named": (lambda file: file.attrs.__delitem__("arrays"), "arrays", "nothing"),
    "no image named": (_arrays("train/image val/image test/count"), "arrays", "test/count"),
    "one twice": (_arrays(GOOD + " test/mask"), "arrays", "test/mask test/mask"),
    "another order": (_arrays(" ".join(sorted(GOOD.split()))), "arrays", "test/count"),
    "another array": (_arrays(GOOD + " test/../x"), "arrays", "test/../x"),
    "one too many": (_arrays(to_words(knowing("count", "box", "mask"))), "train/box", "nothing"),
    "version 1": (lambda file: file.attrs.modify("format_version", 1), "train/label", "nothing"),
    "version 0": (lambda file: file.attrs.modify("format_version", 0), "format_version = 1", "0"),
    "mask of objects": (_put("val/mask", np.full((12, 24, 24), 9, "u1")), "masks of val", "9"),
    "count of objects": (_put("val/count", np.full(12, 9, "u1")), "counts of val", "9"),
    "shape of masks": (_put("val/mask", np.zeros((12, 24, 23), "u1")), "val/mask", "(12, 24, 23)"),
    "type of masks": (_put("val/mask", np.zeros((12, 24, 24), "i4")), "val/mask", "int32"),
    "mask elsewhere": (_put("val/mask", h5py.SoftLink("/val/image")), "val/mask", "a link"),
}  # fmt: skip


@pytest.fixture(name="partly", scope="module")
def _partly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("partly") / "data.h5", knowing("count", "mask"))


@pytest.mark.parametrize("fault", FAULTS)
def test_faults(partly: Path, tmp_path: Path, fault: str) -> None:
    edit, expected, got = FAULTS[fault]
    path = Path(shutil.copy(partly, tmp_path / "data.h5"))
    with h5py.File(path, "r+") as file:
        edit(file)
    with pytest.raises(DataFileError) as error:
        read_split(path, "val")
    before, _, after = str(error.value).partition("\n  got")
    assert expected in before
    assert got in after


def test_words_name_arrays_and_nothing_else() -> None:
    assert all(from_words(to_words(knowing(*each))) == knowing(*each) for each in SUBSETS)
    assert from_words("") is None


def test_what_was_found_of_pictures_is_recorded_with_digits_as_default() -> None:
    found = read_info(data_file()).config.pictures
    assert (found.background, found.polarity, found.compositing) == ("none", "bright", "add")
    with pytest.raises(airkit.AirkitError, match="not below"):
        settings.resolve(settings.Layer("test", {"pictures": {"low": 2.0, "high": 2.0}}))


def test_canvases_know_what_they_hold() -> None:
    assert [*Canvases(np.zeros((1, 8, 8), np.uint8)).known] == ["image"]


def test_pictures_are_not_made_of_digits(tmp_path: Path) -> None:
    with pytest.raises(airkit.AirkitError, match="airkit import"):
        airkit.make_data(tmp_path / "data.h5", settings={"data.source": "pictures"})
    assert [*tmp_path.iterdir()] == []


def test_training_takes_what_was_found_from_the_file(tmp_path: Path) -> None:
    found = settings.resolve(settings.Layer("test", {"pictures": {"polarity": "dark"}}))
    path = write(tmp_path / "data.h5", knowing(), pictures=found.pictures)
    assert configure(path, [], Recorder())[1].pictures.polarity == "dark"
    for key, value in (("polarity", "both"), ("high", 9.0)):
        given = settings.layers({f"pictures.{key}": value})
        with pytest.raises(DataFileError, match=f"pictures.{key} = {value}"):
            configure(path, given, Recorder())
