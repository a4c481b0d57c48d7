"""The driver: carries out what the tree says on a runtime, asks the guessers, and keeps the books.

Every event goes through ``_apply``: under the lock the tree is told, its commands are carried out, and whoever waits is
woken. Only cancelling happens after the lock is released, because it calls into handlers.
"""

from __future__ import annotations

import collections
import dataclasses
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, assert_never

from spec_envs.adapting import as_guess, is_async
from spec_envs.errors import EnvClosed, UnknownHandler
from spec_envs.guesses import AsyncGuesser, Guess, Guesser
from spec_envs.handling import CancelToken, Handler
from spec_envs.wrappers.runtimes.base import Job, Runtime
from spec_envs.wrappers.speculation.transitions import action_of
from spec_envs.wrappers.speculation.tree.nodes import (
    Ask,
    Cancel,
    Command,
    Committed,
    Discarded,
    Node,
    Process,
    Run,
    RunState,
    Start,
    Unask,
)

if TYPE_CHECKING:
    from spec_envs.wrappers.speculation.ledger import Ledger
    from spec_envs.wrappers.speculation.statistics import Statistics
    from spec_envs.wrappers.speculation.tree import SpeculationTree


_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class _Asked:
    """A guesser, and how it wants to be asked."""

    guesser: Any
    guess: Callable[..., Any]
    is_async: bool

    @classmethod
    def of(cls, guesser: Guesser | AsyncGuesser) -> Self:
        return cls(guesser, as_guess(guesser.guess), is_async(guesser.guess))


