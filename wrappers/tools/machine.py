"""Speculation on tools as a state machine: events are methods; after each, a driver carries out ``commands``.

Pure, like ``wrappers.speculation.tree``: no loop, clock or I/O. ``executions`` says which results may be used and which
calls may be executed; ``runs`` says which calls are likely. The machine joins the two and keeps the statistics.
"""

import collections
import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from spec_envs.calls import Effect
from spec_envs.conversation import Event, ToolCall, ToolResult
from spec_envs.usage import Usage
from spec_envs.wrappers.estimates import beyond
from spec_envs.wrappers.tools.audit import ToolAudit, ToolStatistics
from spec_envs.wrappers.tools.calls import AgentCall, Execution, ExecutionState
from spec_envs.wrappers.tools.estimates import ToolEstimates
from spec_envs.wrappers.tools.executions import Executions
from spec_envs.wrappers.tools.limits import ToolLimits
from spec_envs.wrappers.tools.rules import ToolRules
from spec_envs.wrappers.tools.runs import AgentRun, PredictedCall


@dataclasses.dataclass(frozen=True, slots=True)
class Start:
    """Run an execution ahead of time, or predict what follows a node, until ``end_execution`` or ``add_guesses``."""

    job: Execution | PredictedCall


@dataclasses.dataclass(frozen=True, slots=True)
class Stop:
    """Tell an execution or a prediction to stop; it still reports its end."""

    job: Execution | PredictedCall


Command = Start | Stop


