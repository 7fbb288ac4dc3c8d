"""One seed of ``airkit sweep`` as a process of its own: ``python -m airkit.cli.trial``."""

from __future__ import annotations

import os
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

from airkit.cli import interrupts, muting
from airkit.cli.lines import Lines
from airkit.config.settings import from_assignment
from airkit.errors import AirkitError
from airkit.runs.sweep_folder import Plan
from airkit.runs.trained import override
from airkit.sweeps.trial import run_trial
from airkit.system.signals import EXIT_CODE


def main(folder: str, seed: str, *named: str) -> int:
    """Run one trial; returns 0 when finished, 130 when stopped, 1 with an error's text.

    Args:
        folder: the sweep's folder.
        seed: the trial's seed.
        named: the settings, as ``section.key=value``, with classes from outside that the person
            named for the sweep.
    """
    muting.bear()
    interrupts.handle(interrupts.leave)  # but for what is being trained or written
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
    """Stop kindly when the sweep is gone, however it went: stdin's other end is closed then."""
    os.read(sys.stdin.fileno(), 1)  # unbuffered: a reader waiting in Python breaks its exit
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
