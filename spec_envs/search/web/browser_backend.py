"""The backend that reads a MediaWiki site through real browsers."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Iterable, Iterator

from spec_envs.background_loop import BackgroundLoop
from spec_envs.checks import integer
from spec_envs.errors import EnvClosed, HandlerFailed
from spec_envs.handling import CancelToken
from spec_envs.search.pages import Fetched, FetchQuery
from spec_envs.search.web.browser_pool import BrowserPool
from spec_envs.search.web.chromium import Browser, BrowserDied
from spec_envs.search.web.client import WebSettings
from spec_envs.search.web.site_backend import SiteBackend, read_page

#: How many browsers may die on one page before the call fails.
_ATTEMPTS = 3
#: A cancelled load normally ends in milliseconds. A browser that takes longer than this is killed.
_GRACE_S = 2.0


class BrowserBackend(SiteBackend):
    """Answers ``fetch`` calls by loading pages of a MediaWiki site in headless Chromium, driven by Selenium.

    Pages are read as by ``HttpBackend``, with the same results. Only the site is contacted, whatever a page tries to
    load, and only with ``GET``; scripts do not run. Each browser loads one page at a time, for one thread. A browser
    that crashed is replaced, and its page loaded again. The constructor starts nothing: ``prepare`` starts the browsers
    ahead of time, otherwise the first call does. ``close``, ``with``, the garbage collector and the end of the program
    end them. A signal that Python does not handle does not: after ``SIGTERM`` or ``SIGKILL`` the browsers stay.

    Args:
        site: Address of the site, such as ``"https://en.wikipedia.org"`` or that of a ``WikiSite``.
        also: Addresses of other sites that redirects may lead to, and that pages may load parts from.
        settings: Bounds on time, size, attempts and rate.
        max_browsers: How many browsers may run at once, with 200 to 400 MB each; further calls wait.

    Raises:
        InvalidConfiguration: ``site`` or one of ``also`` is not the address of a site, or ``max_browsers`` is below 1.
    """

    def __init__(
        self,
        site: str,
        *,
        also: Iterable[str] = (),
        settings: WebSettings | None = None,
        max_browsers: int = 2,
    ) -> None:
        max_browsers = integer("max_browsers", max_browsers, least=1)
        super().__init__(site, also, settings)
        client = self._client
        loop = BackgroundLoop("browser-backend", last=client.close)
        self._loop = loop
        self._pool = BrowserPool(lambda: Browser(loop, client), max_browsers)
        self._end = weakref.finalize(self, _close, self._pool, loop)

    def prepare(self) -> None:
        """Start the browsers in the background, so that the first call does not have to wait for them."""
        self._pool.prepare()

    def __call__(self, query: FetchQuery, cancel: CancelToken | None = None) -> Fetched:
        """The article called ``query.text``, or the titles that the site's search finds.

        Raises:
            HandlerFailed: The site cannot be reached, redirects to another site, or returns something unexpected; or
                several browsers in a row died on the page.
            CallCancelled: The call was cancelled meanwhile.
            DependencyNotInstalled: Chromium or its driver is missing.
            EnvClosed: The backend was closed.
        """
        cancel = cancel or CancelToken()
        url = self._search_url(query)
        died: BrowserDied | None = None
        for _ in range(_ATTEMPTS):
            with self._pool.browser(cancel) as browser:
                try:
                    with self._interruptible(browser, cancel):
                        return read_page(*browser.load(url))
                except HandlerFailed:
                    cancel.raise_if_cancelled()  # a load that is cut off looks like one that failed
                    raise
                except BrowserDied as error:
                    died = error
                    self._pool.replace(browser)
                    cancel.raise_if_cancelled()
        raise HandlerFailed(f"{_ATTEMPTS} browsers died on {url}: {died}") from died

    def pids(self) -> list[int]:
        """The process ids of the drivers and browsers that are running."""
        return self._pool.pids()

    def close(self) -> None:
        """End all browsers; calls that wait for one raise ``EnvClosed``. Idempotent."""
        self._end()

    @contextlib.contextmanager
    def _interruptible(self, browser: Browser, cancel: CancelToken) -> Iterator[None]:
        """Within the ``with`` block, cancelling the call stops the load of ``browser``; afterwards it does nothing."""
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


def _close(pool: BrowserPool, loop: BackgroundLoop) -> None:
    pool.close()
    loop.close()
