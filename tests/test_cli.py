"""The command line: its surface, the order of its settings, its messages."""

from __future__ import annotations

import json
import os
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

SETTINGS = ["--preset", "--config", "--set"]
SURFACE = {
    "": ["--version"],
    "make-data": [
        "--out --force --workers --json --max-digits --min-digits --canvas-size --digit-size",
        "--source --train --val --test --seed",
        *SETTINGS,
        "--quiet -q",
    ],
    "train": ["--data --run --fresh --json --steps --seed --device", *SETTINGS, "--quiet -q"],
    "eval": [
        "--run --data --checkpoint --against --json --split --looks --counts --device",
        *SETTINGS[1:],
        "--quiet -q",
    ],
    "sweep": [
        "--data --out --seeds --threshold --workers --threads --engine --job --fresh --json",
        "--steps --looks --device",
        *SETTINGS,
        "--quiet -q",
    ],
    "infer": [
        "IMAGES --run --checkpoint --overlay --invert --slots --looks --device",
        *SETTINGS[1:],
        "--quiet -q",
    ],
    "render": [
        "--run --out --data --checkpoint --json --kind --device",
        *SETTINGS[1:],
        "--quiet -q",
    ],
    "report": [
        "--run --out --data --checkpoint --json --split --looks --device",
        *SETTINGS[1:],
        "--quiet -q",
    ],
    "demo": ["--run --checkpoint --port"],
    "info": ["PATH --verify --json --quiet -q"],
    "completion": ["SHELL"],
    "export": ["PATH --out --split --checkpoint --force --json --quiet -q"],
    "config": [],
    "config show": SETTINGS,
    "config schema": [],
    "config presets": [],
    "config check": ["FILE"],
}


def test_the_options_of_every_command() -> None:
    surface = {
        name: [option for param in command.params for option in (param.opts or [param.metavar])]
        for name, command in commands().items()
    }
    surface["completion"][0] = "SHELL"
    surface["infer"][0] = "IMAGES"
    surface["info"][0] = surface["export"][0] = "PATH"
    surface["config check"][0] = "FILE"
    assert surface == {name: " ".join(told).split() for name, told in SURFACE.items()}


@pytest.mark.parametrize("command", SURFACE)
def test_every_command_and_option_has_help(command: str) -> None:
    result = run(*command.split(), "--help")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert result.stdout.startswith(f"Usage: airkit {command}".rstrip())
    assert all(line == line.rstrip() for line in result.stdout.splitlines())
    for option in commands()[command].params:
        assert option.help or option.opts[0].removeprefix("--") in str(FLAGS[command])


@pytest.mark.parametrize("command", FLAGS)
def test_flags_are_fields_and_their_help_is_the_fields_prose(command: str) -> None:
    told = " ".join(run(*command.split(), "--help").stdout.split())
    for flag, (key, metavar) in FLAGS[command].items():
        field = settings.fields()[key]
        prose = " ".join(str(field.description).split())
        assert f"{flag} {metavar} {prose} [{key}, default {field.default}]" in told


def test_a_flag_is_named_after_its_field() -> None:
    sections = {"make-data": {"data"}, "train": {"train"}, "eval": {"eval", "train"}}
    sections["sweep"] = sections["report"] = {"eval", "train"}
    sections["infer"] = {"model", "eval", "train"}
    for command, flags in FLAGS.items():
        for flag, (key, _) in flags.items():
            section, _, name = key.partition(".")
            assert flag == "--" + name.replace("_", "-")
            assert section in sections.get(command, {"render", "train"})


def test_airkit_alone_shows_the_four_steps() -> None:
    result = run()
    lines = result.stdout.splitlines()
    assert (result.exit_code, result.stderr) == (0, "")
    examples = [line.partition("   ")[0].split() for line in map(str.strip, lines)]
    examples = [words[1:] for words in examples if words[:1] == ["airkit"]]
    assert [words[0] for words in examples] == ["make-data", "train", "eval", "render"]
    for name, *options in examples:
        command = commands()[name]
        command.make_context(name, options, parent=command.context_class(commands()[""]))
    assert lines[-1] == "All commands and options: airkit --help"
    assert max(map(len, lines)) <= 80


def test_a_group_alone_shows_its_help() -> None:
    assert run("config").stdout == run("config", "--help").stdout


