"""The backend that looks at a MediaWiki site through real browsers, and the pool that they stand in."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ClassVar, Self

from spec_envs._background import BackgroundLoop
from spec_envs.calls import Effect
from spec_envs.errors import CallCancelled, EnvClosed, HandlerFailed, InvalidConfiguration
from spec_envs.handling import CancelToken
from spec_envs.search.web import mediawiki
from spec_envs.search.web.chromium import Browser, BrowserDied
from spec_envs.search.web.client import WebClient, WebSettings
from spec_envs.search.web.http_backend import read_page, site_of

if TYPE_CHECKING:
    from spec_envs.search.corpus.pages import Fetched, FetchQuery

__all__ = ["BrowserBackend"]

_REPEATS = 2
#: A cancelled load ends in milliseconds, as the gate is shut; a browser that takes longer than this is killed.
_GRACE_S = 2.0


class BrowserBackend:
    """Answers ``fetch`` calls by looking at a MediaWiki site in headless Chromium, driven by Selenium.

    What a page says is read as by ``HttpBackend``, and gives the same. Nobody but the site is contacted, whatever a
    page tries to load, and with ``GET`` alone; scripts do not run. Each browser loads one page at a time, for one
    thread; one that crashed is replaced, and its page asked for again. The constructor starts nothing: ``prepare``
    does, ahead of time, or the first call. ``close`` ends everything; so do ``with``, the garbage collector and the end
    of the program, but not a signal that Python does not handle: after ``SIGTERM`` or ``SIGKILL`` the browsers stay.

    Args:
        site: Address of the site, such as ``"https://en.wikipedia.org"`` or that of a ``WikiSite``.
        also: Addresses of other sites that redirects may lead to, and that pages may load parts from.
        settings: Bounds on time, size, attempts and rate.
        max_browsers: Browsers that run at once, 200 to 400 MB each; further calls wait.

    Raises:
        InvalidConfiguration: An argument makes no sense.
    """

    effect: ClassVar[Effect] = Effect.READ

    def __init__(
        self,
        site: str,
        *,
        also: Iterable[str] = (),
        settings: WebSettings | None = None,
        max_browsers: int = 2,
    ) -> None:
        if type(max_browsers) is not int or max_browsers < 1:
            raise InvalidConfiguration(f"max_browsers must be an integer of at least 1, not {max_browsers!r}")
        self._site = site_of(site)
        client = WebClient((self._site, *map(site_of, also)), settings or WebSettings())
        loop = BackgroundLoop("browser-backend", last=client.close)
        self._loop = loop
        self._pool = _Pool(lambda: Browser(loop, client), max_browsers)
        self._end = weakref.finalize(self, _close, self._pool, loop)

    def prepare(self) -> None:
        """Begin to start the browsers, in the background, so that the first call finds one."""
        self._pool.prepare()

    def __call__(self, query: FetchQuery, cancel: CancelToken) -> Fetched:
        """The article called ``query.text``, or the titles that the site's search finds.

        Raises:
            HandlerFailed: The site cannot be reached, leads elsewhere, or answers with something else; or browsers
                died on it again and again.
            CallCancelled: The call was cancelled meanwhile.
            DependencyNotInstalled: There is no Chromium, or no driver.
            EnvClosed: The backend was closed.
        """
        url = self._site + mediawiki.search_path(query.text)
        for _ in range(1 + _REPEATS):
            with self._pool.browser(cancel) as browser:
                try:
                    with self._interruptible(browser, cancel):
                        return read_page(*browser.load(url))
                except HandlerFailed:
                    cancel.raise_if_cancelled()  # a load that is cut off looks like a failed one
                    raise
                except BrowserDied as error:
                    died = error
                    self._pool.replace(browser)
                    cancel.raise_if_cancelled()
        raise HandlerFailed(f"{1 + _REPEATS} browsers died on {url}: {died}") from died

    def pids(self) -> list[int]:
        """The process ids of the drivers and browsers that are running."""
        return self._pool.pids()

    def close(self) -> None:
        """End all browsers; calls that wait for one raise ``EnvClosed``. Idempotent."""
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _interruptible(self, browser: Browser, cancel: CancelToken) -> Iterator[None]:
        """While it lasts, a cancelled call stops what ``browser`` loads; after it, that is another call's."""
        lock, loading = threading.Lock(), [True]

        def stop() -> None:
            with lock, contextlib.suppress(EnvClosed):
                if loading:
                    browser.stop_loading()
                    self._loop.call(kill, delay_s=_GRACE_S)

        def kill() -> None:
            with lock:
                if loading:
                    browser.kill()

        cancel.on_cancel(stop)
        try:
            yield
        finally:
            with lock:
                loading.clear()


class _Pool:
    """Browsers for many threads. They are started, one after the other, and replaced by a thread of the pool's own."""

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
        """Have as many browsers started as there may be."""
        with self._changed:
            if self._closed:
                raise _closed()
            if self._starter is None:
                self._starter = ThreadPoolExecutor(1, thread_name_prefix="browser-starter")
            while len(self._running) + self._num_starting < self._size:
                self._num_starting += 1
                self._failure = None
                self._starter.submit(self._add)

    @contextlib.contextmanager
    def browser(self, cancel: CancelToken) -> Iterator[Browser]:
        """A browser that is nobody else's for the while."""
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
        """Take a browser out, end it in the background, and have another one started."""
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
        with self._changed:
            return [pid for browser in self._running for pid in browser.pids]

    def close(self) -> None:
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
            browser.kill()  # it is loading for somebody
        for browser in running:
            browser.close()

    def _take(self, cancel: CancelToken) -> Browser:
        cancel.on_cancel(self._wake)
        self.prepare()
        with self._changed:
            while True:
                cancel.raise_if_cancelled()
                if self._closed:
                    raise _closed()
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


def _close(pool: _Pool, loop: BackgroundLoop) -> None:
    pool.close()
    loop.close()


def _closed() -> EnvClosed:
    return EnvClosed("the browsers were closed; make a new backend")
