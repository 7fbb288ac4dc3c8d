"""Options that several commands share, and options that are settings.

A flag such as ``--steps`` is another name of one setting. What its value must be is for the schema
to say, so that flags take text. Flags and ``--set`` override presets and config files, in the
order in which they stand on the command line.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand

import airkit
from airkit.cli.process import silence
from airkit.errors import AirkitError
from airkit.system import tables
from airkit.system.text import first_three, quoted

if TYPE_CHECKING:
    from airkit.config.settings import Layer

    Layers = list[Layer]
else:
    Layers = list  # typer evaluates annotations, and --help must not load the schema


class Flag(NamedTuple):
    """The setting that a flag sets, and the name of its value in the help."""

    key: str
    metavar: str


def _flags(*words: str) -> dict[str, Flag]:
    """Flags by name, from ``section.key METAVAR``; a flag has the name of its key."""
    found = [Flag(*each.split()) for each in words]
    return {"--" + flag.key.partition(".")[2].replace("_", "-"): flag for flag in found}


_SPLIT, _LOOKS, _DEVICE = "eval.split train|val|test", "eval.looks N", "train.device NAME"
FLAGS: Mapping[str, Mapping[str, Flag]] = {
    "make-data": _flags(
        *("data.max_digits N", "data.min_digits N", "data.canvas_size PIXELS"),
        *("data.digit_size PIXELS", "data.source NAME|DIR", "data.train N", "data.val N"),
        *("data.test N", "data.seed N"),
    ),
    "import": _flags("data.seed N"),
    "train": _flags("train.steps N", "train.seed N", _DEVICE),
    "sweep": _flags("train.steps N", _LOOKS, _DEVICE),
    "eval": _flags(_SPLIT, _LOOKS, "eval.counts mode|sampled", _DEVICE),
    "score": _flags(_SPLIT, _LOOKS, _DEVICE),
    "infer": _flags("model.slots N", _LOOKS, _DEVICE),
    "predict": _flags(_SPLIT, "model.slots N", _LOOKS, _DEVICE),
    "render": _flags(
        *("render.kind KIND", "render.format png|svg|pdf", "render.width WIDTH"),
        *("render.dpi N", _DEVICE),
    ),
    "reproduce": _flags("data.source NAME|DIR", "train.steps N", _DEVICE),
    "report": _flags(_SPLIT, _LOOKS, _DEVICE),
    "demo": {},
    "config show": {},
}
"""The commands that take settings, with their flags. --set reaches all other settings."""

FROM_PRESET = ("make-data", "import", "train", "sweep", "config show")
"""Commands that take --preset: those whose settings do not start from a trained run."""

WITHOUT_QUIET = ("demo", "completion", "config show")
"""Commands without --quiet: all that they do is to print."""


def option(metavar: str, text: str, **limits: Any) -> Any:
    """Return a typer option with the name of its value, its help and what else typer takes."""
    return typer.Option(metavar=metavar, help=text, **limits)


Preset = Annotated[list[str], option("NAME", "Start from a preset (airkit config presets).")]
ConfigFile = Annotated[
    list[Path], option("FILE", "Settings in a TOML file; they override presets.")
]
Assignment = Annotated[
    list[str],
    option(
        "SECTION.KEY=VALUE",
        "Any setting; overrides presets and files. May be repeated; later ones win.",
    ),
]
Run = Annotated[Path, option("DIR", "The run folder.")]
Data = Annotated[Path | None, option("FILE", "The data file. [default: the run's own]")]
Checkpoint = Annotated[str, option("best|last|FILE", "Which checkpoint of the run.")]
TableFile = Annotated[
    Path | None,
    option(
        "FILE",
        "Also write a table: FILE.csv, FILE.md or FILE.tex (booktabs).",
        callback=lambda path: path if path is None else tables.checked(path),
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Leave out files that cannot be read, and exit with 1.")
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print nothing but errors, and JSON if asked for.")
]
TRAINING: Mapping[str, str] = {
    "cpu": "--device cpu",
    "cuda": "--device cuda",
    "epochs": "--steps; an epoch has data.train / train.batch_size steps",
    "gpu": "--device cuda",
    "gpus": "--device cuda, or torchrun for several",
    "num_workers": "OMP_NUM_THREADS=N before the command for CPU threads; no worker loads data",
    "resume": "the same command without it, which resumes the run",
    "workers": "OMP_NUM_THREADS=N before the command for CPU threads; no worker loads data",
}
"""Options of other programs that train, and what does the same here."""
OPTION_OF: Mapping[str, str] = {".csv": "--counts", ".h5": "--data", ".toml": "--config"}
"""The option that names a file, by its ending."""
OF_PICTURES: Mapping[str, str] = {
    "import": "{}, the folder, in place of the pictures in it",
    "train": "airkit import {} first; --data then names what it writes",
}
"""What to do where several pictures are named, with the folder that they are in."""
USAGE: Any = typer.BadParameter.__base__
"""The class of errors in what was typed."""
DEFAULT_RUN = Path("runs/air")
_KEYWORD = inspect.Parameter.KEYWORD_ONLY


def with_options(name: str, body: Callable[..., None]) -> Callable[..., None]:
    """Return ``body`` as a command with the options of its settings and ``--quiet``.

    Args:
        name: the command's words.
        body: what it does; where ``FLAGS`` has ``name``, its parameter ``settings`` gets them as
            layers. Its other parameters are options, as typer takes them.
    """
    parameters = inspect.signature(body, eval_str=True).parameters.values()
    own = [each for each in parameters if each.name != "settings"]

    def command(ctx: typer.Context, **values: Any) -> None:
        given = {each.name: values[each.name] for each in own}
        if name in FLAGS:
            files = values.get("preset", []), values["config"]
            given["settings"] = _layers(*files, ctx.meta["settings"], FLAGS[name])
        with silence() if values.get("quiet") else nullcontext():
            body(**given)

    context = inspect.Parameter("ctx", _KEYWORD, annotation=typer.Context)
    shown = [context, *own, *_added(name)]
    signature = inspect.Signature([each.replace(kind=_KEYWORD) for each in shown])
    command.__signature__ = signature  # type: ignore[attr-defined]
    command.__name__, command.__doc__ = body.__name__, body.__doc__
    return command


def _added(name: str) -> Iterator[inspect.Parameter]:
    """The options that a command gets beside its own."""

    def parameter(name: str, kind: Any, default: Any) -> inspect.Parameter:
        return inspect.Parameter(name, _KEYWORD, annotation=kind, default=default)

    for flag, (_, metavar) in FLAGS.get(name, {}).items():
        kind = Annotated[str | None, typer.Option(flag, metavar=metavar, show_default=False)]
        yield parameter("flag_" + flag[2:].replace("-", "_"), kind, None)
    if name in FROM_PRESET:
        yield parameter("preset", Preset, [])
    if name in FLAGS:
        yield parameter("config", ConfigFile, [])
        yield parameter("set", Assignment, [])
    if name not in WITHOUT_QUIET:
        yield parameter("quiet", Quiet, False)


def _layers(
    presets: list[str],
    files: list[Path],
    given: list[tuple[str, str]],
    flags: Mapping[str, Flag],
) -> Layers:
    """Layers for the library: presets, then files, then flags and ``--set`` as they came."""
    settings = airkit.settings
    return [
        *map(settings.from_preset, presets),
        *map(settings.from_file, files),
        *(
            settings.from_assignment(text)
            if option == "--set"
            else settings.from_flag(option, flags[option].key, text)
            for option, text in given
        ),
    ]


class Command(TyperCommand):
    """A command that keeps the order of its settings and refuses empty paths."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse, and keep settings in their order as ``ctx.meta["settings"]``.

        Raises:
            AirkitError: a path is empty, as of an unset variable; it would be the current folder.
        """
        try:
            texts, extra, order = self.make_parser(ctx).parse_args(args=list(args))
        except USAGE as error:
            error.ctx = ctx
            if hasattr(error, "possibilities"):
                _name_the_setting(error, ctx.command_path.partition(" ")[2])
            raise
        if not ctx.resilient_parsing:
            _refuse_empty_paths(self.params, texts)
        assignments = iter(texts.get("set", ()))
        ctx.meta["settings"] = [
            (each.opts[0], next(assignments) if each.name == "set" else texts[each.name])
            for each in order
            if each.name == "set" or each.name.startswith("flag_")
        ]
        try:
            return super().parse_args(ctx, args)
        except USAGE as error:
            if extra and type(error) is USAGE:  # "Got unexpected extra argument"
                error.message = f"Got unexpected extra argument(s) ({first_three(extra)})"
                error.possibilities = _advice_on(Path(extra[0]), ctx.info_name, self.params)
            raise

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options, flags with the description of their setting."""
        flags = FLAGS.get(ctx.command_path.partition(" ")[2], {})
        for parameter in self.params:
            if parameter.opts[0] in flags:
                key = flags[parameter.opts[0]].key
                field = airkit.settings.fields()[key]
                text = " ".join((field.description or "").split())
                parameter.help = f"{text} [{key}, default {field.default}]"  # type: ignore[attr-defined]
        super().format_options(ctx, formatter)