def test_version() -> None:
    assert run("--version").stdout == f"airkit {airkit.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["trian"], "Error: No such command 'trian'. Did you mean 'train'?"),
        (["train", "--bogus", "5"], "Error: No such option: --bogus"),
        (["train", "--steps"], "Error: Option '--steps' requires an argument."),
        (["train", "more"], "Error: Got unexpected extra argument(s) (more)"),
        (["info"], "Error: Missing argument 'PATH'."),
    ],
)
def test_usage_errors_exit_with_2(arguments: list[str], told: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.splitlines()[-1] == told


@pytest.fixture(name="made")
def _made(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """What configurations ``make-data`` asked the library for."""
    asked: list[Config] = []

    def make_data(*_: object, settings: Any, **__: object) -> None:
        asked.append(airkit.settings.resolve(*settings))
        raise KeyboardInterrupt

    monkeypatch.setitem(airkit.__dict__, "make_data", make_data)
    return asked


@pytest.mark.parametrize(
    ("arguments", "digits"),
    [
        ("", 2),
        ("--preset many-digits", 5),
        ("--config {file}", 7),
        ("--preset many-digits --config {file}", 7),
        ("--config {file} --preset many-digits", 7),
        ("--max-digits 3 --config {file} --preset many-digits", 3),
        ("--set data.max_digits=4 --max-digits 3", 3),
        ("--max-digits 3 --set data.max_digits=4", 4),
        ("--set data.max_digits=4 --max-digits 3 --set data.max_digits=6", 6),
        ("--max-digits 3 --set data.max_digits=4 --max-digits=1", 1),
        ("--set=data.max_digits=4 --set train.steps=5 --max-digits 3", 3),
        ("--config {file} --config {other}", 8),
        ("--preset many-digits --preset default", 2),
    ],
)
def test_the_last_setting_wins(home: Path, made: list[Config], arguments: str, digits: int) -> None:
    (home / "a.toml").write_text("[data]\nmax_digits = 7\n")
    (home / "b.toml").write_text("[data]\nmax_digits = 8\n")
    result = run("make-data", *arguments.format(file="a.toml", other="b.toml").split())
    assert result.exit_code == 130
    assert [config.data.max_digits for config in made] == [digits]


def test_every_problem_is_told_with_its_flag(home: Path) -> None:
    (home / "my.toml").write_text("[train]\nstepz = 5\n")
    told = fails("make-data", "--max-digits", "x", "--set", "train.steps=0", "--config", "my.toml")
    assert told == (
        "airkit: 3 problems in the configuration\n"
        "  data.max_digits (--max-digits): expected a whole number of at least 0 and at most 100, "
        "got 'x' (str)\n"
        "  train.steps (--set): expected a whole number of at least 1 and at most 1000000000, "
        "got 0 (int)\n"
        "  train.stepz (my.toml): unknown key; did you mean train.steps?\n"
        "  try       airkit config show, which prints every setting and its value\n"
    )
    assert list(home.iterdir()) == [home / "my.toml"]


def test_config_show_starts_a_file(home: Path) -> None:
    shown = run("config", "show", "--preset", "tiny", "--set", "train.steps=7").stdout
    (home / "airkit.config.toml").write_text(shown)
    assert run("config", "check", "airkit.config.toml").stdout == "airkit.config.toml is right\n"
    assert run("config", "show", "--config", "airkit.config.toml").stdout == shown
    config = settings.resolve(settings.from_file(home / "airkit.config.toml"))
    assert (config.data.canvas_size, config.train.steps) == (32, 7)


def test_config_check_tells_every_problem(home: Path) -> None:
    (home / "my.toml").write_text("[data]\nseed = 1.5\n[trian]\nsteps = 5\n")
    assert fails("config", "check", "my.toml") == (
        "airkit: 2 problems in the configuration\n"
        "  data.seed (my.toml): expected a whole number of at least 0 and below "
        "9223372036854775808, got 1.5 (float)\n"
        "  trian (my.toml): unknown section; did you mean train?\n"
        "  try       airkit config show, which prints every setting and its value\n"
    )


def test_config_schema_is_json() -> None:
    assert json.loads(run("config", "schema").stdout) == settings.json_schema()


def test_config_presets_are_listed() -> None:
    told = run("config", "presets").stdout
    for name, purpose in settings.presets().items():
        assert f"{name:<13}  {purpose}\n" in told


def test_a_bug_shows_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def describe(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setitem(airkit.__dict__, "describe", describe)
    assert isinstance(run("info", "x").exception, ZeroDivisionError)


def test_a_reader_that_leaves_early_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "airkit", "config", "schema"],
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write)
    assert done.stderr == b""
