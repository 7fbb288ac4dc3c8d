"""Classes from outside airkit: used where the call names them, and told of where that fails."""

from __future__ import annotations

import inspect
import json
import re
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import command_line
import numpy as np
import outside
import pytest
import test_docs
import torch
from command_line import run
from outside import NAMED
from PIL import Image
from some_truth import whole
from sweeps import InTurn
from tiny_runs import (
    TRAIN,
    Recorder,
    assert_as_if_never_stopped,
    data_file,
    fit,
    folder,
    go_on,
    interrupt,
    reference,
    same,
    state,
    trained,
    tree,
)

from airkit.config import settings
from airkit.config.settings import Layer, from_file, to_toml
from airkit.data.make import make_data
from airkit.data.reader import read_info, verify
from airkit.errors import AirkitError, CheckpointError, DigitsError, ExtensionError, OutputError
from airkit.evaluation.compare import compare
from airkit.evaluation.evaluate import Evaluation, evaluate
from airkit.evaluation.measures import MEASURES, Measure
from airkit.figures import Drawing
from airkit.figures.render import render
from airkit.runs.folder import RunFolder
from airkit.runs.sweep_folder import Plan, Trial
from airkit.runs.trained import open_run
from airkit.sweeps.engines import Engine, Processes, Submitit
from airkit.sweeps.sweep import sweep
from airkit.sweeps.trial import run_trial
from airkit.system.callbacks import SILENT

MODULE = """
import airkit.model.objectives
import numpy as np
import torch
from airkit.data.digits import Digits, DigitSource
from airkit.errors import OutputError
from airkit.evaluation.measures import Measure
from airkit.figures import Drawing
from airkit.model.counts import GeometricPrior
from airkit.model.guides.saliency import SaliencyGuide
from matplotlib.figure import Figure

class Guide(SaliencyGuide):
    pass

class Prior(GeometricPrior):
    pass

class Seen(Measure):
    seen = 0
    def add(self, batch):
        self.seen += len(batch.images)
        self.shapes = [tuple(batch.scene.box.shape), tuple(batch.counts.shape)]
    def result(self):
        return {"seen": np.int64(self.seen), "last": self.shapes, "none": float("nan")}

class Draws(Measure):
    needs = frozenset({"counts"})
    def __init__(self, trained):
        super().__init__(trained)
        self.drawn = torch.rand(3, generator=trained.generator("mine"))
    def add(self, batch):
        torch.rand(9, generator=self.trained.generator("mine"))
    def result(self):
        return self.drawn

class RaisingMeasure(Seen):
    def add(self, batch):
        1 / 0

class OddMeasure(Seen):
    def result(self):
        return object()

class Odd:
    def tolist(self):
        1 / 0

class RaisingResult(Seen):
    def result(self):
        return {"odd": Odd()}

class NoMeasure(Measure):
    pass

def bars(count, first):
    images = np.zeros((count, 8, 8), np.uint8)
    for row in range(count):
        images[row, 1:7, 3:5] = 100 + first + row
    return Digits(images, np.arange(count) % 2)

class Bars(DigitSource):
    licence = "CC0-1.0"
    attribution = "drawn by the tests"
    def pools(self, listener):
        return {"train": bars(9, 0), "val": bars(3, 8), "test": bars(2, 20)}

class WrongBars(Bars):
    def pools(self, listener):
        train, val, test = super().pools(listener).values()
        return EXPRESSION

class RaisingBars(Bars):
    def pools(self, listener):
        1 / 0

class NoBars(DigitSource):
    pass

class NoGuide(airkit.model.guides.Guide):
    def start(self, images):
        return images

class NoPrior(airkit.model.counts.CountPrior):
    pass

class NoObjective(airkit.model.objectives.Objective):
    pass

class NoFigure(Drawing):
    pass

class Large(Drawing):
    def draw(self, request):
        return Figure(figsize=(5, 2), dpi=200)

class Nothing(Drawing):
    def draw(self, request):
        return None

class RaisingFigure(Drawing):
    def draw(self, request):
        1 / 0

class Refusing(Drawing):
    def draw(self, request):
        raise OutputError("No place for it", hint="another place")
"""
SMALL = {
    "data.source": "mine:Bars",
    "data.canvas_size": 24,
    "data.digit_size": 8.0,
    "data.digit_size_sd": 0.5,
    "data.train": 30,
    "data.val": 8,
    "data.test": 6,
}
SWEPT = {
    "guide.kind": "mine:Guide",
    "prior.kind": "mine:Prior",
    "eval.measures": ["counts", "mine:Seen"],
}
GIVEN = {**TRAIN, "train.steps": 3, **SWEPT}


