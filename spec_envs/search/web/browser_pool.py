"""A pool of browsers that several threads use in turns."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from spec_envs.closing import closed
from spec_envs.errors import CallCancelled, HandlerFailed
from spec_envs.handling import CancelToken
from spec_envs.search.web.chromium import Browser, BrowserDied


class BrowserPool:
    """At most ``size`` browsers for many threads; a thread of the pool starts them one by one, and replaces them."""

    def __init__(self, start: Callable[[], Browser], size: int) -> None:
        self._start = start
        self._size = size
        self._changed = threading.Condition()
        self._idle: list[Browser] = []
        self._running: set[Browser] = set()
        self._num_starting = 0
        self._failure: Exception | None = None
        self._starter: ThreadPoolExecutor | None = None
        self._closed = False

    def prepare(self) -> None:
        """Start browsers in the background until ``size`` of them run; ``EnvClosed`` if the pool was closed."""
        with self._changed:
            if self._closed:
                raise closed("the backend")
            if self._starter is None:
                self._starter = ThreadPoolExecutor(1, thread_name_prefix="browser-starter")
            while len(self._running) + self._num_starting < self._size:
                self._num_starting += 1
                self._failure = None
                self._starter.submit(self._add)

    @contextlib.contextmanager
    def browser(self, cancel: CancelToken) -> Iterator[Browser]:
        """A browser that no other thread uses during the ``with`` block.

        Raises:
            CallCancelled: The call was cancelled while it waited for a browser.
            EnvClosed: The pool was closed.
            HandlerFailed: No browser can be started.
        """
        browser = self._take(cancel)
        try:
            yield browser
        except BaseException as error:
            if not isinstance(error, HandlerFailed | CallCancelled):
                self.replace(browser)
            raise
        finally:
            with self._changed:
                if browser in self._running:
                    self._idle.append(browser)
                    self._changed.notify_all()

    def replace(self, browser: Browser) -> None:
        """Remove a browser from the pool, end it in the background, and start another one."""
        browser.kill()
        with self._changed:
            if self._closed or browser not in self._running:
                return
            self._running.remove(browser)
        self.prepare()
        with self._changed:
            if self._starter is not None:
                self._starter.submit(browser.close)

    def pids(self) -> list[int]:
        """The process ids of the drivers and browsers that are running."""
        with self._changed:
            return [pid for browser in self._running for pid in browser.pids]

    def close(self) -> None:
        """End all browsers. Idempotent."""
        with self._changed:
            self._closed = True
            starter, self._starter = self._starter, None
            self._changed.notify_all()
        if starter is not None:
            starter.shutdown()
        with self._changed:
            running, self._running = self._running, set()
            idle, self._idle = self._idle, []
        for browser in running.difference(idle):
            browser.kill()  # a thread is still loading a page
        for browser in running:
            browser.close()

    def _take(self, cancel: CancelToken) -> Browser:
        cancel.on_cancel(self._wake)
        self.prepare()
        with self._changed:
            while True:
                cancel.raise_if_cancelled()
                if self._closed:
                    raise closed("the backend")
                if self._idle:
                    return self._idle.pop()
                if self._failure is not None and not self._running and not self._num_starting:
                    raise self._failure
                self._changed.wait()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _add(self) -> None:
        browser: Browser | None = None
        failure: Exception | None = None
        try:
            if not self._closed:
                browser = self._start()
        except BrowserDied as error:
            failure = HandlerFailed(str(error))
        except Exception as error:
            failure = error
        with self._changed:
            self._num_starting -= 1
            self._failure = failure or self._failure
            if browser is not None:
                self._running.add(browser)
                self._idle.append(browser)
            self._changed.notify_all()
