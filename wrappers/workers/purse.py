"""A worker's permits: calls of handlers wait here until they may begin, and a thread settles with the ledger."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from spec_envs.errors import HandlerFailed
from spec_envs.handling import CancelToken, greatest_usage
from spec_envs.usage import Usage
from spec_envs.wrappers.handlers import DecoratedHandler
from spec_envs.wrappers.workers.permits import Amount, Loan, Settling, SharedLimit, total

#: Settles with the ledger, and may take a moment if there is nothing to lend: returns the loans by handler, and for how
#: many seconds the ledger had waited when it made them.
Settle = Callable[[Mapping[str, Settling]], tuple[Mapping[str, Loan], float]]

#: How often a worker settles while it holds anything, and for how long permits that nobody uses are kept.
BEAT_S = 0.25


@dataclasses.dataclass(slots=True, eq=False)
class _Holding:
    """The permits that the worker has for one handler."""

    name: str
    limit: SharedLimit
    idle: int = 0  # slots that no call uses
    used: int = 0  # slots of calls in flight
    recall: int = 0  # how many slots to give back: those of the next calls that end, or that no call waits for
    returning: int = 0  # slots that go back with the next settling
    #: Until when each start is valid, and when it leaves the window of the ledger.
    starts: collections.deque[tuple[float, float]] = dataclasses.field(default_factory=collections.deque)
    starts_back: list[float] = dataclasses.field(default_factory=list)
    begun: int = 0  # calls since the last settling
    budget: Amount = Amount()
    spent: Amount = Amount()  # since the last settling
    greatest: Amount = Amount()  # what a call has cost at most
    asked: Amount = Amount()  # what was asked of the budget last
    asks_for_one: bool = False  # whether that was for one call alone, since there was not enough for all
    refused: Amount | None = None  # what one call may cost, where the budget can never cover it
    waiting: collections.deque[Amount] = dataclasses.field(default_factory=collections.deque)
    wanted: bool = False  # whether it wanted anything when it settled last
    idle_since: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether it holds anything that another worker may need."""
        return bool(self.idle or self.used or self.returning or self.starts) or self.budget != Amount()

    @property
    def has_budget(self) -> bool:
        return self.limit.max_tokens is not None or self.limit.max_money is not None

    def may_begin(self, most: Amount, now: float) -> bool:
        """Whether there is all that a call needs that costs ``most``."""
        while self.starts and self.starts[0][0] < now:
            self.starts_back.append(self.starts.popleft()[1])
        slot = self.limit.max_inflight is None or self.idle > 0
        start = self.limit.max_calls is None or bool(self.starts)
        # Where nobody knows what a call will cost, it may begin as long as the budget is not spent.
        return slot and start and self.budget.covers(most) and (most != Amount() or self.refused is None)

    def begin(self, most: Amount) -> None:
        if self.limit.max_inflight is not None:
            self.idle -= 1
        self.used += 1
        self.begun += 1
        if self.limit.max_calls is not None:
            self.starts.popleft()
        if self.has_budget:
            self.budget -= most

    def end(self, most: Amount, cost: Amount, now: float) -> None:
        self.used -= 1
        if self.recall:
            self.recall -= 1
            self.returning += 1
        elif self.limit.max_inflight is not None:
            self.idle += 1
        if self.has_budget:
            self.budget += most - cost
            self.spent += cost
            self.greatest = Amount(max(self.greatest.tokens, cost.tokens), max(self.greatest.money, cost.money))
        self.idle_since = now

    def settling(self, now: float, *, is_last: bool) -> Settling:
        """Return the message for the ledger; what is given back is gone."""
        is_idle = is_last or (not self.waiting and not self.used and now - self.idle_since >= BEAT_S)
        not_needed = self.idle if is_idle else 0 if self.waiting else min(self.idle, self.recall)
        slots_back, self.returning = self.returning + not_needed, 0
        self.idle -= not_needed
        self.recall = max(0, self.recall - not_needed)
        wanted = len(self.waiting)
        ahead = min(self.begun, (self.limit.max_calls or 0) // 10) if wanted else 0
        self.asked, back = self._asked_budget(), Amount()
        if is_idle or self.asked != Amount():  # what is left over is asked for anew, so that nobody sits on leftovers
            back = Amount(max(0.0, self.budget.tokens), max(0.0, self.budget.money))
        made = Settling(
            slots_back=slots_back,
            starts_back=tuple(self.starts_back),
            spent=self.spent,
            budget_back=back,
            slots=0 if self.limit.max_inflight is None else max(0, wanted - self.idle),
            starts=0 if self.limit.max_calls is None else max(0, wanted + ahead - len(self.starts)),
            budget=self.asked,
        )
        self.budget -= back
        self.starts_back, self.spent, self.begun = [], Amount(), 0
        return made

    def _asked_budget(self) -> Amount:
        """What the calls that wait may cost, if it is not there: all of them, or the first one alone."""
        if not self.waiting or self.budget.covers(self.waiting[0]):
            return Amount()
        return self.waiting[0] if self.asks_for_one else total(self.waiting)

    def receive(self, loan: Loan, valid_until: float) -> None:
        self.idle += loan.slots
        self.recall += loan.recall
        self.starts.extend((valid_until, leaves_at) for leaves_at in loan.starts)
        self.budget += loan.budget
        lent = loan.budget != Amount() or self.asked == Amount()
        self.refused = self.asked if loan.is_spent and (self.asks_for_one or len(self.waiting) < 2) else None
        self.asks_for_one = not lent


class Purse:
    """The permits of one worker.

    Args:
        limits: The limits by handler.
        settle: Settles with the ledger; called by one thread of this object.
        beat_s: How often to settle while anything is held.
    """

    def __init__(self, limits: Mapping[str, SharedLimit], settle: Settle, beat_s: float = BEAT_S) -> None:
        self._holdings = {name: _Holding(name, limit) for name, limit in limits.items()}
        self._settle = settle
        self._beat_s = beat_s
        self._changed = threading.Condition()
        self._error: Exception | None = None
        self._is_closed = False
        self._thread = threading.Thread(target=self._keep_settling, name="spec-envs-permits", daemon=True)
        self._thread.start()

    def around(self, name: str, handler: Any) -> Any:
        """``handler``, whose calls wait for permits; the handler itself if it has no limit."""
        holding = self._holdings.get(name)
        if holding is None:
            return handler
        return DecoratedHandler(handler, functools.partial(self._permitted, holding, handler))

    def close(self) -> None:
        """Give everything back, and end the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join()

    # -- calls -------------------------------------------------------------------------------------------------------

    def _permitted(self, holding: _Holding, handler: Any, inner: Any, query: Any, cancel: CancelToken) -> Any:
        with self._permit(holding, greatest_usage(handler, query), cancel) as used:
            before = cancel.usage()[0]
            try:
                return inner(query, cancel)
            finally:
                used.append(cancel.usage()[0] + before * -1)

    @contextlib.contextmanager
    def _permit(self, holding: _Holding, declared: Usage | None, cancel: CancelToken) -> Iterator[list[Usage]]:
        cancel.on_cancel(self._wake)
        with self._changed:
            most = _cost_of(holding, declared)
            holding.waiting.append(most)
            self._changed.notify_all()
            try:
                while not holding.may_begin(most, time.monotonic()):
                    cancel.raise_if_cancelled()
                    self._check(holding, most)
                    self._changed.wait(self._beat_s)
                holding.begin(most)
            finally:
                holding.waiting.remove(most)
        used: list[Usage] = []
        try:
            yield used
        finally:
            with self._changed:
                holding.end(most, _sum(used), time.monotonic())
                self._changed.notify_all()

    def _check(self, holding: _Holding, most: Amount) -> None:
        if self._is_closed:
            raise HandlerFailed("the worker is leaving")
        if self._error is not None:
            raise HandlerFailed(f"the limits of the cluster cannot be asked any more: {self._error}") from self._error
        if holding.refused is not None and most.covers(holding.refused):
            raise HandlerFailed(
                f"the budget of handler {holding.name!r} for the whole cluster is spent: {holding.limit}; the call "
                f"would have cost up to {most.tokens:g} tokens and {most.money:g} of money"
            )

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    # -- settling ----------------------------------------------------------------------------------------------------

    def _keep_settling(self) -> None:
        while self._error is None:
            with self._changed:
                self._changed.wait_for(self._has_to_settle, self._beat_s)
                is_last = self._is_closed
                settlings = self._settlings(is_last)
            sent_at = time.monotonic()
            try:
                loans, waited_s = self._settle(settlings) if settlings else ({}, 0.0)
            except Exception as error:
                with self._changed:
                    self._error = error
                    self._changed.notify_all()
                return
            if is_last:
                return
            with self._changed:
                for name, loan in loans.items():
                    holding = self._holdings[name]
                    # The ledger made the loan no earlier than this, by whatever clock.
                    holding.receive(loan, sent_at + waited_s + holding.limit.valid_s)
                self._changed.notify_all()

    def _has_to_settle(self) -> bool:
        return self._is_closed or any(each.waiting or each.returning for each in self._holdings.values())

    def _settlings(self, is_last: bool) -> dict[str, Settling]:
        now, made = time.monotonic(), dict[str, Settling]()
        for name, holding in self._holdings.items():
            settling = holding.settling(now, is_last=is_last)
            if holding.holds or holding.wanted or settling != Settling():
                made[name] = settling
            holding.wanted = settling.wants  # if it wants nothing the next time, the ledger is to know
        return made


def _cost_of(holding: _Holding, declared: Usage | None) -> Amount:
    """What a call may cost, as far as there is a budget: what is declared, else the greatest cost seen."""
    if not holding.has_budget:
        return Amount()
    return holding.greatest if declared is None else _sum([declared])


def _sum(usages: list[Usage]) -> Amount:
    return Amount(sum(each.tokens for each in usages), sum(each.money for each in usages))
