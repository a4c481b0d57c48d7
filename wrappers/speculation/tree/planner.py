"""Which call to start next, and whether there is room for it: estimates, places, rates and budgets.

Pure, like the tree that owns it: time only enters as a number.
"""

from __future__ import annotations

import collections
import dataclasses
import heapq
import itertools
import math
from collections.abc import Container

from spec_envs.calls import Call, Effect
from spec_envs.handling import Usage
from spec_envs.wrappers.quota import HandlerLimit
from spec_envs.wrappers.speculation.tree.limits import Limits  # noqa: TC001
from spec_envs.wrappers.speculation.tree.nodes import Node, Run, RunState

_UNLIMITED = HandlerLimit()
_NOTHING = Usage()


@dataclasses.dataclass(slots=True)
class _Estimate:
    """What is known of one handler's calls."""

    calls: int = 0
    seconds: float = 0.0
    money: float = 0.0
    most: Usage = Usage()

    def add(self, seconds: float, usage: Usage) -> None:
        self.calls += 1
        self.seconds += (seconds - self.seconds) / self.calls
        self.money += (usage.money - self.money) / self.calls
        if usage:
            self.most = Usage(
                max(self.most.tokens_in, usage.tokens_in),
                max(self.most.tokens_out, usage.tokens_out),
                max(self.most.money, usage.money),
            )


@dataclasses.dataclass(slots=True)
class _GuessEstimate:
    """What is known of one handler's guesser."""

    calls: int = 0
    seconds: float = 0.0
    best: float = 0.0

    def add(self, seconds: float, best: float) -> None:
        self.calls += 1
        self.seconds += (seconds - self.seconds) / self.calls
        self.best += (best - self.best) / self.calls


#: How many times its usual time a guesser is waited for with a place kept free.
_PATIENCE = 2.0