@pytest.fixture(autouse=True)
def _mine(modules: Path) -> None:
    """A module ``mine`` in the current folder."""
    (modules / "mine.py").write_text(MODULE)


def forget() -> None:
    sys.modules.pop("mine", None)


def measured(*names: str) -> dict[str, Any]:
    return evaluate(reference(), settings={"eval.measures": list(names)}).to_dict()


def make(path: str, source: str = "mine:Bars") -> Path:
    return make_data(path, settings={**SMALL, "data.source": source}).path


USES: dict[str, Callable[[str], object]] = {
    "guide.kind": lambda name: fit(Path("run"), guide__kind=name),
    "prior.kind": lambda name: fit(Path("run"), prior__kind=name),
    "train.estimator": lambda name: fit(Path("run"), train__estimator=name),
    "data.source": lambda name: make("one.h5", name),
    "eval.measures": measured,
    "render.kind": lambda name: render(reference(), kind=name, out=Path("a.png")),
}
"""By setting, what names a class with it."""


# Every kind


@pytest.mark.parametrize("setting", USES)
@pytest.mark.parametrize(
    ("name", "got"),
    [
        ("mine:Absent", "AttributeError"),
        ("nothing.of:ThatName", "ModuleNotFoundError"),
        ("pathlib:Path", "got       <class 'pathlib.Path'>"),
    ],
)
def test_classes_that_cannot_be_used(setting: str, name: str, got: str, home: Path) -> None:
    unusable(setting, name, got, home)


@pytest.mark.parametrize(
    ("setting", "name", "missing"),
    [
        ("guide.kind", "NoGuide", "advance, propose"),
        ("prior.kind", "NoPrior", "log_prob"),
        ("train.estimator", "NoObjective", "forward, random"),
        ("data.source", "NoBars", "pools"),
        ("eval.measures", "NoMeasure", "add, result"),
        ("render.kind", "NoFigure", "draw"),
    ],
)
def test_methods_that_are_missing(setting: str, name: str, missing: str, home: Path) -> None:
    unusable(setting, f"mine:{name}", f"lacks {missing}\n", home)


def unusable(setting: str, name: str, got: str, home: Path) -> None:
    """The class cannot be used with the setting, and nothing is written."""
    with pytest.raises(ExtensionError) as caught:
        USES[setting](name)
    assert caught.value.what == f"{name} cannot be used as {setting}"
    assert got in str(caught.value)
    assert not {"run", "one.h5", "a.png"} & {each.name for each in home.iterdir()}


@pytest.mark.parametrize(
    ("setting", "name", "got"),
    [
        ("eval.measures", "RaisingMeasure", "ZeroDivisionError: division by zero"),
        ("eval.measures", "OddMeasure", "TypeError: a result of type object"),
        ("eval.measures", "RaisingResult", "ZeroDivisionError: division by zero"),
        ("data.source", "RaisingBars", "ZeroDivisionError: division by zero"),
        ("render.kind", "RaisingFigure", "ZeroDivisionError: division by zero"),
        ("render.kind", "Nothing", "NoneType"),
    ],
)
def test_classes_that_fail(setting: str, name: str, got: str, home: Path) -> None:
    """One message, with the line of the class that failed; what was there before stays."""
    Path("a.png").write_text("old")
    with pytest.raises(AirkitError) as caught:
        USES[setting](f"mine:{name}")
    told = str(caught.value)
    assert f"mine:{name}" in told
    assert got in told
    if name.startswith("Raising"):
        (line,) = re.findall(rf"{home / 'mine.py'}, line (\d+)\n", told)
        assert MODULE.splitlines()[int(line) - 1].strip() == "1 / 0"
    assert "json" not in told
    assert Path("a.png").read_text() == "old"
    assert not Path("one.h5").exists()


