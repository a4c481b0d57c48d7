"""Decorators of handlers: latency, recording, replay, retry, rate limits and metering.

A handler is ``handler(query)`` or ``handler(query, cancel)``. Each decorator takes a handler and returns another one
with the same ``effect``, which forwards ``close``; so decorators can be stacked in any order. A decorated coroutine
function is awaited. All waiting and all time goes through the call's ``CancelToken``: the same handler runs on the wall
clock and in virtual time, and a cancelled call stops at its next wait. A decorated handler that is called without a
token gets a new one.
"""

import bisect
import collections
import dataclasses
import functools
import inspect
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from spec_envs.attributes import attribute_of
from spec_envs.calls import Effect
from spec_envs.checks import integer, number, positive
from spec_envs.errors import CallCancelled, HandlerFailed, InvalidConfiguration, RecordMissing
from spec_envs.handling import (
    CancelToken,
    Handler,
    TaskToken,
    as_handler,
    declared,
    greatest_usage,
    is_async,
    unpriced_model,
)
from spec_envs.parameters import why_not_called
from spec_envs.pickling import Lock, MadeAnew
from spec_envs.usage import Usage, check_usage
from spec_envs.wrappers.recording import Record, Recording
from spec_envs.wrappers.runtimes.blocking import run_blocking

__all__ = [
    "DecoratedHandler",
    "metered",
    "rate_limited",
    "record",
    "replay",
    "retry",
    "with_latency",
]

Around = Callable[[Any, Any, CancelToken], Any]

#: How long a call ahead of time waits for room before it looks again, at most.
_SLICE_S = 0.25


class DecoratedHandler:
    """A handler around another handler, whose response is ``around(inner, query, cancel)``.

    It has the ``effect``, ``max_inflight`` and ``greatest_usage`` of the inner handler, if that has them. If ``around``
    is a coroutine function, it decorates both kinds of handlers: it awaits ``inner(query, cancel)`` and waits with
    ``cancel.asleep``; around a plain handler both block. If ``around`` is a plain function, it decorates plain handlers
    only.

    Args:
        inner: The handler to decorate.
        around: ``around(inner, query, cancel) -> response``.

    Attributes:
        inner: The handler inside.

    Raises:
        InvalidConfiguration: ``inner`` is a coroutine function, and ``around`` is not; or one of them cannot be called
        with these arguments.
    """

    effect: Effect
    max_inflight: int

    def __init__(self, inner: Callable[..., Any], around: Around) -> None:
        if not callable(around):
            raise InvalidConfiguration(f"around must be callable as around(inner, query, cancel), not {around!r:.80}")
        if (why := why_not_called(around, ("inner handler", "query", "cancel token"))) is not None:
            raise InvalidConfiguration(
                f"around must be callable as around(inner, query, cancel), {around!r:.80}: {why}"
            )
        self.is_async = is_async(inner)
        if self.is_async and not is_async(around):
            raise InvalidConfiguration(f"{inner!r} is a coroutine function, so its decorator must be one too")
        self.inner = inner
        self._around = around
        handler = as_handler(inner)
        self._handler = functools.partial(_awaited, handler) if is_async(around) and not self.is_async else handler
        self.unpriced = unpriced_model(inner)
        self.greatest_usage: Callable[[Any], Usage | None] | None = declared(inner, "greatest_usage")
        for name in ("effect", "max_inflight", "model_name"):
            if (value := attribute_of(inner, name)) is not None:
                setattr(self, name, value)

    def __call__(self, query: Any, cancel: CancelToken | None = None) -> Any:
        """Return the response to ``query``; if ``is_async``, a coroutine that returns the response.

        Args:
            query: The query; the response depends on nothing else.
            cancel: The token of the call; default: a new one, on the wall clock or on that of the running event loop.
        """
        if cancel is None:
            if self.is_async:
                return self._on_loop(query)
            cancel = CancelToken()
        response = self._around(self._handler, query, cancel)
        if self.is_async or not inspect.iscoroutine(response):
            return response
        return run_blocking(response, "what decorates a plain handler may await the handler and cancel.asleep() only")

    async def _on_loop(self, query: Any) -> Any:
        return await self._around(self._handler, query, TaskToken.here())

    def close(self) -> None:
        """Close the inner handler, if it has ``close``."""
        close = attribute_of(self.inner, "close")
        if close is not None:
            close()


