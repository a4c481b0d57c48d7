"""``SpeculativeTools``: a proxy in front of an agent's tools, on the event loop of whoever runs the agent."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import copy
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from spec_envs.calls import Effect
from spec_envs.conversation import AssistantMessage, Event, Tool, ToolCall, UserMessage
from spec_envs.errors import EnvClosed, InvalidConfiguration
from spec_envs.guesses import AsyncGuesser, Guesser
from spec_envs.wrappers.tools.driver import Driver
from spec_envs.wrappers.tools.executions import Execution, State
from spec_envs.wrappers.tools.machine import Asked, Machine, RunState
from spec_envs.wrappers.tools.ports import Port
from spec_envs.wrappers.tools.rules import ToolLimits, ToolRule, ToolRules

if TYPE_CHECKING:
    from spec_envs.wrappers.tools.audit import ToolAudit, ToolStatistics

__all__ = ["SpeculativeTools", "ToolRun"]

#: The innermost run of each proxy.
_current: contextvars.ContextVar[Mapping[SpeculativeTools, ToolRun]] = contextvars.ContextVar(
    "spec_envs_tool_runs", default=MappingProxyType({})
)


class ToolRun:
    """One run of an agent. Made by ``SpeculativeTools.run``."""

    def __init__(self, tools: SpeculativeTools, state: RunState, context: Any) -> None:
        self.tools = tools
        self.context = context
        self.is_over = False
        self._state = state

    @property
    def events(self) -> tuple[Event, ...]:
        """What has happened so far."""
        return tuple(self._state.events)

    def heard(self, text: str) -> None:
        """The user said ``text``."""
        self.tools._told(self, UserMessage(text))

    def said(self, text: str) -> None:
        """The agent said ``text`` to the user."""
        self.tools._told(self, AssistantMessage(text))


class SpeculativeTools:
    """Makes an agent's next tool calls while its model thinks, and has them ready when it asks for them.

    For agents whose loop is somebody else's: only their calls of tools are seen. ``spec_envs.wrappers.tools.mcp``,
    ``.openai_agents`` and ``.langgraph`` put it in front of the tools of these packages; ``add`` and ``call`` are for
    loops of your own. What the agent gets is what it would have got: results of calls that it makes itself, or of equal
    calls that were made lately, with no ``WRITE`` in between that touches them.

    It belongs to the event loop that it is first used in. Any number of runs may share it: what it learns is common to
    all, results are each run's own, unless declared otherwise.

    Args:
        rules: What is declared of each tool, by its name, or by ``"server:name"``. What is not declared is a ``WRITE``:
            never called ahead of time, and after it nothing read from its server before is used any more.
        guesser: Predicts the response to ``Call("policy", Conversation(…))``: ``{"name": …, "arguments": {…}}``.
            ``PatternGuesser``, ``NGramGuesser``, ``ChatGuesser(model, "tools")``, or a ``UnionGuesser`` of such. Learns
            from each run that ends well (``observe``). Yours to save, load and close. One that asks a model somewhere
            else shows it the conversation, private tools' arguments included.
        limits: What speculation may use.

    Raises:
        InvalidConfiguration: A rule is none, or the guesser cannot be asked.
    """

    def __init__(
        self,
        rules: Mapping[str, Effect | ToolRule],
        guesser: Guesser | AsyncGuesser,
        *,
        limits: ToolLimits | None = None,
    ) -> None:
        limits = limits or ToolLimits()
        self._rules = ToolRules(rules)
        self._machine = Machine(self._rules, limits)
        self._driver = Driver(self._machine, guesser, limits.k)
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
        """Make ``tool`` known; again: in place of what was known of it.

        Args:
            tool: Its name, or ``"server:name"``.
            port: How it is called: a ``Port``, or a coroutine function that takes the arguments by name.
            schema: For guessers.
            ahead: Whether it can be called ahead of time at all; whether it may, the rules say.

        Raises:
            InvalidConfiguration: Somebody else's tool has that name: results would be taken for those of the other.
        """
        if not isinstance(port, Port):
            function = port
            port = Port(execute=lambda arguments, context: function(**arguments), source=function)
        known = self._driver.ports.get(tool)
        if known is not None and known.source is not port.source:
            raise InvalidConfiguration(
                f"somebody else's tool has the name {tool!r} already; give them or their servers different names, make "
                f"SpeculativeTools for each (they may share the guesser), or remove({tool!r}) first"
            )
        self._driver.ports[tool] = port
        if schema is not None:
            self.describe(dataclasses.replace(schema, name=tool))
        (self._machine.tools.add if ahead else self._machine.tools.discard)(tool)

    def remove(self, tool: str) -> None:
        """Forget how ``tool`` is called: its connection is closed, say. What was read by it may still be used.

        Calls that are under way ahead of time are cancelled.
        """
        self._driver.ports.pop(tool, None)
        self._driver.carry_out(self._machine.removed(tool))

    def describe(self, schema: Tool) -> None:
        """Tell guessers what is known of the tool of that name."""
        self._driver.schemas[schema.name] = schema

    def trust(self, tool: str, *, read_only: bool) -> None:
        """Believe a server that says that its ``tool`` only reads, unless the tool is declared."""
        self._rules.hint(tool, Effect.READ if read_only else Effect.WRITE)

    async def call(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        execute: Callable[[], Awaitable[Any]] | None = None,
        *,
        fresh: bool = False,
    ) -> Any:
        """Call a tool for the agent of the current run, or for somebody outside of all runs.

        Args:
            tool: Its name, as it was added.
            arguments: JSON data.
            execute: How to make this very call, in the caller's task. Default: as it would be made ahead of time.
            fresh: Make it in any case, and keep its result for nobody else: it is more than its name and arguments.

        Returns:
            The result: of this call, or a copy of an equal one's.

        Raises:
            InvalidConfiguration: There is no such tool, the arguments are no JSON data, or this is another event loop.
            EnvClosed: ``close()`` was called.
            Exception: Whatever the tool raises.
        """
        run = self._entered()
        port = self._driver.ports.get(tool)
        if port is None:
            known = ", ".join(self._driver.ports) or "none"
            raise InvalidConfiguration(f"there is no tool {tool!r}; known are {known}")
        context = None if run is None else run.context
        make = execute or (lambda: port.execute(dict(arguments), context))
        state = None if run is None or run.is_over else run._state
        asked, commands = self._machine.asked(state, self._call(tool, arguments), self._now(), fresh=fresh)
        self._driver.carry_out(commands)
        try:
            value = await self._answer(state, asked, port, make)
        except Exception as error:
            self._driver.carry_out(self._machine.answered(state, asked, str(error), self._now(), error=True))
            raise
        except BaseException:
            self._driver.carry_out(self._machine.left(state, asked, self._now()))
            raise
        content, is_error = (None, False) if state is None else _seen(port, value)
        self._driver.carry_out(self._machine.answered(state, asked, content, self._now(), error=is_error))
        return value

    def _call(self, tool: str, arguments: Mapping[str, Any]) -> ToolCall:
        try:
            call = ToolCall(tool, copy.deepcopy(dict(arguments)), f"call_{self._machine.statistics.calls}")
            _ = call.key
        except (TypeError, ValueError) as error:
            raise InvalidConfiguration(f"arguments of {tool!r} must be JSON data, not {arguments!r}") from error
        return call

    async def _answer(
        self, state: RunState | None, asked: Asked, port: Port, make: Callable[[], Awaitable[Any]]
    ) -> Any:
        execution = asked.execution
        assert execution is not None
        if execution.state is State.RUNNING and not execution.waiters:
            return await self._make(execution, port, make)
        if execution.state is State.RUNNING:
            try:
                await self._driver.wait_for(execution)
            finally:
                execution.waiters -= 1
        if execution.state is State.DONE:
            value = copy.deepcopy(execution.value)
            self._machine.used(asked)
            return value
        # It failed, and nobody sees that: the call is made again, now by the agent.
        self._driver.carry_out(self._machine.found(state, asked, self._now(), fresh=True))
        execution = asked.execution
        assert execution is not None
        return await self._make(execution, port, make)

    async def _make(self, execution: Execution, port: Port, make: Callable[[], Awaitable[Any]]) -> Any:
        """Make a call in the agent's own task."""
        try:
            value = await make()
        except BaseException as error:
            self._driver.failed(execution, repr(error), stopped=not isinstance(error, Exception))
            raise
        self._driver.returned(execution, port, value)
        return value

    # -- runs ----------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def run(self, message: str | None = None, *, context: Any = None) -> AsyncIterator[ToolRun]:
        """One run of an agent: calls made inside, also in tasks begun inside, belong to it.

        When it ends without an exception, the guesser learns from it.

        Args:
            message: What the user said, if that is known.
            context: Given to tools that are called ahead of time, where their framework gives them one.

        Raises:
            InvalidConfiguration: This is another event loop than before.
            EnvClosed: ``close()`` was called.
        """
        self._entered()
        events = () if message is None else (UserMessage(message),)
        state, commands = self._machine.opened(events, self._now())
        run = ToolRun(self, state, context)
        around = _current.get()
        variables = contextvars.copy_context()
        variables.run(_current.set, {tools: each for tools, each in around.items() if tools is not self})
        self._driver.contexts[state.number] = (context, variables)
        token = _current.set({**around, self: run})
        try:
            self._driver.carry_out(commands)
            yield run
            self._driver.learn(run.events)
        finally:
            run.is_over = True
            self._driver.carry_out(self._machine.closed(state, self._now()))
            del self._driver.contexts[state.number]
            with contextlib.suppress(ValueError):  # it ends in another task than it began in, where nothing was set
                _current.reset(token)

    def _told(self, run: ToolRun, event: Event) -> None:
        if run.is_over:
            raise EnvClosed("the run is over; say it inside of `async with tools.run()`")
        self._driver.carry_out(self._machine.told(run._state, event, self._now()))

    # -- figures and the end -------------------------------------------------------------------------------------

    @property
    def statistics(self) -> ToolStatistics:
        """A snapshot."""
        return self._machine.statistics

    @property
    def audit(self) -> ToolAudit:
        """Every call that was made ahead of time, why, and what became of it."""
        return self._machine.audit

    async def settle(self) -> None:
        """Wait until nothing is under way ahead of time, and all lessons are learned: before a guesser is saved."""
        await self._driver.runtime.idle()

    async def close(self) -> None:
        """Cancel what is under way ahead of time, and wait for it and for lessons. Idempotent.

        Calls that agents have begun go on. From a run that ends later nothing is learned.
        """
        self._closed = True
        await self._driver.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _entered(self) -> ToolRun | None:
        """The current run, if there is one."""
        if self._closed:
            raise EnvClosed("these tools were closed; make new ones, the guesser may be used again")
        if self._driver.runtime.own_loop() is not asyncio.get_running_loop():
            raise InvalidConfiguration("these tools belong to another event loop; make some in the loop that uses them")
        return _current.get().get(self)

    def _now(self) -> float:
        return self._driver.now()


def _seen(port: Port, value: Any) -> tuple[Any, bool]:
    """What guessers see of a result, and whether it is an error; that must not hinder an agent."""
    try:
        return copy.deepcopy(port.seen(value)), not port.usable(value)
    except Exception as problem:
        return f"cannot be read: {problem!r}", True
