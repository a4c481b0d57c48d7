"""One limit for all workers of a cluster: who holds which permits of a handler, and who gets the next ones.

Pure: no clock, no threads and no cluster; time enters as a number of seconds. Workers are lent permits in batches and
settle now and then (``Settling``), so that a call costs no message. Nothing can be lent twice:

- a *slot* is lent until it is given back, or until its worker is dead;
- a *start* may be used for ``VALID_S`` (or a tenth of the window, if that is shorter). It counts in the window as if it
  was used at the end of this time, so a window of the ledger is a little longer than a window of the handler;
- the lent part of a *budget* is not lent again until it is given back. The part of a dead worker counts as spent.
"""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Iterable, Mapping

from spec_envs.checks import integer_or_none, keep_numbers, positive
from spec_envs.errors import InvalidConfiguration

#: The longest time for which a start that was lent may be used.
VALID_S = 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class SharedLimit:
    """The limit of one handler for all workers of a cluster together, calls ahead of time included.

    Args:
        max_inflight: The greatest number of calls in flight at once; ``None``: any number.
        max_calls: The greatest number of calls that begin within any ``per_s`` seconds; ``None``: any number.
        per_s: The length of this window in seconds.
        max_tokens: The greatest number of tokens that all calls may use. Until a call is done, it is charged with the
            greatest usage that its handler declares (``greatest_usage``), so the budget is not exceeded. If the handler
            declares nothing, the call is charged with the greatest usage seen, and the calls in flight may exceed the
            budget. Calls beyond the budget fail.
        max_money: The greatest amount of money that all calls may cost, as for ``max_tokens``.

    Raises:
        InvalidConfiguration: An argument is out of range, or nothing is limited.
    """

    max_inflight: int | None = None
    max_calls: int | None = None
    per_s: float = 60.0
    max_tokens: float | None = None
    max_money: float | None = None

    def __post_init__(self) -> None:
        for name in ("max_inflight", "max_calls"):
            object.__setattr__(self, name, integer_or_none(name, getattr(self, name), least=1))
        given = (name for name in ("max_tokens", "max_money") if getattr(self, name) is not None)
        keep_numbers(self, *given)
        object.__setattr__(self, "per_s", positive("per_s", self.per_s, finite=True))
        if (self.max_inflight, self.max_calls, self.max_tokens, self.max_money) == (None,) * 4:
            raise InvalidConfiguration("a SharedLimit must limit something: calls in flight, begun, tokens or money")

    @property
    def valid_s(self) -> float:
        """For how long a start may be used after it was lent."""
        return min(VALID_S, self.per_s / 10)