def test_a_run_that_records_classes_makes_no_code_run() -> None:
    run = Path("run")
    names = ["counts", "mine:Seen"]
    fit(run, train__steps=2, eval__measures=names, render__kind="mine:Large")
    forget()
    with pytest.raises(ExtensionError, match=r"name it with --set render\.kind=mine:Large"):
        render(run)
    with pytest.raises(ExtensionError, match="This run was trained with mine:Seen") as caught:
        evaluate(run)
    assert """--set 'eval.measures=["counts", "mine:Seen"]'""" in caught.value.hint
    assert render(run, kind="data").kind == "data"
    assert "mine" not in sys.modules
    assert evaluate(run, settings={"eval.measures": names}).outside["mine:Seen"]["seen"] == 20
    assert evaluate(run, settings={"eval.measures": ["counts"]}).outside == {}


# Guides, count priors and objectives


@pytest.fixture(name="whole", scope="module")
def _whole() -> Path:
    """A run that nothing interrupted."""
    run = folder() / "outside"
    fit(run, **NAMED)
    return run


def test_stopped_and_gone_on(whole: Path, tmp_path: Path) -> None:
    """Random numbers, buffers and the baseline included."""
    torch.seed()
    run = tmp_path / "run"
    fit(run, listener=Recorder(step7=interrupt), **NAMED)
    assert go_on(run, **NAMED).resumed_from == 7
    assert_as_if_never_stopped(run, whole)
    assert int(state(whole).model["guide.norm.num_batches_tracked"]) > 0
    assert set(state(whole).baselines) == {"weight", "bias"}


def test_looking_at_a_training_does_not_change_it(whole: Path, tmp_path: Path) -> None:
    """Validation neither draws from the training's random numbers nor updates the buffers."""
    run = tmp_path / "run"
    fit(run, train__val_every=1, train__log_every=1, train__tensorboard=True, **NAMED)
    assert same(state(run).model, state(whole).model)


@pytest.mark.parametrize("key", NAMED)
def test_going_on_without_naming_a_class(key: str, tmp_path: Path) -> None:
    """The run says what to name, and stays as it is."""
    run, listener = tmp_path / "run", Recorder()
    fit(run, listener=Recorder(step7=interrupt), **NAMED)
    named: dict[str, Any] = {name: NAMED[name] for name in NAMED if name != key}
    before = tree(run)
    with pytest.raises(ExtensionError, match="This run was trained with") as caught:
        go_on(run, listener, **named)
    assert f"--set {key.replace('__', '.')}={NAMED[key]}" in caught.value.hint
    assert (tree(run), listener.notes) == (before, [])
    assert "outside:Guide" in command_line.fails("train", "--run", run)
    with pytest.raises(CheckpointError, match="started with other settings"):
        go_on(run, **{**named, key: "outside:Other"})


@pytest.mark.parametrize(("setting", "recorded"), [("guide", "Guide"), ("prior", "Prior")])
def test_another_class_than_the_recorded_one(setting: str, recorded: str, whole: Path) -> None:
    told = command_line.fails("eval", "--run", whole, "--set", f"{setting}.kind=mine:Other")
    assert f"You named mine:Other, but this run was trained with outside:{recorded}\n" in told
    assert f"--set {setting}.kind=outside:{recorded}" in told


@pytest.mark.parametrize("kind", ["lstm", "mine:Guide", "nowhere:Guide"])
def test_a_guide_named_that_the_run_does_not_have(kind: str) -> None:
    listener = Recorder()
    found = evaluate(reference(), settings={"guide.kind": kind}, listener=listener)
    (told,) = listener.notes
    assert told.startswith(f"guide.kind = {kind}: no effect")
    assert found.elbo == evaluate(reference()).elbo
    with pytest.raises(CheckpointError, match="started with other settings"):
        go_on(reference(), guide__kind=kind)


