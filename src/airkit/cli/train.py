"""``airkit train``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import airkit
from airkit.cli.options import DEFAULT_RUN, AsJson, Layers, Run, on_run, option
from airkit.cli.output import percent, show, tell_end, tell_rows
from airkit.cli.progress import listening
from airkit.config.registry import is_outside
from airkit.system.signals import EXIT_CODE
from airkit.system.text import quoted

if TYPE_CHECKING:
    from airkit.training.loop import TrainReport


def train(
    settings: Layers,
    data: Annotated[
        Path | None, option("FILE", "The data file. [default: the run's own, or multi-mnist.h5]")
    ] = None,
    run: Run = DEFAULT_RUN,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over and remove the earlier training.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train AIR, or resume a training.

    Ctrl-C stops and saves; the same command resumes. Settings override those of the data file, or
    of the run that is resumed.
    """
    with listening() as listener:
        report = airkit.train(data, run, settings=settings, fresh=fresh, listener=listener)
    show(report, as_json, partial(_tell, classes=_classes(settings)))
    if report.stopped:
        if fresh:
            typer.echo("leave --fresh out to resume", err=True)
        raise typer.Exit(EXIT_CODE)


def _classes(layers: Layers) -> str:
    """Options that name the classes of one's own again, as other commands on the run need them."""
    from airkit.runs.training_data import assigned  # noqa: PLC0415 - loads h5py

    given = {key: it for each in layers for key, it in airkit.settings.flatten(each.values)}
    several = {key: it if isinstance(it, list | tuple) else [it] for key, it in given.items()}
    named = [key for key, names in several.items() if any(map(is_outside, names))]
    words = assigned({key: given[key] for key in named if key != "train.estimator"})
    return "".join(f" {quoted(word)}" for word in words)


def _tell(report: TrainReport, classes: str = "") -> None:
    if report.stopped:
        return  # a note has told it
    if report.resumed_from == report.steps:
        typer.echo(f"{report.run} is trained already, for {report.steps} steps")
        typer.echo("the same command with --steps N continues to N steps; --fresh starts over")
        return
    tell_rows(report.rows())
    tell_end(_headline(report), _next(report, classes))


def _headline(report: TrainReport) -> str:
    """The result in a line: how well it counts on the validation canvases, as far as is known."""
    if report.trust is not None and report.trust.trouble:
        return "trained, but in doubt: see above for what to try"
    if report.best is None or report.best.count_accuracy is None:
        return "trained"
    share = percent(report.best.count_accuracy)
    return f"{share} of the validation canvases are counted right, by one look each"


def _next(report: TrainReport, classes: str) -> list[tuple[str, str]]:
    """Where the weights are, and what to do with them."""
    from airkit.data.reader import read_info  # noqa: PLC0415 - loads h5py

    splits = read_info(report.data).splits
    there = next(split for split in ("test", "val", "train") if splits[split])
    options = classes if there == "test" else f" --set eval.split={there}{classes}"
    return [
        ("weights", str(report.run / "checkpoints")),
        ("next", on_run("airkit eval", report.run) + options),
        ("", on_run("airkit render", report.run) + options),
    ]
