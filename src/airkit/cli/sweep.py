"""``airkit sweep``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import airkit
from airkit.cli.options import AsJson
from airkit.cli.output import percent_range, show, tell_rows
from airkit.cli.progress import listening
from airkit.errors import AirkitError, TrainingError
from airkit.system.signals import EXIT_CODE
from airkit.system.text import duration

if TYPE_CHECKING:
    from airkit.runs.sweep_folder import Row, SweepReport
    from airkit.sweeps.engines import Engine

DEFAULT_FOLDER = Path("runs/sweep")
ENGINES = ("processes", "submitit")


def sweep(  # noqa: PLR0913 - options
    settings: list[Layer],
    *,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The data file. [default: the sweep's own, or multi-mnist.h5]"
        ),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The sweep's folder.")] = DEFAULT_FOLDER,
    seeds: Annotated[
        int, typer.Option(metavar="N", help="How many seeds, counted up from train.seed.")
    ] = 10,
    threshold: Annotated[
        float, typer.Option(metavar="SHARE", help="Least count accuracy of a success, 0 to 1.")
    ] = 0.99,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Trainings at a time. [default: one a GPU, or one a CPU core; on Slurm, all]",
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Threads of each. [default: the cores shared out; on Slurm, 1]"
        ),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="processes, on this machine; or submitit: Slurm jobs where there is Slurm.",
        ),
    ] = "processes",
    job: Annotated[
        list[str],
        typer.Option(
            metavar="KEY=VALUE", help="Told to submitit, such as slurm_partition=gpu; repeatable."
        ),
    ] = [],  # noqa: B006 - typer copies it
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start anew, removing the runs of the sweep there.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train and measure with many seeds: how often does it work?

    Each seed is trained as by airkit train and measured as by airkit eval, in a folder of its
    own; seeds run side by side. Ctrl-C stops and saves; the same command goes on from there.
    A seed that fails is a failure among the others. Exits with 1 if any did.
    """
    with listening() as listener:
        report = airkit.sweep(
            data,
            out,
            seeds=seeds,
            threshold=threshold,
            settings=settings,
            engine=_engine(engine, workers, threads, job),
            fresh=fresh,
            listener=listener,
        )
    show(report, as_json, _tell)
    _exit(report)


def _engine(name: str, workers: int | None, threads: int | None, job: list[str]) -> Engine:
    from airkit.sweeps.engines import Processes, Submitit  # noqa: PLC0415 - not for --help

    if name not in ENGINES:
        raise AirkitError(
            "No such engine",
            expected="one of " + ", ".join(ENGINES),
            got=name,
            hint="leave out --engine for processes on this machine",
        )
    if name == "submitit":
        return Submitit(workers, threads or 1, dict(map(_parameter, job)))
    if job:
        raise AirkitError(
            "--job is told to submitit only", got=" ".join(job), hint="add --engine submitit"
        )
    return Processes(workers, threads)


def _parameter(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not (equals and key):
        raise AirkitError(
            "Cannot read a job parameter",
            expected="KEY=VALUE",
            got=text,
            hint="for example --job slurm_partition=gpu",
        )
    return key, airkit.settings.parse_value(key, value)


def _tell(report: SweepReport, as_json: bool) -> None:
    if as_json:
        tell_json(report.to_dict())
    elif report.rows:
        _tell_seeds(report.rows)
        _tell_summary(report)


def _tell_summary(report: SweepReport) -> None:
    typer.echo()
    low, high = (100 * bound for bound in report.success_interval)
    worst = f"{100 * report.worst.count_accuracy:.2f} %, of seed {report.worst.seed}"
    rows: list[tuple[str, object]] = [
        ("sweep", report.folder),
        ("data", report.data),
        (
            f"seeds at {100 * report.threshold:g} % or more",
            f"{report.successes} of {len(report.rows)} "
            f"(95 % interval of the rate {low:.1f} to {high:.1f} %)",
        ),
        ("failed", len(report.failed)),
        ("median", f"{100 * report.median:.2f} %"),
        ("worst", worst),
        ("time", duration(report.seconds)),
    ]
    tell(rows)


def _tell_seeds(rows: Iterable[Row]) -> None:
    """A line for each seed."""
    typer.echo("seed  count accuracy  95 % interval   one look    ELBO  training")
    for row in rows:
        if row.measures is None:
            typer.echo(f"{row.seed:>4}  failed: {row.failure}")
            continue
        low, high = (100 * bound for bound in row.measures["count_accuracy_interval"])
        one, elbo = (row.measures[name] for name in ("count_accuracy_one_look", "elbo"))
        bound = "-" if elbo is None else f"{elbo:.1f}"  # infinite, or no number
        typer.echo(
            f"{row.seed:>4}  {100 * row.count_accuracy:>12.2f} %  {low:5.2f} to {high:5.2f}  "
            f"{100 * one:>7.2f} %  {bound:>6}  {duration(row.train_seconds or 0):>8}"
        )


def _exit(report: SweepReport) -> None:
    """Tell what is left to do, if anything, in the exit code as well."""
    if report.stopped:
        done = f"{len(report.rows)} of {report.seeds} seeds done"
        typer.echo(f"stopped, {done}; the same command, without --fresh, goes on", err=True)
        raise typer.Exit(EXIT_CODE)
    if report.failed:
        raise TrainingError(
            f"{len(report.failed)} of {report.seeds} seeds failed",
            where=report.failed[0].run,
            got=report.failed[0].failure,
            hint="\n            ".join(_advice(report.failed)),
        )


def _advice(failed: Iterable[Row]) -> Iterator[str]:
    """What to try for the seeds that failed: the same numbers diverge again."""
    diverged = {row.diverged for row in failed}
    if False in diverged:
        others = "the others" if True in diverged else "those"
        yield (
            f"the same command, without --fresh, tries {others} again; remove the folder of a "
            "seed to train it anew"
        )
    if True in diverged:
        yield (
            "a seed that is no longer finite fails so again: a new sweep, with another --out and "
            "--set train.clip_norm=100 or a lower train.learning_rate, may do better"
        )
