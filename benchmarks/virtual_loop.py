"""An event loop whose clock jumps: seconds of ``asyncio.sleep`` take no time, and a run is the same every time."""

from __future__ import annotations

import asyncio
import selectors
import time
from typing import Any


class VirtualLoop(asyncio.SelectorEventLoop):
    """Where it would wait for a timer, the clock is set to that time instead. It must not have to wait for threads.

    Args:
        computes: Whether what the process computes takes its time, too, so that a loop with too much to do is late.
    """

    def __init__(self, *, computes: bool = False) -> None:
        super().__init__(_Jumping(self))
        self.clock = 0.0
        self.computed = time.process_time if computes else float
        self.computed_s = self.computed()

    def time(self) -> float:
        """Seconds of virtual time since the loop was made."""
        return self.clock + self.computed_s


class _Jumping(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("nothing is left that could happen in virtual time: a task waits for ever, or a thread")
        self._loop.clock += max(0.0, timeout)
        self._loop.computed_s = self._loop.computed()  # once for all that is due, since to ask takes a while
        return super().select(0)
