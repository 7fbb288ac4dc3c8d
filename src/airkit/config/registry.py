"""Names of guides, objectives, count priors, digit sources, measures and figures.

A setting names one of airkit's own, such as ``saliency``, or a class from outside as
``package.module:Class``. Importing a class runs its module's code, so that one from outside is
imported only where the person named it in the call at hand: with a flag, ``--set``, ``--config``
or in Python. Files record such names as plain text, and plain text is never imported.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from airkit.errors import AirkitError, ExtensionError

OUTSIDE = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"
"""Pattern of ``package.module:Class``."""

T = TypeVar("T")


class Named(str):
    """A ``package.module:Class`` that the person named in this call, and that may be imported."""

    __slots__ = ()


def is_outside(name: object) -> bool:
    """Whether ``name`` is of the form ``package.module:Class``."""
    return isinstance(name, str) and re.match(OUTSIDE, name) is not None


def named(value: Any) -> Any:
    """A setting's value as the person gave it, classes from outside marked as ``Named``."""
    if type(value) in (list, tuple):
        return type(value)(map(named, value))
    return Named(value) if is_outside(value) else value


@dataclass(frozen=True)
class Registry(Generic[T]):
    """The classes that one setting may name; none is imported before it is looked up."""

    setting: str
    """Dotted key of the setting."""
    own: Mapping[str, str]
    """airkit's own classes, as ``package.module:Class`` by the name that the setting gives."""
    base: str
    """The class that they all derive from, as ``package.module:Class``."""

    def __iter__(self) -> Iterator[str]:
        """The names of airkit's own classes."""
        return iter(self.own)

    def __getitem__(self, name: str) -> type[T]:
        """The class that ``name`` stands for.

        Args:
            name: one of airkit's own names, or a ``Named`` class from outside.

        Raises:
            ExtensionError: a class from outside that nobody named in this call, that cannot be
                imported, or that does not derive from ``base``.
        """
        if name in self.own:
            return cast(type[T], _attribute(self.own[name]))
        if not isinstance(name, Named):
            raise self._unnamed(name)
        return self._outside(name)

    def _outside(self, name: str) -> type[T]:
        base = _attribute(self.base)
        try:
            if str(Path.cwd()) not in sys.path:  # as for a script that lies there
                sys.path.append(str(Path.cwd()))
            found = _attribute(name)
        except AirkitError:
            raise
        except Exception as error:
            raise self._error(name, f"{type(error).__name__}: {error}") from error
        if not (isinstance(found, type) and issubclass(found, base)):
            kind = "a class" if isinstance(found, type) else f"{type(found).__name__}"
            raise self._error(name, f"{kind} that does not derive from {base.__name__}")
        return cast(type[T], found)

    def _error(self, name: str, got: str) -> ExtensionError:
        return ExtensionError(
            f"{name} cannot be used as {self.setting}",
            where=self.setting,
            expected=f"a class that derives from {self.base.replace(':', '.')}",
            got=got,
            hint="name another, with its module where Python finds it (here, or on PYTHONPATH)",
        )

    def _unnamed(self, name: str) -> ExtensionError:
        if not is_outside(name):
            raise ExtensionError(
                f"There is no {self.setting} of that name",
                where=self.setting,
                expected=" or ".join(self.own) + " or package.module:Class",
                got=name,
                hint=f"--set {self.setting}={next(iter(self.own))}",
            )
        return ExtensionError(
            f"This run was trained with {name}; name it with --set {self.setting}={name} to use it",
            where=self.setting,
            expected="a class that was named in this call: files alone never make code run",
            hint=f"--set {self.setting}={name}, or settings={{'{self.setting}': '{name}'}}",
        )


def _attribute(path: str) -> Any:
    """The class at ``package.module:Class``."""
    module, _, name = path.partition(":")
    loaded = import_module(module)
    if not hasattr(loaded, name):
        near = get_close_matches(name, vars(loaded), n=1)
        raise AttributeError(f"{module} has no {name}" + f"; did you mean {near[0]}?" * bool(near))
    return getattr(loaded, name)