async def _awaited(handler: Handler, query: Any, cancel: CancelToken) -> Any:
    return handler(query, cancel)


def with_latency(handler: Callable[..., Any], seconds: float | Callable[[Any], float]) -> DecoratedHandler:
    """Return ``handler`` with responses that come ``seconds`` later.

    The wait comes before the call of ``handler``, so that a call cancelled meanwhile does no work.

    Args:
        handler: The handler to slow down.
        seconds: The time to wait (>= 0), or a function from the query to that time, such as ``exponential(2.0)``.

    Raises:
        InvalidConfiguration: The time is negative or not a number, or the function cannot be called with a query.
    """
    if not callable(seconds):
        number("seconds", seconds, least=0)
    elif (why := why_not_called(seconds, ("query",))) is not None:
        raise InvalidConfiguration(f"seconds must be a number or a function of the query, not {seconds!r:.80}: {why}")
    return DecoratedHandler(handler, functools.partial(_delayed, seconds))


async def _delayed(seconds: Any, inner: Any, query: Any, cancel: CancelToken) -> Any:
    await cancel.asleep(number("seconds", seconds(query) if callable(seconds) else seconds, least=0))
    return await inner(query, cancel)


def record(handler: Callable[..., Any], recording: Recording) -> DecoratedHandler:
    """Return ``handler`` with every response added to ``recording``, with its query, time and cost.

    A call that fails or is cancelled is not recorded.

    Raises:
        InvalidConfiguration: ``recording`` is no ``Recording``.
    """
    _check_recording(recording)
    return DecoratedHandler(handler, functools.partial(_recorded, recording))


def _check_recording(recording: object) -> None:
    if not isinstance(recording, Recording):
        way = f"; Recording.load({recording!r:.80}) reads a file" if isinstance(recording, str | os.PathLike) else ""
        raise InvalidConfiguration(f"recording must be a Recording, not {recording!r:.80}{way}")


async def _recorded(recording: Recording, inner: Any, query: Any, cancel: CancelToken) -> Any:
    start, (_, spent_before) = cancel.now(), cancel.usage()
    response = await inner(query, cancel)
    usage = cancel.usage()[1] + spent_before * -1
    recording.add(Record(query, response, cancel.now() - start, usage))
    return response


def replay(
    recording: Recording, missing: Literal["raise"] | Callable[..., Any] = "raise", *, speed: float = 1.0
) -> DecoratedHandler:
    """Return a handler that answers from ``recording``, after the recorded time and at the recorded cost.

    A query that was recorded more than once gets its first response, so that the handler is a function of the query.

    Args:
        recording: The recorded responses; may be added to later.
        missing: The handler for queries that are not in the recording; by default such a query is an error.
        speed: How many times faster than recorded; ``math.inf`` answers at once.

    Raises:
        InvalidConfiguration: ``recording`` is no ``Recording``, or ``speed`` is not positive.
    """
    _check_recording(recording)
    speed = positive("speed", speed)

    otherwise = functools.partial(_refuse, recording) if missing == "raise" else missing
    replaying = DecoratedHandler(otherwise, functools.partial(_replayed, recording, speed))
    replaying.greatest_usage = functools.partial(_most_replayed, recording, missing)
    return replaying


async def _replayed(recording: Recording, speed: float, otherwise: Any, query: Any, cancel: CancelToken) -> Any:
    found = recording.find(query)
    if found is None:
        return await otherwise(query, cancel)
    await cancel.asleep(found.seconds / speed, found.usage)
    return found.response


def _refuse(recording: Recording, query: Any, cancel: CancelToken) -> Any:
    raise RecordMissing(
        f"the recording (of {len(recording)} calls) has no response to {query!r}; "
        f"record it, or name a handler for such queries: replay(recording, missing=...)"
    )


def _most_replayed(recording: Recording, missing: Any, query: Any) -> Usage | None:
    found = recording.find(query)
    return greatest_usage(missing, query) if found is None else found.usage


