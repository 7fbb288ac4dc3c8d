"""The table of hostile files: what is damaged, how, and which commands read it.

An input is a folder, a copy of a whole one, in which one file is damaged.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import tomli_w
import torch
from idx_files import mnist_like, write_folder
from PIL import Image
from some_truth import knowing, write
from sweeps import InTurn
from tiny_runs import TRAIN, data_file

import airkit
from airkit import errors, settings
from airkit.data.reader import read_info
from airkit.runs.folder import RunFolder
from airkit.runs.sweep_folder import Plan
from airkit.runs.sweep_report import SweepReport
from airkit.runs.weights import build
from airkit.system.callbacks import SILENT
from hostile import attacks, formats
from hostile.attacks import Attacks
from hostile.damage import spoil
from hostile.formats import Damage


class Kind(NamedTuple):
    """One kind of file."""

    files: str
    """Pattern of the files in a folder, one of which is damaged."""
    plant: Callable[[Path], object]
    """Makes whole inputs: folders within a new folder."""
    read: Callable[[Path], object]
    """Reads a folder as the commands do, and asserts that what was read is sound."""
    errors: tuple[type[airkit.AirkitError], ...]
    """What the reading may raise; the message names a path within the folder."""
    damages: tuple[Damage, ...]
    """Ways to damage a file at random."""
    attacks: Attacks
    """Particular malicious files."""


# Data files


def plant_data(folder: Path) -> None:
    """One file of each compression, and one of an old layout of HDF5, without checksums."""
    for name in ("gzip", "lzf", "none"):
        data = data_file(compression=name, train=5, val=3, test=0)
        _copy(data, folder / name / "data.h5")
    _copy(data_file(train=5, val=3, test=4), folder / "best" / "data.h5")
    small = data_file(train=5, val=3, test=4)
    write(folder / "some" / "data.h5", {**knowing(), "val": ("image", "count", "mask")}, small)
    old = folder / "old" / "data.h5"
    old.parent.mkdir()
    with h5py.File(data) as file, h5py.File(old, "w", libver="earliest") as copy:
        copy.attrs.update(file.attrs)
        for split in file:
            file.copy(split, copy)


def read_data(folder: Path) -> None:
    """As ``info --verify``, ``train``, ``eval`` and ``render`` read it."""
    path = folder / "data.h5"
    most = read_info(path).config.data.max_digits
    for split in ("train", "val"):
        canvases = airkit.CanvasDataset(path, split)
        arrays = (canvases.images, canvases.masks, *vars(canvases).values())
        rows = {len(each) for each in arrays if isinstance(each, torch.Tensor)}
        assert rows == {len(canvases)}
        assert canvases.boxes is None or canvases.boxes.isfinite().all()
        for each in (canvases.counts, canvases.masks):
            assert each is None or not each.numel() or int(each.max()) <= most
    found = airkit.describe(path, verify=True)
    assert found.facts["verified"]
    assert found.facts["content_digest"] == _digest(path)


def _digest(path: Path) -> str:
    """The content digest as the documentation describes it."""
    lines = []
    with h5py.File(path) as file:
        five = ("image", "count", "label", "box", "source_index")
        paths = [f"{split}/{name}" for split in ("train", "val", "test") for name in five]
        if file.attrs["format_version"] > 1:
            paths = file.attrs["arrays"].decode().split()
        for place in paths:
            array = file[place][:]
            content = hashlib.sha256(array.tobytes()).hexdigest()
            lines.append(f"{place} {array.dtype.str} {array.shape} {content}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()


# Runs and sweeps

SMALL: Mapping[str, Any] = {
    **TRAIN, "train.steps": 2, "train.log_every": 1, "guide.glimpse_size": 4, "guide.rnn_size": 4,
    "eval.likelihood_samples": 1,
}  # fmt: skip
RUNS: Mapping[str, Mapping[str, Any]] = {
    "saliency": {},
    "lstm": {"guide.kind": "lstm"},
    "nvil": {"train.estimator": "nvil", "train.baseline_net": [4]},
}


def plant_runs(folder: Path) -> None:
    """Runs with one checkpoint, each beside its data, of each guide and estimator."""
    for name, given in RUNS.items():
        data = _copy(data_file(train=5, val=3, test=4), folder / name / "data.h5")
        run = folder / name / "run"
        airkit.train(data, run, settings={**SMALL, **given})
        for path in RunFolder(run).saved()[:-1]:
            path.unlink()


def read_checkpoint(folder: Path) -> None:
    """As ``info``, ``eval`` and a ``train`` that goes on, for one step, read it."""
    run = folder / "run"
    _, state = RunFolder(run).find("last", SILENT)
    airkit.describe(run)
    assert all(each.isfinite().all() for each in build(state, torch.device("cpu")).parameters())
    if state.config.batch_size <= 8 and state.config.slots <= 3:
        given = {"train.steps": state.step + 1, "train.device": "cpu"}
        report = airkit.train(folder / "data.h5", run, settings=given)
        assert report.resumed_from == state.step


def read_metrics(folder: Path) -> None:
    """As ``info``, ``render --kind curves`` and ``report`` read the rows of metrics."""
    rows = RunFolder(folder / "run").rows()
    assert all(isinstance(float(value), float) for row in rows for value in row.values())
    assert airkit.describe(folder / "run").facts["metrics"] == len(rows)


def plant_sweep(folder: Path) -> None:
    """A sweep of one seed."""
    data = _copy(data_file(train=5, val=3, test=4), folder / "one" / "data.h5")
    airkit.sweep(data, folder / "one" / "sweep", seeds=1, settings=SMALL, engine=InTurn())


def read_sweep(folder: Path) -> None:
    """As ``info``, ``report`` and a ``sweep`` that goes on read it."""
    sweep = folder / "sweep"
    airkit.describe(sweep)
    Plan.read(sweep).trial(0).result()
    found = SweepReport.read(sweep).to_dict()
    assert 0 <= found["successes"] <= found["attempted"]
    assert found["median"] is None or 0 <= found["worst"] <= found["median"] <= 1


# Configurations


def plant_configs(folder: Path) -> None:
    """All settings, and the presets."""
    texts = {name: tomli_w.dumps(settings.from_preset(name).values) for name in settings.presets()}
    for name, text in {"all": settings.to_toml(airkit.Config()), **texts}.items():
        (folder / name).mkdir()
        (folder / name / "config.toml").write_text(text)


def read_config(folder: Path) -> None:
    """As ``--config`` reads it."""
    config = settings.resolve(settings.from_file(folder / "config.toml"))
    again = settings.from_json(settings.to_json(config), "itself")
    assert again == config == airkit.Config.model_validate(config.model_dump())


# Digits and images


def plant_digits(folder: Path) -> None:
    """A folder in MNIST's layout."""
    write_folder(folder / "five" / "digits", mnist_like(train=6, test=3, side=5), zipped=False)


