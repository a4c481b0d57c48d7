"""The slots of a model server: how many requests are answered at once."""

import asyncio
import collections
import contextlib
import math
from collections.abc import AsyncIterator
from typing import Literal

#: A request that finds no free slot waits for its turn (fifo), or takes the slot of the oldest request (drop).
QueueRule = Literal["fifo", "drop"]


class Slots:
    """Lets ``count`` requests at once be answered. Used on one event loop.

    Args:
        count: ``None``: any number.
        queue: See ``QueueRule``.
    """

    def __init__(self, count: int | None, queue: QueueRule) -> None:
        self._count = math.inf if count is None else count
        self._turns = asyncio.Semaphore(count) if count is not None and queue == "fifo" else contextlib.nullcontext()
        self._holders: collections.deque[asyncio.Event] = collections.deque()

    @contextlib.asynccontextmanager
    async def taken(self) -> AsyncIterator[asyncio.Event]:
        """Hold a slot; the event is set when another request has taken the slot away."""
        dropped = asyncio.Event()
        async with self._turns:
            if len(self._holders) >= self._count:  # nobody waits for a turn: drop the oldest request
                self._holders.popleft().set()
            self._holders.append(dropped)
            try:
                yield dropped
            finally:
                if dropped in self._holders:
                    self._holders.remove(dropped)
