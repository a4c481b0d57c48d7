"""How a model server behaves: its pace, its slots, its rate limit, its counts of requests, and faults for tests."""

import asyncio
import collections
import contextlib
import dataclasses
import math
import threading
import time
from collections.abc import AsyncIterator
from typing import Any, Literal

from spec_envs.benchmarks.options import Settings, setting
from spec_envs.checks import choice, integer, integer_or_none, not_negative, positive
from spec_envs.errors import InvalidConfiguration
from spec_envs.wrappers.latency import lognormal

#: The least status of an error.
_LEAST_ERROR = 400


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault of one request.

    Args:
        status: Answer with this HTTP status instead.
        retry_after_s: With ``status``: tell the client to try again after this many seconds.
        stall_after: Send nothing more after this many tokens, and keep the connection open.
        drop_after: Drop the connection after this many tokens.

    Raises:
        InvalidConfiguration: More than one of ``status``, ``stall_after`` and ``drop_after`` is given, or a value is
            out of bounds.
    """

    status: int | None = None
    retry_after_s: float | None = None
    stall_after: int | None = None
    drop_after: int | None = None

    def __post_init__(self) -> None:
        kinds = ("status", "stall_after", "drop_after")
        for name in kinds:
            least = _LEAST_ERROR if name == "status" else 0
            object.__setattr__(self, name, integer_or_none(name, getattr(self, name), least=least))
        if sum(getattr(self, name) is not None for name in kinds) > 1:
            raise InvalidConfiguration(f"a fault has at most one of {', '.join(kinds)}, not {self}")
        if self.retry_after_s is not None:
            object.__setattr__(self, "retry_after_s", not_negative("retry_after_s", self.retry_after_s))


class RateLimit:
    """At most ``max_calls`` requests in any ``per_s`` seconds. Thread-safe."""

    def __init__(self, max_calls: int, per_s: float) -> None:
        max_calls = integer("the number of calls of a rate limit", max_calls, least=1)
        self._per_s = positive("the time of a rate limit", per_s, finite=True)
        self._times: collections.deque[float] = collections.deque(maxlen=max_calls)
        self._lock = threading.Lock()

    def wait_s(self) -> float:
        """Admit a request and return 0, or return how many seconds to wait before the next attempt."""
        with self._lock:
            now = time.monotonic()
            if len(self._times) == self._times.maxlen and (wait := self._times[0] + self._per_s - now) > 0:
                return wait
            self._times.append(now)
            return 0.0


_KEPT = 10_000


@dataclasses.dataclass(slots=True)
class AnsweredRequest:
    """One request."""

    number: int  # counted from 1
    tokens_in: int = 0  # tokens read
    tokens_out: int = 0  # tokens produced, sent or not
    #: "running", "done", "hung up" (the client was gone before the end), or "failed" (an error, or a fault).
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


#: A request that finds no free slot waits for its turn (fifo), or takes the slot of the oldest request (drop).
QueueRule = Literal["fifo", "drop"]


class Slots:
    """Lets ``count`` requests at once be answered. Used on one event loop.

    Args:
        count: ``None``: any number.
        queue: See ``QueueRule``.
    """

    def __init__(self, count: int | None, queue: QueueRule) -> None:
        count = integer_or_none("slots", count, least=1)
        choice("queue", queue, ("fifo", "drop"))
        if count is None and queue == "drop":
            raise InvalidConfiguration(
                'queue="drop" drops requests that found no free slot: give a number of slots, too'
            )
        self._count = math.inf if count is None else count
        self._turns = asyncio.Semaphore(count) if count is not None and queue == "fifo" else contextlib.nullcontext()
        self._holders: collections.deque[asyncio.Event] = collections.deque()

    @contextlib.asynccontextmanager
    async def taken(self) -> AsyncIterator[asyncio.Event]:
        """Hold a slot; the event is set when another request has taken the slot away."""
        dropped = asyncio.Event()
        async with self._turns:
            if len(self._holders) >= self._count:  # nobody waits for a turn: drop the oldest request
                self._holders.popleft().set()
            self._holders.append(dropped)
            try:
                yield dropped
            finally:
                if dropped in self._holders:
                    self._holders.remove(dropped)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pace(Settings):
    """How fast a model writes. Times are drawn by the request: equal requests take equally long.

    Args:
        first_token_s: Median time to the first token, in seconds.
        tokens_per_s: Median rate of the tokens after it; ``math.inf``: all at once.
        spread: Sigma of the lognormal distributions of both; 0: no spread.
        reasoning_tokens: Tokens of reasoning that the model writes before each answer (``reasoning_content``).
        seed: Seed of the draws.

    Raises:
        InvalidConfiguration: A value is out of bounds.
    """

    first_token_s: float = setting(0.0, "Median time to the first token, in seconds.", ge=0)
    tokens_per_s: float = setting(
        math.inf, "Median rate of the tokens after the first one.", gt=0, le=math.inf, default_text="no limit"
    )
    spread: float = setting(
        0.0, "Sigma of the lognormal distributions of time and rate; equal requests take equally long.", ge=0
    )
    reasoning_tokens: int = setting(0, "Tokens of reasoning written before each answer.", ge=0)
    seed: int = setting(0, "Seed of the times.", ge=0)

    def times(self, request: Any) -> tuple[float, float]:
        """Seconds until the first token of the answer to ``request``, and seconds from each token to the next."""
        first = lognormal(self.first_token_s, self.spread, self.seed)(request)
        return first, lognormal(1 / self.tokens_per_s, self.spread, self.seed + 1)(request)
