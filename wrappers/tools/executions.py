"""Executions of tool calls: which are in flight, which results are known, and who may have them.

Pure: no event loop, clock or I/O; time enters as a number. ``Executions`` alone decides three things: whether the
result of an agent's call is there already (``obtain``), whether a call may be executed ahead of time (``may_start``),
and which results a ``WRITE`` makes stale. It is also the only owner of who waits for an execution: ``obtain`` adds a
waiter; ``take_result``, ``obtain_again`` and ``leave`` remove it.

A result is *stale* for an agent that calls at a time ``t`` if the execution began before the end of a ``WRITE`` on the
same things, and the ``WRITE`` began before ``t``. So when a ``WRITE`` begins, all results that it touches are
forgotten. No result is kept whose execution begins before the end of the ``WRITE``. A ``WRITE`` that raised, reported
an error or was abandoned may take effect later; so it counts as in flight for ``doubt_s`` more.
"""

import collections
import math
from collections.abc import Hashable, Iterable
from typing import Any

from spec_envs.calls import Effect
from spec_envs.conversation import ToolCall
from spec_envs.wrappers.estimates import Recent
from spec_envs.wrappers.quota import HandlerLimit, Quota
from spec_envs.wrappers.tools.calls import AgentCall, Execution, ExecutionState, Reason
from spec_envs.wrappers.tools.estimates import ToolEstimates
from spec_envs.wrappers.tools.limits import ToolLimits
from spec_envs.wrappers.tools.loads import Loads
from spec_envs.wrappers.tools.rules import UNLISTED, ToolRules

#: What has failed this often in a row is not called ahead of time, until a call of an agent gets a result, or the last
#: failure was ``ttl_s`` ago: one call, and a tool whatever its arguments. (With three guesses, two often have arguments
#: that the tool refuses.)
_FAILURES_OF_CALL, _FAILURES_OF_TOOL = 2, 3
_NEVER = (0, -math.inf)


