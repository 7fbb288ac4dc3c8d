"""Libraries that come with airkit's extras alone."""

from __future__ import annotations

from importlib import import_module

from airkit.errors import OutputError


def check_installed(library: str, extra: str) -> None:
    """Refuse, before the work, output that a missing library is needed for.

    Args:
        library: the package to import.
        extra: the extra of airkit that brings it.

    Raises:
        OutputError: it is not installed.
    """
    try:
        import_module(library)
    except ImportError:
        raise OutputError(
            f"{library} is not installed", hint=f'pip install "airkit[{extra}]"'
        ) from None
