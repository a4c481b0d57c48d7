"""The budgets of tokens and money: how much speculation has wasted, and how much its calls in flight may waste.

Pure, like the tree that owns it.
"""

import functools
from collections.abc import Callable, Mapping

from spec_envs.calls import Call
from spec_envs.usage import NOTHING, Usage
from spec_envs.wrappers.estimates import CallEstimate
from spec_envs.wrappers.speculation.tree.limits import Limits
from spec_envs.wrappers.speculation.tree.nodes import Run

GreatestUsage = Callable[[Call], Usage | None]


class Budget:
    """The usage of speculation, which counts against ``max_tokens`` and ``max_money``.

    Args:
        limits: Bounds of the speculation.
        calls: What the calls of each handler cost, once a call has been answered.
        wasted: The usage that speculation has wasted before.
        greatest_usage: ``greatest_usage(call)`` is the greatest usage that the call's handler declares; ``None``:
            unknown.
    """

    def __init__(
        self, limits: Limits, calls: Mapping[str, CallEstimate], wasted: Usage, greatest_usage: GreatestUsage
    ) -> None:
        self._limits = limits
        self._calls = calls
        self._is_limited = limits.max_tokens is not None or limits.max_money is not None
        self._greatest_usage = functools.lru_cache(100)(greatest_usage) if self._is_limited else greatest_usage
        self._spent = wasted  # usage of speculative calls that have ended, and charges of those in flight
        self._charges: dict[Run, Usage] = {}  # of speculative calls in flight

    def holds(self, call: Call) -> bool:
        """Whether the rest of the budgets covers the usage of ``call``."""
        if not self._is_limited:
            return True
        most, tokens, money = self._most(call), self._limits.max_tokens, self._limits.max_money
        if most is None:
            return False
        usage = self._spent + most
        return (tokens is None or usage.tokens <= tokens) and (money is None or usage.money <= money)

    def charge(self, run: Run) -> None:
        """The speculative ``run`` begins: charge it with the greatest usage that it may have."""
        if self._is_limited:
            charge = self._charges[run] = self._most(run.call) or NOTHING
            self._spent = self._spent + charge

    def give_back(self, run: Run) -> None:
        """The speculative ``run``, in flight or ended, becomes authoritative: it is not charged any more."""
        if self._is_limited:
            self._spent = self._spent + self._charges.pop(run, run.usage) * -1

    def settle(self, run: Run) -> None:
        """The speculative ``run`` has ended: its charge becomes its usage."""
        if self._is_limited:
            self._spent = self._spent + run.usage + self._charges.pop(run) * -1

    def _most(self, call: Call) -> Usage | None:
        """The greatest usage of ``call``: as declared, or else the greatest that was seen of its handler."""
        declared, seen = self._greatest_usage(call), self._calls.get(call.handler)
        return declared if declared is not None or seen is None else seen.most
