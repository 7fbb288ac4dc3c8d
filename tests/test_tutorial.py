"""The tutorial's commands, and those of how-to pages, run as they stand on smaller data."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import test_docs
import tiny_runs
from command_line import run
from PIL import Image

from airkit.data import sources

SMALLER = {
    "make-data": ["--set", "data.test=12", "--set", "data.val=8"],
    "train": ["--set", "train.steps=4", "--set", "train.val_every=4", "--set", "eval.candidates=1"],
}
"""What is laid over a command's own options: less of everything, and nothing else."""
NO_TRIAL = {"demo", "reproduce", "sweep"}
"""Commands with no end, and with many trainings; their own tests have them."""
SPLITS = {"train": 40, "test": 6}


def replay(page: str) -> None:
    """Run the airkit commands of a page one after the other; each must succeed."""
    for words in test_docs.commands(test_docs.DOCS / page):
        if words[0] not in NO_TRIAL:
            done = run(*words, *smaller(words))
            assert done.exit_code == 0, (words, done.output)


def smaller(words: list[str]) -> list[str]:
    fewer = ["--set", "data.train=40"] if "--train" not in words else []
    return [*SMALLER.get(words[0], []), *(fewer if words[0] == "make-data" else [])]


@pytest.fixture(name="finished", scope="module")
def _finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which the tutorial was followed."""
    folder = tmp_path_factory.mktemp("tutorial")
    (folder / "docs").symlink_to(test_docs.DOCS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sources, "load", mock.Mock(return_value=sources.load("strokes")))
        replay("tutorial.md")
        yield folder


def test_the_tutorial_leaves_what_it_names(finished: Path) -> None:
    for name in (
        "multi-mnist.h5",
        "runs/air/figures/data.png",
        "runs/air/figures/reconstructions.png",
        "runs/air/figures/steps.png",
        "runs/air/report.html",
        "runs/narrow/figures/reconstructions.png",
        "seen/drawing.png",
    ):
        assert (finished / name).stat().st_size > 0, name


@pytest.mark.slow
@pytest.mark.parametrize("page", ["larger-scenes", "miscounts", "paper"])
def test_how_to_commands_work_after_the_tutorial(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    home = shutil.copytree(finished, tmp_path / "home", symlinks=True)
    monkeypatch.chdir(home)
    replay(f"how-to/{page}.md")


def test_a_run_made_again_has_the_same_weights(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shutil.copytree(finished, tmp_path / "home", symlinks=True))
    replay("how-to/reproduce.md")
    made, again = (tiny_runs.state(Path("runs", name), 4) for name in ("air", "again"))
    assert made.step == 4
    assert tiny_runs.same(made.model, again.model)
    assert made.data != again.data
    assert made.data_digest == again.data_digest


def test_own_pictures_become_digits(home: Path) -> None:
    for split, many in SPLITS.items():
        for index in range(many):
            folder = Path("pictures", split, str(index % 3))
            folder.mkdir(parents=True, exist_ok=True)
            grey = np.zeros((28, 28), np.uint8)
            grey[6 : 12 + index % 10, 8:14] = 200 + index
            Image.fromarray(grey).save(folder / f"{index}.png")
    test_docs.run_snippets("how-to/own-digits.md")
    (words,) = [
        words
        for words in test_docs.commands(test_docs.DOCS / "how-to/own-digits.md")
        if "./mine" in words
    ]
    done = run(*words, *smaller(words))
    assert done.exit_code == 0, done.output
    assert "40 train, 8 val, 12 test" in done.stdout