def test_a_run_with_classes_of_ones_own_beside_one_without(whole: Path) -> None:
    named = {key.replace("__", "."): value for key, value in NAMED.items()}
    _, found = compare(whole, reference(), settings=named)
    assert found.against.elbo == evaluate(reference()).elbo


def test_an_error_of_a_guide_is_no_error_of_airkit(tmp_path: Path) -> None:
    """It comes with its traceback; what was saved before goes on."""
    named = {**NAMED, "guide__kind": "outside:Raising"}
    outside.Raising.starts = -1000
    fit(tmp_path / "whole", **named)
    outside.Raising.starts = 0
    with pytest.raises(ZeroDivisionError):
        fit(tmp_path / "run", **named)
    run = RunFolder(tmp_path / "run")
    assert run.saved()[-1] == run.file(10)
    assert not [name for name in tree(run.path) if name.endswith((".part", ".lock"))]
    assert go_on(run.path, **named).resumed_from == 10
    assert_as_if_never_stopped(run.path, tmp_path / "whole")


def test_a_guide_that_has_changed(home: Path) -> None:
    """Its weights do not fit those saved; that is no damage of the checkpoint."""
    kind: dict[str, Any] = {"guide__kind": "mine:Guide"}
    layer = "\n    def __init__(self, *given):\n        "
    layer += "super().__init__(*given)\n        self.more = torch.nn.Linear(4, 1)\n"
    fit(home / "run", data_file(), Recorder(step3=interrupt), **kind)
    before = tree(home / "run")
    (home / "mine.py").write_text(MODULE.replace("(SaliencyGuide):", f"(SaliencyGuide):{layer}"))
    forget()
    with pytest.raises(AirkitError, match="do not fit the class named"):
        go_on(home / "run", **kind)
    assert tree(home / "run") == before


# Measures


def test_measures_in_python_and_on_the_command_line() -> None:
    mine = {"seen": 20, "last": [[6, 3, 4], [6]], "none": None}
    plain, found = evaluate(reference()).to_dict(), measured(*MEASURES, "mine:Seen")
    assert found == {**plain, "seconds": found["seconds"], "mine:Seen": mine}
    assignment = 'eval.measures=["counts", "mine:Seen"]'
    told = json.loads(run("eval", "--run", reference(), "--json", "--set", assignment).stdout)
    assert list(told) == list(found)
    assert told["mine:Seen"] == mine
    assert (told["count_accuracy"], told["elbo"]) == (plain["count_accuracy"], None)
    lines = run("eval", "--run", reference(), "--set", assignment).stdout
    assert re.search(r"^ELBO +-$", lines, re.MULTILINE)
    assert re.search(rf"^mine:Seen +{re.escape(json.dumps(mine))}$", lines, re.MULTILINE)


def test_the_example_of_a_measure(home: Path) -> None:
    text = (Measure.__doc__ or "").partition("::\n")[2]
    (home / "docs_example.py").write_text(textwrap.dedent(text))
    assert 0 < measured("docs_example:MissingInk")["docs_example:MissingInk"] < 1


def test_measures_left_out_are_null_and_change_no_other() -> None:
    plain, boxes = evaluate(reference()).to_dict(), measured("boxes", "mine:Draws")
    kept = ("canvases", "mean_iou", "ap50", "looks", "run", "data", "data_digest", "split")
    for name, value in plain.items():
        if name not in ("seconds", "likelihood_samples", "checkpoint"):
            assert boxes[name] == (value if name in kept else None), name
    assert measured("likelihood", "mine:Draws")["elbo"] == plain["elbo"]
    assert boxes["mine:Draws"] == measured("mine:Draws")["mine:Draws"]


def test_measures_of_a_truth_that_the_data_lacks_are_null() -> None:
    names = [*MEASURES, "mine:Draws"]
    opened = open_run(reference(), None, "best", {"eval.measures": names}, SILENT)
    dataset: Any = opened.canvases
    dataset.counts = dataset.boxes = None
    found = Evaluation(opened).all(SILENT).measures("").to_dict()
    absent = ("count_accuracy", "confusion", "ap50", "mine:Draws")
    assert [found[name] for name in absent] == [None] * 4
    whole = evaluate(reference())
    assert (found["canvases"], found["elbo"], found["mse"]) == (20, whole.elbo, whole.mse)


