"""``SpeculativeTools``: a proxy in front of an agent's tools, on the event loop on which the agent runs."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Self

from spec_envs.calls import Effect
from spec_envs.conversation import AssistantMessage, Conversation, Event, Tool, ToolCall, UserMessage
from spec_envs.errors import EnvClosed, InvalidConfiguration
from spec_envs.guesses import AsyncGuesser, Guesser
from spec_envs.pickling import NotPicklable
from spec_envs.values import own_copy
from spec_envs.wrappers.speculation.trace import Trace
from spec_envs.wrappers.telemetry import TracerProvider
from spec_envs.wrappers.tools.audit import ToolAudit, ToolStatistics
from spec_envs.wrappers.tools.driver import ToolDriver
from spec_envs.wrappers.tools.estimates import ToolEstimates
from spec_envs.wrappers.tools.limits import ToolLimits
from spec_envs.wrappers.tools.machine import Machine
from spec_envs.wrappers.tools.open_calls import OpenCall
from spec_envs.wrappers.tools.ports import Port, outcome, port_of
from spec_envs.wrappers.tools.rules import UNLISTED, ToolRule, ToolRules
from spec_envs.wrappers.tools.runs import AgentRun
from spec_envs.wrappers.tools.telemetry import ToolSpans

__all__ = ["SpeculativeTools", "ToolRun"]

#: The innermost agent run of each proxy.
_current: contextvars.ContextVar[Mapping[SpeculativeTools, ToolRun]] = contextvars.ContextVar(
    "spec_envs_tool_runs", default=MappingProxyType({})
)


def _check(name: str, value: object, kind: type) -> None:
    if not isinstance(value, kind):
        raise InvalidConfiguration(f"{name} must be a {kind.__name__}, not {value!r:.80}")


class ToolRun(NotPicklable):
    """What an agent does from start to end of a task. Made by ``SpeculativeTools.run``.

    Attributes:
        tools: The proxy.
        context: Given to tools that are called ahead of time.
        is_over: Whether the run has ended.
    """

    def __init__(self, tools: SpeculativeTools, state: AgentRun, context: Any) -> None:
        self.tools = tools
        self.context = context
        self.is_over = False
        self._state = state

    @property
    def events(self) -> tuple[Event, ...]:
        """What has happened so far."""
        return tuple(self._state.events)

    @property
    def num_events(self) -> int:
        """How much has happened so far."""
        return len(self._state.events)

    @property
    def conversation(self) -> Conversation:
        """What has happened so far, with the tools, as guessers see it."""
        return Conversation(self.events, tuple(self.tools._driver.schemas.values()))

    def heard(self, text: str) -> None:
        """Record that the user said ``text``."""
        _check("text", text, str)
        self.tools._record(self, UserMessage(text))

    def said(self, text: str) -> None:
        """Record that the agent said ``text`` to the user."""
        _check("text", text, str)
        self.tools._record(self, AssistantMessage(text))


class SpeculativeTools(NotPicklable):
    """Executes an agent's next tool calls while its model thinks, so that results are ready when the agent calls.

    This is for agents whose loop belongs to another package, so that only their tool calls can be seen.
    ``spec_envs.wrappers.tools.mcp``, ``.openai_agents`` and ``.langgraph`` put the proxy in front of the tools of these
    packages; ``add`` and ``call`` are for loops of your own. The agent gets what it would have got without the proxy:
    the result of its own call, or the result of an equal call executed lately, if no ``WRITE`` that touches it came in
    between.

    A proxy belongs to the event loop in which it is first used. Any number of agent runs may share it. The guesser
    learns from all of them; each run has results of its own, unless a rule says otherwise.

    Args:
        rules: What is declared of each tool, by its name or by ``"server:name"``. An undeclared tool is a ``WRITE``: it
            is never called ahead of time, and a call of the tool makes all earlier results from its server stale.
        guesser: Predicts the response to ``Call("policy", Conversation(…))``: ``{"name": …, "arguments": {…}}``. For
            example ``PatternGuesser``, ``NGramGuesser``, ``ChatGuesser(model, "tools")``, or a ``UnionGuesser`` of
            these. It learns (``observe``) from each run that ends without an exception. Saving, loading and closing the
            guesser is up to you. A guesser that prompts a remote model shows that model the whole conversation,
            including the arguments of private tools.
        limits: What speculation may use.
        estimates: What earlier proxies have measured about servers and agents; this proxy adds to it. Default: nothing
            is known.
        otel: Send agent runs, executions, and what agents got to OpenTelemetry, as ``spec_envs.wrappers.telemetry``
            says: ``True``: through the program's tracer provider; or another provider. Needs the extra ``otel``.

    Raises:
        InvalidConfiguration: A rule is neither an ``Effect`` nor a ``ToolRule``, the guesser has no ``guess``, or the
            limits are no ``ToolLimits``, or the estimates no ``ToolEstimates``.
    """

    def __init__(
        self,
        rules: Mapping[str, Effect | ToolRule],
        guesser: Guesser | AsyncGuesser,
        *,
        limits: ToolLimits | None = None,
        estimates: ToolEstimates | None = None,
        otel: bool | TracerProvider = False,
    ) -> None:
        limits = ToolLimits() if limits is None else limits
        if not isinstance(limits, ToolLimits):
            raise InvalidConfiguration(f"limits must be ToolLimits(...), not {limits!r}")
        if not isinstance(estimates, ToolEstimates | None):
            raise InvalidConfiguration(f"estimates must be ToolEstimates() or None, not {estimates!r:.80}")
        self._rules = ToolRules(rules)
        self._machine = Machine(self._rules, limits, estimates)
        self._driver = ToolDriver(self._machine, guesser, limits.k, ToolSpans(otel) if otel is not False else None)
        self._closed = False

    # -- tools ---------------------------------------------------------------------------------------------------

    def add(
        self,
        tool: str,
        port: Port | Callable[..., Awaitable[Any]],
        *,
        schema: Tool | None = None,
        ahead: bool = True,
    ) -> None:
        """Add ``tool``, or replace what was added under this name before.

        Args:
            tool: The name, or ``"server:name"``.
            port: How to call the tool: a ``Port``, or a coroutine function that takes the arguments by name.
            schema: What guessers see of the tool.
            ahead: Whether the tool can be called ahead of time at all; the rules say whether it may be.

        Raises:
            InvalidConfiguration: A tool of another source has this name; their results would be mixed up. Or an
                argument is of another type.
        """
        port = port_of(tool, port)
        if schema is not None:
            _check("schema", schema, Tool)
        known = self._driver.ports.get(tool)
        if known is not None and known.source is not port.source:
            raise InvalidConfiguration(
                f"a tool of another source has the name {tool!r} already; give them or their servers other names, "
                f"make one SpeculativeTools for each (they may share the guesser), or remove({tool!r}) first"
            )
        self._driver.ports[tool] = port
        self._rules.place(tool, port.server)
        if schema is not None:
            self.describe(dataclasses.replace(schema, name=tool))
        (self._machine.tools.add if ahead else self._machine.tools.discard)(tool)

    def remove(self, tool: str) -> None:
        """Forget how to call ``tool``, for example because its connection is closed.

        Its executions ahead of time are cancelled. Results that are there may still be used.
        """
        self._driver.ports.pop(tool, None)
        self._machine.remove_tool(tool)
        self._driver.carry_out()

    def describe(self, schema: Tool) -> None:
        """Show guessers ``schema`` for the tool of that name."""
        _check("schema", schema, Tool)
        self._driver.schemas[schema.name] = schema

    def trust(self, tool: str, *, read_only: bool) -> None:
        """Believe a server that its ``tool`` changes nothing, unless the tool is declared.

        A tool that changes nothing may still answer differently each time, as a clock does. So it is a ``SAMPLE``: each
        result is used once. Declare it as a ``READ`` if equal calls may share a result.
        """
        self._rules.hint(tool, ToolRule(effect=Effect.SAMPLE) if read_only else None)

    def add_unlisted(self, tool: str) -> None:
        """A server has listed its tools, and ``tool`` is not among them: a call of ``tool`` changes nothing.

        If a call succeeds all the same, the tool is a ``WRITE`` from then on. Nothing happens if the tool is declared.
        """
        if not self._rules.is_known(tool):
            self._rules.hint(tool, UNLISTED)

    def rule_of(self, tool: str) -> ToolRule:
        """The rule of ``tool``, declared or hinted at; that of a ``WRITE`` if there is none."""
        return self._rules[tool]

    def doubt(self, tool: str, *, touches_all: bool) -> None:
        """Set whether calls of ``tool``, a ``WRITE``, make all results stale, whatever is declared of the tool."""
        self._rules.doubt(tool, touches_all=touches_all)

    async def call(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        execute: Callable[[], Awaitable[Any]] | None = None,
        *,
        fresh: bool = False,
    ) -> Any:
        """Call a tool for the agent of the current run, or outside of all runs.

        Args:
            tool: The name under which the tool was added.
            arguments: JSON data.
            execute: Executes this very call, in the caller's task. Default: as ahead of time.
            fresh: Execute the call in any case, and give its result to nobody else: the result depends on more than the
                name and the arguments.

        Returns:
            The result of this call, or a copy of the result of an equal call.

        Raises:
            InvalidConfiguration: There is no such tool, the arguments are no mapping of JSON data, or this is not the
                proxy's event loop.
            EnvClosed: ``close()`` was called.
            Exception: Whatever the tool raises.
        """
        run = self._entered()
        opened = self._open(run, tool, arguments, fresh=fresh)
        port, context = self._driver.ports[tool], None if run is None else run.context
        execute = execute or (lambda: port.execute(dict(arguments), context))
        opened.tell()
        try:
            if not opened.is_own:
                await opened.wait()
            if opened.is_ready:
                value = opened.take()
            else:
                opened.began()
                value = await outcome(execute())
                opened.returned(value)
        except Exception as error:
            opened.fail(error)
            raise
        except BaseException as error:
            opened.abandon(error)
            raise
        opened.got(value)
        return value

    def open(self, run: ToolRun, tool: str, arguments: Mapping[str, Any], *, fresh: bool = False) -> OpenCall:
        """Begin a call of ``run``, as ``call`` does, for a caller who executes the call without a task of its own."""
        self._entered()
        return self._open(run, tool, arguments, fresh=fresh)

    def _open(self, run: ToolRun | None, tool: str, arguments: Mapping[str, Any], *, fresh: bool) -> OpenCall:
        port = self._driver.ports.get(tool)
        if port is None:
            known = ", ".join(self._driver.ports) or "none"
            raise InvalidConfiguration(f"there is no tool {tool!r}; known are {known}")
        state = None if run is None or run.is_over else run._state
        if not isinstance(arguments, Mapping):
            raise InvalidConfiguration(
                f"arguments of {tool!r} must be a mapping from their names to JSON data, not {arguments!r:.80}"
            )
        call, now = self._call(tool, arguments), self._driver.runtime.now()
        agent_call = self._machine.begin_call(state, call, now, fresh=fresh)
        return OpenCall(self._machine, self._driver, state, port, agent_call)

    def _call(self, tool: str, arguments: Mapping[str, Any]) -> ToolCall:
        try:
            call = ToolCall(tool, own_copy(dict(arguments)), f"call_{self._machine.num_calls}")
            _ = call.key
        except (TypeError, ValueError) as error:
            raise InvalidConfiguration(f"arguments of {tool!r} must be JSON data, not {arguments!r}") from error
        return call

    # -- runs ----------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def run(self, message: str | None = None, *, context: Any = None) -> AsyncIterator[ToolRun]:
        """An agent run: calls inside of the ``async with``, also in tasks begun inside, belong to the run.

        When the run ends without an exception, the guesser learns from it.

        Args:
            message: What the user said, if known.
            context: Given to tools that are called ahead of time, if their framework gives them a context.

        Raises:
            InvalidConfiguration: The running event loop is not the proxy's.
            EnvClosed: ``close()`` was called.
        """
        run = self.open_run(message, context=context)
        try:
            with self.current(run):
                yield run
                self._driver.learn(run.events)
        finally:
            self.close_run(run)

    def open_run(self, message: str | None = None, *, context: Any = None) -> ToolRun:
        """Begin an agent run for ``open``; it ends by ``close_run``, and the guesser does not learn from it."""
        self._entered()
        if message is not None:
            _check("message", message, str)
        events = () if message is None else (UserMessage(message),)
        state = self._machine.open_run(events)
        run = ToolRun(self, state, context)
        variables = contextvars.copy_context()
        variables.run(_current.set, {tools: each for tools, each in _current.get().items() if tools is not self})
        self._driver.contexts[state.number] = (context, variables)
        self._driver.begin_run(state.number, message)
        with self.current(run):
            self._driver.carry_out()
        return run

    def close_run(self, run: ToolRun) -> None:
        """End an agent run that ``open_run`` has begun."""
        run.is_over = True
        self._machine.close_run(run._state)
        self._driver.carry_out()
        self._driver.end_run(run._state.number)

    @contextlib.contextmanager
    def current(self, run: ToolRun) -> Iterator[None]:
        """Have calls in the ``with`` belong to ``run``, which has begun elsewhere, such as in another thread."""
        token = _current.set({**_current.get(), self: run})
        try:
            yield
        finally:
            with contextlib.suppress(ValueError):  # it ends in another task than it began in
                _current.reset(token)

    def _record(self, run: ToolRun, event: Event) -> None:
        if run.is_over:
            raise EnvClosed("the run is over; call heard() and said() inside of `async with tools.run()`")
        self._machine.record_event(run._state, event)
        self._driver.carry_out()

    # -- figures and the end -------------------------------------------------------------------------------------

    @property
    def statistics(self) -> ToolStatistics:
        """A snapshot of counts and sums."""
        return self._machine.statistics

    @property
    def audit(self) -> ToolAudit:
        """Every call that was executed ahead of time, why, and what became of it."""
        return self._machine.audit

    @property
    def trace(self) -> Trace:
        """What happened in agent runs, event by event; ``Trace.to_html`` shows each run as an episode of a timeline.

        Arguments and results stand there as short texts; those of private tools do not.
        """
        return self._driver.tracing.trace

    async def settle(self) -> None:
        """Wait until nothing runs ahead of time and the guesser has learned all lessons, so that it can be saved."""
        await self._driver.runtime.idle()
        self._driver.tell()

    async def close(self) -> None:
        """Cancel everything ahead of time, and wait until it and all lessons have ended. Idempotent.

        Calls that agents have begun go on. The guesser does not learn from runs that end later.
        """
        self._closed = True
        await self._driver.close()
        self._driver.tell_of_rules(list(self._rules.misspelt()))
        self._driver.tell()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _entered(self) -> ToolRun | None:
        """Return the current run, if there is one, after a check that the proxy may be used here."""
        if self._closed:
            raise EnvClosed("these tools were closed; make new ones, which may use the same guesser")
        if self._driver.runtime.own_loop() is not asyncio.get_running_loop():
            raise InvalidConfiguration("these tools belong to another event loop; make them in the loop that uses them")
        self._driver.tell()
        return _current.get().get(self)
