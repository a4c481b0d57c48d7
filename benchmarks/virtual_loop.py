"""An event loop whose clock jumps: seconds of ``asyncio.sleep`` take no time, and a run is the same every time."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any


class VirtualLoop(asyncio.SelectorEventLoop):
    """Where it would wait for a timer, the clock is set to that time instead. It must not have to wait for threads."""

    def __init__(self) -> None:
        super().__init__(_Jumping(self))
        self.clock = 0.0

    def time(self) -> float:
        """Seconds of virtual time since the loop was made."""
        return self.clock


class _Jumping(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("nothing is left that could happen in virtual time: a task waits for ever, or a thread")
        self._loop.clock += max(0.0, timeout)
        return super().select(0)
