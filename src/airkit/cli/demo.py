"""``airkit demo``."""

from __future__ import annotations

from typing import Annotated

import typer

import airkit
from airkit.cli.options import DEFAULT_RUN, Checkpoint, Layers, Run, option
from airkit.cli.progress import listening


def demo(
    settings: Layers,
    run: Run = DEFAULT_RUN,
    checkpoint: Checkpoint = "best",
    port: Annotated[
        int, option("N", "Port to listen on; 0 takes any free one.", min=0, max=65535)
    ] = 8000,
) -> None:
    """Serve a page on which you draw digits and see what the model sees.

    Only this machine can reach it. Ctrl-C ends it. Settings override those of the run.
    """
    with listening() as listener:
        serving = airkit.demo(
            run, checkpoint=checkpoint, port=port, settings=settings, listener=listener
        )
    with serving:
        typer.echo(serving.address)
        serving.wait()
