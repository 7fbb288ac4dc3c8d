"""The command line: its surface, its order, its messages, and the whole way on a tiny model."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.main import get_command
from typer.testing import CliRunner, Result

import airkit
from airkit import settings
from airkit.cli.app import app
from airkit.cli.bars import Bars
from airkit.cli.lines import Lines
from airkit.cli.options import FLAGS
from airkit.cli.output import duration, size, tell_json
from airkit.cli.progress import listening
from airkit.config import Config

TINY = ["--preset", "tiny", "--source", "strokes", "--train", "40", "--val", "8", "--test", "12"]
SETTINGS = ["--preset", "--config", "--set"]
SURFACE = {
    "": ["--version"],
    "make-data": [
        "--out --force --max-digits --min-digits --canvas-size --digit-size --source",
        "--train --val --test --seed",
        *SETTINGS,
    ],
    "train": ["--data --run --fresh --steps --seed --device", *SETTINGS],
    "eval": [
        "--run --data --checkpoint --json --split --looks --counts --device",
        *SETTINGS[1:],
    ],
    "render": ["--run --out --data --checkpoint --kind --device", *SETTINGS[1:]],
    "info": ["PATH --verify --json"],
    "config": [],
    "config show": SETTINGS,
    "config schema": [],
    "config presets": [],
    "config check": ["FILE"],
}


def run(*arguments: object) -> Result:
    """Run a command in this process, piped."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="airkit")


def fails(*arguments: object) -> str:
    """The message of a command that fails with exit code 1 and says nothing on stdout."""
    result = run(*arguments)
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit), "a traceback is for bugs"
    assert result.stdout == ""
    return result.stderr


def _commands() -> dict[str, Any]:
    """Every command by the words that call it."""
    root: Any = get_command(app)
    found = {"": root}
    for name, command in root.commands.items():
        found[name] = command
        found |= {f"{name} {inner}": it for inner, it in getattr(command, "commands", {}).items()}
    return found


def test_the_options_of_every_command() -> None:
    surface = {
        name: [option for param in command.params for option in (param.opts or [param.metavar])]
        for name, command in _commands().items()
    }
    surface["info"][0], surface["config check"][0] = "PATH", "FILE"
    assert surface == {name: " ".join(told).split() for name, told in SURFACE.items()}


@pytest.mark.parametrize("command", SURFACE)
def test_every_command_and_option_has_help(command: str) -> None:
    result = run(*command.split(), "--help")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert result.stdout.startswith(f"Usage: airkit {command}".rstrip())
    assert all(line == line.rstrip() for line in result.stdout.splitlines())
    for option in _commands()[command].params:
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
    for command, flags in FLAGS.items():
        for flag, (key, _) in flags.items():
            section, _, name = key.partition(".")
            assert flag == "--" + name.replace("_", "-")
            assert section in sections.get(command, {"render", "train"})


def test_airkit_alone_shows_its_help() -> None:
    assert run().stdout == run("--help").stdout
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


# --- settings on the command line


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
    )
    assert list(home.iterdir()) == [home / "my.toml"]


def test_config_show_starts_a_file(home: Path) -> None:
    shown = run("config", "show", "--preset", "tiny", "--set", "train.steps=7").stdout
    (home / "airkit.toml").write_text(shown)
    assert run("config", "check", "airkit.toml").stdout == "airkit.toml is right\n"
    assert run("config", "show", "--config", "airkit.toml").stdout == shown
    config = settings.resolve(settings.from_file(home / "airkit.toml"))
    assert (config.data.canvas_size, config.train.steps) == (32, 7)


def test_config_check_tells_every_problem(home: Path) -> None:
    (home / "my.toml").write_text("[data]\nseed = 1.5\n[trian]\nsteps = 5\n")
    assert fails("config", "check", "my.toml") == (
        "airkit: 2 problems in the configuration\n"
        "  data.seed (my.toml): expected a whole number of at least 0 and below "
        "9223372036854775808, got 1.5 (float)\n"
        "  trian (my.toml): unknown section; did you mean train?\n"
    )


def test_config_schema_is_json() -> None:
    assert json.loads(run("config", "schema").stdout) == settings.json_schema()


