"""The shop's HTTP API, as an ASGI application, and ``serving``, which runs it; with faults for tests.

    POST /episodes/{episode}/calls    {"name", "arguments", "data"} -> {"output", "changes": [{table, key, record}]}
    GET  /episodes/{episode}          {"digest", "data_hash", "writes"}: hashes of the data now, the number of writes
    GET  /episodes/{episode}/writes   [{"number", "key", "name", "arguments", "output"}]: the log of writes
    GET  /                            {"data"}: the digest of the data with which every episode begins

A call of a tool that writes needs the header ``Idempotency-Key``, and may have ``If-Match: "<digest>"`` with the digest
that the episode's data must have. The optional ``data`` is the digest of the data with which the client believes that
the episode began. A refused request is answered with ``{"error"}`` and the status 400 (wrong call), 404, 405, 408 (too
slow), 409 (other data), 412 (``If-Match`` fails), 413 (too long), 422 (another call has used the key) or 503 (the
database cannot be used now: nothing was carried out).
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
import random
import re
import sqlite3
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from spec_envs.asgi_server import Served
from spec_envs.checks import not_negative, number
from spec_envs.errors import InvalidConfiguration
from spec_envs.extras import needed
from spec_envs.retail.shop.database import Refused, ShopDatabase, Write
from spec_envs.retail.tools.tool import ToolResponse

with needed("the shop's server", "servers"):
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.responses import Response
    from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """The share of tool calls that has each kind of fault. No call has two faults.

    Args:
        lost_before: The share (0 to 1) of requests that get lost: they are neither carried out nor answered.
        lost_after: The share of requests that are carried out and whose answers get lost.
        failed: The share of requests that are answered with status 500 and not carried out.
        slow: The share of requests that are carried out and answered late.
        slow_s: The delay of the slow requests in seconds.
        seed: Draws the fault of each request, together with the request's number.

    Raises:
        InvalidConfiguration: A share is not in [0, 1], or the shares add up to more than 1.
    """

    lost_before: float = 0.0
    lost_after: float = 0.0
    failed: float = 0.0
    slow: float = 0.0
    slow_s: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        for kind, share in self._shares():
            number(kind, share, least=0, most=1)
        if (total := sum(share for _, share in self._shares())) > 1:
            raise InvalidConfiguration(f"the shares of all faults add up to {total:g}, which is more than 1")
        not_negative("slow_s", self.slow_s)

    def of(self, number: int) -> str | None:
        """Return the name of the fault that the request with this number has, or ``None``."""
        drawn = random.Random(f"{self.seed}|{number}").random()
        for kind, share in self._shares():
            if drawn < share:
                return kind
            drawn -= share
        return None

    def _shares(self) -> Iterable[tuple[str, float]]:
        return [(kind, getattr(self, kind)) for kind in ("lost_before", "lost_after", "failed", "slow")]


class Faulty:
    """Wraps an ASGI application and adds faults to the requests that are not ``GET``."""

    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        self._app = app
        self._faults = faults
        self._numbers = itertools.count()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, with its fault if it has one."""
        fault = None
        if scope["type"] == "http" and scope["method"] != "GET":
            fault = self._faults.of(next(self._numbers))
        match fault:
            case "lost_before":
                await _hang_up(send)
            case "lost_after":
                await self._app(scope, receive, _swallow)
                await _hang_up(send)
            case "failed":
                await send({"type": "http.response.start", "status": 500, "headers": [(b"content-length", b"0")]})
                await send({"type": "http.response.body"})
            case _:
                await asyncio.sleep(self._faults.slow_s if fault == "slow" else 0.0)
                await self._app(scope, receive, send)


async def _swallow(message: Message) -> None:
    """Lose a message of an answer."""


async def _hang_up(send: Any) -> None:
    # The server closes the connection, because the answer is shorter than announced.
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})


_MAX_BYTES = 1_000_000
_BODY_TIMEOUT_S = 10.0
_EPISODE = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_COLUMNS = tuple(field.name for field in dataclasses.fields(Write))
_DIGEST = re.compile(r'"?([0-9a-f]{32})"?')


