"""Settings of a call that a trained model cannot take up are noted, once, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest
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
