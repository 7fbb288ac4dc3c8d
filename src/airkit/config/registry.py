"""Names of guides, decoders, objectives, count priors, digit sources, measures and figures.

A setting names one of airkit's own classes, such as ``saliency``, or any other as
``package.module:Class``. Importing a class runs the code of its module. One from outside airkit is
therefore imported only where the person named it in this call: with a flag, ``--set``,
``--config`` or in Python. ``airkit.config.settings.resolve`` marks such names as ``Named``. Names
that airkit reads from its own files stay plain strings, and plain strings are never imported.
"""

from __future__ import annotations

import json
import re
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from airkit.errors import AirkitError, ExtensionError
from airkit.system.text import did_you_mean, quoted

OUTSIDE = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"
"""Pattern of ``package.module:Class``."""

_BLAMELESS = "airkit", "json", "torch"
"""Packages that call a class from outside, or write what it returned."""

T = TypeVar("T")


class Named(str):
    """A ``package.module:Class`` that the person named in this call, so that it may be imported."""

    __slots__ = ()


def is_outside(name: object) -> bool:
    """Whether ``name`` has the form ``package.module:Class``."""
    return isinstance(name, str) and re.match(OUTSIDE, name) is not None


def named(value: Any) -> Any:
    """Return a setting's value with every ``package.module:Class`` in it marked as ``Named``."""
    if type(value) in (list, tuple):
        return type(value)(map(named, value))
    return Named(value) if is_outside(value) else value


@dataclass(frozen=True)
class Registry(Generic[T]):
    """The classes that a setting may name; each is imported when it is looked up."""

    setting: str
    """Dotted key of the setting."""
    own: Mapping[str, str]
    """airkit's own classes as ``package.module:Class``, by the name that the setting takes."""
    base: str
    """The class that all of them derive from, as ``package.module:Class``."""
    recorded: str = "This run was trained with"
    """How a message begins about a class that a file records."""

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of airkit's own classes."""
        return iter(self.own)

    def __getitem__(self, name: str) -> type[T]:
        """Return the class that a setting names.

        Args:
            name: one of airkit's own names, or a ``Named`` class from outside.

        Raises:
            ExtensionError: there is no such name, or a class from outside was not named in this
                call, cannot be imported, or does not derive from ``base``.
        """
        return self._find(name, name)

    def several(self, names: Sequence[str]) -> dict[str, type[T]]:
        """Return the classes that a list-valued setting names, by name; raises ExtensionError."""
        return {name: self._find(name, json.dumps(list(names))) for name in names}

    def _find(self, name: str, value: str) -> type[T]:
        """Return the class of a name, where ``value`` is how the whole setting is written."""
        if name in self.own:
            return cast(type[T], _load(self.own[name]))
        if not is_outside(name):
            raise self._unknown(name)
        if not isinstance(name, Named):
            raise self._recorded(name, value)
        base = _load(self.base)
        if str(Path.cwd()) not in sys.path:  # the working folder, as for ``python script.py``
            sys.path.append(str(Path.cwd()))
        try:
            found = _load(name)
        except Exception as error:
            raise self.unusable(name, f"{type(error).__name__}: {error}") from error
        if not (isinstance(found, type) and issubclass(found, base)):
            raise self.unusable(name, repr(found))
        if missing := sorted(getattr(found, "__abstractmethods__", ())):
            raise self.unusable(name, f"one that lacks {', '.join(missing)}")
        return cast(type[T], found)

    def build(self, name: str, *given: Any, sets: str | None = None) -> T:
        """Return an instance of the class that a setting names.

        Args:
            name: as for ``[]``.
            given: arguments of its ``__init__``.
            sets: an attribute that the ``__init__`` of ``base`` sets, if there is one.

        Raises:
            ExtensionError: as for ``[]``, or the ``__init__`` of a class from outside fails, or
                does not call that of ``base``.
        """
        kind = self[name]
        with self.running(name):
            built = kind(*given)
        if sets is not None and not hasattr(built, sets):
            raise self.unusable(name, "one whose __init__ does not call super().__init__")
        return built

    def unusable(self, name: str, got: str, expected: str | None = None) -> ExtensionError:
        """Return the error for a class from outside that cannot be used, because of ``got``."""
        return ExtensionError(
            f"{name} cannot be used as {self.setting}",
            where=self.setting,
            expected=expected or f"a class that derives from {self.base.replace(':', '.')}",
            got=got,
            hint="correct its module (in this folder or on PYTHONPATH), or name another "
            f"{self.setting}, such as {next(iter(self.own))}",
        )

    @contextmanager
    def running(self, name: str) -> Iterator[None]:
        """Turn an error in the code of a class from outside into one that says where it is.

        Raises:
            ExtensionError: the code inside, of the class ``name``, raised another error.
        """
        try:
            yield
        except Exception as error:
            if name in self.own or isinstance(error, AirkitError):
                raise
            frames = traceback.extract_tb(error.__traceback__)
            modules = [sys.modules[name] for name in _BLAMELESS if name in sys.modules]
            folders = tuple(str(Path(each.__file__ or "").parent) for each in modules)
            outside = [frame for frame in frames if not frame.filename.startswith(folders)]
            raise ExtensionError(
                f"{name} failed",
                where=f"{outside[0].filename}, line {outside[0].lineno}" if outside else None,
                got=f"{type(error).__name__}: {error}",
                hint=f"correct it, or name another {self.setting}",
            ) from error

    def _unknown(self, name: str) -> ExtensionError:
        return ExtensionError(
            f"There is no such {self.setting}",
            where=self.setting,
            expected=" or ".join([*self.own, "package.module:Class"]),
            got=name + did_you_mean(name, self.own),
            hint=f"--set {self.setting}={next(iter(self.own))}",
        )

    def _recorded(self, name: str, value: str) -> ExtensionError:
        option = f"--set {quoted(f'{self.setting}={value}')}"
        literal = value if value.startswith("[") else repr(value)
        return ExtensionError(
            f"{self.recorded} {name}; name it with {option} to use it",
            where=self.setting,
            expected="a class named in this call: airkit imports none that only a file names",
            hint=f"{option}, or settings={{'{self.setting}': {literal}}}",
        )


def _load(path: str) -> Any:
    """Import ``package.module:Class``; raises AttributeError with the nearest name there is."""
    module, _, name = path.partition(":")
    loaded = import_module(module)
    if not hasattr(loaded, name):
        raise AttributeError(f"{module} has no {name}{did_you_mean(name, vars(loaded))}")
    return getattr(loaded, name)
