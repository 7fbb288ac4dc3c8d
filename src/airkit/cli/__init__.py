"""The command line: the only home of typer and rich, and the only place that prints.

Each command reads its options, makes one call into the library and prints what came back.
"""

from __future__ import annotations


def run() -> None:
    """Run the command line that ``sys.argv`` spells, and exit."""
    from airkit.cli.app import app  # noqa: PLC0415 - importing this package stays light

    app(prog_name="airkit")
