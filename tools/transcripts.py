"""Output in the docs: ``python tools/transcripts.py`` runs their commands and writes it anew.

Every ``console`` block of the pages below is run, in their order, with built-in digits and no
network: those of the tutorial in one empty folder, the others in another. A block's lines after
``$`` are commands, the others output. Progress, which a terminal shows as a bar that vanishes, is
left out, but where a command asks for it with ``2>&1``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = (
    *("make-data", "train", "eval", "infer", "render", "report", "demo"),
    *("sweep", "info", "export", "config"),
)
PAGES = [*(f"commands/{name}.md" for name in COMMANDS), "configuration.md", "run-folder.md"]
FOLDERS = [PAGES, ["tutorial.md"]]
"""Pages that share a folder."""
HOME = "/home/you/digits"
"""What the pages call the folder."""

SURROUNDINGS = {"AIRKIT_OFFLINE": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "80"}

_BLOCK = re.compile(r"(?<=```console\n)(.*?)(?=```)", re.DOTALL)
_PROGRESS = re.compile(r"^[a-z ]+: [\d,]+ of [\d,]+\n", re.MULTILINE)
_STEPS = re.compile(r"^step [\d,]+ of [\d,]+: .*\n", re.MULTILINE)


def replayed(text: str, folder: Path) -> str:
    """A page's text with the output of its commands, run in ``folder``."""
    return _BLOCK.sub(lambda block: _run(block[1], folder), text)


def _run(block: str, folder: Path) -> str:
    commands = [line[2:] for line in block.splitlines() if line.startswith("$ ")]
    return "\n".join(f"$ {command}\n{_output(command, folder)}" for command in commands)


def _output(command: str, folder: Path) -> str:
    """What a command says on stdout and stderr."""
    found = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env={**os.environ, **SURROUNDINGS, "AIRKIT_CACHE": str(folder / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    told = found.stdout if "2>&1" in command else _STEPS.sub("", found.stdout)
    return _PROGRESS.sub("", told).replace(str(folder), HOME)


def main() -> None:
    """Run the pages' commands and write what they say."""
    for pages in FOLDERS:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "docs").symlink_to(ROOT / "docs")  # as in a clone
            for name in pages:
                _write(ROOT / "docs" / name, Path(folder))


def _write(page: Path, folder: Path) -> None:
    text = replayed(page.read_text(encoding="utf-8"), folder)
    page.write_text(text, encoding="utf-8")
    sys.stdout.write(f"written: {page.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