def test_config_presets_are_listed() -> None:
    told = run("config", "presets").stdout
    for name, purpose in settings.presets().items():
        assert f"{name:<12}  {purpose}\n" in told


# --- the whole way, on a tiny model


@pytest.fixture(scope="module", name="work")
def _work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data file and a trained run, made by the commands themselves."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        made = run("make-data", *TINY)
        assert made.exit_code == 0, made.output
        trained = run("train", "--steps", "4", "--set", "train.log_every=2")
        assert trained.exit_code == 0, trained.output
        (folder / "made.out").write_text(made.stdout)
        (folder / "made.err").write_text(made.stderr)
        (folder / "trained.out").write_text(trained.stdout)
        (folder / "trained.err").write_text(trained.stderr)
    return folder


@pytest.fixture(name="trained")
def _trained(work: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(work)
    return work


def _labels(text: str) -> list[str]:
    return [line.split("  ")[0] for line in text.splitlines()]


def test_make_data_tells_what_it_made(work: Path) -> None:
    told = (work / "made.out").read_text()
    assert _labels(told) == ["file", "canvases", "digits", "digest", "time"]
    assert "canvases  40 train, 8 val, 12 test\ndigits    strokes\n" in told
    assert (work / "made.err").read_text().splitlines()[-3:] == [
        "train canvases: 40 of 40",
        "val canvases: 8 of 8",
        "test canvases: 12 of 12",
    ]


def test_train_tells_a_line_a_row(work: Path) -> None:
    assert _labels((work / "trained.out").read_text()) == [
        "run",
        "steps",
        "time",
        "best validation",
    ]
    rows = [line.split(":")[0] for line in (work / "trained.err").read_text().splitlines()]
    assert rows == ["step 2 of 4", "step 4 of 4", "step 4 of 4"]


def test_a_trained_run_says_how_to_go_on(trained: Path) -> None:
    del trained
    result = run("train")
    assert result.exit_code == 0
    assert result.stdout == (
        "runs/air is trained already, for 4 steps\n"
        "airkit train --steps N goes on to N steps; --fresh starts anew\n"
    )


def test_eval_for_people_and_for_programs(trained: Path) -> None:
    del trained
    result = run("eval", "--json", "--looks", "2")
    measures = json.loads(result.stdout)
    assert measures["canvases"] == 12
    assert measures["looks"] == 2
    assert measures["count_accuracy_interval"][0] <= measures["count_accuracy"]
    told = run("eval", "--looks", "2", "--split", "val").stdout
    assert _labels(told)[2:4] == ["count accuracy, 2 looks", "count accuracy, one look"]
    assert told.count("95 % interval") == 2
    assert "8 of val in " in told


def test_render_prints_the_path(trained: Path) -> None:
    result = run("render", "--kind", "data", "--out", "sheet.png")
    assert result.stdout == "sheet.png\n", result.output
    assert (trained / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_info_knows_files_by_their_content(trained: Path) -> None:
    checkpoint = sorted((trained / "runs/air/checkpoints").iterdir())[-1]
    kinds = {"multi-mnist.h5": "data file", checkpoint: "checkpoint", "runs/air": "run folder"}
    for path, kind in kinds.items():
        told = json.loads(run("info", path, "--json").stdout)
        assert told["kind"] == kind
        assert told["config"]["data"]["canvas_size"] == 32
        assert f"{kind} " in run("info", path).stdout
        assert "  data.canvas_size" in run("info", path).stdout


def test_info_verifies_a_data_file(trained: Path) -> None:
    del trained
    assert json.loads(run("info", "multi-mnist.h5", "--json", "--verify").stdout)["verified"]


def test_info_on_what_is_not_airkits(home: Path) -> None:
    (home / "notes.txt").write_text("hello")
    assert fails("info", "notes.txt") == (
        "airkit: This is none of airkit's files\n"
        "  where     notes.txt\n"
        "  expected  a data file, a checkpoint or a run folder\n"
        "  got       a file that begins with b'hell'\n"
    )
    assert fails("info", "nothing.h5") == (
        "airkit: Cannot read this\n"
        "  where     nothing.h5\n"
        "  expected  a data file, a checkpoint or a run folder\n"
        "  got       No such file or directory\n"
    )


def test_make_data_spares_a_file_that_is_there(trained: Path) -> None:
    before = (trained / "multi-mnist.h5").read_bytes()
    assert fails("make-data", *TINY) == (
        "airkit: There is a data file already\n"
        "  where     multi-mnist.h5\n"
        "  try       --force to replace it, or another --out\n"
    )
    assert (trained / "multi-mnist.h5").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["train"],
            "airkit: There is no such data file\n"
            "  where     multi-mnist.h5\n"
            "  try       airkit make-data --out multi-mnist.h5\n",
        ),
        (
            ["eval"],
            "airkit: There is no trained run here\n"
            "  where     runs/air\n"
            "  expected  a folder with checkpoints/step-*.pt\n"
            "  try       airkit train --run runs/air\n",
        ),
    ],
)
def test_an_empty_folder_says_what_comes_first(home: Path, arguments: list[str], told: str) -> None:
    assert fails(*arguments) == told
    assert list(home.iterdir()) == []


