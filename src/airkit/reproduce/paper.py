"""Figures 3 to 5 of Eslami et al. (arXiv 1603.08575) on multi-MNIST, and a table of their numbers.

Each step leaves its result in the folder and is not done again, so that a stopped call goes on.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor

from airkit.config.schema import Config
from airkit.config.sections import DRAWN
from airkit.config.settings import (
    Layer,
    Settings,
    differences,
    flatten,
    from_json,
    layers,
    resolve,
    spelled,
    to_json,
)
from airkit.data import sources
from airkit.data.make import make_data
from airkit.errors import AirkitError, CheckpointError, DigitsError
from airkit.evaluation.evaluate import evaluate
from airkit.figures import experiments
from airkit.figures.render import render
from airkit.reproduce import codes
from airkit.reproduce.plan import CANVASES, FIXED, FREE, FULL, PIXELS, PRINT, QUICK, TRAINED, Budget
from airkit.runs.folder import RunFolder
from airkit.system.callbacks import SILENT, Listener
from airkit.system.files import write_text
from airkit.system.paths import to_path
from airkit.system.tables import Number, Table, percent
from airkit.system.text import argument
from airkit.training.train import train


@dataclass(frozen=True)
class Reproduced:
    """What ``reproduce_paper`` did; a notebook shows the table."""

    folder: Path
    """The folder of data, runs and results."""
    figures: tuple[Path, ...]
    """The figures."""
    tables: tuple[Path, ...]
    """Files of the table: CSV, Markdown and LaTeX."""
    results: tuple[Mapping[str, Any], ...]
    """Its rows: ``share`` is right, with its 95 % ``interval`` (Wilson)."""
    seconds: float
    """Time that this call took."""

    def table(self) -> Table:
        """Return a table with a row for each share."""
        columns = ("experiment", "model", "seed", "of", "looks", "share right", "low", "high")
        return Table(columns, tuple(map(_cells, self.results)))

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def reproduce_paper(
    out: str | Path = "runs/paper",
    *,
    quick: bool = False,
    published: bool = False,
    seeds: int | None = None,
    settings: Settings = (),
    listener: Listener = SILENT,
) -> Reproduced:
    """Train and measure what figures 3 to 5 of arXiv 1603.08575 show, draw and tabulate it.

    The same call goes on where an earlier one stopped; what is done is not done again.

    Args:
        out: the folder of data, runs and results.
        quick: minutes in place of hours: one seed, fewer canvases and steps.
        published: train the published guide and estimator (lstm, nvil) beside the default ones.
        seeds: trainings of each model, with seeds from 0 on; by default 3, or 1 where quick.
        settings: dotted keys and values, or layers, such as ``data.source``.
        listener: hears notes and progress.

    Raises:
        CheckpointError: the folder was begun with other settings.
        AirkitError: ``seeds`` is below 1; and what ``make_data``, ``train``, ``evaluate`` and
            ``render`` raise.
        KeyboardInterrupt: a signal stopped it; what is done is kept.
    """
    if seeds is not None and seeds < 1:
        raise AirkitError(
            "Nothing would be trained",
            where=argument("seeds"),
            expected="at least 1",
            got=seeds,
            hint="leave it out for 3, or 1 where quick",
        )
    budget = QUICK if quick else FULL
    models = ("default", "published") if published else ("default",)
    return reproduced(Work(budget, to_path(out), layers(settings), listener), models, seeds)


def reproduced(
    work: Work, models: tuple[str, ...] = ("default",), seeds: int | None = None
) -> Reproduced:
    """Do each step that is not done yet."""
    many = range(work.budget.seeds if seeds is None else seeds)
    results = [row for name in models for seed in many for row in work.model(name, seed)]
    results += [row for seed in many for row in work.classified(PIXELS, seed)]
    order = [*dict.fromkeys(row["experiment"] for row in results)]
    results.sort(key=lambda row: order.index(row["experiment"]))
    figures = tuple(work.figures(models, many, results))
    tables = tuple(work.out / f"results.{ending}" for ending in ("csv", "md", "tex"))
    seconds = round(time.perf_counter() - work.began, 1)
    done = Reproduced(work.out, figures, tables, tuple(results), seconds)
    for path in tables:
        done.table().write(path)
    return done


class Work:
    """The steps of the experiments in a folder."""

    def __init__(self, budget: Budget, out: Path, given: list[Layer], listener: Listener) -> None:
        """Make all data files, or check that the folder was begun with these settings."""
        self.began = time.perf_counter()
        self.budget, self.out, self.given, self.listener = budget, out, given, listener
        config = resolve(*layers(budget.settings), *given)
        self.most, self.source = config.data.train, config.data.source
        begun = self.kept("canvases", self._make, config)
        self.source = begun["source"]
        changed = {
            key: both
            for key, both in differences(from_json(begun["settings"], str(out)), config).items()
            if not key.startswith(FREE)
        }
        if changed:
            raise _other_settings(out, changed)
        named = {key for layer in given for key, _ in flatten(layer.values)}
        if idle := named.intersection(FIXED):
            listener.note(f"{', '.join(sorted(idle))}: no effect, the experiments fix it")

    def kept(self, step: str, work: Callable[..., Any], *args: Any) -> Any:
        """Return the result of a step, from its file if it was done before."""
        path = self.out / "steps" / f"{_slug(step)}.json"
        if not os.path.exists(path):
            self.listener.note(step)
            write_text(path, json.dumps(work(*args), indent=1) + "\n")
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            hint = "remove the file: the same command does this step again"
            raise CheckpointError("A step's result is damaged", where=path, hint=hint) from error

    def _make(self, config: Config) -> dict[str, str]:
        """Make all data files, of digits of one source."""
        if self.source in DRAWN:
            raise DigitsError(
                "The paper's experiments are about digits",
                where="data.source",
                got=self.source,
                hint="--source mnist, strokes or a folder of IDX files",
            )
        self.source = sources.load(self.source, self.listener).name
        for canvases in CANVASES:
            given = self.settings(canvases)
            make_data(self.data(canvases), settings=given, force=True, listener=self.listener)
        return {"source": self.source, "settings": to_json(config)}

    def settings(self, canvases: str, model: str = "default", seed: int = 0) -> list[Layer]:
        """Return the settings of a data file, and of a training on it."""
        published = self.budget.published if model == "published" else {}
        fixed = {**CANVASES[canvases], "data.source": self.source, "train.seed": seed}
        return [*layers({**self.budget.settings, **published}), *self.given, *layers(fixed)]

    def data(self, canvases: str) -> Path:
        """Return the path of a data file."""
        return self.out / "data" / f"{_slug(canvases)}.h5"

    def run(self, model: str, canvases: str, seed: int) -> Path:
        """Return the folder of a run."""
        return self.out / "runs" / f"{model}-{_slug(canvases)}-seed-{seed}"

    def _train(self, data: Path, run: Path, given: list[Layer]) -> dict[str, float]:
        report = train(data, run, settings=given, listener=self.listener)
        if report.stopped:
            raise KeyboardInterrupt
        return {"steps": report.steps, "seconds": report.seconds}

    def _count(self, run: Path, data: Path) -> dict[str, Any]:
        given = {"eval.measures": ["counts"]}
        return evaluate(run, data, settings=given, listener=self.listener).to_dict()

    def model(self, model: str, seed: int) -> Iterator[dict[str, Any]]:
        """Yield the rows of a model: counts, and what its codes are good for."""
        for canvases in TRAINED:
            run, data = self.run(model, canvases, seed), self.data(canvases)
            given = self.settings(canvases, model, seed)
            self.kept(f"train {model} on {canvases}, seed {seed}", self._train, data, run, given)
            name = f"count with {model} of {canvases}, seed {seed}"
            found = self.kept(name, self._count, run, self.data("0 to 3"))
            for digits, share in found["per_count_accuracy"].items():
                yield {
                    "experiment": f"count, trained on {canvases}",
                    "model": model,
                    "seed": seed,
                    "of": f"{digits} digit{'s' * (digits != '1')}",
                    "looks": found["looks"],
                    "share": share,
                    "interval": found["per_count_accuracy_interval"][digits],
                    "trained": canvases,
                    "digits": int(digits),
                }
        yield from self.classified(model, seed)

    def classified(self, model: str, seed: int) -> Iterator[dict[str, Any]]:
        """Yield the rows of classifiers that read a model's codes, or pixels."""
        data, given = self.data("pairs"), "pixels" if model == PIXELS else "codes"

        @cache
        def inputs() -> dict[str, Tensor]:
            run = self.run(model, "0, 1, 2", seed)
            return codes.pixels(data) if model == PIXELS else codes.codes(run, data, self.listener)

        def fit(task: str, labels: int) -> dict[str, Any]:
            steps = self.budget.steps
            return codes.classified(inputs(), data, task, labels=labels, seed=seed, steps=steps)

        for task in codes.TASKS:
            for labels in dict.fromkeys(min(many, self.most) for many in self.budget.labels):
                step = f"{task} from {labels} labels with {model}, seed {seed}"
                found = self.kept(step, fit, task, labels)
                yield {
                    "experiment": f"{task} of two digits, from {given}",
                    "model": model,
                    "seed": seed,
                    "of": f"{found['labels']:,} labels",
                    "looks": None if model == PIXELS else 1,
                    "task": task,
                    **found,
                }

    def figures(
        self, models: tuple[str, ...], seeds: range, results: list[dict[str, Any]]
    ) -> Iterator[Path]:
        """Draw all figures, and yield their files."""
        print_ = resolve(*layers(PRINT), *self.given).render
        given = {f"render.{key}": value for key, value in print_.model_dump().items()}
        ending = "png" if print_.format == "auto" else print_.format

        def file(name: str) -> Path:
            return self.out / "figures" / f"{name}.{ending}"

        for model in models:
            run = self.run(model, "0, 1, 2", 0)
            for kind, name in (("steps", "reconstructions"), ("policy", "policy")):
                out, hears = file(f"{name}-{model}"), self.listener
                yield render(run, kind=kind, out=out, settings=given, listener=hears).path
        curves = [
            (model, RunFolder(self.run(model, "0, 1, 2", seed)).rows())
            for model in models
            for seed in seeds
        ]
        yield experiments.counting(curves, file("counting"), print_)
        yield experiments.generalisation(results, TRAINED, file("generalisation"), print_)
        yield experiments.codes(results, file("codes"), print_)


def _other_settings(out: Path, changed: Mapping[str, tuple[Any, Any]]) -> CheckpointError:
    then, now = (
        ", ".join(f"{key}={spelled(both[place])}" for key, both in changed.items())
        for place in (0, 1)
    )
    return CheckpointError(
        "The folder was begun with other settings",
        where=out,
        expected=then,
        got=now,
        hint="the options of then, or another folder",
    )


def _slug(words: str) -> str:
    """Return words as the name of a file."""
    return words.replace(",", "").replace(" ", "-")


def _cells(row: Mapping[str, Any]) -> tuple[Any, ...]:
    seed, looks = (
        "" if row[key] is None else Number(row[key], str(row[key])) for key in ("seed", "looks")
    )
    shares = map(percent, (row["share"], *row["interval"]))
    return (row["experiment"], row["model"], seed, row["of"], looks, *shares)
