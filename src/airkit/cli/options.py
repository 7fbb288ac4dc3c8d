"""Options that are settings: each flag is another name of one field of the schema.

Flags and ``--set`` are laid over the presets and config files in the order in which they
stand on the command line. What a value must be is for the schema to say, so flags take text.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand

import airkit
from airkit.cli.muting import hushed
from airkit.errors import AirkitError

if TYPE_CHECKING:
    from airkit.config.settings import Layer


class Flag(NamedTuple):
    """The field that a flag sets, and how its value is called in the help."""

    key: str
    metavar: str


FLAGS: Mapping[str, Mapping[str, Flag]] = {
    "make-data": {
        "--max-digits": Flag("data.max_digits", "N"),
        "--min-digits": Flag("data.min_digits", "N"),
        "--canvas-size": Flag("data.canvas_size", "PIXELS"),
        "--digit-size": Flag("data.digit_size", "PIXELS"),
        "--source": Flag("data.source", "NAME|DIR"),
        "--train": Flag("data.train", "N"),
        "--val": Flag("data.val", "N"),
        "--test": Flag("data.test", "N"),
        "--seed": Flag("data.seed", "N"),
    },
    "train": {
        "--steps": Flag("train.steps", "N"),
        "--seed": Flag("train.seed", "N"),
        "--device": Flag("train.device", "NAME"),
    },
    "sweep": {
        "--steps": Flag("train.steps", "N"),
        "--looks": Flag("eval.looks", "N"),
        "--device": Flag("train.device", "NAME"),
    },
    "eval": {
        "--split": Flag("eval.split", "train|val|test"),
        "--looks": Flag("eval.looks", "N"),
        "--counts": Flag("eval.counts", "mode|sampled"),
        "--device": Flag("train.device", "NAME"),
    },
    "infer": {
        "--slots": Flag("model.slots", "N"),
        "--looks": Flag("eval.looks", "N"),
        "--device": Flag("train.device", "NAME"),
    },
    "render": {
        "--kind": Flag("render.kind", "KIND"),
        "--device": Flag("train.device", "NAME"),
    },
    "report": {
        "--split": Flag("eval.split", "train|val|test"),
        "--looks": Flag("eval.looks", "N"),
        "--device": Flag("train.device", "NAME"),
    },
    "config show": {},
}
"""The flags of each command that are settings. All other settings are for --set."""

Preset = Annotated[
    list[str],
    typer.Option("--preset", metavar="NAME", help="Start from a preset (airkit config presets)."),
]
ConfigFile = Annotated[
    list[Path],
    typer.Option("--config", metavar="FILE", help="Settings in a TOML file, over the preset's."),
]
Assignment = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="SECTION.KEY=VALUE",
        help="Any setting, over the files'; may be repeated, and the last one wins.",
    ),
]

Run = Annotated[Path, typer.Option("--run", metavar="DIR", help="The run folder.")]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="FILE", help="The data file. [default: the run's own]"),
]
Checkpoint = Annotated[
    str,
    typer.Option("--checkpoint", metavar="best|last|FILE", help="Which state of the run."),
]


AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print nothing but errors, and JSON if asked for.")
]


@dataclass(frozen=True)
class Given:
    """The settings on a command line, as text."""

    presets: Sequence[str]
    files: Sequence[Path]
    ordered: Sequence[tuple[str, str]]
    """Flags (or ``--set``) and their text, in the order of the command line."""
    flags: Mapping[str, Flag]

    def layers(self) -> list[Layer]:
        """Layers for the library: presets, then files, then flags and ``--set`` as they came.

        Raises:
            AirkitError: no such preset, a file that cannot be read, a --set that is none.
        """
        return [
            *map(airkit.settings.from_preset, self.presets),
            *map(airkit.settings.from_file, self.files),
            *(self._layer(flag, text) for flag, text in self.ordered),
        ]

    def _layer(self, flag: str, text: str) -> Layer:
        if flag == "--set":
            return airkit.settings.from_assignment(text)
        return airkit.settings.from_flag(flag, self.flags[flag].key, text)


def configured(
    command: str, *, preset: bool = True
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command body its flags, ``--preset``, ``--config`` and ``--set`` as one ``given``.

    The body's first parameter is ``given: Given``; its other parameters are options as usual.
    """
    flags = FLAGS[command]

    def decorate(body: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(body, eval_str=True).parameters.values())[1:]

        def wrapped(ctx: typer.Context, **values: Any) -> None:
            given = Given(values.get("preset", ()), values["config"], ctx.meta["ordered"], flags)
            body(given, **{parameter.name: values[parameter.name] for parameter in own})

        context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
        added = [context, *own, *_settings_parameters(flags, preset)]
        kinds = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in added]
        wrapped.__signature__ = inspect.Signature(kinds)  # type: ignore[attr-defined]
        wrapped.__name__, wrapped.__doc__ = body.__name__, body.__doc__
        return wrapped

    return decorate