class Planner:
    """Keeps the queue of calls that could be started, best first, and says which may.

    The expected gain of a call is the probability of its path times the time it would save, which is about as long as
    it takes; what it costs is a place for as long as it takes. So places go by probability, also between handlers of
    different speed; money, where ``money_per_s`` says what time is worth, decides whether a call is started at all.

    A call that was started keeps its place until it is done or impossible, so a place is not given away while a guesser
    is about to return something better: it is held for what that guesser usually returns, for about as long as it
    usually takes.
    """

    def __init__(self, limits: Limits, external: Container[str]) -> None:
        self._limits = limits
        self._external = external
        self._estimates: dict[str, _Estimate] = {}
        self._queues: dict[str, list[tuple[float, int, Node]]] = {}
        self._later: dict[Node, None] = {}
        self._sequence = itertools.count()
        self._inflight: dict[str, int] = collections.Counter()
        self._speculative: dict[str, int] = collections.Counter()
        self._num_speculative = 0
        self._begun: dict[str, collections.deque[Run]] = {}
        self._charged = Usage()
        self._guessing: dict[Node, float] = {}
        self._guessers: dict[str, _GuessEstimate] = collections.defaultdict(_GuessEstimate)
        self.held_until = math.inf

    @property
    def num_speculative(self) -> int:
        """Speculative calls in flight, with those that were cancelled and have not returned."""
        return self._num_speculative

    def limit(self, handler: str) -> HandlerLimit:
        """The limit of ``handler``."""
        return self._limits.per_handler.get(handler, _UNLIMITED)

    # -- the queue -----------------------------------------------------------------------------------------------

    def is_startable(self, call: Call) -> bool:
        """Whether ``call`` may be made before it is the authoritative one, and is ours to make."""
        return call.effect is not Effect.WRITE and call.handler not in self._external

    def enqueue(self, node: Node) -> None:
        """Consider ``node`` for a start, at its present probability, if its call is startable."""
        assert node.call is not None
        if not self.is_startable(node.call):
            return
        queue = self._queues.setdefault(node.call.handler, [])
        node.rank = node.score + _log_share(node)
        heapq.heappush(queue, (-node.rank, next(self._sequence), node))

    def postpone(self, node: Node) -> None:
        """Put ``node`` aside until ``reconsider``: it may not start now, and no free place would change that."""
        self._later[node] = None

    def reconsider(self) -> None:
        """Look again at all that was put aside: the root has moved, or a ``WRITE`` is done."""
        later, self._later = self._later, {}
        for node in later:
            if node.alive and node.run is None and node.call is not None:
                self.enqueue(node)

    def next(self, now: float) -> Node | None:
        """Take the best node that has room to start, if there is one and a place is free and not held."""
        self.held_until = math.inf
        free = self._limits.max_inflight - self.num_speculative
        if free <= 0:
            return None
        best: list[tuple[float, int, Node]] | None = None
        for handler, queue in self._queues.items():
            while queue and not self._is_current(queue[0]):
                heapq.heappop(queue)
            if queue and (best is None or queue[0] < best[0]) and self._has_room(handler, now):
                best = queue
        if best is None or self._num_held(best[0][2], now) >= free:
            return None
        return heapq.heappop(best)[2]

    def _num_held(self, candidate: Node, now: float) -> int:
        """For how many better nodes, that are being guessed at this moment, a place is held."""
        held = 0
        for node, asked_at in self._guessing.items():
            if node.call is None:  # a loose match has led it to where the environment refuses
                continue
            guesser = self._guessers[node.call.handler]
            until = asked_at + _PATIENCE * guesser.seconds
            if now < until and guesser.best > 0 and node.alive and not node.answered:
                if (
                    node.score + math.log(guesser.best) + _log_share(node, behind=int(node.named is None))
                    > candidate.rank
                ):
                    held += 1
                    self.held_until = min(self.held_until, until)
        return held

    @staticmethod
    def _is_current(entry: tuple[float, int, Node]) -> bool:
        rank, _, node = entry
        return node.alive and node.run is None and node.call is not None and rank == -node.rank

    @property
    def has_waiting(self) -> bool:
        """Whether a node waits for a place."""
        return any(self._is_current(entry) for queue in self._queues.values() for entry in queue[:1])

    # -- room ----------------------------------------------------------------------------------------------------

    def _has_room(self, handler: str, now: float) -> bool:
        limit = self.limit(handler)
        if limit.max_inflight is not None and self._speculative[handler] >= limit.max_inflight - 1:
            return False
        if limit.max_calls is None:
            return True
        begun = self._recent(handler, now)
        needed = sum(1 for run in begun if not run.speculative)
        return len(begun) + needed + 1 < limit.max_calls

    def _recent(self, handler: str, now: float) -> collections.deque[Run]:
        begun = self._begun.setdefault(handler, collections.deque())
        # The same sum as in wait_for_authoritative: a difference is rounded otherwise, and the wait might never end.
        while begun and begun[0].started_at + self.limit(handler).per_s <= now:
            begun.popleft()
        return begun

    def wait_for_authoritative(self, handler: str, now: float) -> float | None:
        """When the authoritative call may start, as a time on the clock; ``None``: now."""
        limit = self.limit(handler)
        if limit.max_inflight is not None and self._inflight[handler] >= limit.max_inflight:
            return math.inf
        if limit.max_calls is None:
            return None
        begun = self._recent(handler, now)
        if len(begun) < limit.max_calls:
            return None
        return begun[len(begun) - limit.max_calls].started_at + limit.per_s

    def reaches(self, node: Node, root: Node, extra_depth: int = 0) -> bool:
        """Whether depth and probability allow a start at ``node``, or that many responses behind it."""
        depth = node.level - root.level + extra_depth
        if self._limits.max_depth is not None and depth > self._limits.max_depth:
            return False
        return node.probability_from(root) >= self._limits.min_probability

    def is_worth_it(self, call: Call, probability: float) -> bool:
        """Whether the time that ``call`` may save is worth its money, and the budget holds its usage."""
        estimate = self._estimates.get(call.handler)
        if estimate is not None and self._limits.money_per_s is not None:
            if probability * estimate.seconds * self._limits.money_per_s < estimate.money:
                return False
        if self._limits.max_tokens is None and self._limits.max_money is None:
            return True
        charge = self._charge_of(call)
        return charge is not None and self._fits(self._charged + charge)

    def _charge_of(self, call: Call) -> Usage | None:
        estimate = self._estimates.get(call.handler)
        return None if estimate is None else estimate.most

    def _fits(self, usage: Usage) -> bool:
        tokens, money = self._limits.max_tokens, self._limits.max_money
        return (tokens is None or usage.tokens <= tokens) and (money is None or usage.money <= money)

    # -- what happened -------------------------------------------------------------------------------------------

    def asked(self, node: Node, now: float) -> None:
        """A guesser begins."""
        self._guessing[node] = now

    def guessing_s(self, node: Node, now: float) -> float:
        """For how many seconds a guesser has been at work."""
        return now - self._guessing[node]

    def guessed(self, node: Node, best: float, now: float) -> None:
        """It has returned, with a guess of probability ``best``."""
        seconds = now - self._guessing.pop(node)
        if node.call is not None:
            self._guessers[node.call.handler].add(seconds, best)

    def started(self, run: Run) -> None:
        """``run`` begins."""
        handler = run.call.handler
        self._inflight[handler] += 1
        if self.limit(handler).max_calls is not None:
            self._begun.setdefault(handler, collections.deque()).append(run)
        if run.speculative:
            self._count(handler, 1)
            self._charge(run, self._charge_of(run.call) or _NOTHING)

    def promoted(self, run: Run) -> None:
        """The speculative ``run`` became the authoritative call: it gives back its place and its charge."""
        if run.speculative:
            run.speculative = False
            if run.in_flight:
                self._count(run.call.handler, -1)
            self._charge(run, _NOTHING)

    def ended(self, run: Run) -> None:
        """``run`` has returned."""
        self._inflight[run.call.handler] -= 1
        if run.state is RunState.DONE:
            estimate = self._estimates.setdefault(run.call.handler, _Estimate())
            estimate.add(run.ended_at - run.started_at, run.usage)
        if run.speculative:
            self._count(run.call.handler, -1)
            self._charge(run, run.usage)

    def _count(self, handler: str, change: int) -> None:
        self._speculative[handler] += change
        self._num_speculative += change

    def _charge(self, run: Run, usage: Usage) -> None:
        if usage or run.charge:
            self._charged = self._charged + usage + run.charge * -1
            run.charge = usage


def _log_share(node: Node, behind: int = 0) -> float:
    """How much of a call at ``node``, or ``behind`` calls behind it, fits in before it is needed, as a logarithm.

    With ``d`` unanswered calls before it, all memoryless and of one kind, it is d/(d+1) in the mean.
    """
    ahead = behind + sum(1 for ancestor in node.ancestors() if not ancestor.answered and ancestor.named is None)
    return math.log(max(1, ahead) / (max(1, ahead) + 1))
