"""The limit of one handler, and whether another call may begin: the rule that the tree and the tools share.

Pure: no clock; time enters as a number. A call counts against ``max_inflight`` until it ends. It counts against
``max_calls`` until ``per_s`` seconds after its handler got it, because its thread or task may begin late. Authoritative
calls begin as early as the limit allows. Speculative calls leave room for them: one slot; and in each window one call
more than the authoritative calls lately needed.
"""

import dataclasses
import math
from collections.abc import Container, Hashable
from typing import Any

from spec_envs.checks import integer_or_none, positive


@dataclasses.dataclass(frozen=True, slots=True)
class HandlerLimit:
    """The limit of one handler, for speculative and authoritative calls together.

    One slot is always kept for the authoritative call. So with ``max_inflight=1``, no call of the handler is made ahead
    of time.

    Args:
        max_inflight: The greatest number of calls in flight at once; ``None``: any number.
        max_calls: The greatest number of calls that begin within any ``per_s`` seconds; ``None``: any number.
            Speculation leaves one of these calls more than the authoritative calls lately needed.
        per_s: The length of this window in seconds.

    Raises:
        InvalidConfiguration: An argument is out of range.
    """

    max_inflight: int | None = None
    max_calls: int | None = None
    per_s: float = 60.0

    def __post_init__(self) -> None:
        for name in ("max_inflight", "max_calls"):
            object.__setattr__(self, name, integer_or_none(name, getattr(self, name), least=1))
        object.__setattr__(self, "per_s", positive("per_s", self.per_s, finite=True))


@dataclasses.dataclass(slots=True)
class _Call:
    """A call that was let through; it begins at the time ``at``, which is infinite while the time is unknown."""

    speculative: bool
    at: float = math.inf
    in_flight: bool = True


class Quota:
    """The calls of one handler, which count against its limit.

    The caller gives a hashable object for each call to ``let``, and the same object again to ``began``,
    ``promote`` and ``end``.

    Args:
        limit: The limit of the handler.
    """

    def __init__(self, limit: HandlerLimit) -> None:
        self._limit = limit
        # The calls that are in flight or count against ``max_calls``.
        self._calls: dict[Hashable, _Call] = {}

    def let(self, call: Hashable, *, speculative: bool) -> None:
        """Let ``call`` through: from now on it counts in every window, until its own window is over."""
        self._calls.setdefault(call, _Call(speculative))  # a call that an interrupt has left in flight is known already

    def began(self, call: Hashable, now: float) -> None:
        """The handler gets ``call`` now, which may be later than it was let through: its window begins."""
        if call in self._calls:
            self._calls[call].at = now

    def promote(self, call: Hashable) -> None:
        """The speculative ``call``, in flight or done, has turned out to be needed: it counts as authoritative."""
        if call in self._calls:
            self._calls[call].speculative = False

    def end(self, call: Hashable) -> None:
        """``call`` is no longer in flight. A call that never began does not count any more."""
        if self._calls[call].at == math.inf or self._limit.max_calls is None:
            del self._calls[call]
        else:
            self._calls[call].in_flight = False

    def end_all_but(self, calls: Container[Any]) -> None:
        """Only ``calls`` are still in flight: an interrupt has swallowed the ends of the others."""
        for call in [each for each, known in self._calls.items() if known.in_flight and each not in calls]:
            self.end(call)

    def has_room(self, now: float) -> bool:
        """Whether a speculative call may be let through."""
        limit = self._limit
        if limit.max_inflight is not None:
            inflight = [call.speculative for call in self._calls.values() if call.in_flight]
            if sum(inflight) >= limit.max_inflight - max(1, inflight.count(False)):
                return False
        if limit.max_calls is None:
            return True
        window = self._window(now)
        needed = sum(not call.speculative for call in window)
        return len(window) + needed + 1 < limit.max_calls

    def authoritative_from(self, now: float) -> float | None:
        """When an authoritative call may begin; ``None``: now. Infinite: not before a call in flight begins or ends."""
        limit = self._limit
        if limit.max_inflight is not None:
            if sum(call.in_flight for call in self._calls.values()) >= limit.max_inflight:
                return math.inf
        if limit.max_calls is None:
            return None
        leaving = sorted(map(self._leaves_at, self._window(now)))
        excess = len(leaving) - limit.max_calls
        return leaving[excess] if excess >= 0 else None

    def _window(self, now: float) -> list[_Call]:
        """The calls that count against ``max_calls``. Calls that have ended and count no more are forgotten."""
        over = [call for call, known in self._calls.items() if self._leaves_at(known) <= now and not known.in_flight]
        for call in over:
            del self._calls[call]
        return [call for call in self._calls.values() if self._leaves_at(call) > now]

    def _leaves_at(self, call: _Call) -> float:
        # One sum for all comparisons: differences are rounded otherwise, and a wait for this time might never end.
        return call.at + self._limit.per_s
