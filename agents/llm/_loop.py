"""A thread with an event loop, on which blocking callers have coroutines run.

It is what makes a blocking call of an async client cancellable at any moment: while it connects, waits for an answer,
backs off or reads. (A blocking client can be interrupted in the last of these only.)
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from spec_envs.errors import CallCancelled

if TYPE_CHECKING:
    from spec_envs.calls import CancelToken

Result = TypeVar("Result")


class LoopThread:
    """An event loop on a daemon thread, from now until ``close``."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def run(self, function: Callable[[], Coroutine[Any, Any, Result]], cancel: CancelToken) -> Result:
        """What the coroutine returns; cancelled with the token, and also if the waiting thread is interrupted.

        Returns only when the coroutine has ended: what it does at its end has been done.

        Raises:
            CallCancelled: The token was cancelled, or the loop closed.
            Exception: What the coroutine raises.
        """
        done: concurrent.futures.Future[Result] = concurrent.futures.Future()
        stop: list[Callable[[], object]] = []

        def start() -> None:
            task = self.loop.create_task(function())
            stop.append(task.cancel)
            task.add_done_callback(lambda task: _settle(done, task))
            cancel.on_cancel(interrupt)

        def interrupt() -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed, and the task with it
                self.loop.call_soon_threadsafe(lambda: [each() for each in stop])

        self.loop.call_soon_threadsafe(start)
        try:
            return done.result()
        except BaseException:
            if not done.done():  # Ctrl-C in the waiting thread
                interrupt()
            raise

    def close(self, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Cancel what runs, wait for its end, run ``last``, and end the thread."""

        async def drain() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await last()
            await self.loop.shutdown_asyncgens()

        asyncio.run_coroutine_threadsafe(drain(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


def _settle(done: concurrent.futures.Future[Result], task: asyncio.Task[Result]) -> None:
    if task.cancelled():
        done.set_exception(CallCancelled())
    elif (error := task.exception()) is not None:
        done.set_exception(error)
    else:
        done.set_result(task.result())
