"""``BlockingTools``: ``SpeculativeTools`` for a program that blocks, on an event loop in a thread of its own."""

import asyncio
import concurrent.futures
import contextlib
import queue
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from spec_envs.background_loop import BackgroundLoop
from spec_envs.calls import Effect
from spec_envs.closing import Closing
from spec_envs.guesses import AsyncGuesser, Guesser
from spec_envs.pickling import NotPicklable
from spec_envs.wrappers.speculation.trace import Trace
from spec_envs.wrappers.telemetry import TracerProvider
from spec_envs.wrappers.tools.audit import ToolAudit, ToolStatistics
from spec_envs.wrappers.tools.estimates import ToolEstimates
from spec_envs.wrappers.tools.limits import ToolLimits
from spec_envs.wrappers.tools.proxy import SpeculativeTools, ToolRun
from spec_envs.wrappers.tools.rules import ToolRule

__all__ = ["BlockingTools"]


class BlockingTools(NotPicklable, Closing):
    """The bridge from a program without an event loop to ``SpeculativeTools``.

    Predictions, and calls ahead of time, go on in the thread of the loop while the program blocks, for example while
    its model answers. The agent's own calls are executed in the thread that makes them.

    Args:
        rules: As for ``SpeculativeTools``.
        guesser: As for ``SpeculativeTools``.
        limits: As for ``SpeculativeTools``.
        estimates: As for ``SpeculativeTools``.
        otel: As for ``SpeculativeTools``.

    Attributes:
        tools: The proxy, for adding tools to it. Its coroutine functions belong to the loop of this bridge.

    Raises:
        InvalidConfiguration: As for ``SpeculativeTools``.
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
        self.tools = SpeculativeTools(rules, guesser, limits=limits, estimates=estimates, otel=otel)
        self._loop = BackgroundLoop("BlockingTools", last=self.tools.close)
        self._closed = False

    def call(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        execute: Callable[[], Any] | None = None,
        *,
        fresh: bool = False,
    ) -> Any:
        """Call a tool for the agent of the current run, or outside of all runs.

        Args:
            tool: The name under which the tool was added.
            arguments: JSON data.
            execute: Executes this very call, in the calling thread. Default: as ahead of time, on the loop.
            fresh: As for ``SpeculativeTools.call``.

        Returns:
            The result of this call, or a copy of the result of an equal call.

        Raises:
            EnvClosed: ``close()`` was called.
            Exception: As for ``SpeculativeTools.call``.
        """
        if execute is None:
            return self._loop.run(self.tools.call(tool, arguments, fresh=fresh))
        turns: queue.SimpleQueue[concurrent.futures.Future[Any] | None] = queue.SimpleQueue()

        async def in_the_calling_thread() -> Any:
            turn: concurrent.futures.Future[Any] = concurrent.futures.Future()
            turn.set_running_or_notify_cancel()  # from here on its outcome may be set, also if the call is cancelled
            turns.put(turn)
            return await asyncio.wrap_future(turn)

        loop = self._loop.loop  # before there is a coroutine, since this raises once the loop was closed
        call = self.tools.call(tool, arguments, in_the_calling_thread, fresh=fresh)
        called = asyncio.run_coroutine_threadsafe(call, loop)
        called.add_done_callback(lambda done: turns.put(None))
        try:
            turn = turns.get()
            if turn is None:
                return called.result()
            try:
                value = execute()
            except Exception as error:
                # A future refuses a StopIteration, and the call would never end.
                turn.set_exception(RuntimeError(repr(error)) if isinstance(error, StopIteration) else error)
                called.exception()  # the proxy has recorded the failure
                raise
            turn.set_result(value)
            return called.result()
        except BaseException:  # Ctrl-C, too: the agent does not wait any more
            called.cancel()
            raise

    @contextlib.contextmanager
    def run(self, message: str | None = None, *, context: Any = None) -> Iterator[ToolRun]:
        """An agent run, as ``SpeculativeTools.run``: calls inside of the ``with`` belong to the run.

        Threads that are started inside belong to the run if they copy the context variables, as LangChain's do.

        Args:
            message: What the user said, if known.
            context: Given to tools that are called ahead of time, if their framework gives them a context.

        Raises:
            EnvClosed: ``close()`` was called.
        """
        around = self.tools.run(message, context=context)
        run = self._loop.run(around.__aenter__())
        with contextlib.ExitStack() as stack:
            stack.push(lambda *raised: self._loop.run(around.__aexit__(*raised)))
            with self.tools.current(run):
                yield run

    @property
    def statistics(self) -> ToolStatistics:
        """A snapshot of counts and sums."""
        return self.tools.statistics

    @property
    def audit(self) -> ToolAudit:
        """Every call that was executed ahead of time, why, and what became of it."""
        return self.tools.audit

    @property
    def trace(self) -> Trace:
        """What happened in agent runs, event by event."""
        return self.tools.trace

    def settle(self) -> None:
        """Wait until nothing runs ahead of time and the guesser has learned all lessons, so that it can be saved."""
        self._loop.run(self.tools.settle())

    def close(self) -> None:
        """Cancel everything ahead of time, wait until it has ended, and end the thread. Idempotent."""
        if not self._closed:
            self._closed = True
            try:
                self._loop.run(self.tools.close())
            finally:
                self._loop.close()
