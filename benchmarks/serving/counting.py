"""What a model server counts: tokens by request, and clients that hung up."""

from __future__ import annotations

import collections
import dataclasses
import threading
from typing import Any

_KEPT = 10_000


@dataclasses.dataclass(slots=True)
class AnsweredRequest:
    """One request.

    Args:
        number: Counted from 1.
        tokens_in: Tokens read.
        tokens_out: Tokens produced, sent or not.
        outcome: "running", "done", "hung up" (the client was gone before the end), or "failed" (an error, or a fault).
    """

    number: int
    tokens_in: int = 0
    tokens_out: int = 0
    outcome: str = "running"


@dataclasses.dataclass(frozen=True, slots=True)
class ServerStatistics:
    """What a server was asked and has produced so far.

    Args:
        requests: Requests for completions; of them ``running`` are being answered, and the others are ``done``, were
            ``hung_up`` on, or ``failed``.
        refused: Those that the rate limit turned away; they are not among ``requests``.
        tokens_in: Tokens read.
        tokens_out: Tokens produced, sent or not.
        by_request: The last 10,000 requests one by one.
    """

    requests: int
    running: int
    done: int
    hung_up: int
    failed: int
    refused: int
    tokens_in: int
    tokens_out: int
    by_request: tuple[AnsweredRequest, ...]

    def as_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return dataclasses.asdict(self)


class Counter:
    """Counts requests. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._last: collections.deque[AnsweredRequest] = collections.deque(maxlen=_KEPT)
        self._number = self._refused = 0
        self._ended: collections.Counter[str] = collections.Counter()
        self._tokens = [0, 0]

    def begin(self) -> AnsweredRequest:
        """A request has come."""
        with self._changed:
            self._number += 1
            served = AnsweredRequest(self._number)
            self._last.append(served)
        return served

    def refused(self) -> None:
        """A request was turned away by the rate limit; it is no request otherwise."""
        with self._changed:
            self._refused += 1

    def read(self, served: AnsweredRequest, tokens: int) -> None:
        """So many tokens were read."""
        with self._changed:
            served.tokens_in += tokens
            self._tokens[0] += tokens

    def produced(self, served: AnsweredRequest) -> None:
        """A token was produced."""
        with self._changed:
            served.tokens_out += 1
            self._tokens[1] += 1

    def end(self, served: AnsweredRequest, outcome: str) -> None:
        """The request is over."""
        with self._changed:
            served.outcome = outcome
            self._ended[outcome] += 1
            self._changed.notify_all()

    def settle(self, timeout_s: float) -> bool:
        """Wait until no request is running; whether that came in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._ended.total() == self._number, timeout_s)

    def statistics(self) -> ServerStatistics:
        """A snapshot."""
        with self._changed:
            return ServerStatistics(
                requests=self._number,
                running=self._number - self._ended.total(),
                done=self._ended["done"],
                hung_up=self._ended["hung up"],
                failed=self._ended["failed"],
                refused=self._refused,
                tokens_in=self._tokens[0],
                tokens_out=self._tokens[1],
                by_request=tuple(dataclasses.replace(each) for each in self._last),
            )
