"""OpenTelemetry for tools: agent runs, executions and what agents got; see ``spec_envs.wrappers.telemetry``."""

from collections.abc import Hashable

from spec_envs.wrappers.telemetry import Spans, TracerProvider, harmless
from spec_envs.wrappers.tools.calls import AgentCall, Execution, ExecutionState

_OUTCOMES = {ExecutionState.FAILED: "failed", ExecutionState.CANCELLED: "cancelled"}


class ToolSpans:
    """The spans of one proxy. An execution that several runs may use is a span of none of them.

    Args:
        otel: ``True``: the program's own tracer provider; or another provider.

    Raises:
        InvalidConfiguration: ``otel`` is neither ``True`` nor a tracer provider.
        DependencyNotInstalled: OpenTelemetry is missing; the message has the command that installs it.
    """

    def __init__(self, otel: bool | TracerProvider) -> None:
        self._otel = otel
        self._outside = Spans(otel, "agent")
        self._runs: dict[Hashable, Spans] = {}
        self._open: dict[Execution, bool] = {}  # whether their ends are told

    @harmless
    def begin_run(self, run: int, now: float) -> None:
        """An agent run begins."""
        self._runs[run] = Spans(self._otel, "agent")
        self._runs[run].begin(now)

    @harmless
    def end_run(self, run: int, now: float) -> None:
        """An agent run ends."""
        self.sweep(now)
        self._runs.pop(run).close(now)

    @harmless
    def began(self, execution: Execution, now: float) -> None:
        """A tool gets a call."""
        name, reason = execution.call.name, execution.reason
        about = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": name,
            "spec_envs.effect": execution.rule.effect.value,
            "spec_envs.speculative": reason is not None,
            "spec_envs.probability": None if reason is None else reason.probability,
            "spec_envs.rank": None if reason is None else reason.rank,
        }
        self._open[execution] = False
        self._of(execution).started(now, execution.id, f"execute_tool {name}", about)

    @harmless
    def got(self, run: int | None, agent_call: AgentCall, now: float) -> None:
        """An agent has the result of its call."""
        self.sweep(now)
        execution = agent_call.execution
        assert execution is not None
        is_hit = execution.reason is not None and execution.uses == 1
        outcome = "hit" if is_hit else "unguessed" if agent_call.is_own else "shared"
        about = {"spec_envs.outcome": outcome, "gen_ai.tool.name": agent_call.call.name}
        owner = self._of(execution)
        links = owner.links_to(execution.id)
        self._runs.get(run, self._outside).commit(agent_call.call.name, agent_call.called_at, now, about, links)
        owner.settle(execution.id, "committed")

    @harmless
    def sweep(self, now: float) -> None:
        """End the spans of executions whose outcome is settled."""
        for execution, is_told in list(self._open.items()):
            if execution.state is ExecutionState.RUNNING:
                continue
            owner, failed = self._of(execution), _OUTCOMES.get(execution.state)
            if not is_told:
                self._open[execution] = True
                owner.ended(execution.ended_at, execution.id, failed or "wasted", {}, execution.error)
            is_unused = execution.reason is not None and not execution.uses
            if failed or not is_unused or execution.forgotten:
                del self._open[execution]
                if is_unused:
                    owner.discard(execution.call.name, now, owner.links_to(execution.id))
                    owner.settle(execution.id, "wasted")

    @harmless
    def close(self, now: float) -> None:
        """End all spans; no events follow."""
        self.sweep(now)
        for spans in (*self._runs.values(), self._outside):
            spans.close(now)

    def _of(self, execution: Execution) -> Spans:
        run = None if execution.rule.shared else execution.run
        return self._runs.get(run, self._outside)
