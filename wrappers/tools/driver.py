"""The driver carries out the machine's commands on an event loop: it executes calls and runs the guesser.

An agent's own calls are executed in the agent's own task, by ``proxy``; all else that takes time is here.
"""

import asyncio
import contextvars
import functools
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from spec_envs.attributes import attribute_of
from spec_envs.calls import Call, Effect
from spec_envs.conversation import AssistantMessage, Conversation, Event, Tool, ToolCall
from spec_envs.errors import CallCancelled, InvalidConfiguration
from spec_envs.guesses import AsyncGuesser, Guesser, check_guesser, owned_guesses
from spec_envs.handling import CancelToken, as_guess, is_async
from spec_envs.values import own_copy
from spec_envs.wrappers.runtimes.asyncio import AsyncioRuntime
from spec_envs.wrappers.runtimes.base import Job, contained
from spec_envs.wrappers.tools.calls import AgentCall, Execution, ExecutionState
from spec_envs.wrappers.tools.machine import Machine, Stop
from spec_envs.wrappers.tools.ports import Port, outcome
from spec_envs.wrappers.tools.runs import AgentRun, PredictedCall
from spec_envs.wrappers.tools.telemetry import ToolSpans
from spec_envs.wrappers.tools.tracing import ToolTracing


class ToolDriver:
    """Runs one machine, with a guesser that is to return ``k`` guesses at once.

    Attributes:
        runtime: Runs the executions and the guesser.
        ports: How tools are called, by name.
        schemas: What guessers see of tools, by name.
        spans: The spans for OpenTelemetry; ``None``: none are sent.
        tracing: Keeps the trace.
        contexts: Of each open agent run: the context that its tools get, and the context variables that they see.

    Raises:
        InvalidConfiguration: ``guesser`` has no ``guess``, or its ``observe`` is a coroutine function.
    """

    def __init__(self, machine: Machine, guesser: Guesser | AsyncGuesser, k: int, spans: ToolSpans | None) -> None:
        check_guesser("the guesser", guesser)
        self._observe: Callable[[Call, Any], None] | None = attribute_of(guesser, "observe")
        if is_async(self._observe):
            raise InvalidConfiguration(f"observe of {guesser!r} is a coroutine function; make it a plain function")
        self._guess: Callable[..., Any] = as_guess(guesser.guess)
        self._is_async = is_async(guesser.guess)
        self._guesser = guesser
        self._machine = machine
        self._k = k
        self.spans = spans
        self.tracing = ToolTracing()
        self.runtime = AsyncioRuntime()
        self.ports: dict[str, Port] = {}
        self.schemas: dict[str, Tool] = {}
        self.contexts: dict[int, tuple[Any, contextvars.Context]] = {}
        self._tokens: dict[Execution | PredictedCall, CancelToken] = {}
        self._without_context: dict[str, str] = {}
        self._to_tell: dict[str, str] = {}
        self._alarm: asyncio.TimerHandle | None = None
        self._told: set[str] = set()

    def carry_out(self) -> None:
        """Carry out what the machine commands after the latest events."""
        if self.runtime.is_closed:  # the loop is being shut down: agents may still clean up, but nothing more begins
            self._machine.close()
        for command in self._machine.commands(self.runtime.now()):
            job = command.job
            if isinstance(command, Stop):
                if job in self._tokens:
                    self._tokens[job].cancel()
            elif isinstance(job, Execution):
                self._execute(job)
            else:
                self._predict(job)
        more_at = self._machine.more_at
        if self._alarm is not None and more_at is not None and more_at < self._alarm.when():
            self._alarm.cancel()
            self._alarm = None
        if self._alarm is None and more_at is not None:
            self._alarm = self.runtime.own_loop().call_at(more_at, self._ring)
        self.tracing.sweep()
        if self.spans is not None:
            self.spans.sweep(self.runtime.now())

    def _ring(self) -> None:
        """The time has come, or nearly, at which the machine may have more to do."""
        self._alarm = None
        self.carry_out()

    def tell(self) -> None:
        """Warn of failures ahead of time, once for each kind. To be called where the user's code waits."""
        while self._to_tell:
            kind, message = self._to_tell.popitem()
            if kind not in self._told:
                self._told.add(kind)
                warnings.warn(f"{message}; this is told once", RuntimeWarning, stacklevel=4)

    def tell_of_rules(self, problems: Sequence[str]) -> None:
        """Warn, the next time, that rules of tools have these ``problems``."""
        if problems:
            self._to_tell["rules"] = "; ".join(problems)

    def began(self, execution: Execution) -> None:
        """The tool of ``execution`` gets the call now."""
        now = self.runtime.now()
        self._machine.executions.began(execution, now)
        self.tracing.began(execution)
        if self.spans is not None:
            self.spans.began(execution, now)

    # -- what agents do ------------------------------------------------------------------------------------------

    def begin_run(self, run: int, message: str | None) -> None:
        """An agent run begins."""
        now = self.runtime.now()
        self.tracing.begin_run(run, message, now)
        if self.spans is not None:
            self.spans.begin_run(run, now)

    def end_run(self, run: int) -> None:
        """An agent run ends."""
        self.tracing.end_run(run)
        if self.spans is not None:
            self.spans.end_run(run, self.runtime.now())
        del self.contexts[run]

    def called(self, state: AgentRun | None, agent_call: AgentCall) -> None:
        """An agent calls a tool."""
        self.tracing.called(None if state is None else state.number, agent_call)

    def got(self, state: AgentRun | None, agent_call: AgentCall, *, error: bool = False) -> None:
        """An agent has the result of its call, or its error."""
        run, now = None if state is None else state.number, self.runtime.now()
        self.tracing.got(run, agent_call, now)
        if self.spans is not None and not error:
            self.spans.got(run, agent_call, now)

    # -- executions ----------------------------------------------------------------------------------------------

    async def wait_for(self, execution: Execution) -> None:
        """Wait until ``execution``, which another task runs, has ended."""
        while execution.state is ExecutionState.RUNNING:
            await self.runtime.changed(None)

    def record_result(self, execution: Execution, port: Port, value: Any) -> None:
        """``execution`` has returned ``value``; it counts as failed where others cannot use the value."""
        kept, content = None, None
        try:
            if not port.usable(value):
                return self.end(execution, ExecutionState.FAILED, error=f"not usable: {str(port.seen(value))[:200]}")
            if execution.rule.effect is not Effect.WRITE:
                kept = own_copy(value)
                content = port.seen(kept)
        except Exception as problem:
            return self.end(execution, ExecutionState.FAILED, error=f"cannot be kept: {problem!r}")
        failed_ahead = self._without_context.pop(execution.call.name, None)
        if failed_ahead is not None and execution.reason is None and port.takes_context:
            self._to_tell["context"] = (
                f"{execution.call.name} failed ahead of time with {failed_ahead}, and not when the agent called it: "
                f"calls ahead of time had no context. Give it: tools.run(message, context=...)"
            )
        self.end(execution, ExecutionState.DONE, value=kept, content=content)

    def end(self, execution: Execution, state: ExecutionState, **outcome: Any) -> None:
        """``execution`` has ended; see ``Executions.end``."""
        self._machine.end_execution(execution, self.runtime.now(), state, **outcome)
        self.runtime.wake()
        self.carry_out()

    def _execute(self, execution: Execution) -> None:
        port = self.ports[execution.call.name]
        context, variables = self.contexts[execution.run]  # type: ignore[index]

        async def execute(cancel: CancelToken) -> Any:
            self.began(execution)
            return await outcome(port.execute(own_copy(dict(execution.call.arguments)), context))

        def deliver(value: Any, error: BaseException | None) -> None:
            del self._tokens[execution]
            if error is None:
                self.record_result(execution, port, value)
            elif isinstance(error, CallCancelled | asyncio.CancelledError):
                self.end(execution, ExecutionState.CANCELLED, error=repr(error))
            else:
                if context is None:
                    self._without_context[execution.call.name] = repr(error)
                self.end(execution, ExecutionState.FAILED, error=repr(error))

        token = self._tokens[execution] = self.runtime.token()
        variables.copy().run(self.runtime.spawn, Job(execution.call.name, execute, deliver, token, is_async=True))

    # -- the guesser ---------------------------------------------------------------------------------------------

    def _predict(self, node: PredictedCall) -> None:
        call = Call("policy", Conversation(node.conversation, tuple(self.schemas.values())))
        _, variables = self.contexts[node.run]

        def early(guesses: Any) -> None:
            known = _calls(self._guesser, guesses)
            self.runtime.meanwhile(token, lambda: self._add_early_guesses(node, known))

        def guess(cancel: CancelToken) -> list[tuple[ToolCall, float]]:
            with contained():
                return _calls(self._guesser, self._guess(call, self._k, cancel, early))

        async def guess_async(cancel: CancelToken) -> list[tuple[ToolCall, float]]:
            with contained():
                return _calls(self._guesser, await self._guess(call, self._k, cancel, early))

        def deliver(value: Any, error: BaseException | None) -> None:
            token = self._tokens.pop(node)
            self._machine.charge(token.usage()[0])
            if isinstance(error, Exception) and not token.cancelled:
                self._record_guess_error("failed_guesses", error)
            self._machine.add_guesses(node, value if error is None else ())
            self.carry_out()

        token = self._tokens[node] = self.runtime.token()
        job = Job("guess", guess_async if self._is_async else guess, deliver, token, self._is_async)
        variables.copy().run(self.runtime.spawn, job)

    def _add_early_guesses(self, node: PredictedCall, guesses: Sequence[tuple[ToolCall, float]]) -> None:
        token = self._tokens.get(node)
        if token is not None and not token.cancelled:
            self._machine.add_guesses(node, guesses, early=True)
            self.carry_out()

    def learn(self, events: Sequence[Event]) -> None:
        """Show the guesser what has happened in an agent run."""
        if self._observe is None or self.runtime.is_closed:
            return
        lesson = functools.partial(self._teach, self._observe, tuple(events), tuple(self.schemas.values()))
        if self._is_async:
            lesson()
        else:
            self.runtime.learn(lesson)

    def _teach(self, observe: Callable[[Call, Any], None], events: tuple[Event, ...], tools: tuple[Tool, ...]) -> None:
        try:
            with contained():
                for call, response in _decisions(events, tools):
                    observe(call, response)
        except Exception as problem:
            self._record_guess_error("not_learned", problem)

    def _record_guess_error(self, what: str, error: Exception) -> None:
        self._machine.count_guess_error(what, repr(error))
        done = "failed" if what == "failed_guesses" else "could not learn from a run"
        name = type(self._guesser).__name__
        self._to_tell.setdefault("guesser", f"the guesser {name} {done}: {error!r}; statistics count how often")

    # -- the end -------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Cancel everything ahead of time, and wait until it and all lessons have ended. Idempotent."""
        if not self.runtime.is_closed:
            self._machine.close()
            self.carry_out()
            self.runtime.close()
        if self._alarm is not None:
            self._alarm.cancel()
        await self.runtime.ended()
        if self.spans is not None:
            self.spans.close(self.runtime.now())


