"""``airkit demo``."""

from __future__ import annotations

from typing import Annotated

import typer

import airkit
from airkit.cli.options import DEFAULT_RUN, Checkpoint, Run
from airkit.cli.progress import listening


def demo(
    run: Run = DEFAULT_RUN,
    checkpoint: Checkpoint = "best",
    port: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            max=65535,
            help="Port to listen on; 0: any free one.",
        ),
    ] = 8000,
) -> None:
    """Serve a page to draw digits on, which shows what the model sees.

    Only this machine can reach it. Ctrl-C ends it.
    """
    with listening() as listener:
        serving = airkit.demo(run, checkpoint=checkpoint, port=port, listener=listener)
    with serving:
        typer.echo(serving.address)
        serving.wait()
