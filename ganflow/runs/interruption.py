"""Signals that ask a run to end."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass


@dataclass
class Interruption:
    """A signal that asks the run to end.

    Attributes:
        signal: its number, once the main thread has handled it; 0 before.
        arrivals: the file descriptor of a socket that gets the numbers of signals as they arrive; -1 outside the main thread.
    """

    signal: int = 0
    arrivals: int = -1

    def received(self) -> int:
        """Return `signal`, or that of one which waits for the main thread: code that is not Python's is not interrupted."""
        arrived = b""
        with suppress(OSError):  # nothing has arrived, or nothing can
            arrived = os.read(self.arrivals, 64)
        return self.signal or next((n for n in arrived if n in (signal.SIGINT, signal.SIGTERM)), 0)


@contextmanager
def interruptible(heard: Callable[[], None] = lambda: None) -> Iterator[Interruption]:
    """Note Ctrl-C and SIGTERM, and call `heard`, so that the run can end well; a second Ctrl-C ends it at once."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return

    def stop(number: int, frame: object) -> None:
        if interruption.signal and number == signal.SIGINT:
            raise KeyboardInterrupt
        interruption.signal = number
        heard()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    arrivals, written = socket.socketpair()
    with arrivals, written:
        interruption.arrivals = arrivals.fileno()
        for end in (arrivals, written):
            end.setblocking(False)
        wakeup = signal.set_wakeup_fd(written.fileno(), warn_on_full_buffer=False)
        try:
            yield interruption
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            interruption.arrivals = -1
