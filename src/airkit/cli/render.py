"""``airkit render``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import airkit
from airkit.cli.options import DEFAULT_RUN, AsJson, Checkpoint, Data, Run
from airkit.cli.output import show
from airkit.cli.progress import listening

if TYPE_CHECKING:
    from airkit.config.settings import Layer


def render(
    settings: list[Layer],
    run: Run = DEFAULT_RUN,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="The PNG to write. [default: figures/ in the run folder]"
        ),
    ] = None,
    data: Data = None,
    checkpoint: Checkpoint = "best",
    *,
    as_json: AsJson = False,
) -> None:
    """Draw what the model saw, as a PNG.

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