class Machine:
    """All agent runs of one proxy."""

    def __init__(self, rules: ToolRules, limits: ToolLimits, estimates: ToolEstimates | None = None) -> None:
        self._rules = rules
        self._limits = limits
        estimates = estimates or ToolEstimates()
        self._thoughts = estimates.thoughts
        self.executions = Executions(rules, limits, estimates)
        self.audit = ToolAudit()
        #: The tools that can be called ahead of time.
        self.tools: set[str] = set()
        #: When ``commands`` may have more to do though nothing happens; ``None``: never.
        self.more_at: float | None = None
        self._runs: dict[int, AgentRun] = {}
        self._number = 0
        self._predicting: set[PredictedCall] = set()
        self._stops: list[Stop] = []
        self._counts: collections.Counter[str] = collections.Counter()
        self._saved_s = 0.0
        self._guessing = Usage()
        self._dearest: Usage | None = None
        self._held_back: collections.Counter[str] = collections.Counter()
        self._guess_error: str | None = None

    @property
    def num_calls(self) -> int:
        """How many calls agents have made."""
        return self._counts["calls"]

    @property
    def statistics(self) -> ToolStatistics:
        """A snapshot of counts and sums."""
        return ToolStatistics(
            saved_s=self._saved_s,
            guessing=self._guessing,
            over_budget=beyond(self._guessing, self._limits.max_tokens, self._limits.max_money),
            guess_error=self._guess_error,
            held_back=dict(+self._held_back),
            **self._counts,
        )

    def count_guess_error(self, what: str, error: str) -> None:
        """Add 1 to ``failed_guesses`` or ``not_learned``, and remember the first ``error``."""
        self._counts[what] += 1
        self._guess_error = self._guess_error or error

    def charge(self, usage: Usage) -> None:
        """Add ``usage`` to what guessing has cost."""
        self._guessing = self._guessing + usage
        before = self._dearest or Usage()
        self._dearest = Usage(max(before.tokens, usage.tokens), 0, max(before.money, usage.money))

    # -- agent runs ----------------------------------------------------------------------------------------------

    def open_run(self, events: Iterable[Event]) -> AgentRun:
        """Begin an agent run after ``events``."""
        self._number += 1
        run = self._runs[self._number] = AgentRun(self._number, events, self._limits)
        return run

    def record_event(self, run: AgentRun, event: Event) -> None:
        """The user or the agent has said something."""
        run.events.append(event)
        self._drop(run.restart())

    def close_run(self, run: AgentRun) -> None:
        """End an agent run."""
        if self._runs.pop(run.number, None) is not None:  # or else the machine was closed
            self._drop(run.root.subtree())
            self._cancel(self.executions.forget_run(run.number))

    def remove_tool(self, tool: str) -> None:
        """``tool`` cannot be called any more; an agent that waits for an execution ahead of time calls it itself."""
        self.tools.discard(tool)
        self._cancel(self.executions.forget_tool(tool))

    def close(self) -> None:
        """Cancel everything ahead of time, and forget all runs and results."""
        for run in self._runs.values():
            self._drop(run.root.subtree())
        self._runs.clear()
        self.executions.forget_all()
        self._cancel(each for each in self.executions.running if each.reason is not None)

    # -- what agents do ------------------------------------------------------------------------------------------

    def begin_call(self, run: AgentRun | None, call: ToolCall, now: float, *, fresh: bool = False) -> AgentCall:
        """An agent calls a tool, in ``run`` or outside of all runs; see ``Executions.obtain``."""
        agent_call = AgentCall(call, now)
        self._counts["calls"] += 1
        if run is not None:
            run.turn.append(agent_call)
            if run.quiet_since is not None:
                self._thoughts.add(now - run.quiet_since)
            run.quiet_since = None
        self._obtain(run, agent_call, now, fresh=fresh)
        return agent_call

    def call_again(self, run: AgentRun | None, agent_call: AgentCall, now: float) -> None:
        """The execution that the agent has waited for has failed: the agent now makes the call itself."""
        self.executions.leave(agent_call)
        self._obtain(run, agent_call, now, fresh=True)

    def take_result(self, agent_call: AgentCall) -> Any:
        """Return the result that the agent waited for; it is not a copy."""
        value = self.executions.take_result(agent_call)
        execution = agent_call.execution
        if execution is not None and execution.reason is not None and execution.uses == 1:
            self._counts["hits"] += 1
            self._saved_s += execution.saved_s
        else:
            self._counts["shared"] += 1
        return value

    def end_call(self, run: AgentRun | None, agent_call: AgentCall, content: Any, *, error: bool = False) -> None:
        """The agent has got a result or an error, which guessers see as ``content``."""
        agent_call.result = ToolResult(content, error, agent_call.call.id)
        self._end_turn(run)

    def abandon_call(self, run: AgentRun | None, agent_call: AgentCall) -> None:
        """The agent has stopped waiting for its call."""
        self.executions.leave(agent_call)
        if run is not None and agent_call in run.turn:
            run.turn.remove(agent_call)
        self._end_turn(run)

    def _obtain(self, run: AgentRun | None, agent_call: AgentCall, now: float, *, fresh: bool) -> None:
        self.executions.obtain(None if run is None else run.number, agent_call, now, fresh=fresh)
        if self._rules[agent_call.call.name].effect is Effect.WRITE:  # which has made some results stale
            self._cancel(each for each in self.executions.running if each.forgotten and each.is_speculative)

    def _end_turn(self, run: AgentRun | None) -> None:
        """Go on to the agent's next turn, once all calls of this turn have results."""
        if run is not None and run.number in self._runs and all(each.result is not None for each in run.turn):
            self._drop(run.end_turn())

    # -- the ends of executions and predictions ------------------------------------------------------------------

    def end_execution(self, execution: Execution, now: float, state: ExecutionState, **outcome: Any) -> None:
        """An execution has ended; see ``Executions.end``."""
        self.executions.end(execution, now, state, **outcome)
        if execution.reason is None:  # the agent's own, which may have had to wait for calls ahead of time
            self._saved_s -= now - execution.started_at - execution.alone_s
        if execution.reason is not None and state is ExecutionState.FAILED:
            self._counts["failed"] += 1
        if execution.rule.effect is Effect.WRITE:
            for run in self._runs.values():
                if any(node.execution and node.execution.forgotten for node in run.root.subtree()):
                    self._drop(run.restart())

    def add_guesses(
        self, node: PredictedCall, guesses: Sequence[tuple[ToolCall, float]], *, early: bool = False
    ) -> None:
        """The guesser has predicted what comes after ``node``; ``early``: it will return further guesses."""
        if not early:
            self._predicting.discard(node)
        run = self._runs.get(node.run)
        if run is not None and guesses and not node.dropped:
            ahead = [
                (call, p) for call, p in guesses if call.name in self.tools and self._rules[call.name].may_run_ahead
            ]
            if not early:
                self._held_back["not allowed"] += len(guesses) - len(ahead)
            run.add(node, ahead, rest=max(0.0, 1.0 - sum(p for _, p in guesses)))

    # -- what to do next -----------------------------------------------------------------------------------------

    def commands(self, now: float) -> list[Command]:
        """Return what to do after the events so far: stop what no agent needs, and start what is most probable."""
        self.more_at = None
        self._cancel(self.executions.forget_expired(now))
        thinking = [run for run in self._runs.values() if not run.turn]
        started: list[Start] = []
        if self._limits.max_inflight and thinking and any(map(self._saves_time, self.tools)):
            started = [*self._execute(thinking, now), *self._predict(self._quiet(thinking, now))]
        stopped, self._stops = self._stops, []
        return [*stopped, *started]

    def _quiet(self, runs: Sequence[AgentRun], now: float) -> list[AgentRun]:
        """Return the runs that have been thinking long enough to predict what comes next."""
        quiet = []
        for run in runs:
            run.quiet_since = now if run.quiet_since is None else run.quiet_since
            if now >= run.quiet_since + self._limits.quiet_s:
                quiet.append(run)
            else:
                self.more_at = min(self.more_at or math.inf, run.quiet_since + self._limits.quiet_s)
        return quiet

    def _drop(self, nodes: Iterable[PredictedCall]) -> None:
        for node in nodes:
            node.dropped = True
            if node in self._predicting:
                self._stops.append(Stop(node))

    def _saves_time(self, tool: str) -> bool:
        return self._rules[tool].may_run_ahead and self.executions.is_worth_it(tool)

    def _execute(self, runs: Sequence[AgentRun], now: float) -> Iterator[Start]:
        """Give predicted calls the executions that are there already, and begin others where there are slots."""
        nodes = _by_probability(node for run in runs for node in run.to_execute())
        for node in nodes:  # all of them first, so that no execution gives way that one of them needs
            node.execution = self.executions.find(node.run, _call(node), now)
        for node in nodes:
            call = _call(node)
            node.execution = node.execution or self.executions.find(node.run, call, now)  # another run has begun it
            if node.execution is not None:
                continue
            against = self.executions.reason_against(call, now) or self._busy(call, now)
            if against is not None:
                self._hold_back(node, against)
                continue
            if sum(each.is_speculative for each in self.executions.running) >= self._limits.max_inflight:
                self._make_room()
                self._hold_back(node, "no slot")
                continue
            node.execution = self.executions.begin(node.run, call, now, reason=node.reason)
            self.audit.add(node.execution)
            self._counts["started"] += 1
            yield Start(node.execution)

    def _busy(self, call: ToolCall, now: float) -> str | None:
        """Why ``call`` might delay a call of an agent: its server answers few calls at once. ``None``: it would not."""
        thinking = (run.quiet_since for run in self._runs.values() if not run.turn)
        since = [now if begun is None else begun for begun in thinking]
        again_at = self.executions.ask_again_at(call, since, now)
        if again_at is None:
            return None
        if again_at < math.inf:
            self.more_at = min(self.more_at or math.inf, again_at)
        return "server busy"

    def _predict(self, runs: Sequence[AgentRun]) -> Iterator[Start]:
        for node in _by_probability(node for run in runs for node in run.to_predict()):
            if node in self._predicting:  # a prediction for another path, which ends soon
                continue
            if len(self._predicting) > self._limits.max_inflight:
                break
            if not self._is_affordable(len(self._predicting)):
                self._hold_back(node, "budget")
                break
            node.is_predicted = True
            self._predicting.add(node)
            self._counts["guesses"] += 1
            yield Start(node)

    def _hold_back(self, node: PredictedCall, why: str) -> None:
        """Count why ``node`` waits; a node that goes on waiting for the same reason counts once."""
        self._held_back[why] += node.held_back != why
        node.held_back = why

    def _is_affordable(self, under_way: int) -> bool:
        """Whether the guesser may predict once more beside the predictions ``under_way``."""
        limits = self._limits
        if limits.max_tokens is None and limits.max_money is None:
            return True
        if self._dearest is None and under_way:
            return False  # the first prediction tells what a prediction costs
        expected = self._guessing + (self._dearest or Usage()) * (under_way + 1)
        within_tokens = limits.max_tokens is None or expected.tokens <= limits.max_tokens
        return within_tokens and (limits.max_money is None or expected.money <= limits.max_money)

    def _make_room(self) -> None:
        """Cancel a ``READ`` that no prediction needs any more. A draw is never cancelled for want of a slot."""
        wanted = {node.execution for run in self._runs.values() for node in run.root.subtree()}
        for execution in self.executions.running:
            if execution.is_speculative and execution.rule.effect is Effect.READ and execution not in wanted:
                if not execution.cancelled:
                    self.executions.drop(execution, "no slot")
                    self._cancel([execution])
                    return

    def _cancel(self, executions: Iterable[Execution]) -> None:
        self._stops += [Stop(execution) for execution in self.executions.cancel(executions)]


def _by_probability(nodes: Iterable[PredictedCall]) -> list[PredictedCall]:
    return sorted(nodes, key=lambda node: -node.path_probability)


def _call(node: PredictedCall) -> ToolCall:
    assert node.call is not None
    return node.call
