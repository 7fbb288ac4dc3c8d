"""The paper's figures in one call: each step once, the same results after a stop."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import tiny_runs
import torch
from command_line import fails, run
from torch import Tensor

import airkit
from airkit.config.settings import layers, resolve
from airkit.data import sources
from airkit.data.canvases import SPLITS
from airkit.data.dataset import CanvasDataset
from airkit.errors import AirkitError, CheckpointError
from airkit.reproduce import codes, paper
from airkit.reproduce.paper import Reproduced, Work, reproduced
from airkit.reproduce.plan import FULL, QUICK, Budget
from airkit.runs.folder import RunFolder
from airkit.system.callbacks import SILENT, Listener

TINY = Budget(
    seeds=1,
    labels=(8,),
    steps=2,
    settings={**tiny_runs.DATA, **tiny_runs.TRAIN, "train.steps": 4, "train.val_early": 1},
    published={"guide.kind": "lstm", "guide.rnn_size": 12, "train.estimator": "nvil"},
)


def again(folder: Path, listener: Listener = SILENT, **given: Any) -> Reproduced:
    settings = layers({key.replace("__", "."): value for key, value in given.items()})
    settings += layers({"render.dpi": 72})
    return reproduced(Work(TINY, folder, settings, listener))


@pytest.fixture(scope="module", autouse=True)
def digits() -> Iterator[None]:
    """Strokes, drawn once."""
    load, strokes = sources.load, sources.load("strokes")
    known = {"strokes": strokes, "auto": strokes}
    with mock.patch.object(sources, "load", lambda name, *hears: known.get(name) or load(name)):
        yield


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Work, "figures", lambda *_: iter(()))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Reproduced:
    return again(tmp_path_factory.mktemp("paper"))


def test_all_figures_and_the_table_are_there(done: Reproduced) -> None:
    names = {path.stem for path in done.figures}
    shown = {"reconstructions-default", "policy-default"}
    assert names == {"counting", "generalisation", "codes"} | shown
    assert all(path.read_bytes().startswith(b"%PDF") for path in done.figures)
    with done.tables[0].open() as file:
        rows = list(csv.DictReader(file))
    experiments = {(row["experiment"], row["model"]) for row in rows}
    counts = {f"count, trained on 0, 1, {most}" for most in (2, 3)}
    read = {f"{task} of two digits, from codes" for task in ("sum", "order")}
    assert experiments >= {(name, "default") for name in counts | read}
    assert ("sum of two digits, from pixels", "convolutional net") in experiments
    assert all(0 <= float(row["low"]) <= float(row["high"]) <= 1 for row in rows)
    assert len(rows) == len(done.results)


@pytest.mark.usefixtures("no_figures")
def test_nothing_is_done_twice(done: Reproduced, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((paper, "train"), (paper, "make_data"), (paper, "evaluate"),
                         (codes, "fit"), (codes, "explain")):  # fmt: skip
        monkeypatch.setattr(module, name, None)
    assert again(done.folder).results == done.results


def test_the_canvases_are_those_of_the_experiments(done: Reproduced) -> None:
    def counts(name: str, split: str) -> set[int]:
        return set(CanvasDataset(done.folder / "data" / name, split).truth("counts").tolist())

    assert counts("0-1-2.h5", "train") == {0, 1, 2}
    assert counts("0-1-3.h5", "train") == {0, 1, 3}
    assert counts("0-to-3.h5", "test") <= {0, 1, 2, 3}
    assert counts("pairs.h5", "train") == {2}


def test_the_published_model_is_the_papers(done: Reproduced) -> None:
    """A person's own settings hold for both, and each is trained with its own seed."""
    own = layers({"train.steps": 7})
    tiny = {key: TINY.settings[key] for key in tiny_runs.DATA}
    work = Work(replace(FULL, settings=tiny), done.folder / "new", own, SILENT)
    one, other = (resolve(*work.settings("0, 1, 3", *it)) for it in ((), ("published", 2)))
    assert (other.guide.kind, other.train.estimator) == ("lstm", "nvil")
    assert (one.guide.kind, one.train.estimator) == ("saliency", "exact")
    assert (one.train.steps, other.train.steps, other.train.seed) == (7, 7, 2)


def test_a_folder_of_other_settings_is_refused(done: Reproduced) -> None:
    with pytest.raises(CheckpointError, match="other settings") as caught:
        again(done.folder, train__steps=5)
    assert "train.steps=4" in str(caught.value)
    assert "train.steps=5" in str(caught.value)
    print_ = layers({"render.format": "svg", "render.titles": True})
    assert Work(TINY, done.folder, print_, SILENT).source == "strokes", "figures are free"


@pytest.mark.usefixtures("no_figures")
def test_a_stopped_training_goes_on(tmp_path: Path, done: Reproduced) -> None:
    with pytest.raises(KeyboardInterrupt):
        again(tmp_path, listener=tiny_runs.Recorder(step2=tiny_runs.interrupt))
    assert not (tmp_path / "results.csv").exists()
    listener = tiny_runs.Recorder()
    results = again(tmp_path, listener=listener).results
    assert any("going on from step 2" in note for note in listener.notes)
    assert results == done.results


def test_counting_is_seen_to_rise(done: Reproduced) -> None:
    """Validated at every early step, and both plans have such a schedule."""
    rows = RunFolder(done.folder / "runs" / "default-0-1-2-seed-0").rows()
    assert [row["step"] for row in rows if "val_elbo" in row] == [1, 2, 3, 4]
    assert all(budget.settings["train.val_early"] <= 50 for budget in (QUICK, FULL))


