"""The tools of ``SpecRetail-v0`` as a client of the shop's HTTP API."""

import contextlib
import http.client
import json
import select
import socket
import threading
import urllib.parse
from collections.abc import Mapping

from spec_envs.calls import Effect
from spec_envs.checks import integer, not_negative, positive
from spec_envs.closing import Closing
from spec_envs.errors import HandlerFailed, InvalidConfiguration
from spec_envs.handling import CancelToken
from spec_envs.pickling import MadeAnew
from spec_envs.retail.queries import ToolQuery
from spec_envs.retail.store.data import TABLES
from spec_envs.retail.store.snapshot import Change
from spec_envs.retail.tools.table import effect_of
from spec_envs.retail.tools.tool import ToolResponse


class HttpTools(MadeAnew, Closing):
    """Calls the tools of a shop on the network (``spec-envs shop``); give it to ``SpecRetail-v0`` as ``tools``.

    The shop keeps the data of each episode apart, under the episode's name. Reads may be made ahead of time. A write
    changes the shop's data, so it is never made ahead of time. A write carries the number of the step as a key: if this
    client repeats the call, or the step is made again, the shop still carries out the write only once. A write also
    carries the digest of the episode's data; the shop refuses the write if the shop's data are different.

    Several threads may use this object. Each call under way has a connection of its own, which later calls reuse.

    Args:
        url: The shop's address: "http://127.0.0.1:8000".
        timeout_s: Seconds to wait for an answer before the next attempt (> 0).
        attempts: The number of attempts (>= 1).
        backoff_s: Seconds between the first and the second attempt (>= 0); doubled for each further attempt.

    Raises:
        InvalidConfiguration: An argument is out of range, or ``url`` is no address.
    """

    def __init__(self, url: str, *, timeout_s: float = 10.0, attempts: int = 6, backoff_s: float = 0.05) -> None:
        address = _address(url)
        self.url = url.rstrip("/")
        self._path = address.path.rstrip("/")
        self._attempts = integer("attempts", attempts, least=1)
        self._backoff_s = not_negative("backoff_s", backoff_s)
        self._lines = _Lines(address, positive("timeout_s", timeout_s, finite=True))

    def __call__(self, query: ToolQuery, cancel: CancelToken | None = None) -> ToolResponse:
        """Return what the shop's tool answers, and what it has changed.

        Raises:
            HandlerFailed: The shop refused the call, or could not be reached. A write may have been carried out all the
                same; making the same step again is safe, and returns the result.
            CallCancelled: The call was cancelled.
        """
        cancel = cancel or CancelToken()
        start = query.store.snapshot.initial.digest
        body = json.dumps({"name": query.name, "arguments": query.arguments, "data": f"{start:032x}"})
        headers = {"Content-Type": "application/json"}
        if effect_of(query.name) is Effect.WRITE:
            headers["Idempotency-Key"] = f"step-{query.step}"
            headers["If-Match"] = f'"{query.store.snapshot.digest:032x}"'
        path = f"{self._path}/episodes/{query.episode}/calls"
        what = f"{query.name} at {self.url}"
        return _result(self._obtain(path, body, headers, what, cancel), what)

    def close(self) -> None:
        """Close the idle connections now, and each busy one after its call. Idempotent."""
        self._lines.close()

    def _obtain(self, path: str, body: str, headers: Mapping[str, str], what: str, cancel: CancelToken) -> bytes:
        """Send a request until it is answered, and return the content of the answer."""
        problem, cause = "", None
        for attempt in range(self._attempts):
            if attempt:
                cancel.sleep(self._backoff_s * 2 ** (attempt - 1))
            cancel.raise_if_cancelled()
            try:
                status, content = self._lines.exchange(path, body, headers, cancel)
            except (OSError, http.client.HTTPException) as error:
                cancel.raise_if_cancelled()  # cutting a cancelled call's connection raises the same errors
                problem, cause = f"{type(error).__name__}: {error}", error
                continue
            if status == 200:
                return content
            problem, cause = f"status {status}: {content[:500].decode(errors='replace')}", None
            if status < 500 and status not in (408, 429):
                raise HandlerFailed(f"the shop refused {what}: {problem}")
        raise HandlerFailed(f"{what} was not answered in {self._attempts} attempts; the last: {problem}") from cause


def _address(url: str) -> urllib.parse.SplitResult:
    try:
        address = urllib.parse.urlsplit(url)
        known = address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
        if known and not address.query and not address.fragment:
            return address
    except (ValueError, AttributeError):  # a wrong port or bracket; not a text
        pass
    raise InvalidConfiguration(f'the shop\'s address must be like "http://127.0.0.1:8000", not {url!r}')


class _Lines:
    """Connections to one address, each used for one request at a time."""

    def __init__(self, address: urllib.parse.SplitResult, timeout_s: float) -> None:
        secure = address.scheme == "https"
        self._kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        self._host, self._port, self._timeout_s = address.hostname or "", address.port, timeout_s
        self._idle: list[http.client.HTTPConnection] = []
        self._busy: dict[http.client.HTTPConnection, CancelToken] = {}  # without the connections that were cut
        self._closed = False
        self._lock = threading.Lock()

    def exchange(self, path: str, body: str, headers: Mapping[str, str], cancel: CancelToken) -> tuple[int, bytes]:
        """Return status and content of the answer to a ``POST``; cancelling cuts the connection at once."""
        connection, usable = self._take(cancel), False
        try:
            if connection.sock is None:
                connection.connect()
            cancel.on_cancel(lambda: self._cut(connection, cancel))
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            content = response.read()
            usable = not response.will_close
        finally:
            self._give_back(connection, usable)
        return response.status, content

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self, cancel: CancelToken) -> http.client.HTTPConnection:
        while True:
            with self._lock:
                idle = bool(self._idle)
                connection = self._idle.pop() if idle else self._kind(self._host, self._port, timeout=self._timeout_s)
                self._busy[connection] = cancel
            if not idle or not _was_hung_up(connection):
                return connection
            self._give_back(connection, usable=False)

    def _cut(self, connection: http.client.HTTPConnection, cancel: CancelToken) -> None:
        with self._lock:
            # Another call may have the connection by now, which this call's token must not touch.
            if self._busy.get(connection) is cancel and connection.sock is not None:
                del self._busy[connection]
                with contextlib.suppress(OSError):  # the other side has closed the connection
                    connection.sock.shutdown(socket.SHUT_RDWR)

    def _give_back(self, connection: http.client.HTTPConnection, usable: bool) -> None:
        with self._lock:
            was_cut = self._busy.pop(connection, None) is None
            if usable and not was_cut and not self._closed:
                self._idle.append(connection)
                return
        connection.close()


def _was_hung_up(connection: http.client.HTTPConnection) -> bool:
    """Return whether the other side has closed an idle connection: then there is something to read, the end."""
    if connection.sock is None:
        return True
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return bool(poll.poll(0))


def _result(content: bytes, what: str) -> ToolResponse:
    try:
        answer = json.loads(content)
        output, changes = answer["output"], answer["changes"]
        patch = tuple(Change(change["table"], change["key"], change["record"]) for change in changes)
    except (ValueError, TypeError, KeyError) as error:
        raise HandlerFailed(f"{what} returned no valid result ({error!r}): {content[:200]!r}") from None
    if not isinstance(output, str) or any(change.table not in TABLES for change in patch):
        raise HandlerFailed(f"{what} returned no valid result: {content[:200]!r}")
    return ToolResponse(output, patch)
