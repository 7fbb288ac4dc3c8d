"""The command line: its options, the order of its settings, its messages and exit codes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import commands, fails, run

import airkit
from airkit.cli.options import FLAGS
from airkit.config import settings
from airkit.config.schema import Config
from airkit.system.callbacks import Listener

SETTINGS = "--config --set"
QUIET = "--quiet -q"
SURFACE = {
    "": "--version",
    "make-data": "--out --force --workers --json --max-digits --min-digits --canvas-size "
    f"--digit-size --source --train --val --test --seed --preset {SETTINGS} {QUIET}",
    "import": "PATH --val --test --out --most-objects --object-size --counts --tile --pad --crop "
    "--scale --levels --channel --color --behind --skip-bad "
    f"--force --json --seed --preset {SETTINGS} {QUIET}",
    "train": f"--data --run --fresh --json --steps --seed --device --preset {SETTINGS} {QUIET}",
    "eval": "--run --data --checkpoint --against --table --json --split --looks --counts --device "
    f"{SETTINGS} {QUIET}",
    "sweep": "--data --out --seeds --threshold --workers --threads --engine --job --fresh --table "
    "--json "
    f"--steps --looks --device --preset {SETTINGS} {QUIET}",
    "reproduce": "paper DIR --quick --published --seeds --json --source --steps --device "
    f"{SETTINGS} {QUIET}",
    "score": "--predictions --data --against --least-score --table --json --split --looks --device "
    f"{SETTINGS} {QUIET}",
    "infer": "IMAGES... --run --checkpoint --overlay --csv --objects --labels --rois --shapes "
    "--tile --exclude-edges --skip-bad --sub-folders --invert --slots --looks --device "
    f"{SETTINGS} {QUIET}",
    "predict": "RUN IMAGES... --run --data --out --samples --rows --checkpoint --skip-bad "
    f"--sub-folders --invert --json --split --slots --looks --device {SETTINGS} {QUIET}",
    "render": f"--run --out --data --checkpoint --json --kind --format --width "
    f"--dpi --device {SETTINGS} {QUIET}",
    "report": f"--run --out --data --checkpoint --json --split --looks --device {SETTINGS} {QUIET}",
    "demo": f"--run --checkpoint --port {SETTINGS}",
    "info": f"PATH --verify --json {QUIET}",
    "completion": "bash|zsh|fish",
    "export": f"PATH --out --split --checkpoint --measures --licence --force --json {QUIET}",
    "config": "",
    "config show": f"--preset {SETTINGS}",
    "config schema": "",
    "config presets": "",
    "config check": "FILE",
}


def test_the_options_of_every_command() -> None:
    surface = {
        name: [
            option
            for each in command.params
            for option in (each.opts if each.param_type_name == "option" else [each.metavar])
        ]
        for name, command in commands().items()
    }
    assert surface == {name: options.split() for name, options in SURFACE.items()}


@pytest.mark.parametrize("command", SURFACE)
def test_every_command_and_option_has_help(command: str) -> None:
    result = run(*command.split(), "--help")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith(f"Usage: airkit {command}".rstrip())
    flags = FLAGS.get(command, {})
    assert all(each.help or each.opts[0] in flags for each in commands()[command].params)
    told = " ".join(result.stdout.split())
    for flag, (key, metavar) in flags.items():
        field = settings.fields()[key]
        assert flag == "--" + key.partition(".")[2].replace("_", "-")
        prose = " ".join(str(field.description).split())
        assert f"{flag} {metavar} {prose} [{key}, default {field.default}]" in told


def test_airkit_alone_shows_the_four_steps() -> None:
    result = run()
    lines = result.stdout.splitlines()
    assert (result.exit_code, result.stderr) == (0, "")
    examples = [line.partition("  ")[0].split() for line in map(str.strip, lines)]
    examples = [words[1:] for words in examples if words[:1] == ["airkit"]]
    assert [words[0] for words in examples] == ["make-data", "train", "eval", "render"]
    for name, *options in examples:
        command = commands()[name]
        command.make_context(name, options, parent=command.context_class(commands()[""]))
    assert max(map(len, lines)) <= 80


def test_help_has_whole_summaries() -> None:
    told = " ".join(run("--help").stdout.split())
    assert "..." not in told.partition("Commands:")[2]
    for name, command in commands().items():
        if name and " " not in name:
            assert f" {name} {' '.join(command.help.partition(chr(10) * 2)[0].split())}" in told


def test_a_group_alone_shows_its_help() -> None:
    assert run("config").stdout == run("config", "--help").stdout


def test_version() -> None:
    assert run("--version").stdout == f"airkit {airkit.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "told", "hint"),
    [
        ("trian", "No such command 'trian'\n", "'train'; airkit --help"),
        ("config shw", "No such command 'shw'\n", "'show'; airkit config --help"),
        ("--bogus", "No such option: --bogus\n", "airkit --help"),
        ("train --bogus 5", "No such option: --bogus\n", "airkit train --help"),
        ("train --stesp 5", "No such option: --stesp\n", "--steps"),
        ("train --steps", "Option '--steps' requires an argument\n", "airkit train --help"),
        ("train more", "Got unexpected extra argument(s) (more)\n", "airkit train --help"),
        ("train more.h5", "Got unexpected extra argument(s) (more.h5)\n", "--data more.h5;"),
        ("eval .", "Got unexpected extra argument(s) (.)\n", "--run .; airkit eval --help"),
        ("render .", "Got unexpected extra argument(s) (.)\n", "--run .;"),
        ("train own.toml", "Got unexpected extra argument(s) (own.toml)\n", "--config own.toml;"),
        ("import . c.csv", "Got unexpected extra argument(s) (c.csv)\n", "--counts c.csv;"),
        ("import . a b c d", "Got unexpected extra argument(s) (a, b, c, ...)\n", "airkit import"),
        ("make-data .", "Got unexpected extra argument(s) (.)\n", "airkit make-data --help"),
        ("info", "Missing argument 'PATH'\n", "airkit info --help"),
        ("sweep --engine cloud", "Invalid value for '--engine'", "airkit sweep --help"),
        (
            "completion tcsh",
            "Invalid value for 'bash|zsh|fish': 'tcsh' is not one of",
            "airkit completion --help",
        ),
    ],
)
def test_usage_errors_have_the_form_of_all_errors_and_exit_with_2(
    arguments: str, told: str, hint: str
) -> None:
    result = run(*arguments.split())
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"airkit: {told}")
    assert result.stderr.splitlines()[-1].startswith(f"  try       {hint}")


@pytest.mark.parametrize("command", ["import", "train"])
def test_the_folder_is_named_in_place_of_many_pictures(command: str, tmp_path: Path) -> None:
    """As a shell writes *.png."""
    pictures = [tmp_path / f"{name}.png" for name in "ab"]
    for path in pictures:
        path.touch()
    result = run(command, *pictures)
    assert result.exit_code == 2
    assert f" {tmp_path}" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("train --lr 1e-3", "--set train.learning_rate="),
        ("train --lr=1e-3", "--set train.learning_rate="),
        ("train --learning-rate 1", "--set train.learning_rate="),
        ("train --batch-size 32", "--set train.batch_size="),
        ("train --batch_size=32", "--set train.batch_size="),
        ("eval --batch-size 32", "--set eval.batch_size="),
        ("train --epochs 3", "--steps"),
        ("train --gpu", "--device cuda"),
        ("train --num-workers 4", "OMP_NUM_THREADS"),
        ("sweep --iterations 40", "--steps"),
        ("make-data --image-size 50", "--canvas-size"),
        ("infer a.png --gpu 0", "--device"),
    ],
)
def test_an_option_of_another_program_is_translated(arguments: str, told: str) -> None:
    result = run(*arguments.split())
    assert (result.exit_code, result.stdout) == (2, "")
    first, *_, last = result.stderr.splitlines()
    assert first.startswith("airkit: No such option: --")
    assert last.startswith(f"  try       {told}")


@pytest.fixture(name="made")
def _made(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """The configurations that ``make-data`` hands to the library, which is interrupted there."""
    given: list[Config] = []

    def make_data(*_: object, settings: Any, **__: object) -> None:
        given.append(airkit.settings.resolve(*settings))
        raise KeyboardInterrupt

    monkeypatch.setitem(airkit.__dict__, "make_data", make_data)
    return given


@pytest.mark.parametrize(
    ("arguments", "digits"),
    [
        ("", 2),
        ("--preset many-digits", 5),
        ("--config a.toml", 7),
        ("--preset many-digits --config a.toml", 7),
        ("--config a.toml --preset many-digits", 7),
        ("--max-digits 3 --config a.toml --preset many-digits", 3),
        ("--set data.max_digits=4 --max-digits 3", 3),
        ("--max-digits 3 --set data.max_digits=4", 4),
        ("--set data.max_digits=4 --max-digits 3 --set data.max_digits=6", 6),
        ("--max-digits 3 --set data.max_digits=4 --max-digits=1", 1),
        ("--set=data.max_digits=4 --set train.steps=5 --max-digits 3", 3),
        ("--config a.toml --config b.toml", 8),
        ("--preset many-digits --preset default", 2),
    ],
)
def test_the_last_setting_wins(home: Path, made: list[Config], arguments: str, digits: int) -> None:
    (home / "a.toml").write_text("[data]\nmax_digits = 7\n")
    (home / "b.toml").write_text("[data]\nmax_digits = 8\n")
    result = run("make-data", *arguments.split())
    assert (result.exit_code, result.stderr) == (130, "airkit: interrupted\n")
    assert [config.data.max_digits for config in made] == [digits]


def test_every_problem_is_told_with_its_flag(home: Path) -> None:
    (home / "my.toml").write_text("[train]\nstepz = 5\n")
    told = fails("make-data", "--max-digits", "x", "--set", "train.steps=0", "--config", "my.toml")
    assert told.startswith("airkit: 3 problems in the configuration\n")
    for problem in (
        "data.max_digits (--max-digits): expected a whole number",
        "train.steps (--set): expected a whole number of at least 1 and at most 1000000000, got 0",
        "train.stepz (my.toml): unknown key; did you mean train.steps?\n",
    ):
        assert f"\n  {problem}" in told
    assert list(home.iterdir()) == [home / "my.toml"]


def test_config_show_starts_a_file_that_config_check_finds_right(home: Path) -> None:
    shown = run("config", "show", "--preset", "tiny", "--set", "train.steps=7").stdout
    (home / "airkit.toml").write_text(shown)
    assert run("config", "check", "airkit.toml").stdout == "airkit.toml is valid\n"
    assert run("config", "show", "--config", "airkit.toml").stdout == shown
    config = settings.resolve(settings.from_file(home / "airkit.toml"))
    assert (config.data.canvas_size, config.train.steps) == (32, 7)
    (home / "airkit.toml").write_text("[data]\nseed = 1.5\n[trian]\nsteps = 5\n")
    assert "2 problems in the configuration" in fails("config", "check", "airkit.toml")


def test_config_schema_and_presets() -> None:
    assert json.loads(run("config", "schema").stdout) == settings.json_schema()
    told = run("config", "presets").stdout
    for name, purpose in settings.presets().items():
        assert re.search(rf"^{name} +{re.escape(purpose)}$", told, re.MULTILINE)


@pytest.mark.parametrize("quiet", [[], ["--quiet"]])
def test_a_bug_shows_its_traceback(monkeypatch: pytest.MonkeyPatch, quiet: list[str]) -> None:
    def describe(*_: object, listener: Listener, **__: object) -> None:
        listener.note("a note")
        raise ZeroDivisionError

    monkeypatch.setitem(airkit.__dict__, "describe", describe)
    result = run("info", "x", *quiet)
    assert isinstance(result.exception, ZeroDivisionError)
    assert result.stderr == ("" if quiet else "a note\n")


def test_a_reader_that_leaves_early_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "airkit", "config", "schema"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert done.stderr == b""
