"""An HTTP client with an allow-list of sites, ``GET`` alone, and bounds on everything.

A request to any other site is refused before a connection is made. Redirects are returned as answers, so that each
target is checked as well. A request that fails temporarily is repeated after a growing pause. Requests are spaced, and
wait as long as the site demands (``Retry-After``), up to a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import email.utils
import importlib.metadata
import os
import ssl
import time
import urllib.parse
from collections.abc import Iterable
from typing import TYPE_CHECKING

from spec_envs.checks import keep_integers, not_negative, positive
from spec_envs.errors import HandlerFailed, InvalidConfiguration
from spec_envs.search.web.answers import Answer, BrokenBody, Inflater

if TYPE_CHECKING:
    import httpx2


_PORTS = {"http": 80, "https": 443}
#: HTTP statuses after which another attempt may succeed.
_TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})
_MAX_RETRY_AFTER_S = 60.0
_MAX_CONNECTIONS = 16


@dataclasses.dataclass(frozen=True, slots=True)
class WebSettings:
    """The bounds of a backend that reads a site.

    Attributes:
        timeout_s: Longest time in seconds for one attempt to load a page, from connecting to the last byte (> 0). A
            browser then has the same time again to show the page.
        attempts: How often a page is tried when the connection fails or the site is overloaded (>= 1).
        backoff_s: The pause in seconds before the second attempt (>= 0); it doubles with each further attempt.
        max_bytes: Size of the largest page, uncompressed (>= 1).
        max_redirects: How many redirects may lead to one page (>= 0), with those by ``<meta http-equiv="refresh">``.
        requests_per_s: How many requests per second the site gets (> 0); ``math.inf`` for no limit.
        user_agent: The ``User-Agent`` header. Many sites want it to name a way to reach you.
        certificates: A file (PEM) with the certificates of a private authority, for ``https`` sites; ``None`` for the
            public authorities.
    """

    timeout_s: float = 15.0
    attempts: int = 3
    backoff_s: float = 0.5
    max_bytes: int = 5_000_000
    max_redirects: int = 5
    requests_per_s: float = 10.0
    user_agent: str = ""
    certificates: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        for name in ("timeout_s", "requests_per_s"):
            object.__setattr__(self, name, positive(name, getattr(self, name)))
        object.__setattr__(self, "backoff_s", not_negative("backoff_s", self.backoff_s))
        keep_integers(self, attempts=1, max_bytes=1, max_redirects=0)

    @property
    def page_s(self) -> float:
        """Longest time in seconds for a page, with all attempts and the pauses between them."""
        pauses = sum(self.backoff_s * 2.0**attempt + _MAX_RETRY_AFTER_S for attempt in range(self.attempts - 1))
        return self.attempts * self.timeout_s + pauses


class Unavailable(HandlerFailed):
    """A request failed temporarily: another attempt may succeed."""


def origin_of(url: str) -> str:
    """Scheme, host and port of an address: ``"http://127.0.0.1:8000"``.

    Raises:
        InvalidConfiguration: ``url`` is not the address of a page on the web, or contains a user name or password.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
        if not parts.hostname or parts.username is not None or parts.password is not None:
            raise ValueError
    except (ValueError, KeyError, AttributeError):
        raise InvalidConfiguration(f"a page's address is http://HOST[:PORT]/... or https://..., not {url!r}") from None
    host = parts.hostname.rstrip(".").lower()
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}"