def retry(
    handler: Callable[..., Any],
    attempts: int,
    on: type[Exception] | tuple[type[Exception], ...] = (Exception,),
    *,
    backoff_s: float = 1.0,
) -> DecoratedHandler:
    """Return ``handler`` with failed calls repeated, at most ``attempts`` calls of ``handler`` in all.

    The wait before the n-th repetition is ``backoff_s * 2**(n-1)``. A cancelled call is never repeated.

    Args:
        handler: The handler to repeat. Its ``effect`` must not be ``WRITE``: a failed call may have had its effect.
        attempts: The greatest number of calls (>= 1).
        on: The errors after which the call is repeated; any other error is raised unchanged.
        backoff_s: The wait before the first repetition, in seconds (>= 0).

    Raises:
        InvalidConfiguration: An argument is out of range, or the handler writes.
        HandlerFailed: (By the returned handler.) The last attempt failed too; its error is the ``__cause__``.
    """
    attempts = integer("attempts", attempts, least=1)
    if attribute_of(handler, "effect") is Effect.WRITE:
        raise InvalidConfiguration(
            f"{handler!r} writes, and a failed call may have had its effect; repeat the call where you can check that"
        )
    backoff_s = number("backoff_s", backoff_s, least=0)
    if not all(
        isinstance(each, type) and issubclass(each, Exception) for each in (on if isinstance(on, tuple) else (on,))
    ):
        raise InvalidConfiguration(
            f"on must be a class of exceptions, or a tuple of them, such as (OSError,), not {on!r:.80}"
        )
    retrying = DecoratedHandler(handler, functools.partial(_retried, attempts, on, backoff_s))
    retrying.greatest_usage = functools.partial(_most_retried, handler, attempts)
    return retrying


async def _retried(
    attempts: int,
    on: type[Exception] | tuple[type[Exception], ...],
    backoff_s: float,
    inner: Any,
    query: Any,
    cancel: CancelToken,
) -> Any:
    for attempt in itertools.count(1):
        try:
            return await inner(query, cancel)
        except CallCancelled:
            raise
        except on as error:
            cancel.raise_if_cancelled()  # a connection that was closed to cancel the call raises an ordinary error
            if attempt == attempts:
                raise HandlerFailed(f"gave up after {attempts} attempts; the last failed with {error!r}") from error
        await cancel.asleep(backoff_s * 2 ** (attempt - 1))


def _most_retried(handler: Any, attempts: int, query: Any) -> Usage | None:
    once = greatest_usage(handler, query)
    return None if once is None else once * attempts


def rate_limited(handler: Callable[..., Any], max_calls: int, per_s: float) -> DecoratedHandler:
    """Return ``handler`` with at most ``max_calls`` calls begun in any ``per_s`` seconds; further calls wait.

    Turns are given in the order of the calls. A call that is cancelled while it waits gives its turn back. A call ahead
    of time gets no turn: it waits until the window has room for it beside as many authoritative calls as the last
    window had. So agents that share the handler never wait for each other's guesses. (In simulation a handler runs when
    its call starts, and all calls get turns.) Give the ``Limits`` of a wrapper the same limit (``HandlerLimit``), so
    that no call ahead of time starts only to wait.

    Args:
        handler: The handler to hold back.
        max_calls: The greatest number of calls that begin in one window (>= 1).
        per_s: Length of the window, in seconds (> 0).

    Raises:
        InvalidConfiguration: An argument is out of range.
    """
    max_calls = integer("max_calls", max_calls, least=1)
    per_s = positive("per_s", per_s, finite=True)
    return DecoratedHandler(handler, functools.partial(_held_back, _Window(max_calls, per_s)))


async def _held_back(window: "_Window", inner: Any, query: Any, cancel: CancelToken) -> Any:
    cancel.raise_if_cancelled()
    while cancel.is_ahead():
        if window.begins_ahead(cancel):
            return await inner(query, cancel)
        await cancel.asleep(window.slice_s)
    turn = window.take_turn(cancel.now)
    try:
        cancel.raise_if_cancelled()
        while (seconds := window.seconds_left(turn, cancel.now)) > 0:
            await cancel.asleep(seconds)
    except BaseException:  # the call was cancelled, in a thread or as a task
        window.give_back(turn)
        raise
    return await inner(query, cancel)


@dataclasses.dataclass(slots=True, eq=False)
class _Turn:
    """A call that waits until the time ``start``."""

    start: float


