"""What tools do, as a ``Trace``: each agent run is an episode, in which the agent thinks and calls tools in turn."""

from collections.abc import Hashable
from typing import Any

from spec_envs.brief import brief
from spec_envs.wrappers.speculation.trace import Trace, TraceEvent
from spec_envs.wrappers.tools.calls import AgentCall, Execution, ExecutionState

#: What the time between two calls of an agent is called: its model thinks.
_THINKING = "agent"
_OUTCOMES = {ExecutionState.DONE: "done", ExecutionState.FAILED: "failed", ExecutionState.CANCELLED: "stopped"}


class ToolTracing:
    """Writes the trace of one proxy.

    Calls outside of all agent runs are left out: there is no episode that they belong to.

    Args:
        max_events: How many events the trace keeps.
    """

    def __init__(self, max_events: int = 100_000) -> None:
        self.trace = Trace(max_events)
        self._thinking_since: dict[Hashable, float | None] = {}  # None: the agent waits for a tool
        self._begun_at: dict[Hashable, float] = {}
        self._running: set[Execution] = set()
        self._told: dict[Hashable, set[int]] = {}
        self._num_thoughts = 0
        self._shown: tuple[Any, str] = (None, "None")  # the last value that was told, and its text

    def begin_run(self, run: int, message: str | None, now: float) -> None:
        """An agent run begins; ``message`` is what the user said, if that is known."""
        self._thinking_since[run] = self._begun_at[run] = now
        self._told[run] = set()
        self.trace.add_event(TraceEvent(now, "reset", "", run=run))
        text = None if message is None else brief(message)
        self.trace.add_event(TraceEvent(now, "observe", "", response=text, view="transcript", run=run))

    def end_run(self, run: int) -> None:
        """An agent run ends."""
        self.sweep()
        for memory in (self._thinking_since, self._begun_at, self._told):
            memory.pop(run, None)

    def called(self, run: int | None, agent_call: AgentCall) -> None:
        """An agent calls a tool, and does not think any more."""
        since, now, call = self._thinking_since.get(run), agent_call.called_at, agent_call.call
        if since is None:
            return
        execution = agent_call.execution
        assert execution is not None
        self._thinking_since[run] = None
        self._num_thoughts += 1
        number = -self._num_thoughts
        decided = call.name if execution.rule.private else f"{call.name} {self._brief(call.arguments)}"
        how = "unguessed" if execution.reason is None else "hit"
        for event in (
            TraceEvent(since, "start", _THINKING, call=number, speculative=False, run=run),
            TraceEvent(now, "end", _THINKING, call=number, outcome="done", response=decided, run=run),
            TraceEvent(now, "commit", _THINKING, call=number, outcome=how, run=run),
        ):
            self.trace.add_event(event)

    def began(self, execution: Execution) -> None:
        """A tool gets a call."""
        if execution.run in self._told:
            self._add_start(execution, execution.run)
            self._running.add(execution)

    def got(self, run: int | None, agent_call: AgentCall, now: float) -> None:
        """An agent has the result of its call, or its error."""
        execution = agent_call.execution
        if run not in self._told or execution is None:
            return
        self.sweep()
        if execution.id not in self._told[run]:  # another run has begun it
            self._add_start(execution, run)
            self._add_end(execution, run)
        self._thinking_since[run] = now
        event = TraceEvent(
            now,
            "commit",
            execution.call.name,
            call=execution.id,
            outcome="unguessed" if execution.reason is None else "hit",
            response=self._answer(execution, agent_call),
            asked_s=agent_call.called_at,
            run=run,
        )
        self.trace.add_event(event)

    def _brief(self, value: Any) -> str:
        """``value`` as a short text; two events in a row tell the same arguments, and the same result."""
        if value is not self._shown[0]:
            self._shown = value, brief(value)
        return self._shown[1]

    def _answer(self, execution: Execution, agent_call: AgentCall) -> str | None:
        if agent_call.result is None:
            return None
        return "(private)" if execution.rule.private else self._brief(agent_call.result.content)

    def sweep(self) -> None:
        """Add the ends of executions that have ended since."""
        for execution in [each for each in self._running if each.state is not ExecutionState.RUNNING]:
            self._running.discard(execution)
            self._add_end(execution, execution.run)

    def _add_start(self, execution: Execution, run: Hashable) -> None:
        self._told[run].add(execution.id)
        reason, rule = execution.reason, execution.rule
        event = TraceEvent(
            max(execution.started_at, self._begun_at[run]),
            "start",
            execution.call.name,
            call=execution.id,
            speculative=reason is not None,
            probability=None if reason is None else reason.probability,
            effect=rule.effect.value,
            query="(private)" if rule.private else self._brief(execution.call.arguments),
            after=None if reason is None else reason.after,
            run=run,
        )
        self.trace.add_event(event)

    def _add_end(self, execution: Execution, run: Hashable) -> None:
        is_done = execution.state is ExecutionState.DONE
        hidden = "(private)" if execution.rule.private else None
        event = TraceEvent(
            max(execution.ended_at, self._begun_at.get(run, 0.0)),
            "end",
            execution.call.name,
            call=execution.id,
            outcome=_OUTCOMES[execution.state],
            # Nobody keeps the result of a WRITE: only the agent has it.
            response=(hidden or self._brief(execution.content)) if is_done and execution.content is not None else None,
            error=None if is_done else hidden or execution.error,
            run=run,
            alone_s=execution.alone_s if execution.ended_at - execution.started_at > execution.alone_s else None,
        )
        self.trace.add_event(event)
