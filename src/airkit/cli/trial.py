"""One seed of ``airkit sweep`` as a process of its own: ``python -m airkit.cli.trial``."""

from __future__ import annotations

import os
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

from airkit.cli import process
from airkit.cli.progress import Lines
from airkit.config.settings import from_assignment
from airkit.errors import AirkitError
from airkit.runs.sweep_folder import Plan
from airkit.runs.trained import override
from airkit.sweeps.trial import run_trial
from airkit.system.signals import EXIT_CODE


def main(folder: str, seed: str, *named: str) -> int:
    """Run one trial; return 0 when it finished, 130 when it was stopped, 1 after an error.

    Args:
        folder: the sweep's folder.
        seed: the trial's seed.
        named: the settings, as ``section.key=value``, with classes from outside that the person
            named for the sweep.
    """
    process.prepare()
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    try:
        plan = Plan.read(Path(folder))
        config = override(plan.config, folder, map(from_assignment, named))
        finished = run_trial(replace(plan, config=config).trial(int(seed)), Lines())
    except AirkitError as error:
        print(f"airkit: {error}", file=sys.stderr)  # noqa: T201 - the sweep reads it there
        return 1
    return 0 if finished else EXIT_CODE


def _stop_with_parent() -> None:
    """Send SIGTERM to this process when the sweep has ended: it held the other end of stdin."""
    os.read(sys.stdin.fileno(), 1)  # a thread in a buffered read would block Python's exit
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
