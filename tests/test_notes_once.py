"""Settings of a call that a trained model cannot take up are noted, once, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import run
from tiny_runs import Recorder, reference

import airkit


def notes(told: Recorder) -> list[str]:
    return [note for note in told.notes if "no effect" in note]


@pytest.mark.parametrize("kind", ["prior", "reconstructions"])
def test_the_prior_has_an_effect_on_its_samples_alone(tmp_path: Path, kind: str) -> None:
    told = Recorder()
    out, given = tmp_path / "a.png", {"prior.ratio": 0.6}
    airkit.render(reference(), kind=kind, out=out, settings=given, listener=told)
    assert len(notes(told)) == (kind != "prior")


def test_a_report_notes_a_setting_once(tmp_path: Path) -> None:
    told, given = Recorder(), {"guide.glimpse_size": 24, "prior.ratio": 0.6}
    airkit.report(reference(), out=tmp_path / "r.html", settings=given, listener=told)
    assert [note.split()[0] for note in notes(told)] == ["guide.glimpse_size"]


def test_python_warns_of_the_line_that_called_it_where_nobody_listens() -> None:
    given = {"model.pixel_sd": 0.01}
    with pytest.warns(UserWarning, match=r"model\.pixel_sd = 0\.01: no effect") as caught:
        airkit.evaluate(reference(), settings=given)
    assert [each.filename for each in caught] == [__file__]


def test_the_command_notes_and_does_not_warn() -> None:
    told = run("eval", "--run", reference(), "--set", "model.pixel_sd=0.01")
    assert told.exit_code == 0, told.output
    assert told.stderr.count("no effect") == 1


@pytest.mark.parametrize("setting", ["train.steps=999", "data.max_digits=3", "guide.blur=0.3"])
def test_what_a_trained_run_cannot_take_up_is_noted(setting: str) -> None:
    told = run("eval", "--run", str(reference()), "--looks", "1", "--set", setting)
    assert f"{setting.replace('=', ' = ')}: no effect" in told.stderr
    told = run("eval", "--run", str(reference()), "--looks", "1", "--set", "train.device=cpu")
    assert "no effect" not in told.stderr
