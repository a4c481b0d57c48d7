"""The driver: carries out what the machine says on an event loop: makes calls ahead of time, and asks a guesser.

What an agent calls is made in its own task, by ``proxy``; all else that takes time is here.
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spec_envs.adapting import as_guess, is_async
from spec_envs.calls import Call, Effect
from spec_envs.conversation import AssistantMessage, Conversation, Event, Tool, ToolCall
from spec_envs.errors import CallCancelled, InvalidConfiguration
from spec_envs.guesses import AsyncGuesser, Guesser
from spec_envs.handling import CancelToken
from spec_envs.wrappers.runtimes.asyncio import AsyncioRuntime
from spec_envs.wrappers.runtimes.base import Job
from spec_envs.wrappers.tools.executions import Execution, State
from spec_envs.wrappers.tools.machine import Ask, Cancel, Command, Machine, Start, Unask

if TYPE_CHECKING:
    from spec_envs.wrappers.tools.chain import Node
    from spec_envs.wrappers.tools.ports import Port


class Driver:
    """Runs one machine.

    Args:
        machine: The machine.
        guesser: Predicts what agents do.
        k: Guesses to ask for at once.

    Raises:
        InvalidConfiguration: ``guesser`` cannot be asked, or cannot be taught.
    """

    def __init__(self, machine: Machine, guesser: Guesser | AsyncGuesser, k: int) -> None:
        if not callable(getattr(guesser, "guess", None)):
            raise InvalidConfiguration(f"the guesser is {guesser!r}, which has no method guess(call, k)")
        self._observe: Callable[[Call, Any], None] | None = getattr(guesser, "observe", None)
        if is_async(self._observe):
            raise InvalidConfiguration(f"observe of {guesser!r} is a coroutine function; make it a plain one")
        self._guess, self._is_async = as_guess(guesser.guess), is_async(guesser.guess)
        self._machine = machine
        self._k = k
        self.runtime = AsyncioRuntime()
        self.ports: dict[str, Port] = {}
        self.schemas: dict[str, Tool] = {}
        #: Of runs that are open: what their tools are given, and the context variables that they see.
        self.contexts: dict[int, tuple[Any, contextvars.Context]] = {}
        self._tokens: dict[int, CancelToken] = {}
        self._guesses: dict[int, CancelToken] = {}
        self._waiting: dict[int, asyncio.Future[None]] = {}

    def now(self) -> float:
        """Seconds on the loop's clock."""
        return self.runtime.now()

    def carry_out(self, commands: Iterable[Command]) -> None:
        """Do as the machine says."""
        if self.runtime.is_closed:  # the loop is being shut down: agents may still clean up, but nothing more begins
            commands = [each for each in (*commands, *self._machine.close()) if isinstance(each, Cancel | Unask)]
        for command in commands:
            match command:
                case Start(execution):
                    self._start(execution)
                case Cancel(execution):
                    if execution.id in self._tokens:
                        self._tokens[execution.id].cancel()
                case Ask(node):
                    self._ask(node)
                case Unask(node):
                    if id(node) in self._guesses:
                        self._guesses[id(node)].cancel()

    # -- calls ---------------------------------------------------------------------------------------------------

    async def wait_for(self, execution: Execution) -> None:
        """Wait until somebody else's ``execution`` has ended, or this task is cancelled."""
        if execution.id not in self._waiting:
            self._waiting[execution.id] = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._waiting[execution.id])

    def returned(self, execution: Execution, port: Port, value: Any) -> None:
        """``execution`` has a result."""
        kept, content = None, None
        try:
            if not port.usable(value):
                return self.failed(execution, f"not usable: {str(port.seen(value))[:200]}")
            if execution.rule.effect is not Effect.WRITE:
                kept = copy.deepcopy(value)
                content = port.seen(kept)
        except Exception as problem:
            return self.failed(execution, f"cannot be kept: {problem!r}")
        self._ended(execution, self._machine.ended(execution, self.now(), State.DONE, value=kept, content=content))

    def failed(self, execution: Execution, error: str, *, stopped: bool = False) -> None:
        """``execution`` has none that others could use."""
        state = State.CANCELLED if stopped else State.FAILED
        self._ended(execution, self._machine.ended(execution, self.now(), state, error=error))

    def _ended(self, execution: Execution, commands: Iterable[Command]) -> None:
        waiting = self._waiting.pop(execution.id, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)
        self.carry_out(commands)

    def _start(self, execution: Execution) -> None:
        port = self.ports[execution.call.name]
        context, variables = self.contexts[execution.run]  # type: ignore[index]

        async def make(cancel: CancelToken) -> Any:
            return await port.execute(copy.deepcopy(dict(execution.call.arguments)), context)

        def deliver(value: Any, error: BaseException | None) -> None:
            del self._tokens[execution.id]
            if error is None:
                self.returned(execution, port, value)
            else:
                self.failed(execution, repr(error), stopped=isinstance(error, CallCancelled | asyncio.CancelledError))

        token = self._tokens[execution.id] = self.runtime.token()
        self._spawn(variables, Job(execution.call.name, make, deliver, token, is_async=True))

    def _spawn(self, variables: contextvars.Context, job: Job) -> None:
        """Run ``job`` as if the run had begun it, whoever made room for it."""
        variables.copy().run(self.runtime.spawn, job)

    # -- the guesser ---------------------------------------------------------------------------------------------

    def _ask(self, node: Node) -> None:
        events, tools = node.conversation, tuple(self.schemas.values())
        _, variables = self.contexts[node.run]

        def early(guesses: Iterable[Any]) -> None:
            known = list(_calls(guesses))
            self.runtime.meanwhile(token, lambda: self._guessed_early(node, known))

        def ask(cancel: CancelToken) -> Any:
            return self._guess(Call("policy", Conversation(events, tools)), self._k, cancel, early)

        def deliver(value: Any, error: BaseException | None) -> None:
            token = self._guesses.pop(id(node))
            self._machine.charge(token.usage()[0])
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
            self.carry_out(self._machine.guessed(node, guesses, self.now()))

        token = self._guesses[id(node)] = self.runtime.token()
        self._spawn(variables, Job("guess", ask, deliver, token, self._is_async))

    def _guessed_early(self, node: Node, guesses: Sequence[tuple[ToolCall, float]]) -> None:
        token = self._guesses.get(id(node))
        if token is not None and not token.cancelled:
            self.carry_out(self._machine.guessed(node, guesses, self.now(), early=True))

    def learn(self, events: Sequence[Event]) -> None:
        """Teach the guesser what happened in a run."""
        if self._observe is None or self.runtime.is_closed:
            return
        lesson = functools.partial(self._teach, self._observe, tuple(events), tuple(self.schemas.values()))
        if self._is_async:
            lesson()
        else:
            self.runtime.learn(lesson)

    def _teach(self, observe: Callable[[Call, Any], None], events: tuple[Event, ...], tools: tuple[Tool, ...]) -> None:
        try:
            for call, response in _decisions(events, tools):
                observe(call, response)
        except Exception:
            self._machine.count("not_learned")

    # -- the end -------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Cancel what is under way ahead of time, and wait for it and for lessons. Idempotent."""
        if not self.runtime.is_closed:
            self.carry_out(self._machine.close())
            self.runtime.close()
        await self.runtime.ended()


def _calls(guesses: Iterable[Any]) -> Iterable[tuple[ToolCall, float]]:
    for guess in guesses:
        response = guess.response
        if isinstance(response, Mapping) and isinstance(response.get("name"), str):
            call = ToolCall(response["name"], copy.deepcopy(dict(response.get("arguments") or {})))
            _ = call.key  # raises where it is not JSON data
            yield call, guess.probability


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
