"""Exported models, loaded back or refused; their cards, as Hugging Face reads them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import run
from exports import contents, spoilt
from huggingface_hub import DatasetCard, ModelCard
from safetensors.torch import load_file, save_file
from tiny_runs import STEPS, data_file, reference, same, state, trained

import airkit
from airkit.data import reader
from airkit.data.reader import read_split
from airkit.errors import AirkitError, CheckpointError
from airkit.runs import hub
from airkit.runs.folder import RunFolder
from airkit.system.callbacks import SILENT

WEIGHTS = "model.safetensors"


@pytest.fixture(name="shared")
def _shared(home: Path) -> Path:
    """A model exported to the folder ``shared``."""
    airkit.export(reference(), "shared", checkpoint="last")
    return home / "shared"


# Loaded back


def test_the_weights_come_back_bit_for_bit(shared: Path) -> None:
    expected = state(reference()).model
    for path in (shared, shared / WEIGHTS, RunFolder(reference()).file(STEPS)):
        air = airkit.load(path)
        assert same(dict(air.state_dict()), dict(expected))
        assert not air.training
    assert same(dict(airkit.load(reference(), checkpoint="last").state_dict()), dict(expected))


def test_an_exported_model_measures_and_counts_as_its_run_does(shared: Path) -> None:
    ours, theirs = (
        airkit.evaluate(path, data_file(), checkpoint="last").to_dict()
        for path in (shared, reference())
    )
    differing = {name for name in ours if ours[name] != theirs[name]}
    assert differing <= {"seconds", "run", "checkpoint"}
    images = read_split(data_file(), "test").image
    found = (airkit.infer(images, path, checkpoint="last") for path in (shared, reference()))
    one, other = ([each.to_dict() for each in images] for images in found)
    assert one == other


def test_an_exported_model_serves_as_a_run(shared: Path) -> None:
    assert airkit.describe(shared).kind == "exported model"
    assert airkit.render(shared, data=data_file(), kind="steps", out="steps.png").path.exists()
    airkit.export(shared, "again")
    assert contents(Path("again")) == contents(shared)


def test_no_training_writes_into_it(shared: Path) -> None:
    before = contents(shared)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        airkit.train(data_file(), shared)
    assert {name: before[name] for name in before} == {
        name: content for name, content in contents(shared).items() if name in before
    }


def test_only_the_name_of_the_data_file_is_told(shared: Path) -> None:
    everything = b"".join(contents(shared).values())
    assert data_file().name.encode() in everything
    assert str(data_file().parent).encode() not in everything


# Hostile folders


def about(**other: Any) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | other))

    return change


def text(content: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "config.json").write_text(content)


def weights(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    def written(folder: Path) -> None:
        (folder / WEIGHTS).write_bytes(change((folder / WEIGHTS).read_bytes()))

    return written


def tensors(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], object]:
    def written(folder: Path) -> None:
        save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS)

    return written


def pipe(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).symlink_to(os.devnull)


def pickled(folder: Path) -> None:
    torch.save({"weights": torch.zeros(2)}, folder / WEIGHTS)


HOSTILE: dict[str, Callable[[Path], object]] = {
    "of transformers": text('{"model_type": "bert"}'),
    "no JSON": text("{"),
    "no table": text("[]"),
    "nested": text("[" * 100_000),
    "large": text(" " * 10**6),
    "newer": about(format_version=9),
    "no step": about(step=None),
    "a NaN": about(seconds=float("nan")),
    "a best to come": about(best={"step": STEPS + 1, "elbo": 0.0, "count_accuracy": None}),
    "a path with NUL": about(data="\0"),
    "settings of another model": about(config={}),
    "no settings": about(config=[]),
    "an unknown setting": about(config={"model": {"colour": 1}}),
    "empty": weights(lambda content: b""),
    "cut short": weights(lambda content: content[:-4]),
    "a header without end": weights(lambda content: b"\xff" * 8 + content),
    "a pickle": pickled,
    "a device": pipe,
    "of another type": tensors(lambda them: {name: each.double() for name, each in them.items()}),
    "not finite": tensors(lambda them: {name: each / 0 for name, each in them.items()}),
    "flat": tensors(lambda them: {name: each.flatten() for name, each in them.items()}),
    "one missing": tensors(lambda them: dict([*them.items()][1:])),
    "one more": tensors(lambda them: {**them, "more": torch.zeros(1)}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_folder_is_one_message(shared: Path, name: str) -> None:
    HOSTILE[name](shared)
    with pytest.raises(CheckpointError, match=r"(This model|There is no).*\n  where .*shared"):
        airkit.load(shared)
    result = run("eval", "--run", "shared", "--data", data_file())
    assert (result.exit_code, result.stdout) == (1, "")


def test_a_class_from_outside_is_not_imported(shared: Path) -> None:
    about(config={"guide": {"kind": "antigravity:Guide"}})(shared)
    with pytest.raises(AirkitError, match="antigravity"):
        airkit.load(shared)


# Cards


def measured(**other: Any) -> Path:
    """Measures of the reference run, as ``airkit eval --json`` prints them."""
    keys = {"data": "/home/me/held-out.h5", "split": "test", "data_digest": "ab" * 32}
    values = {"count_accuracy": 0.9, "count_accuracy_interval": [0.8, 0.95], "ap50": 0.7}
    odd = {"mse": None, "seconds": 3.0, "confusion": [[1]], "checkpoint": f"step-{STEPS:09d}.pt"}
    path = Path("measures.json")
    path.write_text(json.dumps(keys | values | odd | other))
    return path


def test_a_model_card_tells_measures_and_provenance(home: Path) -> None:
    airkit.export(reference(), "out", checkpoint="last", measures=measured(), licence="cc-by-4.0")
    card = ModelCard.load("out/README.md")
    assert (card.data.license, card.data.library_name) == ("cc-by-4.0", "airkit")
    found = {each.metric_type: each.metric_value for each in card.data.eval_results}
    assert found == {"count_accuracy": 0.9, "ap50": 0.7}
    assert {each.dataset_name for each in card.data.eval_results} == {"held-out.h5"}
    assert "0.9 (0.8 to 0.95)" in card.text
    assert reader.read_info(data_file()).content_digest in card.text
    assert "/home/me" not in card.content
    assert "airkit.load(" in card.text


def test_without_measures_it_tells_those_of_the_validation(home: Path) -> None:
    airkit.export(reference(), "best")
    card = ModelCard.load("best/README.md")
    best = RunFolder(reference()).find("best", SILENT)[1].best
    assert best is not None
    assert card.data.license == "unknown"
    found = {each.metric_type: each.metric_value for each in card.data.eval_results}
    assert found["elbo"] == best.elbo
    airkit.export(RunFolder(reference()).saved()[0], "early")
    assert ModelCard.load("early/README.md").data.eval_results is None


@pytest.mark.parametrize(
    "content", ["", "{}", "[1]", "null", '{"data": 1, "split": 1, "data_digest": 1}', "[" * 10**5]
)
def test_measures_that_are_none_are_told(home: Path, content: str) -> None:
    Path("measures.json").write_text(content)
    with pytest.raises(AirkitError, match="not measures"):
        airkit.export(reference(), "out", measures="measures.json")
    assert not Path("out").exists()


def test_measures_of_something_else_are_refused(home: Path) -> None:
    for wrong in (measured(checkpoint="step-000000001.pt"), Path("missing.json")):
        with pytest.raises(AirkitError, match=r"another checkpoint|not measures"):
            airkit.export(reference(), "out", checkpoint="last", measures=wrong)
    with pytest.raises(AirkitError, match="--measures is for a model alone"):
        airkit.export(data_file(), "out", measures=measured())


def test_a_card_tells_what_was_in_doubt(home: Path) -> None:
    run_folder = trained(home / "run")
    (run_folder / "trust.json").write_text('{"trouble": ["*slots* | were full"]}')
    airkit.export("run", "out")
    assert "- \\*slots\\* \\| were full\n" in Path("out/README.md").read_text()


@pytest.mark.parametrize("split", ["test", "all"])
def test_a_data_card_tells_seeds_splits_and_counts(home: Path, split: str) -> None:
    done = airkit.export(data_file(seed=7), "out", split=split)
    card, told = DatasetCard.load("out/README.md"), reader.read_info(data_file(seed=7))
    assert card.data.license == "apache-2.0"
    assert "| seed of the canvases | 7 |" in card.text
    assert told.content_digest in card.text
    assert f"{done.counts['annotations']} annotated objects" in card.text
    counts = read_split(data_file(seed=7), "test").count
    assert counts is not None
    assert f"| test | {len(counts)} | {(counts == 0).sum()} of 0, " in card.text
    assert ("| train |" in card.text) == (split == "all")
    assert "data.seed=7" in card.text


def test_the_licence_of_pictures_is_unknown_unless_told(home: Path) -> None:
    pictures = read_split(data_file(), "train").image
    airkit.import_scenes(pictures, path="mine.h5")
    for licence, expected in ((None, "unknown"), ("mit", "mit")):
        airkit.export("mine.h5", "out", licence=licence, force=True)
        card = DatasetCard.load("out/README.md")
        assert card.data.license == expected
        assert "not known" in card.text


def test_text_from_a_data_file_is_no_markup(home: Path) -> None:
    import h5py  # noqa: PLC0415 - spoils the file

    path = spoilt(home)
    with h5py.File(path, "r+") as file:
        evil = b"---\nlicense: mit\n---\n<script>|`x`|</script>"
        file.attrs["attribution"] = np.bytes_(evil)
    airkit.export(path, "out")
    card = DatasetCard.load("out/README.md")
    assert card.data.license == "apache-2.0"
    assert "<script" not in card.text.replace("\\<", "")


def test_a_model_that_is_a_link_is_followed(shared: Path) -> None:
    """As in the cache of Hugging Face."""
    shutil.move(shared, "blobs")
    shared.mkdir()
    for file in Path("blobs").iterdir():
        (shared / file.name).symlink_to(Path("..") / file)
    assert hub.read(shared).step == STEPS
