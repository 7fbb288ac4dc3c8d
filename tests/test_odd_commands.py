"""Commands that are typed a little wrong, and what is told then; what is told to be typed next."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import run
from tiny_runs import Recorder, data_file, reference

import airkit
from airkit.errors import AirkitError, OutputError, PredictionsError
from airkit.sweeps.engines import Processes, Submitit


def test_a_word_too_long_for_a_path_is_one_too_many() -> None:
    found = run("train", "a" * 300)
    assert found.exit_code
    assert "unexpected extra argument" in found.stderr


def test_settings_of_several_sections_can_be_typed_as_told() -> None:
    told = run("config", "show", "--set", "seed=5").stderr
    for section in ("data", "train", "eval"):
        assert f"--set {section}.seed=5" in told


@pytest.mark.usefixtures("mine")
def test_next_commands_name_the_classes_that_count(home: Path) -> None:
    measures = 'eval.measures=["counts", "mine:Seen"]'
    over = ("--set", "guide.kind=mine:Guide", "--set", "guide.kind=saliency")
    named = ("--set", measures, *over, "--steps", 1)
    told = run("train", "--data", data_file(), *named).stdout
    assert f"airkit eval --set '{measures}'\n" in told
    assert "mine:Guide" not in told


def test_pictures_of_any_format_are_listed(home: Path) -> None:
    shutil.copytree(reference(), "runs/air")
    run("render", "--format", "svg")
    assert "reconstructions.svg" in run("info", "runs/air").stdout


def test_settings_of_the_training_have_no_effect_on_a_run() -> None:
    listener, given = Recorder(), {"data.seed": 3, "pictures.contrast": 0.2}
    airkit.evaluate(reference(), settings=given, listener=listener)
    for key in given:
        assert any(note.startswith(f"{key} = ") and "no effect" in note for note in listener.notes)


@pytest.mark.parametrize("engine", [Processes, Submitit])
def test_a_sweep_without_workers_is_refused(tmp_path: Path, engine: type) -> None:
    with pytest.raises(AirkitError, match="needs workers"):
        airkit.sweep(data_file(), tmp_path, seeds=1, engine=engine(workers=-1))
    assert not [*tmp_path.iterdir()]


def test_predictions_replace_no_file_of_the_run(home: Path) -> None:
    shutil.copytree(reference(), "runs/air")
    before = Path("runs/air/metrics.jsonl").read_bytes()
    for name in ("metrics.jsonl", "best.json", "config.json"):
        with pytest.raises(OutputError, match="would replace"):
            airkit.write_predictions(f"runs/air/{name}", "runs/air", data=data_file())
    assert Path("runs/air/metrics.jsonl").read_bytes() == before


def test_a_comparison_needs_the_counts_of_the_run(home: Path) -> None:
    np.save("counts.npy", np.ones(20, int))
    with pytest.raises(AirkitError, match="Counts are needed"):
        airkit.score(
            "counts.npy",
            data_file(),
            against=reference(),
            settings={"eval.measures": ["boxes"]},
        )


@pytest.mark.parametrize("counts", ["[true]", "\ufeff[1]"])
def test_lists_of_counts_are_read_as_tables_are(counts: str, home: Path) -> None:
    text = counts.replace("]", ", 1" * 19 + "]")
    Path("c.json").write_text(text, encoding="utf-8")
    if "true" in counts:
        with pytest.raises(PredictionsError, match="count is not valid"):
            airkit.score("c.json", data_file())
    else:
        assert airkit.score("c.json", data_file()).canvases == 20
