"""The command line: the only home of typer and rich, and the only place that prints.

Each command reads its options, makes one call into the library and prints what came back.
"""

from __future__ import annotations

import sys
from signal import SIG_IGN


def run() -> None:
    """Run the command line that ``sys.argv`` spells, and exit."""
    # Importing this package stays light; and signals are seen to before anything else loads.
    from airkit.cli import interrupts, muting  # noqa: PLC0415

    muting.bear()
    muting.mute()
    interrupts.handle(interrupts.leave)
    sys.unraisablehook = interrupts.lost
    from airkit.cli import app, output  # noqa: PLC0415

    output.write_whole()
    try:
        app.app(prog_name="airkit")
    except OSError as error:
        output.tell_unwritten(error)
    except SystemExit as done:
        muting.end(done.code)
        raise
    finally:
        interrupts.handle(SIG_IGN)  # the work is done: a signal comes too late
        muting.unmute()