class _Window(MadeAnew):
    """The times at which calls began, at most ``max_calls`` of them in any window, and the turns of those that wait.

    A call may wake up later than its turn. So it then looks again at the calls that have really begun.
    Thread-safe.
    """

    def __init__(self, max_calls: int, per_s: float) -> None:
        self._max_calls = max_calls
        self._per_s = per_s
        self._begun: list[float] = []
        self._turns: list[_Turn] = []
        #: The calls of the last window that began ahead of time: when, and whether they still are ahead.
        self._ahead: collections.deque[tuple[float, Callable[[], bool]]] = collections.deque()
        #: How long a call ahead of time waits before it looks for room again.
        self.slice_s = min(_SLICE_S, per_s / 10)
        # On a virtual clock calls come a little out of order, so more is remembered than one window.
        self._kept = 2 * max_calls + 10_000
        self._lock = Lock()

    def begins_ahead(self, cancel: CancelToken) -> bool:
        """Let a call begin ahead of time, if there is room for it now."""
        with self._lock:
            now = cancel.now()
            while self._ahead and self._ahead[0][0] + self._per_s <= now:
                self._ahead.popleft()
            ahead = sum(is_ahead() for _, is_ahead in self._ahead)
            window = len(self._begun) - bisect.bisect_right(self._begun, now - self._per_s)
            needed = window - ahead
            if self._turns or window + needed + 1 >= self._max_calls or not self._fits(now, self._begun):
                return False
            bisect.insort(self._begun, now)
            del self._begun[: -self._kept]
            self._ahead.append((now, cancel.is_ahead))
            return True

    def take_turn(self, clock: Callable[[], float]) -> _Turn:
        """Give the earliest turn from now on that keeps the limit, beside all calls that have begun or wait."""
        with self._lock:
            waiting = (turn.start for turn in self._turns)
            turn = _Turn(self._earliest(clock(), sorted([*self._begun, *waiting])))
            self._turns.append(turn)
        return turn

    def seconds_left(self, turn: _Turn, clock: Callable[[], float]) -> float:
        """For how long the call of ``turn`` has to wait; 0: it begins now."""
        with self._lock:
            now = clock()
            if turn.start <= now:
                turn.start = self._earliest(now, self._begun)
            if turn.start > now and now + (turn.start - now) > now:  # otherwise the wait is too short for the clock
                return turn.start - now
            self._turns.remove(turn)
            bisect.insort(self._begun, turn.start)
            del self._begun[: -self._kept]
            return 0.0

    def give_back(self, turn: _Turn) -> None:
        with self._lock:
            if turn in self._turns:
                self._turns.remove(turn)

    def _earliest(self, now: float, taken: Sequence[float]) -> float:
        return next(time for time in self._candidates(now, taken) if self._fits(time, taken))

    def _candidates(self, now: float, taken: Sequence[float]) -> Iterator[float]:
        yield now
        # From twice the window back, so that rounding cannot hide the last start, whose candidate always fits.
        for start in taken[bisect.bisect_left(taken, now - 2 * self._per_s) :]:
            if start + self._per_s > now:
                yield start + self._per_s

    def _fits(self, time: float, taken: Sequence[float]) -> bool:
        at = bisect.bisect_right(taken, time)
        before, after = taken[max(0, at - self._max_calls) : at], taken[at : at + self._max_calls]
        near = [*before, time, *after]
        return all(last >= first + self._per_s for first, last in zip(near, near[self._max_calls :], strict=False))


def metered(handler: Callable[..., Any], usage: Usage | Callable[[Any, Any], Usage]) -> DecoratedHandler:
    """Return ``handler`` with the cost of each call charged to the token of the call.

    Args:
        handler: The handler that costs something.
        usage: The cost of a call, charged when the call begins, so also if it fails or is cancelled; or a function from
            query and response to the cost, charged when the response is there.

    Raises:
        InvalidConfiguration: ``usage`` is neither a ``Usage`` nor such a function.
    """
    if not callable(usage):
        check_usage(usage)
    elif (why := why_not_called(usage, ("query", "response"))) is not None:
        raise InvalidConfiguration(
            f"usage must be a Usage or a function of query and response, not {usage!r:.80}: {why}"
        )
    metering = DecoratedHandler(handler, functools.partial(_metered, usage))
    metering.greatest_usage = functools.partial(_most_metered, handler, usage) if isinstance(usage, Usage) else None
    return metering


async def _metered(usage: Any, inner: Any, query: Any, cancel: CancelToken) -> Any:
    if isinstance(usage, Usage):
        cancel.spend(usage)
        return await inner(query, cancel)
    response = await inner(query, cancel)
    cancel.spend(usage(query, response))
    return response


def _most_metered(handler: Any, usage: Usage, query: Any) -> Usage | None:
    if declared(handler, "greatest_usage") is None:
        return usage
    inner = greatest_usage(handler, query)
    return None if inner is None else inner + usage