class Driver:
    """Runs one tree.

    Args:
        tree: The tree.
        runtime: Where calls run.
        handler: Gives the handler of a name; raises for a name that there is none for.
        guessers: By handler name.
        k: Guesses to ask for at once.
        ledger: Trace and statistics.
    """

    def __init__(
        self,
        tree: SpeculationTree,
        runtime: Runtime,
        handler: Callable[[str], Handler],
        guessers: Mapping[str, Guesser | AsyncGuesser],
        k: int,
        ledger: Ledger,
    ) -> None:
        self._tree = tree
        self._runtime = runtime
        self._handler = handler
        self._guessers = {name: _Asked.of(guesser) for name, guesser in guessers.items()}
        self._k = k
        self._ledger = ledger
        self._awaited: dict[str, tuple[Handler, bool]] = {}
        self._jobs: dict[Run | Node, Job] = {}
        self._authoritative: Job | None = None
        self._to_cancel: list[CancelToken] = []
        self._commands: collections.deque[Command] = collections.deque()
        self._broken: Exception | None = None

    # -- for the wrapper -----------------------------------------------------------------------------------------

    @property
    def root(self) -> Process | None:
        """Where the episode stands."""
        return None if self._tree.root is None else self._tree.root.process

    def answer(self) -> Any:
        """The root's response if it is known already, else ``None``."""
        with self._runtime.lock:
            root = self._tree.root
            return root.run.response if root is not None and root.run is not None and root.answered else None

    def rebase(self, process: Process | None) -> None:
        """Discard everything and go on from ``process``."""
        self._apply(lambda now: self._tree.rebase(process, now))

    def commit(self, response: Any) -> None:
        """``response`` is the root's final response."""
        self._apply(lambda now: self._tree.commit(response, now))

    def obtain(self) -> Any:
        """The response to the root's call, which is authoritative from now on.

        Raises:
            Exception: Whatever its handler raised.
        """
        self._ledger.wait_begins(self._runtime.now())
        try:
            self._apply(self._tree.demand)
            return self._await_root()
        finally:
            self._ledger.wait_ends(self._runtime.now())

    async def obtain_async(self, wait: Callable[[float | None], Awaitable[None]]) -> Any:
        """Like ``obtain`` on an event loop, where ``wait`` stands for the runtime's own.

        When the task that awaits this is cancelled, the call goes on; the next ``obtain_async`` has its response.
        """
        self._ledger.wait_begins(self._runtime.now())
        try:
            self._apply(self._tree.demand)
            while True:
                job, run = self._look()
                if run is not None:
                    return _response_of(run)
                if job is not None:
                    self._runtime.run(job)
                else:
                    wake_at = self._tree.wake_at(self._runtime.now())
                    await wait(_finite(wake_at))
                    self._tick(wake_at)
        finally:
            self._ledger.wait_ends(self._runtime.now())

    def statistics(self) -> Statistics:
        """A snapshot of counts and sums."""
        with self._runtime.lock:
            root = self._tree.root
            nodes = root.subtree() if root is not None else ()
            alive = {node.run for node in nodes if node.run is not None and node.answered and not node.run.committed}
            return self._ledger.statistics(len(alive), self._tree.num_not_asked)

    def diverged(self) -> None:
        """The real environment did not do what the branch predicted."""
        with self._runtime.lock:
            self._ledger.diverged(self._runtime.now(), self._tree.root)

    def close(self) -> None:
        """Cancel everything in flight and end the runtime's threads; whoever still waits gets ``EnvClosed``."""
        self._broken = EnvClosed("the wrapper was closed while a response was awaited; make a new one")
        self._apply(self._tree.close)
        self._runtime.close()

    # -- waiting -------------------------------------------------------------------------------------------------

    def _await_root(self) -> Any:
        while True:
            with self._runtime.lock:
                job, run = self._look()
                if run is not None:
                    return _response_of(run)
                if job is None:
                    self._wait()
            if job is not None:
                self._runtime.run(job)

    def _look(self) -> tuple[Job | None, Run | None]:
        """The authoritative job, if it has to be run, and the root's run, once it has ended."""
        if self._broken is not None:
            raise self._broken
        job, self._authoritative = self._authoritative, None
        run = self._tree.root.run if self._tree.root is not None else None
        ended = job is None and run is not None and run.state in (RunState.DONE, RunState.FAILED)
        return job, run if ended else None

    def _wait(self) -> None:
        wake_at = self._tree.wake_at(self._runtime.now())
        self._runtime.wait(_finite(wake_at))
        self._tick(wake_at)

    def _tick(self, wake_at: float | None) -> None:
        if wake_at is not None and self._runtime.now() >= wake_at:
            self._apply(self._tree.tick)

    # -- events and commands -------------------------------------------------------------------------------------

    def _apply(self, event: Callable[[float], list[Command]]) -> None:
        with self._runtime.lock:
            self._commands.extend(event(self._runtime.now()))
            while self._commands:  # what an interrupted round has left comes first
                self._carry_out(self._commands.popleft())
            self._runtime.wake()
            tokens, self._to_cancel = self._to_cancel, []
        for token in tokens:
            try:
                token.cancel()
            except Exception:  # a callback of a handler that nobody waits for: the episode must not notice
                _log.debug("a callback for a cancelled call raised", exc_info=True)

    def _deliver(self, event: Callable[[float], list[Command]]) -> None:
        """Like ``_apply``, on a worker: an error must reach whoever waits, not die with the worker."""
        try:
            self._apply(event)
        except Exception as error:
            with self._runtime.lock:
                self._broken = error
                self._runtime.wake()

    def _carry_out(self, command: Command) -> None:
        now = self._runtime.now()
        match command:
            case Start(run):
                self._ledger.started(now, run, self._tree.root)
                self._start(run)
            case Cancel(run):
                self._ledger.cancelled(now, run)
                self._to_cancel.append(self._jobs[run].token)
            case Ask(node):
                self._ask(node)
            case Unask(node):
                self._to_cancel.append(self._jobs[node].token)
            case Committed(node, _, response, _):
                self._ledger.committed(now, command)
                self._observe(node, response)
            case Discarded(node):
                self._ledger.discarded(now, node)
            case _:
                assert_never(command)

    def _start(self, run: Run) -> None:
        token = self._runtime.token()
        process, call = run.process, run.call
        try:
            handler = process.handler or self._handler(call.handler)
        except UnknownHandler as error:
            handler = _refusing(error)

        def function(cancel: CancelToken) -> Any:
            return handler(call.query, cancel)

        def deliver(response: Any, error: BaseException | None) -> None:
            self._deliver(lambda now: self._ended(run, token, response, error, now))

        job = self._jobs[run] = Job(call.handler, function, deliver, token, self._is_async(call.handler, handler))
        if run.speculative:
            self._runtime.spawn(job)
        else:
            self._authoritative = job

    def _is_async(self, name: str, handler: Handler) -> bool:
        """``is_async``, which takes a while, of a handler that is usually the same as last time."""
        known = self._awaited.get(name)
        if known is None or known[0] is not handler:
            known = self._awaited[name] = (handler, is_async(handler))
        return known[1]

    def _ended(
        self, run: Run, token: CancelToken, response: Any, error: BaseException | None, now: float
    ) -> list[Command]:
        del self._jobs[run]
        partial, full = token.usage()
        if run.state is RunState.CANCELLED:
            commands = self._tree.stopped(run, partial, now)
        elif error is not None:
            commands = self._tree.failed(run, error, partial, now)
        else:
            commands = self._tree.responded(run, response, partial, now)
        self._ledger.ended(now, run, full)
        return commands

    # -- guessers ------------------------------------------------------------------------------------------------

    def _ask(self, node: Node) -> None:
        assert node.call is not None
        call = node.call
        asked = self._guessers[call.handler]
        guesser, token = asked.guesser, self._runtime.token()

        def early(guesses: Iterable[Any]) -> None:
            known = self._checked(guesser, guesses)
            self._runtime.meanwhile(token, lambda: self._deliver(lambda now: self._guessed_early(node, known, now)))

        def function(cancel: CancelToken) -> Sequence[Guess]:
            return self._checked(guesser, asked.guess(call, self._k, cancel, early))

        async def function_async(cancel: CancelToken) -> Sequence[Guess]:
            return self._checked(guesser, await asked.guess(call, self._k, cancel, early))

        def deliver(guesses: Any, error: BaseException | None) -> None:
            self._deliver(lambda now: self._guessed(node, token, guesses, error, now))

        self._ledger.asked()
        self._jobs[node] = job = Job(
            f"guess-{call.handler}", function_async if asked.is_async else function, deliver, token, asked.is_async
        )
        self._runtime.spawn(job)

    def _checked(self, guesser: Any, guesses: Iterable[Any]) -> Sequence[Guess]:
        guesses = tuple(guesses)
        for guess in guesses:
            if not isinstance(guess, Guess):
                raise TypeError(f"{type(guesser).__name__}.guess returned {guess!r}; expected a Guess")
        return guesses[: self._k]

    def _guessed(
        self, node: Node, token: CancelToken, guesses: Any, error: BaseException | None, now: float
    ) -> list[Command]:
        del self._jobs[node]
        self._ledger.guessed(now, node, token, error)
        return self._tree.guessed(node, () if error is not None or token.cancelled else guesses, now)

    def _guessed_early(self, node: Node, guesses: Sequence[Guess], now: float) -> list[Command]:
        job = self._jobs.get(node)
        if job is None or job.token.cancelled:
            return []
        return self._tree.guessed(node, guesses, now, early=True)

    def _observe(self, node: Node, response: Any) -> None:
        call = node.call
        if call is None or call.handler not in self._guessers:
            return
        asked = self._guessers[call.handler]
        observe = getattr(asked.guesser, "observe", None)
        if observe is None:
            return
        if asked.is_async:  # a guesser that lives there is used by one thread only
            self._teach(observe, call, action_of(response))
        else:
            self._runtime.learn(lambda: self._teach(observe, call, action_of(response)))

    def _teach(self, observe: Callable[..., None], call: Any, response: Any) -> None:
        try:
            observe(call, response)
        except Exception:
            # A guesser that cannot learn still guesses; the episode must not notice.
            with self._runtime.lock:
                self._ledger.not_learned()


def _response_of(run: Run) -> Any:
    if run.state is RunState.FAILED:
        assert run.error is not None
        raise run.error
    return run.response


def _refusing(error: Exception) -> Handler:
    def handler(query: Any, cancel: CancelToken) -> Any:
        raise error

    return handler


def _finite(time: float | None) -> float | None:
    return None if time is None or math.isinf(time) else time