def _calls(guesser: object, guesses: Any) -> list[tuple[ToolCall, float]]:
    """Return the calls among ``guesses`` with their probabilities; the others are texts that the agent says.

    Raises:
        InvalidConfiguration: ``guesses`` holds something other than guesses of tool calls or texts.
        TypeError: Arguments are not JSON data.
    """
    calls = []
    for guess in owned_guesses(guesser, guesses):
        response = guess.response
        if isinstance(response, str):
            continue
        arguments = (response.get("arguments") or {}) if isinstance(response, Mapping) else None
        if arguments is None or not isinstance(arguments, Mapping) or not isinstance(response.get("name"), str):
            raise InvalidConfiguration(
                f"{type(guesser).__name__} guessed {response!r:.80}; guesses must be calls of tools, "
                f"{{'name': …, 'arguments': {{…}}}}, or texts that the agent says"
            )
        call = ToolCall(response["name"], dict(arguments))
        _ = call.key  # raises where it is not JSON data
        calls.append((call, guess.probability))
    return calls


def _decisions(events: tuple[Event, ...], tools: tuple[Tool, ...]) -> Iterable[tuple[Call, Any]]:
    """Yield each situation in which the agent decided, with its decision."""
    if not events or not isinstance(events[-1], AssistantMessage):
        events = (*events, AssistantMessage(""))
    for position, event in enumerate(events):
        situation = Call("policy", Conversation(events[:position], tools))
        if isinstance(event, ToolCall):
            yield situation, {"name": event.name, "arguments": dict(event.arguments)}
        elif isinstance(event, AssistantMessage):
            yield situation, event.text
