"""``airkit demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import airkit
from airkit.cli.options import Checkpoint, Run
from airkit.cli.progress import listening


def demo(
    run: Run = Path("runs/air"),
    checkpoint: Checkpoint = "best",
    port: Annotated[
        int,
        typer.Option(
            "--port", metavar="N", min=0, max=65535, help="Where to listen; 0: any free port."
        ),
    ] = 8000,
) -> None:
    """Serve a page to draw digits on, that shows what the model sees.

    Only this machine can reach it. Ctrl-C ends it.
    """
    with listening() as listener:
        serving = airkit.demo(run, checkpoint=checkpoint, port=port, listener=listener)
    with serving:
        typer.echo(serving.address)
        serving.wait()
