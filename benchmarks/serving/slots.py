"""The slots of a model server that answers only so many requests at once."""

import asyncio
import collections
import contextlib
from collections.abc import AsyncIterator
from typing import Literal

#: What happens to a request that finds no free slot: it waits for its turn, or drops the oldest one that has a slot.
QueueRule = Literal["fifo", "drop"]


class Slots:
    """Lets ``count`` requests at once be answered. Used on one event loop.

    Args:
        count: ``None``: any number.
        queue: See ``QueueRule``.
    """

    def __init__(self, count: int | None, queue: QueueRule) -> None:
        self._count = count
        self._queue = queue
        self._holders: collections.deque[asyncio.Event] = collections.deque()
        self._waiting: collections.deque[asyncio.Future[None]] = collections.deque()

    @contextlib.asynccontextmanager
    async def taken(self) -> AsyncIterator[asyncio.Event]:
        """Hold a slot; the event is set when another request has taken the slot away."""
        dropped = asyncio.Event()
        if self._count is not None and len(self._holders) >= self._count:
            if self._queue == "drop":
                self._holders.popleft().set()
            else:
                await self._turn()
        self._holders.append(dropped)
        try:
            yield dropped
        finally:
            if dropped in self._holders:
                self._holders.remove(dropped)
                self._let_next()

    async def _turn(self) -> None:
        """Wait until a slot is free; who waited longest comes first."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:  # the client hung up
            if turn.done() and not turn.cancelled():
                self._let_next()
            else:
                self._waiting.remove(turn)
            raise

    def _let_next(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
