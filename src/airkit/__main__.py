"""``python -m airkit``: the command line without its entry point."""

from airkit.cli import run

run()