@dataclasses.dataclass(frozen=True, slots=True)
class Amount:
    """Tokens and money."""

    tokens: float = 0.0
    money: float = 0.0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.tokens + other.tokens, self.money + other.money)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.tokens - other.tokens, self.money - other.money)

    def covers(self, other: Amount) -> bool:
        """Whether both are at least as much as in ``other``, ignoring the rounding of sums."""
        return all(
            mine >= theirs - 1e-9 * (1 + abs(theirs))
            for mine, theirs in ((self.tokens, other.tokens), (self.money, other.money))
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Settling:
    """A message of a worker about one handler: what the worker gives back, has spent, and wants."""

    slots_back: int = 0  # slots that it does not need any more
    starts_back: tuple[float, ...] = ()  # starts that it has not used in time: when each leaves the window
    spent: Amount = Amount()  # what its calls have cost since it settled last; it was lent that much or more
    budget_back: Amount = Amount()  # what it has of the budget and does not need
    slots: int = 0  # how many slots it wants
    starts: int = 0  # how many starts it wants
    budget: Amount = Amount()  # how much of the budget it wants: all that, or nothing

    @property
    def wants(self) -> bool:
        """Whether it wants anything."""
        return bool(self.slots or self.starts) or self.budget != Amount()


@dataclasses.dataclass(frozen=True, slots=True)
class Loan:
    """The answer to a worker about one handler: what the worker gets, and what it has to give back.

    Attributes:
        slots: Slots, until they are given back.
        starts: Starts, to be used within ``valid_s``: when each leaves the window, by the ledger's clock.
        budget: Tokens and money.
        recall: How many of its slots it is to give back as soon as a call ends, since another worker has none.
        is_spent: Whether the budget can never cover what it wanted.
    """

    slots: int = 0
    starts: tuple[float, ...] = ()
    budget: Amount = Amount()
    recall: int = 0
    is_spent: bool = False

    @property
    def is_nothing(self) -> bool:
        """Whether nothing was lent, and nothing is to be told."""
        return self == Loan()


class Ledger:
    """The permits of all handlers that are limited.

    Args:
        limits: The limits by handler.
    """

    def __init__(self, limits: Mapping[str, SharedLimit]) -> None:
        #: The permits by handler.
        self.permits = {name: Permits(limit) for name, limit in limits.items()}
        self._dead: set[str] = set()

    def settle(self, worker: str, settlings: Mapping[str, Settling], now: float) -> dict[str, Loan]:
        """Settle with a worker, and return the loans by handler. A worker that is known to be dead gets nothing."""
        if worker in self._dead:
            return {}
        return {name: self.permits[name].settle(worker, settling, now) for name, settling in settlings.items()}

    def take_back(self, worker: str) -> None:
        """Take back what a dead worker held; later messages of this worker do not count."""
        self._dead.add(worker)
        for permits in self.permits.values():
            permits.take_back(worker)

    def waits_until(self, now: float) -> float | None:
        """The time at which more may be lent although nobody gives anything back; ``None``: never."""
        times = [time for permits in self.permits.values() if (time := permits.waits_until(now)) is not None]
        return min(times, default=None)


class Permits:
    """The permits of one handler.

    Args:
        limit: The limit.
    """

    def __init__(self, limit: SharedLimit) -> None:
        self._limit = limit
        self._slots: collections.Counter[str] = collections.Counter()  # lent, by worker
        self._recalled: collections.Counter[str] = collections.Counter()  # of these, asked back
        self._starving: dict[str, None] = {}  # workers that want a slot and have none, in the order of their asking
        self._starts: collections.deque[float] = collections.deque()  # when those that were lent leave the window
        self._lent: dict[str, Amount] = {}  # of the budget, by worker
        self.spent = Amount()
        self.greatest_inflight = 0  # slots that were lent at once, at most

    def settle(self, worker: str, settling: Settling, now: float) -> Loan:
        """Take what a worker gives back, and lend what it wants, as far as there is any."""
        self._take(worker, settling)
        slots = self._lend_slots(worker, settling.slots)
        starts = self._lend_starts(settling.starts, now)
        budget, is_spent = self._lend_budget(worker, settling.budget)
        # What was lent just now is to be used first.
        return Loan(slots, starts, budget, 0 if slots else self._recall(worker), is_spent)

    def take_back(self, worker: str) -> None:
        """Take back all that a dead worker held: its slots; what it held of the budget counts as spent."""
        for held in (self._slots, self._recalled, self._starving):
            held.pop(worker, None)
        self.spent += self._lent.pop(worker, Amount())

    def waits_until(self, now: float) -> float | None:
        """When the next start leaves the window; ``None`` if no start was lent."""
        self._forget(now)
        return self._starts[0] if self._starts else None

    def _take(self, worker: str, settling: Settling) -> None:
        self._slots[worker] -= settling.slots_back
        self._recalled[worker] = max(0, self._recalled[worker] - settling.slots_back)
        for leaves_at in settling.starts_back:
            if leaves_at in self._starts:
                self._starts.remove(leaves_at)
        left = self._lent.get(worker, Amount()) - settling.spent - settling.budget_back
        self._lent[worker] = Amount(max(0.0, left.tokens), max(0.0, left.money))  # calls may spend more than declared
        self.spent += settling.spent

    def _lend_slots(self, worker: str, wanted: int) -> int:
        if not wanted:
            self._starving.pop(worker, None)
            return 0
        if self._limit.max_inflight is None:
            return 0
        free = self._limit.max_inflight - self._slots.total()
        # Those that have none come first, in the order in which they asked.
        before = sum(1 for other in self._starving if other != worker) if self._slots[worker] else self._ahead(worker)
        lent = max(0, min(wanted, free - before))
        self._slots[worker] += lent
        self.greatest_inflight = max(self.greatest_inflight, self._slots.total())
        if self._slots[worker]:
            self._starving.pop(worker, None)
        else:
            self._starving.setdefault(worker)
        return lent

    def _ahead(self, worker: str) -> int:
        return next((place for place, other in enumerate(self._starving) if other == worker), len(self._starving))

    def _recall(self, worker: str) -> int:
        """How many slots ``worker`` is to give back: one for each starving worker, from those that hold most."""
        missing = len(self._starving) - self._recalled.total()
        most = max(self._slots.values(), default=0)
        if missing <= 0 or worker in self._starving or self._slots[worker] < most:
            return 0
        asked = min(missing, max(1, self._slots[worker] - 1), self._slots[worker] - self._recalled[worker])
        self._recalled[worker] += max(0, asked)
        return max(0, asked)

    def _lend_starts(self, wanted: int, now: float) -> tuple[float, ...]:
        if self._limit.max_calls is None:
            return ()
        self._forget(now)
        lent = max(0, min(wanted, self._limit.max_calls - len(self._starts)))
        starts = (now + self._limit.valid_s + self._limit.per_s,) * lent
        self._starts.extend(starts)
        return starts

    def _forget(self, now: float) -> None:
        while self._starts and self._starts[0] <= now:
            self._starts.popleft()

    def _lend_budget(self, worker: str, wanted: Amount) -> tuple[Amount, bool]:
        most = (self._limit.max_tokens, self._limit.max_money)
        left = Amount(*(math.inf if each is None else each for each in most)) - self.spent
        is_over = left.tokens <= 0 or left.money <= 0
        if wanted == Amount():
            return Amount(), is_over
        if not left.covers(wanted):
            return Amount(), True
        if not (left - total(self._lent.values())).covers(wanted):
            return Amount(), False  # others may give back what they do not need
        self._lent[worker] = self._lent.get(worker, Amount()) + wanted
        return wanted, False


def total(amounts: Iterable[Amount]) -> Amount:
    """The sum of amounts."""
    return sum(amounts, Amount())
