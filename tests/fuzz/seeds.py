"""The whole files that hostile ones are made from, small so that thousands are read in a minute."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import h5py
import tomli_w
from idx_files import mnist_like, write_folder
from tiny_runs import TRAIN, data_file

from airkit.config import settings
from airkit.config.schema import Config
from airkit.runs.folder import RunFolder
from airkit.training.loop import train

SMALL: dict[str, Any] = {**TRAIN, "train.steps": 2, "guide.glimpse_size": 4, "guide.rnn_size": 4}
RUNS: dict[str, dict[str, Any]] = {
    "saliency": {},
    "lstm": {"guide.kind": "lstm"},
    "nvil": {"train.estimator": "nvil", "train.baseline_net": [4]},
}


def plant(folder: Path) -> Path:
    """Write all seeds into ``folder``, which is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    for compression in ("gzip", "lzf", "none"):
        data = data_file(compression=compression, train=5, val=3, test=0)
        (folder / f"{compression}.h5").write_bytes(data.read_bytes())
    _old_layout(folder / "gzip.h5", folder / "old.h5")
    data = data_file(train=5, val=3, test=4)
    (folder / "data.h5").write_bytes(data.read_bytes())
    for name, keys in RUNS.items():
        train(folder / "data.h5", folder / name, settings={**SMALL, **keys})
        newest = RunFolder(folder / name).saved()[-1]
        (folder / f"{name}.pt").write_bytes(newest.read_bytes())
    (folder / "all.toml").write_text(settings.to_toml(Config()))
    for name in settings.presets():
        values = settings.from_preset(name).values
        (folder / f"{name}.toml").write_text(tomli_w.dumps(values))
    write_folder(folder / "digits", mnist_like(train=6, test=3, side=5), zipped=False)
    bomb = bytes([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 127, 255, 0, 0, 127, 255]) + bytes(10**7)
    (folder / "bomb.gz").write_bytes(gzip.compress(bomb, 6))
    return folder


def _old_layout(source: Path, target: Path) -> None:
    """The same content in the layout of 1998, which has no checksums."""
    with h5py.File(source) as file, h5py.File(target, "w", libver="earliest") as copy:
        for name, value in file.attrs.items():
            copy.attrs[name] = value
        for split in file:
            file.copy(split, copy)
