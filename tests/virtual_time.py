"""Coroutines on an event loop whose clock jumps: seconds take no time, and a run is the same every time."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar
from unittest import mock

from spec_envs import Call, CancelToken, Usage
from spec_envs.benchmarks.episodes import VirtualLoop
from spec_envs.handling import as_guess, as_handler, is_async
from spec_envs.wrappers.runtimes.base import Job
from spec_envs.wrappers.runtimes.threads import ThreadRuntime

ResultType = TypeVar("ResultType")


@contextlib.contextmanager
def without_threads() -> Iterator[None]:
    """Plain functions run at once, on the loop, instead of on worker threads: their time is not virtual."""

    def spawn(runtime: ThreadRuntime, job: Job) -> None:
        runtime.run(job)

    with mock.patch.object(ThreadRuntime, "spawn", spawn):
        yield


def run(main: Callable[[], Awaitable[ResultType]]) -> ResultType:
    """The result of ``main()`` on a virtual loop, which must leave no task and no worker thread behind."""

    async def alone() -> ResultType:
        result = await main()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks are left: {left}"
        threads = [thread.name for thread in threading.enumerate() if thread.name.startswith("speculation-")]
        assert not threads, f"threads are left: {threads}"
        return result

    with without_threads(), asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(alone())


class _Meter(CancelToken):
    """Takes down how long a plain handler would sleep, what it spends, and what else it does meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[tuple[float, Usage | None] | Callable[[], None]] = []

    def sleep(self, seconds: float, spending: Usage | None = None) -> None:
        self.done.append((seconds, spending))

    def spend(self, usage: Usage) -> None:
        self.done.append((0.0, usage))


async def _awaiting(function: Callable[[_Meter], Any], cancel: CancelToken) -> Any:
    """The result of ``function``, after the time for which it has slept."""
    meter = _Meter()
    error = result = None
    try:
        result = function(meter)
    except Exception as raised:
        error = raised
    for done in meter.done:
        if callable(done):
            done()
        else:
            await cancel.asleep(*done)
    if error is not None:
        raise error
    return result


def asynchronous(function: Callable[..., Any]) -> Any:
    """A handler or policy as one of asyncio; its ``cancel.sleep`` becomes an ``asyncio.sleep``."""
    if is_async(function):
        return function
    if hasattr(function, "fork"):
        return AsyncPolicy(function)
    handler = as_handler(function)

    async def awaiting(query: Any, cancel: CancelToken) -> Any:
        return await _awaiting(lambda meter: handler(query, meter), cancel)

    if hasattr(function, "effect"):
        awaiting.effect = function.effect  # type: ignore[attr-defined]
    return awaiting


class AsyncPolicy:
    """A policy with state."""

    def __init__(self, policy: Any) -> None:
        self.policy = policy

    async def __call__(self, observation: Any, cancel: CancelToken) -> Any:
        return await _awaiting(lambda meter: as_handler(self.policy)(observation, meter), cancel)

    def fork(self) -> AsyncPolicy:
        return AsyncPolicy(self.policy.fork())


class AsyncGuesser:
    """A plain guesser as one of asyncio."""

    def __init__(self, guesser: Any) -> None:
        self._guesser = guesser
        if hasattr(guesser, "observe"):
            self.observe = guesser.observe

    async def guess(self, call: Call, k: int, cancel: CancelToken, early: Callable[[Any], None]) -> Any:
        def guess(meter: _Meter) -> Any:
            return as_guess(self._guesser.guess)(
                call, k, meter, lambda guesses: meter.done.append(lambda: early(guesses))
            )

        return await _awaiting(guess, cancel)