def test_on_the_command_line(done: Reproduced, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paper, "QUICK", TINY)
    given = ("--source", "strokes", "--steps", 4, "--set", "render.dpi=72")
    words = ("reproduce", "paper", done.folder, "--quick", *given)
    with monkeypatch.context() as drawn:
        drawn.setattr(Work, "figures", lambda *_: iter([Path("one.pdf"), Path("two.pdf")]))
        told = run(*words, "--json")
        assert told.exit_code == 0, told.output
        assert "two.pdf" in run(*words).stdout
        quiet = run(*words, "--quiet")
        assert (quiet.exit_code, quiet.stdout, quiet.stderr) == (0, "", "")
    found = json.loads(told.stdout)
    assert [Path(path).suffix for path in found["tables"]] == [".csv", ".md", ".tex"]
    assert found["results"][0]["interval"][0] <= found["results"][0]["share"]
    assert "other settings" in fails(*words, "--steps", 3)


def test_what_cannot_be_made_leaves_the_folder_free(tmp_path: Path) -> None:
    words = ("reproduce", "paper", tmp_path / "it", "--quick", "--source")
    assert "No such source" in fails(*words, "nowhere")
    assert "about digits" in fails(*words, "sprites")
    assert "digit_size" in fails(*words, "strokes", "--set", "data.digit_size=49")
    assert not (tmp_path / "it" / "steps").exists()


def test_settings_without_effect_are_told(tmp_path: Path) -> None:
    own = layers({"data.max_digits": 5, "data.count_weights": [1, 0, 0, 0, 0, 1], "train.seed": 9})
    listener = tiny_runs.Recorder()
    work = Work(TINY, tmp_path, own, listener)
    assert "data.count_weights, data.max_digits, train.seed: no effect" in listener.notes[-1]
    counts = CanvasDataset(work.data("0, 1, 2"), "train").truth("counts")
    assert set(counts.tolist()) == {0, 1, 2}
    assert resolve(*work.settings("0, 1, 2", "default", 3)).train.seed == 3


def test_a_damaged_result_is_told(tmp_path: Path) -> None:
    (broken := tmp_path / "steps" / "canvases.json").parent.mkdir()
    for content in (b"{", b"\xff", b""):
        broken.write_bytes(content)
        with pytest.raises(CheckpointError, match="damaged"):
            again(tmp_path)


# Tasks and classifiers

TRUTH = {
    "labels": torch.tensor([[3, 8], [3, 8], [8, 3], [5, 5], [0, 1]]),
    "boxes": torch.tensor(
        [
            [[1, 0, 4, 9], [10, 0, 4, 9]],
            [[10, 0, 4, 9], [1, 0, 4, 9]],
            [[2, 0, 9, 9], [3, 30, 2, 9]],  # the wider one begins first and is centred later
            [[1, 0, 4, 9], [10, 0, 4, 9]],
            [[4, 0, 4, 9], [5, 30, 2, 9]],  # one above the other
        ],
        dtype=torch.float32,
    ),
}
PAIRS: Any = SimpleNamespace(truth=TRUTH.__getitem__)


def test_order_goes_by_centres_and_leaves_ties_out() -> None:
    assert codes.order(PAIRS).tolist() == [1, 0, 1, -1, -1]
    assert codes.sums(PAIRS).tolist() == [11, 11, 11, 10, 1]


def test_slots_keep_their_order_and_are_blank_beyond_the_count(done: Reproduced) -> None:
    run, data = done.folder / "runs/default-0-1-2-seed-0", done.folder / "data/pairs.h5"
    found = codes.codes(run, data, SILENT)["test"].reshape(-1, 3, 1 + 3 + 4)
    there = found[:, :, 0]
    assert set(there.flatten().tolist()) <= {0, 1}
    assert torch.equal(there, there.sort(1, descending=True).values)
    assert not found[there == 0].any()
    assert found[there == 1][:, 1:].any()


def clusters(count: int) -> codes.Examples:
    """Two classes that a line tells apart."""
    classes = torch.arange(count) % 2
    noise = torch.randn(count, 3, generator=torch.Generator().manual_seed(0))
    return codes.Examples(0.1 * noise + classes[:, None], classes)


def test_fit_leaves_the_best_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever comes after the best look is undone."""
    shares: Iterator[int] = iter([5, 9, 7])
    seen: list[Tensor] = []

    def right(net: Any, _: object) -> Tensor:
        seen.append(net.state_dict()["8.bias"].clone())
        return torch.arange(10) < next(shares)

    monkeypatch.setattr(codes, "EVERY", 1)
    monkeypatch.setattr(codes, "_right", right)
    net = codes.perceptron(3, 2)
    codes.fit(net, clusters(64), clusters(64), steps=3)
    assert torch.equal(net.state_dict()["8.bias"], seen[1])
    assert not torch.equal(seen[1], seen[2])


def test_a_classifier_learns_and_leaves_random_numbers_alone(
    done: Reproduced, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = clusters(60)
    inputs = dict.fromkeys(SPLITS, examples.inputs)
    monkeypatch.setitem(codes.TASKS, "mine", (2, lambda data: examples.classes))
    before, data = torch.get_rng_state(), done.folder / "data/pairs.h5"
    found = codes.classified(inputs, data, "mine", labels=50, seed=0, steps=60)
    assert (found["share"], found["labels"], found["commonest"]) == (1, 50, 0.5)
    assert torch.equal(torch.get_rng_state(), before)


def test_no_training_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AirkitError, match="seeds"):
        airkit.reproduce_paper(tmp_path / "out", seeds=-1)
    assert not (tmp_path / "out").exists()
