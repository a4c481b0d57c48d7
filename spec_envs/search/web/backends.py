"""The backends that read a MediaWiki site: over HTTP, or through real browsers."""

import contextlib
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import ClassVar

from spec_envs.background_loop import BackgroundLoop
from spec_envs.calls import Effect
from spec_envs.checks import integer
from spec_envs.closing import Closing
from spec_envs.errors import EnvClosed, HandlerFailed, InvalidConfiguration
from spec_envs.handling import CancelToken
from spec_envs.pickling import MadeAnew
from spec_envs.search.pages import Fetched, FetchQuery
from spec_envs.search.web.browser_pool import BrowserPool
from spec_envs.search.web.chromium import Browser, BrowserDied
from spec_envs.search.web.client import WebClient, WebSettings, origin_of
from spec_envs.search.web.mediawiki import check_number_of_tags, parse, search_path


class SiteBackend(MadeAnew, Closing):
    """The common part of the backends that read a MediaWiki site: the site's address, and the client that reads it."""

    effect: ClassVar[Effect] = Effect.READ

    def __init__(self, site: str, also: Iterable[str], settings: WebSettings | None) -> None:
        self._site = _site_of(site)
        self._client = WebClient((self._site, *map(_site_of, also)), settings or WebSettings())

    def _search_url(self, query: FetchQuery) -> str:
        return self._site + search_path(query.text)


def read_page(url: str, html: str) -> Fetched:
    """The content of a page that was loaded from ``url``, as ``mediawiki.parse`` reads it; its errors name the page."""
    check_number_of_tags(url, html)
    try:
        return parse(html)
    except HandlerFailed as error:
        raise HandlerFailed(f"{url}: {error}") from error


def _site_of(address: str) -> str:
    """Scheme, host and port of a site's address, which must have no path."""
    origin = origin_of(address)
    if address.partition("://")[2].rstrip("/").count("/"):
        raise InvalidConfiguration(f"a site must be an address without a path, such as {origin!r}, not {address!r}")
    return origin


class HttpBackend(SiteBackend):
    """Answers ``fetch`` calls from a MediaWiki site over HTTP: requests the site's search, which leads to the article.

    Only the site is contacted, and only with ``GET``. The constructor starts nothing; ``close`` ends the background
    thread and the connections. A cancelled call closes its connection.

    Args:
        site: Address of the site, such as ``"https://en.wikipedia.org"`` or that of a ``WikiSite``.
        also: Addresses of other sites that redirects may lead to.
        settings: Bounds on time, size, attempts and rate.

    Raises:
        InvalidConfiguration: ``site`` or one of ``also`` is not the address of a site.
    """

    def __init__(self, site: str, *, also: Iterable[str] = (), settings: WebSettings | None = None) -> None:
        super().__init__(site, also, settings)
        self._loop = BackgroundLoop("http-backend", last=self._client.close)

    def __call__(self, query: FetchQuery, cancel: CancelToken | None = None) -> Fetched:
        """The article called ``query.text``, or the titles that the site's search finds.

        Raises:
            HandlerFailed: The site cannot be reached, redirects to another site, or returns something unexpected.
            CallCancelled: The call was cancelled meanwhile.
            EnvClosed: The backend was closed.
        """
        cancel = cancel or CancelToken()
        cancel.raise_if_cancelled()
        answer = self._loop.run(self._client.follow(self._search_url(query)), cancel)
        answer.check_page()
        return read_page(answer.url, answer.text())

    def close(self) -> None:
        """Close the connections; calls under way raise ``EnvClosed``. Idempotent."""
        self._loop.close()


#: How many browsers may die on one page before the call fails.
_ATTEMPTS = 3
#: A cancelled load normally ends in milliseconds. A browser that takes longer than this is killed.
_GRACE_S = 2.0


class BrowserBackend(SiteBackend):
    """Answers ``fetch`` calls by loading pages of a MediaWiki site in headless Chromium, driven by Selenium.

    The results are the same as those of ``HttpBackend``. Only the site is contacted, whatever a page tries to load, and
    only with ``GET``; scripts do not run. Each browser loads one page at a time, for one thread. If a browser crashes,
    another browser takes its place and loads the page again. The constructor starts nothing: ``prepare`` starts the
    browsers ahead of time, otherwise the first call does. The browsers end with ``close``, with the end of a ``with``
    block or of the program, and when the backend is garbage-collected. They go on after a signal that Python does not
    handle, such as ``SIGTERM`` or ``SIGKILL``.

    Args:
        site: Address of the site, such as ``"https://en.wikipedia.org"`` or that of a ``WikiSite``.
        also: Addresses of other sites that redirects may lead to.
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
        url, timeout_s = self._search_url(query), self._client.settings.timeout_s
        died: BrowserDied | None = None
        for _ in range(_ATTEMPTS):
            with self._pool.browser(cancel) as browser:
                try:
                    with self._interruptible(browser, cancel) as on_page:
                        page = browser.load(url, on_page)
                    return read_page(*page)
                except TimeoutError:
                    self._pool.replace(browser)
                    raise HandlerFailed(f"the browser took longer than {timeout_s:g} s to show {url}") from None
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
    def _interruptible(self, browser: Browser, cancel: CancelToken) -> Iterator[Callable[[], None]]:
        """Within the ``with`` block, cancelling the call stops the load of ``browser``; afterwards it does nothing.

        Yields a callback for the moment when the browser has received the page. If the block takes longer than
        ``timeout_s`` from then on, it ends with ``TimeoutError``.
        """
        lock, loading, expired = threading.Lock(), [True], list[bool]()

        def stop() -> None:
            with lock, contextlib.suppress(EnvClosed):
                if loading:
                    browser.stop_loading()
                    self._loop.call(kill, delay_s=_GRACE_S)

        def kill() -> None:
            with lock:
                if loading:
                    browser.kill()

        def expire() -> None:
            expired.append(True)
            kill()

        cancel.on_cancel(stop)
        try:
            yield lambda: self._loop.call(expire, delay_s=self._client.settings.timeout_s)
        except BrowserDied as error:
            raise TimeoutError if expired else error from None
        finally:
            with lock:
                loading.clear()


def _close(pool: BrowserPool, loop: BackgroundLoop) -> None:
    pool.close()
    loop.close()
