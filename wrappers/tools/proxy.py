"""``SpeculativeTools``: a proxy in front of an agent's tools, on the event loop of whoever runs the agent."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import copy
import dataclasses
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from spec_envs.calls import AsyncGuesser, Call, CancelToken, Effect, Guesser, accepts, is_async
from spec_envs.conversation import (
    AssistantMessage,
    Conversation,
    Event,
    Tool,
    ToolCall,
    ToolResult,
    UserMessage,
    from_chat,
)
from spec_envs.errors import CallCancelled, EnvClosed, InvalidConfiguration
from spec_envs.wrappers.speculation.runtime import Job
from spec_envs.wrappers.speculation.tasks import AsyncioRuntime
from spec_envs.wrappers.tools.executions import Execution, State
from spec_envs.wrappers.tools.machine import Ask, Asked, Cancel, Command, Machine, RunState, Start, Unask
from spec_envs.wrappers.tools.rules import ToolLimits, ToolRule, ToolRules

if TYPE_CHECKING:
    from spec_envs.wrappers.tools.audit import ToolAudit, ToolStatistics
    from spec_envs.wrappers.tools.chain import Node

__all__ = ["Port", "SpeculativeTools", "ToolRun", "qualified"]

_current: contextvars.ContextVar[ToolRun | None] = contextvars.ContextVar("spec_envs_tool_run", default=None)


def qualified(server: str, name: str) -> str:
    """The name of a tool of ``server``, as rules, guessers and the audit know it."""
    return f"{server}:{name}" if server else name


def _as_text(value: Any) -> Any:
    return value


def _always(value: Any) -> bool:
    return True


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """How a tool is called ahead of time, and what its results are. Adapters make these.

    Args:
        execute: ``await execute(arguments, context)``: the result; ``context`` is that of the run.
        content: What guessers see of a result: JSON data or a text.
        usable: Whether a result may be given to whoever asks the same: false for errors, and for anything that does
            more than answer.
    """

    execute: Callable[[dict[str, Any], Any], Awaitable[Any]]
    content: Callable[[Any], Any] = _as_text
    usable: Callable[[Any], bool] = _always


class ToolRun:
    """One run of an agent. Made by ``SpeculativeTools.run``."""

    def __init__(self, tools: SpeculativeTools, state: RunState, context: Any) -> None:
        self.tools = tools
        self.context = context
        self._state = state

    @property
    def events(self) -> tuple[Event, ...]:
        """What has happened so far."""
        return tuple(self._state.events)

    def heard(self, text: str) -> None:
        """The user said ``text``."""
        self.tools._told(self._state, UserMessage(text))

    def said(self, text: str) -> None:
        """The agent said ``text`` to the user."""
        self.tools._told(self._state, AssistantMessage(text))


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
        InvalidConfiguration: A rule is none.
    """

    def __init__(
        self,
        rules: Mapping[str, Effect | ToolRule],
        guesser: Guesser | AsyncGuesser,
        *,
        limits: ToolLimits | None = None,
    ) -> None:
        self._rules = ToolRules(rules)
        self._limits = limits or ToolLimits()
        self._guesser = guesser
        self._takes_cancel = accepts(guesser.guess, "cancel")
        self._machine = Machine(self._rules, self._limits)
        self._runtime = AsyncioRuntime()
        self._ports: dict[str, Port] = {}
        self._schemas: dict[str, Tool] = {}
        self._contexts: dict[int, Any] = {}
        self._tokens: dict[int, CancelToken] = {}
        self._guesses: dict[int, CancelToken] = {}
        self._waiting: dict[int, asyncio.Future[None]] = {}
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
        """
        if not isinstance(port, Port):
            function = port
            port = Port(execute=lambda arguments, context: function(**arguments))
        self._ports[tool] = port
        if schema is not None:
            self.describe(dataclasses.replace(schema, name=tool))
        if ahead:
            self._machine.tools.add(tool)

    def describe(self, schema: Tool) -> None:
        """Tell guessers what is known of the tool of that name."""
        self._schemas[schema.name] = schema

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
            fresh: Make it in any case.

        Returns:
            The result: of this call, or a copy of an equal one's.

        Raises:
            InvalidConfiguration: There is no such tool, or this is another event loop.
            EnvClosed: ``close()`` was called.
            Exception: Whatever the tool raises.
        """
        run = self._entered()
        port = self._ports.get(tool)
        if port is None:
            raise InvalidConfiguration(f"there is no tool {tool!r}; known are {', '.join(self._ports) or 'none'}")
        state = None if run is None else run._state
        call = ToolCall(tool, dict(arguments), f"call_{self._machine.statistics.calls}")
        asked, commands = self._machine.asked(state, call, self._now(), fresh=fresh)
        self._carry_out(commands)
        make = execute or (lambda: port.execute(dict(arguments), None if run is None else run.context))
        try:
            value = await self._answer(state, asked, port, make)
        except Exception as error:
            self._carry_out(self._machine.answered(state, asked, str(error), self._now(), error=True))
            raise
        except BaseException:
            self._carry_out(self._machine.left(state, asked, self._now()))
            raise
        content = _content(port, value) if state is not None else None
        self._carry_out(self._machine.answered(state, asked, content, self._now(), error=not port.usable(value)))
        return value

    async def _answer(
        self, state: RunState | None, asked: Asked, port: Port, make: Callable[[], Awaitable[Any]]
    ) -> Any:
        execution = asked.execution
        assert execution is not None
        if execution.state is State.RUNNING and not execution.waiters:
            return await self._make(execution, port, make)
        if execution.state is State.RUNNING:
            try:
                await asyncio.shield(self._waiting.setdefault(execution.id, self._future()))
            finally:
                execution.waiters -= 1
        if execution.state is State.DONE:
            self._machine.used(asked)
            return copy.deepcopy(execution.value)
        # It failed, and nobody sees that: the call is made again, now by the agent.
        self._carry_out(self._machine.found(state, asked, self._now(), fresh=True))
        execution = asked.execution
        assert execution is not None
        return await self._make(execution, port, make)

    async def _make(self, execution: Execution, port: Port, make: Callable[[], Awaitable[Any]]) -> Any:
        """Make a call in the agent's own task."""
        try:
            value = await make()
        except BaseException as error:
            state = State.FAILED if isinstance(error, Exception) else State.CANCELLED
            self._ended(execution, self._machine.ended(execution, self._now(), state, error=repr(error)))
            raise
        self._returned(execution, port, value)
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
        self._contexts[state.number] = context
        run = ToolRun(self, state, context)
        token = _current.set(run)
        try:
            self._carry_out(commands)
            yield run
            self._learn(run.events)
        finally:
            _current.reset(token)
            self._carry_out(self._machine.closed(state, self._now()))
            del self._contexts[state.number]

    def _told(self, state: RunState, event: Event) -> None:
        self._carry_out(self._machine.told(state, event, self._now()))

    def _learn(self, events: Sequence[Event]) -> None:
        observe = getattr(self._guesser, "observe", None)
        if observe is None:
            return
        lesson = functools.partial(self._teach, observe, tuple(events), self._tools())
        if is_async(self._guesser.guess):
            lesson()
        else:
            self._runtime.learn(lesson)

    def _teach(self, observe: Callable[[Call, Any], None], events: tuple[Event, ...], tools: tuple[Tool, ...]) -> None:
        try:
            for call, response in _decisions(events, tools):
                observe(call, response)
        except Exception:
            self._machine.count("not_learned")

    def _tools(self) -> tuple[Tool, ...]:
        return tuple(self._schemas.values())

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
        await self._runtime.idle()

    async def close(self) -> None:
        """Cancel what is under way ahead of time, and wait for it and for lessons. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._carry_out(self._machine.close())
        self._runtime.close()
        await self._runtime.ended()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # -- carrying out --------------------------------------------------------------------------------------------

    def _entered(self) -> ToolRun | None:
        """The current run, if it is one of ours."""
        if self._closed:
            raise EnvClosed("these tools were closed; make new ones, the guesser may be used again")
        if self._runtime.own_loop() is not asyncio.get_running_loop():
            raise InvalidConfiguration("these tools belong to another event loop; make some in the loop that uses them")
        run = _current.get()
        return run if run is not None and run.tools is self else None

    def _now(self) -> float:
        return self._runtime.now()

    def _future(self) -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_future()

    def _carry_out(self, commands: Iterable[Command]) -> None:
        for command in commands:
            match command:
                case Start(execution):
                    self._start(execution)
                case Cancel(execution):
                    self._tokens[execution.id].cancel()
                case Ask(node):
                    self._ask(node)
                case Unask(node):
                    self._guesses[id(node)].cancel()

    def _start(self, execution: Execution) -> None:
        port, context = self._ports[execution.call.name], self._contexts.get(execution.run)  # type: ignore[call-overload]

        async def make(cancel: CancelToken) -> Any:
            _current.set(None)  # it is nobody's run
            return await port.execute(copy.deepcopy(dict(execution.call.arguments)), context)

        def deliver(value: Any, error: BaseException | None) -> None:
            del self._tokens[execution.id]
            if error is None:
                self._returned(execution, port, value)
                return
            stopped = isinstance(error, CallCancelled | asyncio.CancelledError)
            state = State.CANCELLED if stopped else State.FAILED
            self._ended(execution, self._machine.ended(execution, self._now(), state, error=repr(error)))

        token = self._tokens[execution.id] = self._runtime.token()
        self._runtime.spawn(Job(execution.call.name, make, deliver, token, is_async=True))

    def _returned(self, execution: Execution, port: Port, value: Any) -> None:
        state, kept, content, error = State.DONE, None, None, ""
        try:
            if not port.usable(value):
                state, error = State.FAILED, f"not usable: {str(_content(port, value))[:200]}"
            elif execution.rule.effect is not Effect.WRITE:
                kept, content = copy.deepcopy(value), _content(port, value)
        except Exception as problem:
            state, error = State.FAILED, f"cannot be kept: {problem!r}"
        now = self._now()
        self._ended(execution, self._machine.ended(execution, now, state, value=kept, content=content, error=error))

    def _ended(self, execution: Execution, commands: Iterable[Command]) -> None:
        waiting = self._waiting.pop(execution.id, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)
        self._carry_out(commands)

    def _ask(self, node: Node) -> None:
        guess: Any = self._guesser.guess
        events, tools, k = node.conversation, self._tools(), self._limits.k

        def ask(cancel: CancelToken) -> Any:
            call = Call("policy", Conversation(events, tools))
            return guess(call, k, cancel=cancel) if self._takes_cancel else guess(call, k)

        def deliver(value: Any, error: BaseException | None) -> None:
            token = self._guesses.pop(id(node))
            guesses: list[tuple[ToolCall, float]] = []
            try:
                if error is not None:
                    raise error
                guesses = list(_calls(value))
            except Exception:
                if not token.cancelled:
                    self._machine.count("failed_guesses")
            except BaseException:  # cancelled
                pass
            self._carry_out(self._machine.guessed(node, guesses, self._now()))

        token = self._guesses[id(node)] = self._runtime.token()
        self._runtime.spawn(Job("guess", ask, deliver, token, is_async(guess)))


def _content(port: Port, value: Any) -> Any:
    """What guessers see: JSON data where the text of a result is such."""
    content = port.content(value)
    if not isinstance(content, str):
        return content
    (result,) = from_chat([{"role": "tool", "content": content}]).events
    return result.content if isinstance(result, ToolResult) else content


def _calls(guesses: Iterable[Any]) -> Iterable[tuple[ToolCall, float]]:
    for guess in guesses:
        response = guess.response
        if isinstance(response, Mapping) and isinstance(response.get("name"), str):
            yield ToolCall(response["name"], dict(response.get("arguments") or {})), guess.probability


def _decisions(events: tuple[Event, ...], tools: tuple[Tool, ...]) -> Iterable[tuple[Call, Any]]:
    """What the agent decided, each time that it was its turn."""
    if not events or not isinstance(events[-1], AssistantMessage):
        events = (*events, AssistantMessage(""))
    for position, event in enumerate(events):
        situation = Call("policy", Conversation(events[:position], tools))
        if isinstance(event, ToolCall):
            yield situation, {"name": event.name, "arguments": dict(event.arguments)}
        elif isinstance(event, AssistantMessage):
            yield situation, event.text
