"""The command line: the only home of typer and rich, and the only place that prints.

Each command parses its options, makes one call into the library and prints the result.
"""

from __future__ import annotations

from signal import SIG_IGN


def run() -> None:
    """Run the command line on ``sys.argv``, and exit."""
    # Imports are here so that importing this package loads nothing, and signals come first.
    from airkit.cli import process  # noqa: PLC0415

    process.prepare()
    from airkit.cli.app import app  # noqa: PLC0415

    try:
        app(prog_name="airkit")
    except OSError as error:
        process.fail_to_write(error)
    except SystemExit as done:
        process.end_rank(done.code)
        raise
    finally:
        process.handle(SIG_IGN)  # the work is done: a signal comes too late
        process.unmute()
