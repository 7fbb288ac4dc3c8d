"""``airkit render``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import airkit
from airkit.cli.options import AsJson, Checkpoint, Data, Given, Run, configured
from airkit.cli.output import tell_report
from airkit.cli.progress import listening


@configured("render", preset=False)
def render(
    given: Given,
    run: Run = Path("runs/air"),
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

    Settings are laid over those of the run.
    """
    with listening() as listener:
        picture = airkit.render(
            run,
            out=out,
            data=data,
            checkpoint=checkpoint,
            settings=given.layers(),
            listener=listener,
        )
    if as_json:
        tell_report(picture)
    else:
        typer.echo(picture.path)