class WebClient:
    """Requests pages of ``sites``, whose scheme, host and port must match. All its coroutines run on one event loop."""

    def __init__(self, sites: Iterable[str], settings: WebSettings) -> None:
        self.origins = frozenset(map(origin_of, sites))
        self.settings = settings
        self._client: httpx2.AsyncClient | None = None
        self._next_turn = 0.0

    def check(self, url: str) -> None:
        """Raise ``HandlerFailed`` if an address does not belong to one of the allowed sites."""
        try:
            allowed = origin_of(url) in self.origins
        except InvalidConfiguration:
            allowed = False
        if not allowed:
            raise HandlerFailed(f"{url!r:.200} is not on one of the allowed sites: {', '.join(sorted(self.origins))}")

    async def follow(self, url: str) -> Answer:
        """The page at ``url``, or the page that redirects from there lead to.

        Raises:
            HandlerFailed: As for ``get``; or there are too many redirects, or a redirect to another site.
        """
        for _ in range(1 + self.settings.max_redirects):
            answer = await self.get(url)
            target = answer.location or self._refresh(answer)
            if target is None:
                return answer
            url = target
        raise HandlerFailed(f"more than {self.settings.max_redirects} redirects; the last leads to {url!r:.200}")

    def _refresh(self, answer: Answer) -> str | None:
        """The target of the page's own ``refresh`` if it is on an allowed site; any other target is ignored."""
        target = answer.refresh()
        with contextlib.suppress(HandlerFailed):
            if target is not None:
                self.check(target)
                return target
        return None

    async def get(self, url: str) -> Answer:
        """The site's answer to a ``GET``, which is repeated if it fails temporarily.

        Raises:
            HandlerFailed: The address is not allowed, the answer is too large, or no attempt succeeded.
        """
        self.check(url)
        failure: Unavailable | None = None
        for attempt in range(self.settings.attempts):
            if attempt:
                await asyncio.sleep(self.settings.backoff_s * 2 ** (attempt - 1))
            await self._turn()
            try:
                return await self._attempt(url)
            except Unavailable as error:
                failure = error
        raise HandlerFailed(f"gave up after {self.settings.attempts} attempts: {failure}") from failure

    async def close(self) -> None:
        """Close the connections. Idempotent."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _turn(self) -> None:
        now = asyncio.get_running_loop().time()
        start = max(now, self._next_turn)
        self._next_turn = start + 1.0 / self.settings.requests_per_s
        if start > now:
            await asyncio.sleep(start - now)

    async def _attempt(self, url: str) -> Answer:
        import httpx2

        try:
            async with asyncio.timeout(self.settings.timeout_s):
                async with self._connections().stream("GET", url) as response:
                    if response.status_code in _TEMPORARY:
                        self._wait_as_told(url, response)
                        raise Unavailable(f"{url} answered with status {response.status_code}")
                    body = await self._body(url, response)
        except TimeoutError:
            raise Unavailable(f"{url} took longer than {self.settings.timeout_s:g} s") from None
        except httpx2.InvalidURL as error:
            raise HandlerFailed(f"{url!r:.200} cannot be requested: {error}") from error
        except httpx2.HTTPError as error:
            raise Unavailable(f"{url} failed with {error!r}") from error
        finally:
            self._connections().cookies.clear()  # so that an answer depends on the address alone
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers.raw}
        return Answer(url, response.status_code, headers, body)

    async def _body(self, url: str, response: httpx2.Response) -> bytes:
        body = bytearray()
        try:
            # Never more than is allowed: a small compressed page may be huge uncompressed.
            inflater = Inflater(response.headers.get("content-encoding", ""), self.settings.max_bytes)
            async for chunk in response.aiter_raw():
                body += inflater.feed(chunk)
                if inflater.is_too_large:
                    raise HandlerFailed(f"is larger than {self.settings.max_bytes} bytes")
            inflater.end()
        except BrokenBody as error:
            raise Unavailable(f"{url} {error}") from error
        except HandlerFailed as error:
            raise HandlerFailed(f"{url} {error}") from None
        return bytes(body)

    def _wait_as_told(self, url: str, response: httpx2.Response) -> None:
        """Have the next request wait as long as the site demands; ``HandlerFailed`` if that is too long for a call."""
        demand = response.headers.get("retry-after", "").strip()
        seconds = seconds_to_wait(demand)
        if seconds > _MAX_RETRY_AFTER_S:
            raise HandlerFailed(
                f"{url} answered with status {response.status_code}, and asks to wait longer than "
                f"{_MAX_RETRY_AFTER_S:g} s (Retry-After: {demand:.100})"
            )
        self._next_turn = max(self._next_turn, asyncio.get_running_loop().time() + seconds)

    def _connections(self) -> httpx2.AsyncClient:
        import httpx2

        if self._client is None:
            version = importlib.metadata.version("spec-envs")
            agent = self.settings.user_agent or f"spec-envs/{version} (a research library; reads, and never writes)"
            file = self.settings.certificates
            self._client = httpx2.AsyncClient(
                verify=True if file is None else ssl.create_default_context(cafile=file),
                headers={"User-Agent": agent, "Accept": "text/html", "Accept-Encoding": "gzip"},
                timeout=self.settings.timeout_s,
                limits=httpx2.Limits(max_connections=_MAX_CONNECTIONS),
                follow_redirects=False,
                trust_env=False,  # a proxy from the environment variables would be a further host
            )
        return self._client


def seconds_to_wait(retry_after: str) -> float:
    """The header ``Retry-After``, which is a number of seconds or a date, in seconds; 0 if it is something else."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0