def test_a_comparison_needs_counts() -> None:
    with pytest.raises(AirkitError, match="Counts are compared here") as caught:
        compare(reference(), reference(), settings={"eval.measures": ["boxes"]})
    assert 'got       ["boxes"]' in str(caught.value)


# Sources of digits


def test_canvases_of_a_source() -> None:
    report = make_data("one.h5", settings=SMALL)
    info = read_info(report.path)
    assert (report.source, info.source, info.config.data.source) == ("mine:Bars",) * 3
    assert (info.licence, info.attribution) == ("CC0-1.0", "drawn by the tests")
    canvases = whole("train", report.path)
    assert set(np.unique(canvases.source_index)) <= {-1, *range(8)}, "one digit is in val, too"
    assert set(np.unique(canvases.label)) == {-1, 0, 1}
    forget()
    assert make("two.h5").read_bytes() == report.path.read_bytes()
    assert make_data("three.h5", settings=SMALL, workers=2).content_digest == info.content_digest


def test_the_example_of_a_source(home: Path) -> None:
    (body,) = test_docs.blocks(test_docs.DOCS / "sources.md", "python")
    (home / "squares.py").write_text(body)
    assert verify(make("squares.h5", "squares:Squares"))


def test_a_data_file_makes_no_code_run(home: Path) -> None:
    """It is read without the class, and made again only where the call names it."""
    sizes = ("--train", "30", "--val", "8", "--test", "6", "--out", "one.h5")
    assert "mine:Bars" in run("make-data", "--source", "mine:Bars", *sizes).stdout
    config = read_info(Path("one.h5")).config
    forget()
    recorded = Layer("one.h5", config.model_dump(), recorded=True)
    with pytest.raises(ExtensionError, match="name it with --set data"):
        make_data("two.h5", settings=[recorded])
    assert "mine:Bars" in run("info", "one.h5", "--verify").stdout
    assert "mine" not in sys.modules
    assert not Path("two.h5").exists()
    (home / "config.toml").write_text(to_toml(config))
    assert make_data("two.h5", settings=[from_file(home / "config.toml")]).source == "mine:Bars"


def pool(shape: tuple[int, ...], kind: str = "np.uint8", labels: str = "[0, 0, 0]") -> str:
    return f"Digits(np.zeros({shape}, {kind}), np.array({labels}))"


@pytest.mark.parametrize(
    ("split", "value", "got"),
    [
        ("val", pool((3, 8, 8), "float"), "float64 [3, 8, 8], int64 [3], int32 [3]"),
        ("test", pool((3, 8, 9)), "uint8 [3, 8, 9], int64 [3], int32 [3]"),
        ("train", pool((3, 8, 8), labels="[0, 0]"), "uint8 [3, 8, 8], int64 [2], int32 [2]"),
        ("train", pool((3, 8, 8), labels="[0.0] * 3"), "uint8 [3, 8, 8], float64 [3], int32 [3]"),
        ("train", pool((3, 8, 8), labels="[0, 1, -1]"), "-1"),
        ("train", pool((3, 8, 8), labels="[0, 127, 128]"), "128"),
        ("train", "[1, 2]", "list"),
        ("", pool((3, 9, 9)), "sides of [8, 9] px"),
        ("", None, "['train', 'val']"),
    ],
)
def test_digits_that_cannot_be_used(home: Path, split: str, value: str | None, got: str) -> None:
    pools = {name: name for name in ("train", "val", "test")} | {split or "test": value}
    entries = ", ".join(f"{name!r}: {it}" for name, it in pools.items() if it)
    (home / "mine.py").write_text(MODULE.replace("EXPRESSION", f"{{{entries}}}"))
    with pytest.raises(DigitsError) as caught:
        make("one.h5", "mine:WrongBars")
    where = f"mine:WrongBars, {split} digits" if split else "mine:WrongBars"
    assert f"  where     {where}\n" in str(caught.value)
    assert f"  got       {got}\n" in str(caught.value)
    assert not Path("one.h5").exists()


