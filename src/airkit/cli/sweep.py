"""``airkit sweep``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

import airkit
from airkit.cli.options import AsJson, Layers, TableFile, option
from airkit.cli.output import percent_range, show, tell_rows
from airkit.cli.progress import listening
from airkit.errors import AirkitError, TrainingError
from airkit.system.signals import EXIT_CODE
from airkit.system.text import duration

if TYPE_CHECKING:
    from airkit.runs.sweep_report import Row, SweepReport
    from airkit.sweeps.engines import Engine

DEFAULT_FOLDER = Path("runs/sweep")


def sweep(  # noqa: PLR0913 - options
    settings: Layers,
    *,
    data: Annotated[
        Path | None, option("FILE", "The data file. [default: the sweep's own, or multi-mnist.h5]")
    ] = None,
    out: Annotated[Path, option("DIR", "The sweep's folder.")] = DEFAULT_FOLDER,
    seeds: Annotated[int, option("N", "Number of seeds, counting up from train.seed.")] = 10,
    threshold: Annotated[
        float, option("SHARE", "Least count accuracy of a success, 0 to 1.")
    ] = 0.99,
    workers: Annotated[
        int | None,
        option(
            "N",
            "Trainings at a time. [default: one per GPU, or one per CPU core; on Slurm, all]",
            min=1,
        ),
    ] = None,
    threads: Annotated[
        int | None,
        option(
            "N", "Threads of each training. [default: its share of the cores; on Slurm, 1]", min=1
        ),
    ] = None,
    engine: Annotated[
        Literal["processes", "submitit"],
        option("NAME", "processes (on this machine) or submitit (on Slurm)."),
    ] = "processes",
    job: Annotated[
        list[str],
        option(
            "KEY=VALUE", "A parameter for submitit, such as slurm_partition=gpu. May be repeated."
        ),
    ] = [],  # noqa: B006 - typer copies it
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over and remove the sweep's earlier runs.")
    ] = False,
    table: TableFile = None,
    as_json: AsJson = False,
) -> None:
    """Train and measure with many seeds: how often does it work?

    Each seed is trained as by airkit train and measured as by airkit eval, in a folder of its
    own; several run in parallel. Ctrl-C stops and saves; the same command resumes.
    A seed that fails is reported with the others; the exit code is then 1.
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
    if table is not None:
        report.table().write(table)
    show(report, as_json, _tell)
    _exit(report)


def _engine(name: str, workers: int | None, threads: int | None, job: list[str]) -> Engine:
    from airkit.sweeps.engines import Processes, Submitit  # noqa: PLC0415 - not for --help

    if name == "submitit":
        return Submitit(workers, threads or 1, dict(map(_parameter, job)))
    if job:
        raise AirkitError(
            "--job is for submitit only", got=" ".join(job), hint="add --engine submitit"
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


def _tell(report: SweepReport) -> None:
    if not report.rows:
        return
    typer.echo("seed  count accuracy  95 % interval   one look    ELBO  training")
    for row in report.rows:
        typer.echo(_line(row))
    typer.echo()
    share = f"{report.successes} of {len(report.rows)}"
    worst = f"{100 * report.worst.count_accuracy:.2f} %, of seed {report.worst.seed}"
    tell_rows(
        [
            ("sweep", report.folder),
            ("data", report.data),
            (
                f"seeds at {100 * report.threshold:g} % or more",
                f"{share} (95 % interval of the rate {percent_range(report.success_interval)} %)",
            ),
            ("failed", len(report.failed)),
            ("median", f"{100 * report.median:.2f} %"),
            ("worst", worst),
            ("time", duration(report.seconds)),
        ]
    )


def _line(row: Row) -> str:
    """One seed of the table."""
    if row.measures is None:
        return f"{row.seed:>4}  failed: {row.failure}"
    low, high = (100 * bound for bound in row.measures["count_accuracy_interval"])
    one, elbo = (row.measures[name] for name in ("count_accuracy_one_look", "elbo"))
    bound = "-" if elbo is None else f"{elbo:.1f}"  # None where it is not finite
    return (
        f"{row.seed:>4}  {100 * row.count_accuracy:>12.2f} %  {low:5.2f} to {high:5.2f}  "
        f"{100 * one:>7.2f} %  {bound:>6}  {duration(row.train_seconds or 0):>8}"
    )


def _exit(report: SweepReport) -> None:
    """Print what is left to do, if anything, and exit accordingly."""
    if report.stopped:
        done = f"{len(report.rows)} of {report.seeds} seeds done"
        typer.echo(f"stopped, {done}; the same command, without --fresh, resumes", err=True)
        raise typer.Exit(EXIT_CODE)
    if report.failed:
        raise TrainingError(
            f"{len(report.failed)} of {report.seeds} seeds failed",
            where=report.failed[0].run,
            got=report.failed[0].failure,
            hint="\n            ".join(_advice(report.failed)),
        )


def _advice(failed: Iterable[Row]) -> Iterator[str]:
    """What to try for the seeds that failed; one that diverged would diverge again."""
    diverged = {row.diverged for row in failed}
    if False in diverged:
        others = "the others" if True in diverged else "them"
        yield (
            f"the same command, without --fresh, tries {others} again; remove the folder of a "
            "seed to train it from scratch"
        )
    if True in diverged:
        yield (
            "a seed whose loss is not finite fails again: try a new sweep, with another --out and "
            "--set train.clip_norm=100 or a lower train.learning_rate"
        )
