"""Executions of tool calls: which are under way, which results are known, and who may have them.

Pure: no event loop, clock or I/O; time enters as a number. It decides three things, and nothing else does: whether what
an agent asks for is there already (``ask``), whether a call may be made ahead of time (``may_start``), and what a
``WRITE`` makes stale.

A result is *stale* for whoever asks at a time ``t`` if its execution began before the end of a ``WRITE`` on the same
things that began before ``t``. So the beginning of a ``WRITE`` forgets all that it touches, and nothing that begins
before its end is kept. A ``WRITE`` that raised, told of an error or was given up may take effect later all the same; it
counts as under way for as long as results are kept at all, ``ttl_s``.
"""

from __future__ import annotations

import collections
import dataclasses
import enum
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from spec_envs.calls import Effect

if TYPE_CHECKING:
    from spec_envs.conversation import ToolCall
    from spec_envs.wrappers.quota import HandlerLimit
    from spec_envs.wrappers.tools.rules import ToolLimits, ToolRule, ToolRules

#: Calls of a tool that its mean latency goes back to.
_MEMORY = 20


class State(enum.Enum):
    """Of an execution."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclasses.dataclass(frozen=True, slots=True)
class Reason:
    """Why a call was made ahead of time: the rank and probability of the guess, and the calls that it followed."""

    rank: int
    probability: float
    after: tuple[str, ...]


@dataclasses.dataclass(slots=True, eq=False)
class Execution:
    """One execution of a call.

    Args:
        id: Its number.
        run: In which run it was begun; ``None``: outside of all.
        call: What is called.
        rule: What is declared of the tool.
        reason: Why it was made ahead of time; ``None``: an agent asked for it.
        started_at: When it began.
        state: Whether it still runs.
        ended_at: When it ended.
        value: Its result.
        content: The same, as guessers see it.
        error: What went wrong.
        waiters: How many agents wait for it.
        joined: Whether an agent ever did.
        uses: How often its result was given to an agent.
        saved_s: How long the first of them did not have to wait.
        forgotten: Why its result may not be used any more.
    """

    id: int
    run: Hashable
    call: ToolCall
    rule: ToolRule
    reason: Reason | None
    started_at: float
    state: State = State.RUNNING
    ended_at: float = 0.0
    value: Any = None
    content: Any = None
    error: str | None = None
    waiters: int = 0
    joined: bool = False
    uses: int = 0
    saved_s: float = 0.0
    forgotten: str | None = None

    @property
    def takes_a_place(self) -> bool:
        """Whether it is speculation that is under way; what an agent waits for, or did, is not."""
        return self.reason is not None and self.state is State.RUNNING and not self.joined


class Executions:
    """All executions that may matter to anybody."""

    def __init__(self, rules: ToolRules, limits: ToolLimits) -> None:
        self._rules = rules
        self._limits = limits
        self._kept: collections.OrderedDict[Hashable, Execution] = collections.OrderedDict()
        self._running: dict[int, Execution] = {}
        self._in_doubt: list[Execution] = []
        self._begun: dict[str, collections.deque[Execution]] = {}
        self._latency: dict[str, tuple[float, int]] = {}
        self._number = 0

    # -- what an agent asks for ----------------------------------------------------------------------------------

    def ask(self, run: Hashable, call: ToolCall, now: float, *, fresh: bool = False) -> Execution:
        """The execution whose result the agent gets: one that is there, or a new one, which the agent makes itself.

        Args:
            run: The agent's run.
            call: What it calls.
            now: The time.
            fresh: Nothing that is there will do, and nobody else may have the result: it is not the call alone.
        """
        rule = self._rules[call.name]
        found = None if fresh else self.find(run, call, now)
        if found is None:
            return self._begin(run, call, rule, None, now, keep=not fresh)
        if found.state is State.RUNNING:
            found.waiters += 1
            found.joined = True
        if rule.effect is Effect.SAMPLE:
            self._drop(found)
        return found

    def use(self, execution: Execution, asked_at: float) -> bool:
        """An agent that asked at ``asked_at`` has got the result. Whether that was made ahead of time, and is new."""
        execution.uses += 1
        self._release(execution)
        if execution.reason is None or execution.uses > 1:
            return False
        execution.saved_s = max(0.0, min(asked_at, execution.ended_at) - execution.started_at)
        return True

    def find(self, run: Hashable, call: ToolCall, now: float) -> Execution | None:
        """An execution whose result may be given to ``run`` for ``call``."""
        execution = self._kept.get(self._key(run, call))
        if execution is not None and now - execution.started_at > self._limits.ttl_s:
            self._drop(execution, "expired")
            return None
        return execution

    # -- ahead of time -------------------------------------------------------------------------------------------

    @property
    def num_speculative(self) -> int:
        """Calls made ahead of time that are in flight, and that no agent waits for."""
        return sum(execution.takes_a_place for execution in self._running.values())

    @property
    def running(self) -> list[Execution]:
        """All executions in flight."""
        return list(self._running.values())

    def may_start(self, call: ToolCall, now: float) -> bool:
        """Whether ``call`` may be made ahead of time now, if there is a place for it."""
        rule = self._rules[call.name]
        if not rule.may_run_ahead or not self.is_worth_it(call.name) or self._is_being_written(call.name, now):
            return False
        if rule.metered is None:
            return True
        limit, begun = rule.metered, self._recent(call.name, rule.metered, now)
        needed = sum(execution.reason is None or execution.joined or execution.uses > 0 for execution in begun)
        assert limit.max_calls is not None
        inflight = sum(execution.state is State.RUNNING for execution in begun)
        free = limit.max_inflight is None or inflight < limit.max_inflight - 1
        return free and len(begun) + needed + 1 < limit.max_calls

    def is_worth_it(self, tool: str) -> bool:
        """Whether ``tool`` is slow enough for anything to be saved, as far as is known."""
        return tool not in self._latency or self._latency[tool][0] >= self._limits.min_latency_s

    def start(self, run: Hashable, call: ToolCall, reason: Reason, now: float) -> Execution:
        """Make ``call`` ahead of time."""
        return self._begin(run, call, self._rules[call.name], reason, now, keep=True)

    # -- what becomes of them ------------------------------------------------------------------------------------

    def ended(
        self, execution: Execution, now: float, state: State, *, value: Any = None, content: Any = None, error: str = ""
    ) -> None:
        """``execution`` has ended; a result that is not usable by others counts as a failure."""
        execution.state, execution.ended_at, execution.error = state, now, error or None
        self._running.pop(execution.id)
        if state is State.DONE:
            execution.value, execution.content = value, content
            mean, count = self._latency.get(execution.call.name, (0.0, 0))
            count = min(count + 1, _MEMORY)  # so that a tool that becomes slower is noticed
            self._latency[execution.call.name] = (mean + (now - execution.started_at - mean) / count, count)
        else:
            self._drop(execution)
            if execution.rule.effect is Effect.WRITE:
                self._in_doubt.append(execution)
        self._release(execution)
        self._bound()

    def forget_run(self, run: Hashable) -> list[Execution]:
        """``run`` is over: forget what only it could have used. Returns what is to be cancelled."""
        ending = [execution for execution in self._kept.values() if execution.run == run]
        for execution in ending:
            if not execution.rule.shared or execution.takes_a_place:
                self._drop(execution, "run over")
        return [execution for execution in self._running.values() if execution.run == run and execution.takes_a_place]

    def forget_tool(self, tool: str) -> list[Execution]:
        """``tool`` is not called here any more: what is under way ahead of time may never end. Returns that."""
        ending = [each for each in self._running.values() if each.call.name == tool and each.reason is not None]
        for execution in ending:
            self._drop(execution, "removed")
        return ending

    def give_up(self, execution: Execution) -> None:
        """Its place is needed for something likelier; nobody may wait for it any more."""
        self._drop(execution, "no place")

    def forget_all(self) -> None:
        """The end."""
        for execution in list(self._kept.values()):
            self._drop(execution, "closed")

    def _begin(
        self, run: Hashable, call: ToolCall, rule: ToolRule, reason: Reason | None, now: float, *, keep: bool
    ) -> Execution:
        self._number += 1
        execution = Execution(self._number, run, call, rule, reason, now)
        if rule.effect is Effect.WRITE:
            for other in list(self._kept.values()):
                if self._rules.touches(call.name, other.call.name):
                    self._drop(other, "stale")
        else:
            old = self._kept.get(self._key(run, call))
            if old is not None:
                self._drop(old, "replaced")
            if keep and not self._is_being_written(call.name, now) and self._is_to_keep(execution):
                self._kept[self._key(run, call)] = execution
        self._running[execution.id] = execution
        if rule.metered is not None:
            self._recent(call.name, rule.metered, now).append(execution)
        return execution

    def _recent(self, tool: str, limit: HandlerLimit, now: float) -> collections.deque[Execution]:
        """Calls of a metered tool that count against its quota."""
        begun = self._begun.setdefault(tool, collections.deque())
        while begun and begun[0].started_at <= now - limit.per_s:
            begun.popleft()
        return begun

    def _is_to_keep(self, execution: Execution) -> bool:
        if execution.rule.effect is Effect.SAMPLE:
            return execution.reason is not None
        return execution.run is not None or execution.rule.shared

    def _is_being_written(self, tool: str, now: float) -> bool:
        self._in_doubt = [write for write in self._in_doubt if now < write.ended_at + self._limits.ttl_s]
        return any(
            execution.rule.effect is Effect.WRITE and self._rules.touches(execution.call.name, tool)
            for execution in (*self._running.values(), *self._in_doubt)
        )

    def _key(self, run: Hashable, call: ToolCall) -> Hashable:
        return (None if self._rules[call.name].shared else run, call.key)

    def _drop(self, execution: Execution, why: str | None = None) -> None:
        key = self._key(execution.run, execution.call)
        if self._kept.get(key) is execution:
            del self._kept[key]
            execution.forgotten = why
            if why is not None:
                self._release(execution)

    def _release(self, execution: Execution) -> None:
        """Let go of a result that nobody gets any more; the audit remembers the rest."""
        is_kept = self._kept.get(self._key(execution.run, execution.call)) is execution
        if not is_kept and not execution.waiters:
            execution.value = execution.content = None

    def _bound(self) -> None:
        done = [execution for execution in self._kept.values() if execution.state is State.DONE]
        for execution in done[: max(0, len(done) - self._limits.max_results)]:
            self._drop(execution, "no room")