def read_digits(folder: Path) -> None:
    """As ``make-data --source`` reads it; the canvases are whole."""
    given = {
        "train": 2,
        "val": 1,
        "test": 1,
        "canvas_size": 16,
        "digit_size": 6.0,
        "max_digits": 1,
        "digit_size_sd": 0.5,
        "source": str(folder / "digits"),
    }
    airkit.make_data(folder / "data.h5", settings={f"data.{key}": given[key] for key in given})
    assert airkit.describe(folder / "data.h5", verify=True).facts["verified"]


def plant_images(folder: Path) -> None:
    """Images of several modes, each beside a trained run."""
    pixels = np.arange(144, dtype=np.uint8).reshape(12, 12)
    grey = Image.fromarray(pixels)
    arrays: dict[str, Any] = {
        "bytes": np.stack([pixels, pixels]),
        "floats": pixels / 255,
        "bits": pixels > 70,
    }
    for name in (*arrays, "1", "L", "LA", "P", "RGB", "RGBA"):
        run = folder.with_name("checkpoint") / "saliency" / "run"
        _copy(RunFolder(run).file(2), folder / name / "run/checkpoints/step-000000002.pt")
        if name in arrays:
            np.save(folder / name / "image.npy", arrays[name])
        else:
            grey.convert(name).save(folder / name / "image.png")


def read_images(folder: Path) -> None:
    """As ``infer`` reads them."""
    images = [*folder.glob("image.*")]
    for found in airkit.infer(images, folder / "run", settings={"eval.looks": 1}):
        assert 8 <= min(found.width, found.height) <= max(found.width, found.height) <= 1024
        assert 0 <= found.count < len(found.count_probability)
        assert math.isfinite(found.score)


def _copy(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())
    return target


# The table

KINDS: Mapping[str, Kind] = {
    "data": Kind(
        "data.h5", plant_data, read_data, (errors.DataFileError,),
        (spoil, formats.hdf5_headers, formats.hdf5_structure, formats.hdf5_structure), {},
    ),
    "checkpoint": Kind(
        "run/checkpoints/step-*.pt", plant_runs, read_checkpoint,
        (errors.CheckpointError, errors.DataFileError, errors.TrainingError),
        (spoil, formats.zip_directory, formats.zip_parts, *[formats.pickle_program] * 2,
         *[formats.checkpoint_values] * 4),
        attacks.CHECKPOINT,
    ),
    "config": Kind(
        "config.toml", plant_configs, read_config, (errors.ConfigError,),
        (spoil, formats.toml_values, formats.toml_values, formats.toml_lines), attacks.CONFIG,
    ),
    "digits": Kind(
        "digits/*", plant_digits, read_digits, (errors.DigitsError, errors.CanvasError),
        (spoil, formats.idx_header, formats.idx_values, formats.gzipped), attacks.DIGITS,
    ),
    "image": Kind(
        "image.*", plant_images, read_images, (errors.ImageError,),
        (spoil, formats.image_parts), attacks.IMAGE,
    ),
    "metrics": Kind(
        "run/metrics.jsonl", plant_runs, read_metrics, (), (spoil, formats.json_text), {},
    ),
    "sweep": Kind(
        "sweep/**/*.json", plant_sweep, read_sweep, (errors.CheckpointError,),
        (spoil, formats.json_text, formats.json_text), {},
    ),
}  # fmt: skip


def plant(folder: Path) -> None:
    """Make the whole inputs of every kind."""
    for name, kind in KINDS.items():
        (folder / name).mkdir(parents=True)
        kind.plant(folder / name)
