"""Counts the tokens of each request to a model server, and the clients that hung up."""

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
    """The requests to a server so far, and the tokens that it has produced.

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
        """The statistics in the form of JSON."""
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
        """Count a new request."""
        with self._changed:
            self._number += 1
            served = AnsweredRequest(self._number)
            self._last.append(served)
        return served

    def refused(self) -> None:
        """Count a request that the rate limit refused; it counts nowhere else."""
        with self._changed:
            self._refused += 1

    def read(self, served: AnsweredRequest, tokens: int) -> None:
        """Count tokens that were read."""
        with self._changed:
            served.tokens_in += tokens
            self._tokens[0] += tokens

    def produced(self, served: AnsweredRequest) -> None:
        """Count a produced token."""
        with self._changed:
            served.tokens_out += 1
            self._tokens[1] += 1

    def end(self, served: AnsweredRequest, outcome: str) -> None:
        """Note that the request is over."""
        with self._changed:
            served.outcome = outcome
            self._ended[outcome] += 1
            self._changed.notify_all()

    def settle(self, timeout_s: float) -> bool:
        """Wait until no request is running; returns whether this happened in time."""
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
