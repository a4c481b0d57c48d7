"""A limit on time for code that may never end: some games look for a place for a piece for ever."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator


class TooLong(BaseException):
    """Something has not come to its end. Not an ``Exception``: games and wrappers catch those."""


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise ``TooLong`` in what takes longer, and again every second where that is caught.

    For the main thread of a process. Where a timer runs already, as pytest's, that one is the limit.
    """
    if signal.getitimer(signal.ITIMER_REAL)[0]:
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise TooLong(f"no end within {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
