"""Presets on data files whose canvases are not the preset's."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_runs import Recorder, data_file

from airkit.config import settings
from airkit.errors import DataFileError
from airkit.runs.folder import RunFolder
from airkit.training.resume import Start, configure, prepare
from airkit.training.train import train

SETTLED = ("data.", "pictures.", "scenes.", "train.precision", "train.backward", "train.batch_size")
"""Settings that the data file has, or whose auto a run replaces by what it chose."""


def started(preset: str, data: Path, listener: Recorder, **keys: int) -> Start:
    given = [settings.from_preset(preset), *settings.layers({f"data.{k}": keys[k] for k in keys})]
    return prepare(data, RunFolder(Path("nowhere")), given, fresh=False, listener=listener)


@pytest.mark.parametrize("preset", settings.presets())
@pytest.mark.parametrize("other", [{}, {"max_digits": 4}])
def test_every_preset_fits_any_data(preset: str, other: dict[str, int]) -> None:
    """The canvases are the file's, the rest is the preset's, and no slot is lacking."""
    data, listener = data_file(**other), Recorder()
    config = started(preset, data, listener).config
    assert config.data.canvas_size == 24
    assert config.slots == other.get("max_digits", 2) + 1
    (note,) = [note for note in listener.notes if note.startswith(f"preset {preset}: ")]
    assert "data.canvas_size" in note
    plain = settings.resolve(settings.from_preset(preset))
    changed = settings.differences(plain, config)
    assert not [key for key in changed if not key.startswith(SETTLED)]


def test_a_preset_of_the_same_canvases_is_not_noted() -> None:
    listener = Recorder()
    made = settings.resolve(*settings.layers({"data.train": 9}))
    layer = settings.Layer("preset own", {"data": {"max_digits": made.data.max_digits}})
    data = data_file()
    configure(data, [layer], listener)
    assert listener.notes == []


def test_what_a_person_says_of_the_canvases_still_counts() -> None:
    with pytest.raises(DataFileError, match="contradict"):
        started("lstm", data_file(), Recorder(), max_digits=5)


def test_a_run_with_a_preset_goes_on_with_the_same_command(tmp_path: Path) -> None:
    preset = settings.from_preset("tiny")
    for steps in (1, 2):
        own = settings.layers({"train.steps": steps, "train.batch_size": 4})
        report = train(data_file(), tmp_path, settings=[preset, *own])
    assert (report.resumed_from, report.steps) == (1, 2)
