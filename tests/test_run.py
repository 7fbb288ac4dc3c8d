"""The run folder: what it keeps, which checkpoint it finds, and what it never touches."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from tiny_runs import STEPS, Recorder, data_file, metrics, reference, same, state, trained, tree

from airkit.config import settings
from airkit.errors import CheckpointError, OutputError
from airkit.runs import checkpoint
from airkit.runs.checkpoint import Best, Checkpoint
from airkit.runs.folder import RunFolder
from airkit.runs.weights import build


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(trained(tmp_path / "run"))


def at(step: int, keep: int = 3, best: int | None = None) -> Checkpoint:
    """A checkpoint of another step."""
    found = state(reference())
    return replace(
        found,
        step=step,
        config=found.config.updated("train", keep=keep),
        best=None if best is None else Best(best, 1.5, 0.5),
    )


def steps(run: RunFolder) -> list[int]:
    return [int(path.stem.removeprefix("step-")) for path in run.saved()]


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def renew(path: Path) -> None:
    """Make it a file that a newer airkit wrote."""
    torch.save({**torch.load(path, weights_only=True), "format_version": 99}, path)


def test_what_is_in_it(run: RunFolder) -> None:
    assert tree(run.path) == [
        "best.json",
        "checkpoints/step-000000016.pt",
        "checkpoints/step-000000020.pt",
        "checkpoints/step-000000023.pt",
        "config.toml",
        "metrics.jsonl",
    ]
    assert settings.resolve(settings.from_file(run.path / "config.toml")) == state(run.path).config
    best = state(run.path).best
    assert best is not None
    assert json.loads((run.path / "best.json").read_text()) == {
        **vars(best),
        "checkpoint": f"step-{best.step:09d}.pt",
    }


def test_the_newest_and_the_best_are_kept(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for step in range(0, 80, 10):
        run.save(at(step, keep=2, best=20 if step >= 20 else None))
    assert steps(run) == [20, 60, 70]
    run.save(at(80, keep=1, best=20))
    assert steps(run) == [20, 80]
    run.save(at(90, keep=1, best=90))
    assert steps(run) == [90]
    run.save(at(100, keep=5))
    assert steps(run) == [90, 100]
    assert not (tmp_path / "best.json").exists(), "it told of a validation that is undone"


def test_steps_sort_as_numbers(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for step in (999_999_999, 1_000_000_000):
        run.save(at(step))
    assert steps(run) == [999_999_999, 1_000_000_000]


@pytest.mark.parametrize("name", ["step-best.pt", "step-000000099-copy.pt", "step-99.pt", "a.pt"])
def test_files_of_other_names_are_not_its_own(run: RunFolder, name: str) -> None:
    mine = run.path / "checkpoints" / name
    shutil.copy(run.file(16), mine)
    newest = run.latest(Recorder())
    assert newest is not None
    assert newest.step == STEPS
    run.save(at(30, keep=1))
    run.start(at(0))
    assert mine.exists()


@pytest.mark.parametrize("spoil", [halve, renew, lambda path: path.write_bytes(b"")])
def test_a_newest_one_that_cannot_be_read_is_passed_over(
    run: RunFolder, spoil: Callable[[Path], object]
) -> None:
    """Nothing is lost, not even where none can be read."""
    listener, files = Recorder(), tree(run.path)
    for broken, step in ((STEPS, 20), (20, 16)):
        spoil(run.file(broken))
        found = run.latest(listener)
        assert found is not None
        assert found.step == step
        assert listener.notes[-1].endswith(f": {run.file(broken)}; going back to step {step}")
    spoil(run.file(16))
    with pytest.raises(CheckpointError, match=f"step-{STEPS:09d}"):
        run.latest(listener)
    assert tree(run.path) == files


def test_one_passed_over_does_not_cost_a_new_one(run: RunFolder) -> None:
    """With ``keep`` 1, the damaged later file is not the one that counts."""
    halve(run.file(STEPS))
    run.save(at(21, keep=1, best=20))
    assert steps(run) == [20, 21, STEPS]
    run.save(at(STEPS, keep=1, best=20))
    assert steps(run) == [20, STEPS]
    assert same(state(run.path).model, state(reference()).model)


def test_best_and_last(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for step, best in ((10, 10), (20, 10), (30, 10)):
        run.save(at(step, best=best))
    for name, step in (("best", 10), ("last", 30), (str(run.file(20)), 20)):
        path, found = run.find(name, Recorder())
        assert (path, found.step) == (run.file(step), step)
    run.save(at(40))
    assert run.find("best", Recorder())[1].step == 40, "without validation it is the last"
    with pytest.raises(CheckpointError, match="There is no such checkpoint"):
        run.find("bset", Recorder())


@pytest.mark.parametrize(
    ("spoil", "got"),
    [(halve, "This checkpoint cannot be read"), (Path.unlink, "There is no such checkpoint")],
)
def test_a_best_one_that_cannot_be_read(
    tmp_path: Path, spoil: Callable[[Path], None], got: str
) -> None:
    """Another state under the name of the best would be a wrong measurement."""
    run = RunFolder(tmp_path)
    run.save(at(10, best=10))
    run.save(at(20, best=10))
    spoil(run.file(10))
    with pytest.raises(CheckpointError, match="The best checkpoint of the run cannot be") as caught:
        run.find("best", Recorder())
    assert f"  where     {run.file(10)}\n" in str(caught.value)
    assert f"  got       {got}\n" in str(caught.value)
    assert "--checkpoint last takes the newest, of step 20" in caught.value.hint
    assert run.find("last", Recorder())[1].step == 20


def test_what_is_there_instead_of_a_run(tmp_path: Path) -> None:
    for name in ("sweep/seed-003", "runs/my run", "alone"):
        trained(tmp_path / name)
    (tmp_path / "empties/checkpoints").mkdir(parents=True)
    (tmp_path / "empties/checkpoints/step-1.pt").touch()  # no checkpoint of airkit's
    for name in ("sweep/sweep.json", "other/notes.txt", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "empty").mkdir()
    shutil.copy(data_file(), tmp_path / "it.h5")
    shutil.copy(RunFolder(tmp_path / "alone").file(STEPS), tmp_path / "it.pt")
    another = "name another; airkit train makes one"
    train = f"airkit train --run {tmp_path}"
    compared = f"airkit report --run {tmp_path}/sweep compares them"
    cases = {
        "sweep": (
            "the folder of a sweep",
            f"name one of its runs, such as {tmp_path}/sweep/seed-003; {compared}",
        ),
        "runs": ("a folder of runs", f"name one of them, such as '{tmp_path}/runs/my run'"),
        "alone/checkpoints": ("the checkpoints of a run", f"name the run itself: {tmp_path}/alone"),
        "other": ("a folder of other things", another),
        "notes.txt": ("a file", another),
        "link": ("a link to nothing", another),
        "it.h5": ("a data file", "name it with --data, and a run in its place"),
        "it.pt": ("a checkpoint", "name it with --checkpoint, and a run in its place"),
        "empty": (None, f"name another: {tmp_path}/alone; {train}/empty makes this one"),
        "none": (None, f"name another: {tmp_path}/alone; {train}/none makes this one"),
    }
    for name, (got, hint) in cases.items():
        with pytest.raises(CheckpointError) as caught:
            RunFolder(tmp_path / name).find("best", Recorder())
        told = str(caught.value)
        assert told.startswith(f"There is no trained run here\n  where     {tmp_path / name}\n")
        assert ("  got  " in told) == (got is not None)
        assert got is None or f"  got       {got}\n" in told
        assert caught.value.hint == hint


def test_rewinding_drops_later_rows_and_debris(run: RunFolder) -> None:
    partial = run.path / "checkpoints" / "step-000000022.pt.part"
    partial.write_bytes(b"half")
    with run.metrics.open("a") as file:
        file.write('{"step": 24, "lo')
    run.rewind(at(10))
    assert metrics(run.path) == [row for row in metrics(reference()) if row["step"] <= 10]
    assert run.metrics.read_text().endswith("}\n")
    assert not partial.exists()


@pytest.mark.parametrize(
    "rest",
    [
        *("\n", "3\n", "[]\n", '{"loss": 1}\n', '{"step": "x"}\n', "\0\0", "[" * 100_000),
        *(f'{{"step": {step}}}\n' for step in ("true", "-1", "10000000000", "9" * 400)),
    ],
)
def test_rows_end_where_they_make_no_sense(run: RunFolder, rest: str) -> None:
    whole = run.metrics.read_text()
    run.metrics.write_text(whole + rest + whole)
    assert metrics(run.path) == metrics(reference())


@pytest.mark.parametrize(
    "value", ["null", '"1"', "[1]", "true", "1e308", "NaN", "Infinity", "-Infinity", "9" * 400]
)
def test_what_is_no_number_is_left_out_of_a_row_and_kept_in_the_file(
    run: RunFolder, value: str
) -> None:
    whole = run.metrics.read_text()
    run.metrics.write_text(
        f'{{"step": 1, "elbo": {value}, "val_elbo": 3.4028234663852886e38}}\n{whole}'
    )
    first = {"step": 1, "val_elbo": torch.finfo(torch.float32).max}
    assert metrics(run.path) == [first, *metrics(reference())]
    before, read = run.metrics.read_text(), partial(json.loads, parse_constant=str)
    run.rewind(state(run.path))
    assert [*map(read, run.metrics.read_text().splitlines())] == [*map(read, before.splitlines())]


@pytest.mark.parametrize("content", [b"\xff\xfe" * 100, None])
def test_there_are_no_rows(run: RunFolder, content: bytes | None) -> None:
    run.metrics.unlink()
    if content:
        run.metrics.write_bytes(content)
    assert run.rows() == []


def test_starting_removes_what_training_wrote_and_nothing_else(run: RunFolder) -> None:
    mine = ["notes.txt", "figures/steps.png", "checkpoints/mine.pt", "step-000000001.pt"]
    for name in mine:
        (run.path / name).parent.mkdir(exist_ok=True)
        (run.path / name).write_text("mine")
    run.start(at(0))
    assert tree(run.path) == sorted([*mine, "checkpoints/step-000000000.pt", "config.toml"])


def test_starting_where_it_cannot_write_loses_nothing(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, state: Checkpoint) -> None:
        raise OutputError("The disk is full", hint="another one")

    monkeypatch.setattr(checkpoint, "write", full)
    with pytest.raises(OutputError):
        run.start(at(0))
    assert tree(run.path) == tree(reference())
    assert metrics(run.path) == metrics(reference())


@pytest.mark.parametrize("method", ["append", "save", "start", "rewind"])
def test_a_file_in_place_of_the_folder(tmp_path: Path, method: str) -> None:
    (tmp_path / "file").write_text("mine")
    run = RunFolder(tmp_path / "file")
    given = {"append": {"step": 1}, "save": at(1), "start": at(0), "rewind": at(1)}[method]
    with pytest.raises(OutputError, match="A file is in the way"):
        getattr(run, method)(given)
    assert (tmp_path / "file").read_text() == "mine"


def test_building_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    build(state(reference()), torch.device("cpu"))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_model_for_other_canvases() -> None:
    air = build(state(reference()), torch.device("cpu"), canvas_size=40, slots=6)
    assert (air.canvas_size, air.slots, air.training) == (40, 6, False)
    assert air(torch.zeros(2, 1, 40, 40)).log_likelihood.shape == (2, 7)
