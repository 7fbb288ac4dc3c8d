"""The command line: the only home of typer and rich, and the only place that prints.

Each command reads its options, makes one call into the library and prints what came back.
"""

from __future__ import annotations

from signal import SIG_IGN


def run() -> None:
    """Run the command line that ``sys.argv`` spells, and exit."""
    # Importing this package stays light; and signals are seen to before anything else loads.
    from airkit.cli import interrupts  # noqa: PLC0415

    interrupts.handle(interrupts.leave)
    try:
        from airkit.cli.app import app  # noqa: PLC0415

        app(prog_name="airkit")
    except OSError as error:
        from airkit.cli.output import tell_unwritten  # noqa: PLC0415

        tell_unwritten(error)
    finally:
        interrupts.handle(SIG_IGN)