def test_an_interrupted_training_says_how_to_go_on(work: Path) -> None:
    command = [sys.executable, "-m", "airkit", "train", "--run", "runs/long"]
    endless = ["--steps", "1000000", "--set", "train.log_every=1"]
    with subprocess.Popen(
        [*command, *endless], cwd=work, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stderr is not None
            first = process.stderr.readline()
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert first.startswith("step 1 of 1000000: ELBO ")
    assert (process.returncode, out) == (130, "")
    step = int(sorted((work / "runs/long/checkpoints").iterdir())[-1].stem.removeprefix("step-"))
    goes_on = "airkit train --run runs/long goes on from there"
    assert err.splitlines()[-1] == f"stopped at step {step}; {goes_on}"


# --- errors, pipes and terminals


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


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_bars_are_for_terminals_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with listening() as listener:
        assert isinstance(listener, Lines)
    monkeypatch.setattr(sys, "stderr", _Terminal())
    with listening() as listener:
        assert isinstance(listener, Bars)
    monkeypatch.setenv("TERM", "dumb")
    with listening() as listener:
        assert isinstance(listener, Lines)


def test_bars_show_the_newest_metrics() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120, no_color=True)
    with Bars(console) as bars:
        bars.note("a note, [bold]as it is[/bold]")
        bars.progress("training", 10, 100)
        bars.row({"step": 10, "elbo": 612.34})
        bars.row({"step": 10, "val_elbo": 1.0, "val_count_accuracy": 0.975})
        bars.progress("training", 20, 100)
    assert "a note, [bold]as it is[/bold]\n" in screen.getvalue()
    assert "20/100 ELBO 612.3  count 97.5 %" in screen.getvalue()


def test_plain_lines_are_few(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr("airkit.cli.lines.time.monotonic", lambda: now)
    listener = Lines()
    for second in range(1, 25):
        now += 1
        listener.progress("canvases", second * 500, 12_000)
    told = capsys.readouterr().err.splitlines()
    assert told == [f"canvases: {it:,} of 12,000" for it in (3000, 5500, 8000, 10500, 12000)]


def test_rows_tell_the_pace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr("airkit.cli.lines.time.monotonic", lambda: now)
    listener = Lines()
    for step in range(1, 51):
        listener.progress("training", step, 2500)
        now += 0.04
    listener.row({"step": 50, "elbo": 412.25, "loss": -412.25})
    listener.row({"step": 50, "val_elbo": 410.5, "val_count_accuracy": 0.9})
    assert capsys.readouterr().err == (
        "step 50 of 2500: ELBO 412.2, 24.5 steps/s, 0:01:40 left\n"
        "step 50 of 2500: validation ELBO 410.5, count accuracy 90.0 %\n"
    )


def test_json_has_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    tell_json({"a": float("nan"), "b": [1.5, float("inf")], "c": {"d": -float("inf")}})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [1.5, None], "c": {"d": None}}


def test_durations_and_sizes_are_for_people() -> None:
    assert [duration(it) for it in (0.04, 59.94, 60, 3_725)] == [
        "0.0 s",
        "59.9 s",
        "0:01:00",
        "1:02:05",
    ]
    assert [size(it) for it in (999, 99_999, 1_250_000)] == ["999 bytes", "99,999 bytes", "1.2 MB"]
