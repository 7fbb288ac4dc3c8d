"""Ctrl-C and SIGTERM at moments of our choosing. Standard library only.

Only the main thread of a process can catch signals; in any other these contexts do nothing. A
signal that is ignored, as SIGINT is in a shell script's background, stays so.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM)
"""The signals that ask to stop."""

EXIT_CODE = 130
"""What a process exits with that one of them stopped."""

Handler = Callable[[int, FrameType | None], None]


class StopRequest:
    """Whether a stop was asked for, and by which signal."""

    def __init__(self, *, patient: bool = False) -> None:
        self.number: int | None = None
        self._patient = patient

    @property
    def asked(self) -> bool:
        """Whether a stop was asked for."""
        return self.number is not None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal; unless patient, a second SIGINT interrupts at once."""
        del frame
        if self.asked and number == signal.SIGINT and not self._patient:
            raise KeyboardInterrupt
        self.number = number

    def check(self) -> None:
        """Raise KeyboardInterrupt if a stop was asked for."""
        if self.asked:
            raise KeyboardInterrupt


@contextmanager
def caught(handler: Handler) -> Iterator[None]:
    """Have ``handler`` called for the signals that ask to stop, while inside."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in STOPPING}
    heard = [number for number in STOPPING if before[number] not in (None, signal.SIG_IGN)]
    for number in heard:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, before[number])


@contextmanager
def stop_on_signals(*, patient: bool = False) -> Iterator[StopRequest]:
    """Yield what a loop asks after each step; a second SIGINT does not wait unless patient."""
    request = StopRequest(patient=patient)
    with caught(request):
        yield request


@contextmanager
def held() -> Iterator[StopRequest]:
    """Put signals off while inside, so that nothing is left half done; they act at the end.

    Long work in here calls ``check`` where it can end well.
    """
    request = StopRequest(patient=True)
    with caught(request):
        yield request
    if request.number is not None:
        signal.raise_signal(request.number)
