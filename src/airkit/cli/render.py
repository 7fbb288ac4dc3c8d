"""``airkit render``."""

from __future__ import annotations

from typing import Annotated

import typer

import airkit
from airkit.cli.options import DEFAULT_RUN, AsJson, Checkpoint, Data, Layers, Run, option
from airkit.cli.output import show
from airkit.cli.progress import listening


def render(
    settings: Layers,
    run: Run = DEFAULT_RUN,
    out: Annotated[
        str | None,
        option("FILE", "The PNG, SVG or PDF to write. [default: figures/ in the run folder]"),
    ] = None,
    data: Data = None,
    checkpoint: Checkpoint = "best",
    *,
    as_json: AsJson = False,
) -> None:
    """Draw what the model saw, as a PNG, or as an SVG or PDF for print.

    Settings override those of the run.
    """
    with listening() as listener:
        picture = airkit.render(
            run,
            out=out,
            data=data,
            checkpoint=checkpoint,
            settings=settings,
            listener=listener,
        )
    show(picture, as_json, lambda picture: typer.echo(picture.path))