# Figures


def test_the_example_of_a_figure(home: Path) -> None:
    example = textwrap.dedent((inspect.getdoc(Drawing) or "").partition("::\n")[2])
    (home / "counts.py").write_text(example)
    words = ("--kind", "counts:Counts", "--out", "a.png", "--json")
    found = json.loads(run("render", "--run", reference(), *words).stdout)
    with Image.open(home / "a.png") as image:
        assert (image.format, image.size) == ("PNG", (found["width"], found["height"]))
    assert (found["kind"], found["canvases"]) == ("counts:Counts", 20)


@pytest.mark.parametrize("how", ["--kind", "--set", "--config"])
def test_a_figure_may_be_named_by_flag_setting_or_file(how: str, home: Path) -> None:
    (home / "it.toml").write_text('[render]\nkind = "mine:Large"\n')
    words = {"--kind": "mine:Large", "--set": "render.kind=mine:Large", "--config": "it.toml"}
    result = run("render", "--run", trained(home / "run"), how, words[how])
    assert result.exit_code == 0, result.output
    with Image.open(home / "run" / "figures" / "Large.png") as image:
        assert image.size == (1000, 400), "the figure's own size and resolution"


def test_an_error_of_airkit_that_a_figure_raises_stays() -> None:
    with pytest.raises(OutputError, match="No place for it"):
        USES["render.kind"]("mine:Refusing")


# Sweeps


@pytest.mark.parametrize("engine", [Processes(1, 1), Submitit(1)], ids=["processes", "submitit"])
def test_workers_get_the_names_that_the_call_has(engine: Engine) -> None:
    if isinstance(engine, Submitit):
        pytest.importorskip("submitit")
    (row,) = sweep(data_file(), "all", seeds=1, settings=GIVEN, engine=engine).rows
    assert row.failure is None
    assert row.measures is not None
    assert row.measures["mine:Seen"]["seen"] == 20


def test_a_sweep_that_goes_on_has_to_name_them_again() -> None:
    engine = InTurn()
    sweep(data_file(), "all", seeds=1, settings=GIVEN, engine=engine)
    forget()
    for left_out in SWEPT:
        others = {key: value for key, value in SWEPT.items() if key != left_out}
        with pytest.raises(ExtensionError, match=r"This run was trained with mine:\w+; name it"):
            sweep(folder="all", seeds=2, settings=others, engine=engine)
    assert engine.ran == [0]
    found = sweep(folder="all", seeds=2, settings=SWEPT, engine=engine)
    assert [row.failure for row in found.rows] == [None, None]
    assert engine.ran == [0, 1]


class Forgetful(Processes):
    """Workers that are told the sweep's folder and the seed only."""

    def command(self, trial: Trial) -> Sequence[str]:
        return super().command(trial)[:5]


def test_the_files_of_a_sweep_alone_make_no_code_run() -> None:
    """Neither in this process nor in a worker's that gets no name."""
    sweep(data_file(), "all", seeds=1, settings=GIVEN, engine=InTurn())
    forget()
    plan = Plan.read(Path("all"))
    assert settings.named_classes(plan.config) == {}
    with pytest.raises(ExtensionError, match="This run was trained with mine:"):
        run_trial(plan.trial(1), SILENT)
    assert "mine" not in sys.modules
    (row,) = sweep(data_file(), "all", seeds=1, settings=GIVEN, engine=Forgetful(), fresh=True).rows
    assert row.failure is not None
    assert row.failure.startswith("This run was trained with mine:")


def test_a_class_of_no_use_is_told_before_any_seed() -> None:
    engine = InTurn()
    with pytest.raises(ExtensionError, match="mine:Seen cannot be used"):
        sweep(data_file(), "all", settings={**GIVEN, "guide.kind": "mine:Seen"}, engine=engine)
    assert engine.ran == []
    assert not Path("all/sweep.json").exists()
