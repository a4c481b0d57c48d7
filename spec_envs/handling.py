"""What a handler is, and the token that it gets with a query: it says whether to go on, and meters the cost."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol, Self

from spec_envs.errors import CallCancelled, InvalidConfiguration


class Handler(Protocol):
    """Answers the calls of one name: ``handler(query)``, or ``handler(query, cancel)``.

    Called from several threads at once; a coroutine function, on its event loop. It may have the attributes ``effect``
    (an ``Effect``: whether its calls may be made ahead of time), ``max_inflight`` (how many calls it takes at once) and
    ``close``.
    """

    def __call__(self, query: Any, /, *_: Any, **options: Any) -> Any:
        """The response to ``query``.

        Args:
            query: All that the response may depend on, besides the outside world.
            **options: ``cancel``, the ``CancelToken`` of the call, for a handler that has a parameter of this name.
        """


@dataclasses.dataclass(frozen=True, slots=True)
class Usage:
    """The cost of a call: tokens read, tokens written, and money (in the currency of your price table)."""

    tokens_in: float = 0
    tokens_out: float = 0
    money: float = 0.0

    @property
    def tokens(self) -> float:
        """Tokens read and written."""
        return self.tokens_in + self.tokens_out

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.tokens_in + other.tokens_in, self.tokens_out + other.tokens_out, self.money + other.money)

    def __mul__(self, share: float) -> Usage:
        return Usage(self.tokens_in * share, self.tokens_out * share, self.money * share)

    def __bool__(self) -> bool:
        return bool(self.tokens_in or self.tokens_out or self.money)


@dataclasses.dataclass(slots=True)
class _Spending:
    """A cost that arises evenly between ``start`` and ``start + seconds``, unless it ends at ``until``."""

    usage: Usage
    start: float
    seconds: float
    until: float = math.inf

    def share(self, now: float) -> float:
        """The share of the cost that has arisen by ``now``."""
        passed = min(now, self.until) - self.start
        if passed >= self.seconds:
            return 1.0
        return max(0.0, passed / self.seconds) if self.seconds else 0.0


class CancelToken:
    """A handler's view of its own call: whether the response is still wanted, how to wait, and a meter of the cost.

    A handler need not use it: one that never looks at its token is correct, only slower to stop. This class uses the
    wall clock; the simulation runtime has a token with the same methods on its virtual clock.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._event: threading.Event | None = None
        self._cancelled = False
        self._callbacks: list[Callable[[], None]] = []
        self._spent: list[_Spending] = []

    @property
    def cancelled(self) -> bool:
        """Whether the response will be thrown away."""
        return self._cancelled

    def raise_if_cancelled(self) -> None:
        """Raise ``CallCancelled`` once the call has been cancelled."""
        if self._cancelled:
            raise CallCancelled

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once, from another thread, when the call is cancelled; at once if it already is.

        With ``AsyncSpeculativeWrapper`` the callback is called on the event loop.
        """
        with self._lock:
            if not self._cancelled:
                self._callbacks.append(callback)
                return
        callback()

    def now(self) -> float:
        """The time on this call's clock, in seconds; only differences between two times mean something."""
        return self._now()

    def sleep(self, seconds: float, spending: Usage | None = None) -> None:
        """Wait for ``seconds``, spending ``spending`` evenly over that time.

        Raises:
            CallCancelled: The call was cancelled before or meanwhile.
        """
        with self._sleeping(seconds, spending):
            if seconds > 0:
                self._wait(seconds)

    @contextlib.contextmanager
    def _sleeping(self, seconds: float, spending: Usage | None) -> Iterator[None]:
        self.raise_if_cancelled()
        spent = _Spending(spending or Usage(), self._now(), max(0.0, seconds))
        if spending is not None:
            self._spent.append(spent)
        try:
            yield
            self.raise_if_cancelled()
        finally:
            if self._cancelled:
                spent.until = self._now()  # the rest of it is never spent

    async def asleep(self, seconds: float, spending: Usage | None = None) -> None:
        """``sleep`` for coroutine functions. On an event loop's token the loop can do other work meanwhile.

        This class is the token of a call on a thread, and blocks that thread; so a coroutine that awaits nothing else
        can be run without an event loop.

        Raises:
            CallCancelled: The call was cancelled before or meanwhile; on an event loop ``asyncio.CancelledError``.
        """
        self.sleep(seconds, spending)

    def spend(self, usage: Usage) -> None:
        """Add ``usage`` to what this call has cost so far."""
        self._spent.append(_Spending(usage, self._now(), 0.0))

    def usage(self, at: float | None = None) -> tuple[Usage, Usage]:
        """The cost of the call up to the time ``at`` (default: now), and its cost if it runs to its end."""
        now = self._now() if at is None else at
        partial, full = Usage(), Usage()
        for spent in tuple(self._spent):
            partial, full = partial + spent.usage * spent.share(now), full + spent.usage
        return partial, full

    def cancel(self) -> None:
        """Tell the handler that its response is no longer wanted. Idempotent."""
        with self._lock:
            if self._cancelled:
                return
            self._cancelled = True
            callbacks, self._callbacks = self._callbacks, []
            if self._event is not None:
                self._event.set()
        with contextlib.ExitStack() as stack:  # calls all of them, also when one of them fails
            for callback in reversed(callbacks):
                stack.callback(callback)

    def _now(self) -> float:
        return time.monotonic()

    def _wait(self, seconds: float) -> None:
        with self._lock:
            if self._cancelled:
                return
            self._event = self._event or threading.Event()
        self._event.wait(None if math.isinf(seconds) else seconds)


class TaskToken(CancelToken):
    """A token on an event loop's clock."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop

    @classmethod
    def here(cls) -> Self:
        """Return a new token on the clock of the running event loop."""
        return cls(asyncio.get_running_loop())

    async def asleep(self, seconds: float, spending: Usage | None = None) -> None:
        """See ``CancelToken.asleep``."""
        with self._sleeping(seconds, spending):
            if seconds == float("inf"):
                await self._loop.create_future()
            await asyncio.sleep(max(0.0, seconds))

    def _now(self) -> float:
        return self._loop.time()

    def _wait(self, seconds: float) -> None:
        if running_loop() is self._loop:
            raise InvalidConfiguration(
                "cancel.sleep() would stop the event loop; an async handler awaits asyncio.sleep() or cancel.asleep()"
            )
        super()._wait(seconds)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that runs in this thread, if any."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
