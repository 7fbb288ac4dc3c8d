"""``airkit completion``: scripts with which shells complete commands and options."""

from __future__ import annotations

from typing import Annotated, Literal

import typer
from typer import completion as shells

VARIABLE = "_AIRKIT_COMPLETE"
"""The environment variable in which a shell's script asks for completions."""


def answer() -> None:
    """Have the program answer such scripts, as typer does for its own completion options."""
    shells.get_completion_inspect_parameters()


def completion(
    shell: Annotated[
        Literal["bash", "zsh", "fish"],
        typer.Argument(metavar="bash|zsh|fish", help="The shell.", show_default=False),
    ],
) -> None:
    """Print a script that completes commands and options in a shell.

    For one session of bash: source <(airkit completion bash)
    """
    script = shells.get_completion_script(  # type: ignore[attr-defined]
        prog_name="airkit", complete_var=VARIABLE, shell=shell
    )
    typer.echo(script)
