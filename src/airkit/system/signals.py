"""Ctrl-C, SIGTERM and a closed terminal: deferred, or turned into a request to stop.

Only the main thread of a process can handle signals; in any other these contexts do nothing. A
signal that is ignored, as SIGINT is in the background of a shell script, stays ignored. Standard
library only.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

FROM_TERMINAL = (signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGINT))
"""The signals of a terminal to all that runs in it: at Ctrl-C, and when it is closed."""

STOPPING = (*dict.fromkeys(FROM_TERMINAL), signal.SIGTERM)
"""The signals that ask to stop."""

EXIT_CODE = 130
"""Exit code of a process that one of them stopped."""

Handler = Callable[[int, FrameType | None], None]


class StopRequest:
    """A signal handler that records whether a stop was requested, and by which signal.

    Unless it is patient, a second SIGINT raises KeyboardInterrupt.
    """

    def __init__(self, *, patient: bool = False) -> None:
        self.number: int | None = None
        self._patient = patient

    @property
    def asked(self) -> bool:
        """Whether a stop was requested."""
        return self.number is not None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        del frame
        if self.asked and number == signal.SIGINT and not self._patient:
            raise KeyboardInterrupt
        self.number = number

    def check(self) -> None:
        """Raise KeyboardInterrupt if a stop was requested."""
        if self.asked:
            raise KeyboardInterrupt


@contextmanager
def handle_signals(handler: Handler) -> Iterator[None]:
    """Have ``handler`` handle the signals of ``STOPPING`` while inside."""
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
    """Yield a request that a loop checks after each step.

    Args:
        patient: whether a second SIGINT waits too, in place of raising KeyboardInterrupt.
    """
    request = StopRequest(patient=patient)
    with handle_signals(request):
        yield request


@contextmanager
def defer_signals() -> Iterator[StopRequest]:
    """Defer signals to the end of the block, so that nothing is left half done.

    Long work inside calls ``check`` on the request that is yielded, where it can stop cleanly.
    Where the block raises, its error ends the work, and no signal is raised.
    """
    request = StopRequest(patient=True)
    with handle_signals(request):
        yield request
    if request.number is not None:
        signal.raise_signal(request.number)