class Executions:
    """All executions that may still matter to an agent."""

    def __init__(self, rules: ToolRules, limits: ToolLimits, estimates: ToolEstimates | None = None) -> None:
        self._rules = rules
        self._limits = limits
        self._loads = Loads(estimates or ToolEstimates())
        self._kept: collections.OrderedDict[Hashable, Execution] = collections.OrderedDict()
        self._running: dict[int, Execution] = {}
        self._in_doubt: list[Execution] = []
        self._quotas: dict[str, Quota] = {}
        self._seconds: collections.defaultdict[str, Recent] = collections.defaultdict(Recent)
        #: How often each tool, and each call, has failed since it last gave a result; and when it failed last.
        self._tool_failures: dict[str, tuple[int, float]] = {}
        self._call_failures: collections.OrderedDict[str, tuple[int, float]] = collections.OrderedDict()
        self._number = 0

    # -- calls of agents -----------------------------------------------------------------------------------------

    def obtain(self, run: Hashable, agent_call: AgentCall, now: float, *, fresh: bool = False) -> None:
        """Set ``agent_call.execution``: one that is there, for which the call waits, or a new one that the agent runs.

        With ``fresh`` it is always a new one, whose result nobody else gets: it depends on more than the call.
        """
        call = agent_call.call
        found = None if fresh else self.find(run, call, now)
        agent_call.is_own = found is None
        if found is None:
            agent_call.execution = self.begin(run, call, now, keep=not fresh)
            return
        agent_call.execution = found
        found.waiters.add(agent_call)
        if found.state is ExecutionState.RUNNING:
            found.joined = True
            self._loads.join(found, now)
            self._quota(call.name).promote(found)  # an agent needs it
        if found.rule.effect is Effect.SAMPLE:
            self.drop(found)

    def take_result(self, agent_call: AgentCall) -> Any:
        """Return the result that the agent waited for, which must be there. The result is not a copy."""
        execution = agent_call.execution
        assert execution is not None and execution.state is ExecutionState.DONE and agent_call in execution.waiters
        value = execution.value
        execution.uses += 1
        self._quota(execution.call.name).promote(execution)
        if execution.reason is not None and execution.uses == 1:
            execution.saved_s = execution.alone_s - max(0.0, execution.ended_at - agent_call.called_at)
        self.leave(agent_call)
        return value

    def leave(self, agent_call: AgentCall) -> None:
        """The agent does not wait any more. Nothing happens if it runs the execution itself, or has left already."""
        execution = agent_call.execution
        if execution is not None and agent_call in execution.waiters:
            execution.waiters.remove(agent_call)
            self._release(execution)

    def find(self, run: Hashable, call: ToolCall, now: float) -> Execution | None:
        """Return an execution whose result may be given to ``run`` for ``call``."""
        execution = self._kept.get(self._key(run, call))
        if execution is not None and now - execution.started_at > execution.rule.lifetime_s(self._limits.ttl_s):
            self.drop(execution, "expired")
            return None
        return execution

    # -- ahead of time -------------------------------------------------------------------------------------------

    @property
    def running(self) -> list[Execution]:
        """All executions in flight."""
        return list(self._running.values())

    def reason_against(self, call: ToolCall, now: float) -> str | None:
        """Return why ``call`` may not be executed ahead of time now; ``None`` if it may, given a slot."""
        if not self.is_worth_it(call.name):
            return "quick"
        of_tool, of_call = self._tool_failures.get(call.name, _NEVER), self._call_failures.get(call.key, _NEVER)
        for (count, failed_at), most in ((of_tool, _FAILURES_OF_TOOL), (of_call, _FAILURES_OF_CALL)):
            if count >= most and now <= failed_at + self._limits.ttl_s:
                return "failing"
        return self._reason_to_wait(call.name, now) or (None if self._quota(call.name).has_room(now) else "quota")

    def ask_again_at(self, call: ToolCall, thinking_since: list[float], now: float) -> float | None:
        """``None`` if the server of ``call`` has room for the call ahead of time; see ``Loads.ask_again_at``."""
        return self._loads.ask_again_at(self._rules.server_of(call.name), call.name, thinking_since, now)

    def is_worth_it(self, tool: str) -> bool:
        """Whether ``tool`` is slow enough to save time, as far as is known."""
        return self._seconds[tool].mean(unknown=math.inf) >= self._limits.min_latency_s

    def begin(
        self, run: Hashable, call: ToolCall, now: float, *, reason: Reason | None = None, keep: bool = True
    ) -> Execution:
        """Return a new execution of ``call``, ahead of time if there is a ``reason``; others may use it if ``keep``."""
        self._number += 1
        rule = self._rules[call.name]
        execution = Execution(self._number, run, call, rule, reason, now)
        if rule.effect is Effect.WRITE:
            self._drop_touched(call.name)
        else:
            old = self._kept.get(self._key(run, call))
            if old is not None:
                self.drop(old, "replaced")
            # A draw is for one agent; what was read outside of all runs is for nobody else, unless it is shared.
            is_for_others = (run is not None or rule.shared) if rule.effect is Effect.READ else reason is not None
            if keep and is_for_others and self._reason_to_wait(call.name, now) is None:
                self._kept[self._key(run, call)] = execution
        self._running[execution.id] = execution
        self._loads.begin(self._rules.server_of(call.name), execution)
        self._quota(call.name).let(execution, speculative=reason is not None)
        return execution

    def began(self, execution: Execution, now: float) -> None:
        """The tool gets the call now; ``begin`` has only let it through."""
        self._quota(execution.call.name).began(execution, now)
        self._loads.began(execution, now)

    # -- the end of executions -----------------------------------------------------------------------------------

    def end(
        self,
        execution: Execution,
        now: float,
        state: ExecutionState,
        *,
        value: Any = None,
        content: Any = None,
        error: str = "",
    ) -> None:
        """``execution`` has ended, with the result ``value``, which guessers see as ``content``, or an ``error``.

        A result that only the agent itself may have counts as a failure.
        """
        execution.state, execution.ended_at, execution.error = state, now, error or None
        self._running.pop(execution.id)
        self._quota(execution.call.name).end(execution)
        execution.alone_s = self._loads.end(execution)
        if state is ExecutionState.DONE:
            execution.value, execution.content = value, content
            self._seconds[execution.call.name].add(execution.alone_s)
        else:
            self.drop(execution)
            if execution.rule.effect is Effect.WRITE:
                self._in_doubt.append(execution)
        self._count_failures(execution)
        self._release(execution)
        if len(self._kept) > self._limits.max_results:
            done = [each for each in self._kept.values() if each.state is ExecutionState.DONE]
            for oldest in done[: max(0, len(done) - self._limits.max_results)]:
                self.drop(oldest, "no room")

    def cancel(self, executions: Iterable[Execution]) -> list[Execution]:
        """Return those of ``executions`` that are to be told to stop, because they were not told yet."""
        new = [execution for execution in executions if not execution.cancelled]
        for execution in new:
            execution.cancelled = True
        return new

    def forget_run(self, run: Hashable) -> list[Execution]:
        """``run`` is over: forget what only it could have used. Return the executions that nobody needs any more."""
        ending = [execution for execution in self._kept.values() if execution.run == run]
        for execution in ending:
            if not execution.rule.shared or execution.is_speculative:
                self.drop(execution, "run over")
        return [execution for execution in self._running.values() if execution.run == run and execution.is_speculative]

    def forget_tool(self, tool: str) -> list[Execution]:
        """``tool`` cannot be called any more: return its executions ahead of time, which may never end."""
        ending = [each for each in self._running.values() if each.call.name == tool and each.reason is not None]
        for execution in ending:
            self.drop(execution, "removed")
        return ending

    def drop(self, execution: Execution, why: str | None = None) -> None:
        """Give the result to no further agent. With a reason ``why``, no prediction builds on the result either."""
        key = self._key(execution.run, execution.call)
        if self._kept.get(key) is execution:
            del self._kept[key]
            execution.forgotten = why
            if why is not None:
                self._release(execution)

    def forget_expired(self, now: float) -> list[Execution]:
        """Return the executions ahead of time whose results nobody may use any more, since they began too long ago."""
        expired = [
            each
            for each in self._running.values()
            if each.is_speculative and now - each.started_at > each.rule.lifetime_s(self._limits.ttl_s)
        ]
        for execution in expired:
            self.drop(execution, "expired")
        return expired

    def forget_all(self) -> None:
        """Forget all results, because the proxy is closed."""
        for execution in list(self._kept.values()):
            self.drop(execution, "closed")

    # -- inside --------------------------------------------------------------------------------------------------

    def _quota(self, tool: str) -> Quota:
        """Return the calls of ``tool`` against its quota, which is unlimited if the tool is not metered."""
        if tool not in self._quotas:
            self._quotas[tool] = Quota(self._rules[tool].metered or HandlerLimit())
        return self._quotas[tool]

    def _reason_to_wait(self, tool: str, now: float) -> str | None:
        """Return which ``WRITE`` may still change what ``tool`` reads: one under way, or one in doubt, if any."""
        self._in_doubt = [write for write in self._in_doubt if now < write.ended_at + self._limits.doubt_s]
        for writes, reason in ((self._running.values(), "write under way"), (self._in_doubt, "write in doubt")):
            for each in writes:
                if each.rule.effect is Effect.WRITE and self._rules.makes_stale(each.call.name, tool):
                    return reason
        return None

    def _drop_touched(self, write: str) -> None:
        for other in list(self._kept.values()):
            if self._rules.makes_stale(write, other.call.name):
                self.drop(other, "stale")

    def _count_failures(self, execution: Execution) -> None:
        tool, key = execution.call.name, execution.call.key
        if execution.state is ExecutionState.DONE:
            self._tool_failures.pop(tool, None)
            self._call_failures.pop(key, None)
            if execution.rule is UNLISTED:  # the tool exists after all, and may have changed anything
                self._rules.hint(tool, None)
                self._drop_touched(tool)
        elif execution.state is ExecutionState.FAILED:
            self._tool_failures[tool] = self._tool_failures.get(tool, _NEVER)[0] + 1, execution.ended_at
            self._call_failures[key] = self._call_failures.pop(key, _NEVER)[0] + 1, execution.ended_at
            if len(self._call_failures) > self._limits.max_results:
                self._call_failures.popitem(last=False)

    def _key(self, run: Hashable, call: ToolCall) -> Hashable:
        return (None if self._rules[call.name].shared else run, call.key)

    def _release(self, execution: Execution) -> None:
        """Let go of a result that no agent gets any more; the audit remembers the rest."""
        is_kept = self._kept.get(self._key(execution.run, execution.call)) is execution
        if not is_kept and not execution.waiters:
            execution.value = execution.content = None
