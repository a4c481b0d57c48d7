"""An event loop on a thread of its own, for code that is called from many threads and does its waiting with asyncio.

The loop makes a blocking call cancellable at any moment: while it connects, waits for an answer, backs off or reads.
"""

import asyncio
import concurrent.futures
import contextlib
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from spec_envs.closing import closed
from spec_envs.errors import EnvClosed
from spec_envs.handling import CancelToken

T = TypeVar("T")
Last = Callable[[], Coroutine[Any, Any, None]]


class BackgroundLoop:
    """Runs coroutines for the threads that wait for them.

    The loop's thread starts with the first coroutine. It ends with ``close``, when this object is collected, or with
    the program.

    Args:
        name: The name of the thread, which errors mention too.
        last: A coroutine function to run when all coroutines have ended; it must not hold on to this object.
    """

    def __init__(self, name: str, *, last: Last) -> None:
        self._name = name
        self._last = last
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop; ``EnvClosed`` once it was closed."""
        with self._lock:
            return self._started()

    def run(self, coroutine: Coroutine[Any, Any, T], cancel: CancelToken | None = None) -> T:
        """The coroutine's result, for which the calling thread waits.

        The coroutine is cancelled when ``cancel`` is, and when the waiting thread is interrupted. This method returns
        only when the coroutine has ended, clean-up included.

        Raises:
            CallCancelled: ``cancel`` was cancelled.
            EnvClosed: The loop was closed before or meanwhile.
        """
        done: concurrent.futures.Future[T] = concurrent.futures.Future()
        task: list[asyncio.Task[T]] = []

        def start() -> None:
            task.append(loop.create_task(coroutine))
            task[0].add_done_callback(lambda ended: _settle(done, ended))
            if cancel is not None:
                cancel.on_cancel(interrupt)

        def interrupt() -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile, and the task cancelled with it
                loop.call_soon_threadsafe(lambda: [each.cancel() for each in task])

        try:
            with self._lock:
                loop = self._started()
                loop.call_soon_threadsafe(start)
        except EnvClosed:
            coroutine.close()
            raise
        try:
            return done.result()
        except concurrent.futures.CancelledError:
            if cancel is not None:
                cancel.raise_if_cancelled()
            raise closed(self._name) from None
        except BaseException:
            if not done.done():  # Ctrl-C in the waiting thread
                interrupt()
            raise

    def call(self, callback: Callable[[], object], *, delay_s: float = 0.0) -> None:
        """Have the loop's thread call ``callback``, without waiting for it. Callbacks without delay keep their order.

        Raises:
            EnvClosed: The loop was closed.
        """
        with self._lock:
            loop = self._started()
            if delay_s:
                loop.call_soon_threadsafe(loop.call_later, delay_s, callback)
            else:
                loop.call_soon_threadsafe(callback)

    def close(self) -> None:
        """Cancel all coroutines, wait until they have ended, and end the thread. Idempotent."""
        with self._lock:
            self._closed = True
            loop, self._loop = self._loop, None
            thread = self._thread
        if loop is not None and thread is not None:
            _end(loop, thread, self._last)

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._closed or (self._loop is not None and self._loop.is_closed()):  # by the end of the program
            raise closed(self._name)
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name=self._name, daemon=True)
            self._thread.start()
            weakref.finalize(self, _end, self._loop, self._thread, self._last)
        return self._loop


def _settle(done: concurrent.futures.Future[T], task: asyncio.Task[T]) -> None:
    if task.cancelled():
        done.cancel()
    elif (error := task.exception()) is not None:
        done.set_exception(error)
    else:
        done.set_result(task.result())


def _end(loop: asyncio.AbstractEventLoop, thread: threading.Thread, last: Last) -> None:
    if loop.is_closed():
        return
    asyncio.run_coroutine_threadsafe(_cancel_all(), loop).result()
    asyncio.run_coroutine_threadsafe(last(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    if thread is not threading.current_thread():
        thread.join()
        loop.close()


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
