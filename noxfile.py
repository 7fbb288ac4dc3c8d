"""The one door to every check: ``nox`` runs them all, ``nox -s NAME`` one of them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import nox

nox.options.default_venv_backend = "virtualenv"
nox.options.sessions = ["lint", "tests", "notebooks", "docs", "build"]
nox.options.error_on_missing_interpreters = True

PROJECT = nox.project.load_toml("pyproject.toml")
CONSTRAINTS = ("--constraint", str(Path("constraints.txt").absolute()))
PARALLEL = ("--numprocesses", "auto", "--dist", "worksteal")

MEASURED = (
    "first_run.py",
    "success.py --source FOLDER",
    "extrapolation.py --source FOLDER",
    "interpolation.py --source FOLDER",
    "supervised.py --data runs/success/default.h5 --sweep runs/success/default",
    "estimators.py --source FOLDER --long-steps 10000 --seeds 0 1 2 --long-seeds 0 1 --jobs 2",
    "gradient_variance.py --data DATA --guide lstm --steps 2000 --draws 50 --seeds 0",
    "batches.py --data DATA",
    "pyro_speed.py --steps 40 --rounds 8 --threads 2",
    "speed.py --source FOLDER",
    "scenes.py",
    "large_pictures.py --source FOLDER --out benchmarks/results/large_pictures.json",
    "streaming.py --canvases 100000 1000000 10000000 --out benchmarks/results/streaming.json",
    "import_memory.py --out benchmarks/results/import_memory.json",
    "generator.py --source FOLDER --canvases 60000 1000000 --out benchmarks/results/generator.json",
)
"""How the benchmarks behind the tables of results are called; those of a GPU are on the page."""


def install(session: nox.Session, *groups: str) -> None:
    """Install airkit and dependency groups, at the versions that were tested."""
    wanted = nox.project.dependency_groups(PROJECT, *groups)
    session.install(*CONSTRAINTS, "--editable", ".", *wanted)


@nox.session
def tests(session: nox.Session) -> None:
    """The default suite: offline, a few minutes on two cores."""
    install(session, "test")
    session.run("pytest", *PARALLEL, *session.posargs)


@nox.session
def slow(session: nox.Session) -> None:
    """Training to quality, and thousands of hostile files."""
    install(session, "test")
    session.run("pytest", "-m", "slow", *PARALLEL, *session.posargs)


@nox.session
def browser(session: nox.Session) -> None:
    """Pages in a real browser: Chromium, which must be on the path or in ``CHROMIUM``."""
    install(session, "test", "browser")
    session.run("pytest", "-m", "browser", *session.posargs)


@nox.session
def notebooks(session: nox.Session) -> None:
    """The notebooks of the docs, executed from top to bottom in a folder of their own."""
    install(session, "test")
    folder = Path(session.create_tmp())
    for notebook in sorted(Path("docs/notebooks").glob("*.ipynb")):
        shutil.copy(notebook, folder)
    session.cd(folder)
    session.run("jupyter", "execute", "--timeout=300", *sorted(map(str, Path().glob("*.ipynb"))))


@nox.session
def crash(session: nox.Session) -> None:
    """Processes killed at random moments: 30, or as many as ``nox -s crash -- --cases N`` says."""
    install(session)
    session.run("python", "tools/crash.py", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, layers of imports, types."""
    install(session, "lint", "test", "browser")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports")
    session.run("mypy")


@nox.session
def results(session: nox.Session) -> None:
    """The tables of results; ``nox -s results -- FOLDER`` measures anew first, for a day."""
    install(session, "test")
    for folder in session.posargs:
        session.install(*CONSTRAINTS, "scipy")
        places = {"FOLDER": folder, "DATA": str(Path(session.create_tmp()) / "multi-mnist.h5")}
        session.run("airkit", "make-data", "--source", folder, "--out", places["DATA"], "--force")
        for command in MEASURED:
            script, *arguments = command.split()
            given = [places.get(word, word) for word in arguments]
            session.run("python", f"benchmarks/{script}", *given)
    session.run("python", "tools/reference.py")


@nox.session
def pictures(session: nox.Session) -> None:
    """The pictures of docs and README: ``nox -s pictures -- --digits FOLDER``."""
    install(session, "test", "browser")
    paths = os.pathsep.join(["tests", "benchmarks"])
    session.run("python", "tools/pictures.py", *session.posargs, env={"PYTHONPATH": paths})


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation, built with warnings as errors."""
    install(session, "docs")
    session.run("zensical", "build", "--clean", "--strict")


@nox.session
def build(session: nox.Session) -> None:
    """The wheel, installed where nothing else is, and a run from end to end with it."""
    dist = Path(session.create_tmp()) / "dist"
    session.install(*CONSTRAINTS, "build")
    session.run("python", "-m", "build", "--wheel", "--outdir", str(dist), silent=True)
    wheel = max(dist.glob("airkit-*.whl"), key=lambda path: path.stat().st_mtime)
    session.install(*CONSTRAINTS, "--force-reinstall", "--no-deps", str(wheel))
    session.install(*CONSTRAINTS, str(wheel))
    session.cd(session.create_tmp())
    session.run("airkit", "--help", silent=True)
    tiny = ("--preset", "tiny", "--source", "strokes", "--out", "tiny.h5", "--force")
    session.run("airkit", "make-data", *tiny)
    session.run("airkit", "train", "--data", "tiny.h5", "--run", "run", "--fresh")
    session.run("airkit", "eval", "--run", "run")
    session.run("airkit", "render", "--run", "run")
    session.run("airkit", "report", "--run", "run")