def quietly(body: Callable[..., None]) -> Callable[..., None]:
    """Give any command ``--quiet``: with it, neither progress nor result is printed."""

    def wrapped(*, quiet: bool, **values: Any) -> None:
        with hushed() if quiet else nullcontext():
            body(**values)

    own = inspect.signature(body, eval_str=True).parameters.values()
    added = inspect.Parameter(
        "quiet", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Quiet
    )
    kinds = [it.replace(kind=inspect.Parameter.KEYWORD_ONLY) for it in (*own, added)]
    wrapped.__signature__ = inspect.Signature(kinds)  # type: ignore[attr-defined]
    wrapped.__name__, wrapped.__doc__ = body.__name__, body.__doc__
    return wrapped


def _settings_parameters(flags: Mapping[str, Flag], preset: bool) -> Iterator[inspect.Parameter]:
    keyword = inspect.Parameter.KEYWORD_ONLY
    for flag, (_, metavar) in flags.items():
        option = typer.Option(flag, metavar=metavar, show_default=False)
        kind = Annotated[str | None, option]
        yield inspect.Parameter(_name(flag), keyword, default=None, annotation=kind)
    if preset:
        yield inspect.Parameter("preset", keyword, default=[], annotation=Preset)
    yield inspect.Parameter("config", keyword, default=[], annotation=ConfigFile)
    yield inspect.Parameter("set", keyword, default=[], annotation=Assignment)


def _name(flag: str) -> str:
    """The parameter that typer makes of a flag."""
    return "flag_" + flag.removeprefix("--").replace("-", "_")


class Command(TyperCommand):
    """A command that takes no empty text for a path: it would be the current folder."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse as ever, and keep the order of the parameters as ``ctx.meta["order"]``.

        Raises AirkitError where a path is empty, as of an unset variable.
        """
        given, _, order = self.make_parser(ctx).parse_args(args=list(args))  # text, not yet a Path
        for parameter in () if ctx.resilient_parsing else self.params:
            value = given.get(parameter.name or "")
            texts: list[Any] = [*value] if isinstance(value, list | tuple) else [value]
            if takes_path(parameter) and "" in texts:
                raise _empty(parameter)
        ctx.meta["order"] = order
        return super().parse_args(ctx, args)


def takes_path(parameter: Any) -> bool:
    """Whether an option or argument is, or may be, the name of a file or a folder."""
    return bool(re.search("FILE|DIR|PATH|IMAGES|RUN", parameter.metavar or ""))


def _empty(parameter: Any) -> AirkitError:
    named = parameter.opts[0] if parameter.opts[0].startswith("--") else parameter.metavar
    return AirkitError(
        "An empty text names no file or folder",
        where=named,
        expected="a path",
        got=repr(""),
        hint='name one; a variable, as in --run "$RUN", may be empty or not set',
    )


class SettingsCommand(Command):
    """A command with settings: remembers their order, and takes their help from the schema."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse as ever, and keep flags and ``--set`` in their order as ``ctx.meta["ordered"]``."""
        rest = super().parse_args(ctx, args)
        order = ctx.meta["order"]
        assignments = iter(ctx.params["set"])
        ordered = []
        for place, parameter in enumerate(order):
            name = parameter.name or ""
            if name == "set":
                ordered.append(("--set", next(assignments)))
            elif name.startswith("flag_") and parameter not in order[place + 1 :]:
                ordered.append((parameter.opts[0], ctx.params[name]))
        ctx.meta["ordered"] = ordered
        return rest

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options, flags with the prose of their fields."""
        for parameter in self.params:
            if (parameter.name or "").startswith("flag_"):
                flag = FLAGS[ctx.command_path.partition(" ")[2]][parameter.opts[0]]
                parameter.help = _help(flag.key)  # type: ignore[attr-defined]
        super().format_options(ctx, formatter)


def _help(key: str) -> str:
    """A flag's help: the prose of its field, its dotted key and its default."""
    field = airkit.settings.fields()[key]
    return f"{' '.join((field.description or '').split())} [{key}, default {field.default}]"
