"""Faults for tests: an ASGI middleware that loses, refuses or delays some of the requests."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import random
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from spec_envs.errors import InvalidConfiguration

if TYPE_CHECKING:
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
            if not 0 <= share <= 1:
                raise InvalidConfiguration(f"{kind} must lie in [0, 1], not {share!r}")
        if (total := sum(share for _, share in self._shares())) > 1:
            raise InvalidConfiguration(f"the shares of all faults add up to {total:g}, which is more than 1")
        if not 0 <= self.slow_s < float("inf"):
            raise InvalidConfiguration(f"slow_s must be a number of at least 0 (seconds), not {self.slow_s!r}")

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