def shop_app(database: ShopDatabase, faults: Faults | None = None) -> ASGIApp:
    """Return the API over ``database`` as an ASGI application, with ``faults`` if they are given."""
    shop = _Shop(database)
    routes = [
        Route("/", shop.about),
        Route("/episodes/{episode}", shop.state),
        Route("/episodes/{episode}/writes", shop.writes),
        Route("/episodes/{episode}/calls", shop.call, methods=["POST"]),
    ]
    app = Starlette(
        routes=routes, exception_handlers={Refused: _refusal, HTTPException: _refusal, sqlite3.Error: _refusal}
    )
    return Faulty(app, faults) if faults is not None else app


class _Shop:
    """The endpoints, one method each."""

    def __init__(self, database: ShopDatabase) -> None:
        self._database = database

    async def about(self, request: Request) -> Response:
        return _json({"data": f"{self._database.start_digest:032x}"})

    async def call(self, request: Request) -> Response:
        episode, body = _episode(request), await _body(request)
        name, arguments, data = body.get("name"), body.get("arguments", {}), body.get("data")
        if not isinstance(name, str):
            raise Refused(400, f'"name" must be the name of a tool, not {name!r:.100}')
        if data is not None and data != f"{self._database.start_digest:032x}":
            raise Refused(409, f"this shop's data have digest {self._database.start_digest:032x}, not {data!r:.100}")
        key, match = request.headers.get("idempotency-key"), request.headers.get("if-match")
        digest = _DIGEST.fullmatch(match) if match is not None else None
        if match is not None and digest is None:
            raise Refused(400, f"If-Match must be a digest of 32 hex digits, not {match!r:.100}")
        wanted = int(digest[1], 16) if digest is not None else None

        def carry_out() -> ToolResponse:
            return self._database.call(episode, name, arguments, key=key, digest=wanted)

        result = await asyncio.to_thread(carry_out)
        changes = [{"table": change.table, "key": change.key, "record": change.record} for change in result.patch]
        return _json({"output": result.output, "changes": changes})

    async def state(self, request: Request) -> Response:
        episode = _episode(request)
        store = await asyncio.to_thread(self._database.snapshot, episode)
        data_hash = await asyncio.to_thread(store.tau_hash)
        writes = await asyncio.to_thread(self._database.writes, episode)
        return _json({"digest": f"{store.digest:032x}", "data_hash": data_hash, "writes": len(writes)})

    async def writes(self, request: Request) -> Response:
        writes = await asyncio.to_thread(self._database.writes, _episode(request))
        # Not dataclasses.asdict, which copies the arguments and fails on very deep ones.
        return _json([{name: getattr(write, name) for name in _COLUMNS} for write in writes])


def _episode(request: Request) -> str:
    episode = str(request.path_params["episode"])
    if _EPISODE.fullmatch(episode) is None:
        raise Refused(
            400, f"an episode's name has up to 100 letters, digits, '_', '.' and '-', unlike {episode!r:.120}"
        )
    return episode


async def _body(request: Request) -> dict[str, Any]:
    content = bytearray()
    try:
        async with asyncio.timeout(_BODY_TIMEOUT_S):
            async for chunk in request.stream():
                content += chunk
                if len(content) > _MAX_BYTES:
                    raise Refused(413, f"a call has at most {_MAX_BYTES} bytes")
    except TimeoutError:
        raise Refused(408, f"the call had not arrived after {_BODY_TIMEOUT_S:g} s") from None
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise Refused(400, f"the body must be a JSON object, not {type(body).__name__}")
    return body


async def _refusal(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        text = f"{request.method} {request.url.path}: {error.detail}"
        return _json({"error": text}, error.status_code, dict(error.headers or {}))
    if isinstance(error, sqlite3.Error):
        return _json({"error": f"the database cannot be used now: {error}"}, 503)
    assert isinstance(error, Refused)
    return _json({"error": str(error)}, error.status)


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    # Not Starlette's JSONResponse, which refuses NaN; Python's json module accepts it, and an agent may send it.
    return Response(json.dumps(value), status, headers, media_type="application/json")


def serving(database: ShopDatabase, *, faults: Faults | None = None, host: str = "127.0.0.1", port: int = 0) -> Served:
    """Serve the shop at an ``address`` until the returned value is closed, as at the end of a ``with`` block.

    Args:
        database: The shop's data.
        faults: Faults to add to the shop's answers, for tests.
        host: The address at which the server listens. Clients are not authenticated.
        port: The port; 0 for a free one.

    Raises:
        InvalidConfiguration: The server cannot listen at the port.
        DependencyNotInstalled: The extra ``servers`` is missing.
    """
    return Served(shop_app(database, faults), host=host, port=port)
