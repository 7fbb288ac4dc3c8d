"""``airkit reproduce``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

import airkit
from airkit.cli.options import AsJson, Layers, option
from airkit.cli.output import show, tell_rows
from airkit.cli.progress import listening
from airkit.system.text import duration

if TYPE_CHECKING:
    from airkit.reproduce.paper import Reproduced


def reproduce(  # noqa: PLR0913 - options
    settings: Layers,
    what: Annotated[
        Literal["paper"],
        typer.Argument(
            metavar="paper", help="Eslami et al. 2016, arXiv 1603.08575.", show_default=False
        ),
    ],
    out: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder of data, runs and results.")
    ] = Path("runs/paper"),
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="One seed, fewer canvases and steps; takes minutes.")
    ] = False,
    published: Annotated[
        bool, typer.Option("--published", help="Also train the paper's guide and estimator.")
    ] = False,
    seeds: Annotated[
        int | None, option("N", "Trainings of each model. [default: 3, or 1 with --quick]", min=1)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Repeat a paper's experiments on multi-MNIST, with its figures and a table.

    Ctrl-C stops and saves; the same command resumes.
    """
    del what
    with listening() as listener:
        done = airkit.reproduce_paper(
            out,
            quick=quick,
            published=published,
            seeds=seeds,
            settings=settings,
            listener=listener,
        )
    show(done, as_json, _tell)


def _tell(done: Reproduced) -> None:
    rows = [("figures", path) for path in done.figures] + [("table", path) for path in done.tables]
    tell_rows([*rows, ("time", duration(done.seconds))])
