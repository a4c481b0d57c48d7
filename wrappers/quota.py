"""What one handler can take, and whether another call of it may begin: the rule that the tree and the tools share.

Pure: no clock; time enters as a number. A call counts against ``max_inflight`` until it ends, and against ``max_calls``
until ``per_s`` seconds after it began. Authoritative calls begin as early as the limit allows. Speculative calls leave
room for them: one slot, and as many calls of each window as authoritative calls lately needed, and one more.
"""

import collections
import dataclasses
import itertools
import math
from collections.abc import Hashable
from numbers import Real

from spec_envs.checks import integer_or_none
from spec_envs.errors import InvalidConfiguration


@dataclasses.dataclass(frozen=True, slots=True)
class HandlerLimit:
    """What one handler can take, speculative and authoritative calls together.

    One slot is always kept for the authoritative call: with ``max_inflight=1`` nothing is speculated on the handler.

    Args:
        max_inflight: Calls in flight at once; ``None``: any number.
        max_calls: Calls begun within any ``per_s`` seconds; ``None``: any number. Speculation leaves as many of them as
            the authoritative calls lately needed, and one.
        per_s: Length of that window in seconds.

    Raises:
        InvalidConfiguration: An argument is out of range.
    """

    max_inflight: int | None = None
    max_calls: int | None = None
    per_s: float = 60.0

    def __post_init__(self) -> None:
        for name in ("max_inflight", "max_calls"):
            object.__setattr__(self, name, integer_or_none(name, getattr(self, name), least=1))
        if isinstance(self.per_s, bool) or not (isinstance(self.per_s, Real) and 0 < self.per_s < math.inf):
            raise InvalidConfiguration(f"per_s must be a finite number of seconds above 0, not {self.per_s!r}")


@dataclasses.dataclass(slots=True)
class _Begun:
    """A call that has begun at the time ``at``."""

    at: float
    speculative: bool


class Quota:
    """The calls of one handler, held against its limit.

    Calls are told apart by any hashable object of the caller's, which is given to ``begin`` and again to ``promote``
    and ``end``.

    Args:
        limit: What the handler can take.
    """

    def __init__(self, limit: HandlerLimit) -> None:
        self._limit = limit
        self._inflight: dict[Hashable, _Begun] = {}
        # Those that count against ``max_calls``, in the order in which they began.
        self._window: collections.OrderedDict[Hashable, _Begun] = collections.OrderedDict()

    def begin(self, call: Hashable, now: float, *, speculative: bool) -> None:
        """``call`` begins."""
        begun = _Begun(now, speculative)
        self._inflight[call] = begun
        if self._limit.max_calls is not None:
            self._slide(now)
            self._window[call] = begun

    def promote(self, call: Hashable) -> None:
        """The speculative ``call``, in flight or done, has turned out to be needed: it counts as authoritative."""
        begun = self._inflight.get(call) or self._window.get(call)
        if begun is not None:
            begun.speculative = False

    def end(self, call: Hashable) -> None:
        """``call`` is no longer in flight."""
        del self._inflight[call]

    def has_room(self, now: float) -> bool:
        """Whether a speculative call may begin."""
        limit = self._limit
        if limit.max_inflight is not None:
            speculative = sum(begun.speculative for begun in self._inflight.values())
            if speculative >= limit.max_inflight - max(1, len(self._inflight) - speculative):
                return False
        if limit.max_calls is None:
            return True
        self._slide(now)
        needed = sum(not begun.speculative for begun in self._window.values())
        return len(self._window) + needed + 1 < limit.max_calls

    def authoritative_from(self, now: float) -> float | None:
        """When an authoritative call may begin; ``None``: now. Infinite: not before a call in flight ends."""
        limit = self._limit
        if limit.max_inflight is not None and len(self._inflight) >= limit.max_inflight:
            return math.inf
        if limit.max_calls is None:
            return None
        self._slide(now)
        excess = len(self._window) - limit.max_calls
        if excess < 0:
            return None
        return self._leaves_at(next(itertools.islice(self._window.values(), excess, None)))

    def _slide(self, now: float) -> None:
        """Forget the calls that count against the window no more."""
        while self._window:
            call, begun = next(iter(self._window.items()))
            if self._leaves_at(begun) > now:
                return
            del self._window[call]

    def _leaves_at(self, begun: _Begun) -> float:
        # One sum for all comparisons: differences are rounded otherwise, and a wait for this time might never end.
        return begun.at + self._limit.per_s
