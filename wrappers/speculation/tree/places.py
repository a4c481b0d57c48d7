"""Whether there is room for a call: the slots, the limits of single handlers, and the budgets of tokens and money.

``Places`` is told when each call ends, so it also keeps how long the calls of each handler take and what they cost.

Pure, like the tree that owns it: time only enters as a number.
"""

from collections.abc import Callable, Container, Mapping

from spec_envs.calls import Call
from spec_envs.usage import NOTHING, Usage
from spec_envs.wrappers.estimates import CallEstimate
from spec_envs.wrappers.quota import Quota
from spec_envs.wrappers.speculation.tree.budget import Budget, GreatestUsage
from spec_envs.wrappers.speculation.tree.crowding import Crowding
from spec_envs.wrappers.speculation.tree.limits import Limits
from spec_envs.wrappers.speculation.tree.nodes import DONE, Run


class Places:
    """The slots that calls take while they are in flight, and the usage of speculation so far.

    Attributes:
        calls: How long the calls of each handler take and what they cost, once a call has been answered.
        num_speculative: The number of speculative calls in flight, including cancelled calls whose handlers have not
            returned.
        has_budget: ``has_budget(call)`` says whether the budgets cover the usage of the call.
    """

    def __init__(
        self,
        limits: Limits,
        calls: dict[str, CallEstimate],
        wasted: Usage = NOTHING,
        quotas: Mapping[str, Quota] | None = None,
        inflight: Container[Run] = (),
        greatest_usage: GreatestUsage = lambda call: None,
        crowding: Crowding | None = None,
    ) -> None:
        self.calls = calls
        self.num_speculative = 0
        self._limits = limits
        self._max_inflight = limits.max_inflight
        self._quotas = limits.quotas() if quotas is None else quotas
        for quota in self._quotas.values():
            quota.end_all_but(inflight)
        self._budget = Budget(limits, self.calls, wasted, greatest_usage)
        self.has_budget: Callable[[Call], bool] = self._budget.holds
        self._crowding = crowding
        self._alone_until: dict[str, float] = {}
        self._made_again: set[str] = set()  # the handlers whose authoritative call is made a second time

    # -- whether there is room -----------------------------------------------------------------------------------

    @property
    def num_free(self) -> int:
        """The number of free slots for speculative calls."""
        return self._max_inflight - self.num_speculative

    def pause(self, paused: bool) -> None:
        """While ``paused``, there are no slots for speculative calls."""
        self._max_inflight = 0 if paused else self._limits.max_inflight

    def has_room(self, handler: str, now: float) -> bool:
        """Whether the limit of ``handler`` has room for a speculative call that slows no other call down."""
        quota = self._quotas.get(handler)
        if quota is not None and not quota.has_room(now):
            return False
        return self._crowding is None or self._crowding.has_room(handler)

    def authoritative_from(self, handler: str, now: float) -> float | None:
        """When the authoritative call may start, as a time on the clock; ``None``: now."""
        until = self._alone_until.get(handler)
        if until is not None and self._crowding is not None and self._crowding.num_inflight and now < until:
            return until
        quota = self._quotas.get(handler)
        return None if quota is None else quota.authoritative_from(now)

    def blames_others(self, run: Run, now: float) -> bool:
        """Whether ``run``, which fails now, may have failed because other calls were in flight beside it.

        If so, its handler gets its next calls one by one.
        """
        handler = run.call.handler
        if self._crowding is None:
            return False
        if not self._crowding.was_beside(run) or handler in self._made_again:
            if handler in self._made_again:
                self._crowding.fails_alone(handler)
            return False
        self._made_again.add(handler)
        self._crowding.fails_beside(handler)
        self._alone_until[handler] = now + self._usual_s(handler)
        return True

    def _usual_s(self, handler: str) -> float:
        estimate = self.calls.get(handler)
        return 1.0 if estimate is None else estimate.seconds.mean(1.0)

    # -- what happens to calls -----------------------------------------------------------------------------------

    def begin(self, run: Run) -> None:
        """``run`` begins, and takes a slot if it is speculative."""
        handler = run.call.handler
        if self._crowding is not None:
            self._crowding.begin(run, run.started_at)
        if not run.speculative:
            self._alone_until.pop(handler, None)
        quota = self._quotas.get(handler)
        if quota is not None:
            quota.let(run, speculative=run.speculative)
        if not run.speculative:
            return
        self.num_speculative += 1
        self._budget.charge(run)

    def made(self, handler: str, seconds: float, usage: Usage) -> None:
        """A call was made without a run, and no other call was in flight beside it."""
        self._estimate_of(handler).add(seconds, usage)
        if self._crowding is not None:
            self._crowding.made(handler, seconds)

    def counts_begins(self, handler: str) -> bool:
        """Whether ``began`` has to be called for each call of ``handler``."""
        limit = self._limits.per_handler.get(handler)
        return limit is not None and limit.max_calls is not None

    def began(self, run: Run, now: float) -> None:
        """The handler gets the call of ``run`` now, some time after ``begin``."""
        self._quotas[run.call.handler].began(run, now)

    def promote(self, run: Run) -> None:
        """The speculative ``run``, in flight or ended, becomes authoritative: it gives back its slot and its charge."""
        quota = self._quotas.get(run.call.handler)
        if quota is not None:
            quota.promote(run)
        if run.in_flight:
            self.num_speculative -= 1
        self._budget.give_back(run)

    def end(self, run: Run) -> None:
        """``run`` has returned."""
        handler = run.call.handler
        if run.state is DONE:
            self._made_again.discard(handler)
        if self._crowding is not None:
            self._crowding.end(run, self._usual_s(handler))
        quota = self._quotas.get(handler)
        if quota is not None:
            quota.end(run)
        if run.state is DONE:
            self._estimate_of(handler).add(run.ended_at - run.started_at, run.usage)
        if not run.speculative:
            return
        self.num_speculative -= 1
        self._budget.settle(run)

    def _estimate_of(self, handler: str) -> CallEstimate:
        estimate = self.calls.get(handler)
        if estimate is None:
            estimate = self.calls[handler] = CallEstimate()
        return estimate
