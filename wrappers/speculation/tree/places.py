"""Whether there is room for a call: the slots, the limits of single handlers, and the budgets of tokens and money.

Places also keeps how long the calls of each handler take and what they cost, since it is told of each call's end.

Pure, like the tree that owns it: time only enters as a number.
"""

from spec_envs.calls import Call
from spec_envs.handling import NOTHING, Usage
from spec_envs.wrappers.estimates import CallEstimate
from spec_envs.wrappers.quota import Quota
from spec_envs.wrappers.speculation.tree.limits import Limits
from spec_envs.wrappers.speculation.tree.nodes import Run, RunState


class Places:
    """The slots that calls take while they are in flight, and the usage of speculation so far.

    Attributes:
        calls: How slow and how dear the calls of each handler are, once one has been answered.
        num_speculative: Speculative calls in flight, including those that were cancelled and have not returned.
    """

    def __init__(self, limits: Limits, wasted: Usage = NOTHING) -> None:
        self.calls: dict[str, CallEstimate] = {}
        self.num_speculative = 0
        self._limits = limits
        self._max_inflight = limits.max_inflight
        self._quotas = {handler: Quota(limit) for handler, limit in limits.per_handler.items()}
        self._has_budget = limits.max_tokens is not None or limits.max_money is not None
        self._spent = wasted  # by speculative calls that have ended, and charged for those in flight
        self._charges: dict[Run, Usage] = {}  # of speculative calls in flight

    # -- whether there is room -----------------------------------------------------------------------------------

    @property
    def num_free(self) -> int:
        """Slots for speculative calls that are free."""
        return self._max_inflight - self.num_speculative

    def stop_speculating(self) -> None:
        """Have no slots for speculative calls any more."""
        self._max_inflight = 0

    def has_room(self, handler: str, now: float) -> bool:
        """Whether the limit of ``handler`` has room for a speculative call."""
        quota = self._quotas.get(handler)
        return quota is None or quota.has_room(now)

    def authoritative_from(self, handler: str, now: float) -> float | None:
        """When the authoritative call may start, as a time on the clock; ``None``: now."""
        quota = self._quotas.get(handler)
        return None if quota is None else quota.authoritative_from(now)

    def is_worth_it(self, call: Call, probability: float) -> bool:
        """Whether the time that ``call`` may save is worth its money, and the budget holds its usage."""
        estimate = self.calls.get(call.handler)
        worth = self._limits.money_per_s
        if estimate is not None and worth is not None:
            if probability * estimate.seconds.mean(0.0) * worth < estimate.money.mean(0.0):
                return False
        if not self._has_budget:
            return True
        return estimate is not None and self._fits(self._spent + estimate.most)

    def _fits(self, usage: Usage) -> bool:
        tokens, money = self._limits.max_tokens, self._limits.max_money
        return (tokens is None or usage.tokens <= tokens) and (money is None or usage.money <= money)

    # -- what happens to calls -----------------------------------------------------------------------------------

    def begin(self, run: Run) -> None:
        """``run`` begins, and takes a slot if it is speculative."""
        handler = run.call.handler
        quota = self._quotas.get(handler)
        if quota is not None:
            quota.begin(run, run.started_at, speculative=run.speculative)
        if not run.speculative:
            return
        self.num_speculative += 1
        if self._has_budget:
            estimate = self.calls.get(handler)
            charge = self._charges[run] = NOTHING if estimate is None else estimate.most
            self._spent = self._spent + charge

    def promote(self, run: Run) -> None:
        """The speculative ``run``, in flight or ended, becomes authoritative: it gives back its slot and its charge."""
        quota = self._quotas.get(run.call.handler)
        if quota is not None:
            quota.promote(run)
        if run.in_flight:
            self.num_speculative -= 1
        if self._has_budget:
            self._spent = self._spent + self._charges.pop(run, run.usage) * -1

    def end(self, run: Run) -> None:
        """``run`` has returned."""
        handler = run.call.handler
        quota = self._quotas.get(handler)
        if quota is not None:
            quota.end(run)
        if run.state is RunState.DONE:
            self.calls.setdefault(handler, CallEstimate()).add(run.ended_at - run.started_at, run.usage)
        if not run.speculative:
            return
        self.num_speculative -= 1
        if self._has_budget:
            self._spent = self._spent + run.usage + self._charges.pop(run) * -1