def _name_the_setting(error: Any, command: str) -> None:
    """Name airkit's own setting for an option of another program, where there is one."""
    option = error.option_name.partition("=")[0]
    name = option.lstrip("-").replace("-", "_").lower()
    advice = TRAINING.get(name) if command == "train" else None
    if advice is None and command in FLAGS:
        section = "data" if command == "make-data" else command
        keys = airkit.settings.named_alike(name, section)
        flags = {flag.key: text for text, flag in FLAGS[command].items()}
        advice = " or ".join(flags.get(key, f"--set {key}=...") for key in keys)
    if advice:
        error.message, error.possibilities = f"No such option: {option}", [advice]


def _advice_on(extra: Path, command: str, parameters: list[Any]) -> list[str]:
    """What to write in place of an argument too many, where that can be told from what it is."""
    option = "--run" if os.path.isdir(extra) else OPTION_OF.get(extra.suffix)
    if any(option in parameter.opts for parameter in parameters):
        return [f"{option} {quoted(extra)}"]
    if os.path.isfile(extra) and command in OF_PICTURES:
        return [OF_PICTURES[command].format(quoted(extra.parent))]
    return []


def on_run(command: str, run: str | Path) -> str:
    """Return a command on a run, to be typed."""
    return command if Path(run) == DEFAULT_RUN else f"{command} --run {quoted(run)}"


def takes_path(parameter: Any) -> bool:
    """Whether an option or argument takes the name of a file or folder."""
    return bool(re.search("FILE|DIR|PATH|IMAGES|RUN", parameter.metavar or ""))


def _refuse_empty_paths(parameters: list[Any], texts: Mapping[str, Any]) -> None:
    for parameter in filter(takes_path, parameters):
        text = texts.get(parameter.name)
        if text == "" or (isinstance(text, list | tuple) and "" in text):
            option = parameter.opts[0]
            raise AirkitError(
                "A path is empty",
                where=option if option.startswith("--") else parameter.metavar,
                expected="a path",
                got=repr(""),
                hint='name one; a variable, as in --run "$RUN", may be empty or not set',
            )
