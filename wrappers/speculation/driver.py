"""The driver: carries out the tree's commands on a runtime, and waits for the responses that the episode needs.

Every event goes through ``_apply``. Under the lock, ``_apply`` tells the tree, carries out the tree's commands, and
wakes the thread or task that waits for a response. Only cancelling happens after the lock is released, because it calls
callbacks of handlers. ``guessing`` calls the guessers; ``ledger`` keeps trace and statistics.
"""

from __future__ import annotations

import collections
import functools
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, assert_never

from spec_envs.errors import CallCancelled, EnvClosed, ResetNeeded, UnknownHandler
from spec_envs.guesses import AsyncGuesser, Guesser
from spec_envs.handling import CancelToken, Handler, answered, is_async
from spec_envs.usage import Usage
from spec_envs.wrappers.runtimes.base import Job, Runtime, is_interrupt
from spec_envs.wrappers.speculation.guessing import Guessing
from spec_envs.wrappers.speculation.ledger import Ledger
from spec_envs.wrappers.speculation.statistics import Statistics
from spec_envs.wrappers.speculation.tree import SpeculationTree
from spec_envs.wrappers.speculation.tree.commands import (
    Cancel,
    Command,
    Committed,
    Discarded,
    Predict,
    Start,
    StopPredicting,
)
from spec_envs.wrappers.speculation.tree.nodes import CANCELLED, DONE, FAILED, Node, Process, Run

_log = logging.getLogger(__name__)


class Driver:
    """Carries out the commands of one tree.

    Args:
        make_tree: Makes a tree, given the calls that are still in flight. After an interrupt, a new tree is needed.
        runtime: Where the calls run.
        handler: ``handler(name)`` returns the handler of this name; raises ``UnknownHandler`` if there is none.
        guessers: The guessers, by the name of the handler whose responses they guess.
        k: The greatest number of guesses that a guesser may return.
        ledger: Trace and statistics.

    Attributes:
        guessing: The guessers.
        interrupted: Whether Ctrl-C has left an event half done.
    """

    def __init__(
        self,
        make_tree: Callable[[Iterable[Run]], SpeculationTree],
        runtime: Runtime,
        handler: Callable[[str], Handler],
        guessers: Mapping[str, Guesser | AsyncGuesser],
        k: int,
        ledger: Ledger,
    ) -> None:
        self._make_tree = make_tree
        self._runtime = runtime
        self._handler = handler
        self._ledger = ledger
        self.guessing = Guessing(guessers, k, runtime, ledger, self._deliver)
        self._awaited: dict[str, tuple[Handler, bool]] = {}
        self._tokens: dict[Run, CancelToken] = {}
        self._authoritative: Job | None = None
        self._to_cancel: list[CancelToken] = []
        self._commands: collections.deque[Command] = collections.deque()
        self._broken: Exception | None = None
        self.interrupted = False

    @functools.cached_property
    def _tree(self) -> SpeculationTree:
        """The tree, made on first use: many episodes are played plainly to their end."""
        return self._make_tree(())

    @property
    def _root(self) -> Node | None:
        return self._tree.root if "_tree" in self.__dict__ else None

    # -- for the wrapper -----------------------------------------------------------------------------------------

    @property
    def root(self) -> Process | None:
        """The process at which the episode stands; ``None`` if there is no episode."""
        root = self._tree.root if "_tree" in self.__dict__ else None
        return None if root is None else root.process

    def now(self) -> float:
        """Seconds on the runtime's clock."""
        return self._runtime.now()

    def rebase(self, process: Process | None) -> None:
        """Discard all branches and go on from ``process``; ``None``: there is no episode."""
        self._apply(functools.partial(self._tree.rebase, process))

    def commit(self, response: Any) -> None:
        """Make ``response`` the final response to the root's call, and move the root on."""
        self._apply(functools.partial(self._tree.commit, response))

    def obtain(self) -> Any:
        """Make the root's call authoritative, wait for its response, and return the response.

        Raises:
            Exception: Whatever the call's handler raised.
        """
        self._apply(self._tree.demand)
        self._ledger.wait_begins(self._runtime.now())
        try:
            return self._await_root()
        finally:
            self._ledger.wait_ends(self._runtime.now())

    async def obtain_async(self, wait: Callable[[float | None], Awaitable[None]]) -> Any:
        """Like ``obtain``, on an event loop.

        If the awaiting task is cancelled, the call goes on; the next ``obtain_async`` returns its response.

        Args:
            wait: Waits as ``Runtime.wait`` does, until something has happened or the given time has come.
        """
        self._apply(self._tree.demand)
        self._ledger.wait_begins(self._runtime.now())
        try:
            while True:
                job, run = self._look()
                if run is not None:
                    return _response_of(run)
                if job is not None:
                    self._run(job)
                else:
                    wake_at = self._tree.wake_at(self._runtime.now())
                    await wait(wake_at)
                    self._tick(wake_at)
        finally:
            self._ledger.wait_ends(self._runtime.now())

    def statistics(self) -> Statistics:
        """Counts and sums so far."""
        with self._runtime.lock:
            root = self._root
            nodes = root.subtree() if root is not None else ()
            alive = {node.run for node in nodes if node.run is not None and node.answered and not node.run.committed}
            return self._ledger.statistics(len(alive), self._tree.num_not_predicted)

    def diverged(self) -> None:
        """Record that the real environment did not do what the branch predicted."""
        with self._runtime.lock:
            self._ledger.diverged(self._runtime.now(), self._root)

    def made(self, handler: str, seconds: float, usage: Usage) -> None:
        """Record that a call of ``handler`` was made without the tree."""
        with self._runtime.lock:
            self._tree.made(handler, seconds, usage)

    def withdraw(self) -> None:
        """Discard all nodes and all shared reads: the episode goes on without the tree, until the next ``rebase``."""
        self._apply(self._tree.close)

    @property
    def still(self) -> AbstractContextManager[Any]:
        """A context in which no branch grows: no fork makes a step, on any thread."""
        return self._runtime.lock

    @property
    def is_calling(self) -> bool:
        """Whether a call is under way."""
        return bool(self._tokens)

    @property
    def has_failed(self) -> bool:
        """Whether the call that the episode waits for has failed."""
        root = self._root
        return root is not None and root.run is not None and root.run.state is FAILED

    @property
    def is_idle(self) -> bool:
        """Whether no call and no guesser is under way."""
        return not self._tokens and self.guessing.is_idle

    def pause(self, paused: bool) -> None:
        """While ``paused``, start no calls ahead of time, and put no guessers to work."""
        with self._runtime.lock:
            self._tree.pause(paused)

    def close(self) -> None:
        """Cancel everything in flight and end the runtime's threads. A caller that still waits gets ``EnvClosed``.

        If an event has failed before, an error here is a consequence of the first error. Such an error is logged, since
        raising it would hide the first error.
        """
        first, self._broken = (
            self._broken,
            EnvClosed("the wrapper was closed while a response was awaited; make a new one"),
        )
        try:
            if "_tree" in self.__dict__:
                self._apply(self._tree.close)
        except Exception:
            if first is None:
                raise
            _log.warning("closing after %r has failed, too", first, exc_info=True)
        finally:
            self._runtime.close()

    # -- waiting -------------------------------------------------------------------------------------------------

    def _await_root(self) -> Any:
        while True:
            with self._runtime.lock:
                job, run = self._look()
                while job is None and run is None:
                    wake_at = self._tree.wake_at(self._runtime.now())
                    self._runtime.wait(wake_at)
                    if wake_at is not None:
                        self._tick(wake_at)
                    job, run = self._look()
            if run is not None:
                return _response_of(run)
            if job is not None:
                self._run(job)

    def _look(self) -> tuple[Job | None, Run | None]:
        """The authoritative job, if it is still to be run; and the run of the root, if the run has ended."""
        if self._broken is not None:
            raise self._broken
        job, root = self._authoritative, self._tree.root
        if job is None and root is not None and (run := root.run) is not None:
            if run.state is DONE or run.state is FAILED:
                return None, run
        return job, None

    def _run(self, job: Job) -> None:
        """Run the authoritative job. If Ctrl-C keeps it from beginning, the next caller that waits runs it."""
        self._runtime.run(job)
        if self._authoritative is job:
            self._authoritative = None

    def _tick(self, wake_at: float | None) -> None:
        if wake_at is not None and self._runtime.now() >= wake_at:
            self._apply(self._tree.tick)

    # -- events and commands -------------------------------------------------------------------------------------

    def _apply(self, event: Callable[[float], list[Command]]) -> None:
        try:
            with self._runtime.lock:
                try:
                    now, commands = self._runtime.now(), self._commands
                    if new := event(now):
                        commands.extend(new)
                    while commands:
                        self._carry_out(commands.popleft(), now)
                except Exception:
                    raise
                except BaseException:
                    self._interrupt()
                    raise
                finally:
                    self._runtime.wake()
        finally:
            if self._to_cancel:
                self._cancel_all()

    def _cancel_all(self) -> None:
        """Cancel the tokens of calls for which nobody waits. After an interrupt, the next call cancels the rest."""
        while self._to_cancel:
            token = self._to_cancel[0]
            try:
                token.cancel()
            except Exception:  # a callback of a handler that nobody waits for: the episode must not notice
                _log.debug("a callback for a cancelled call raised", exc_info=True)
            try:
                self._to_cancel.remove(token)
            except ValueError:  # another thread was faster
                pass

    def _interrupt(self) -> None:
        """Give up an event that Ctrl-C has left half done: make a new tree, and cancel all calls and guessers."""
        self.interrupted, job, self._authoritative = True, self._authoritative, None
        self._broken = ResetNeeded("the episode was interrupted in the middle of an event; call reset()")
        self._commands.clear()
        self._to_cancel += [*self._tokens.values(), *self.guessing.give_up()]
        runs = self._ledger.open_runs
        for run in runs:
            run.nodes, run.state = [], CANCELLED
        self._tree = self._make_tree(runs)
        for run in runs:
            if run not in self._tokens or (job is not None and self._tokens[run] is job.token):
                # The event was to begin or to end this run, or the episode was to run it. So the run is ended here.
                self._tokens.setdefault(run, self._runtime.token())
                self._ended(run, None, CallCancelled(), self._runtime.now())

    def begin_anew(self) -> None:
        """Discard the episode, even if it was interrupted."""
        if self.interrupted:
            self.interrupted, self._broken = False, None
        if self._root is not None:
            self.rebase(None)

    def _deliver(self, event: Callable[[float], list[Command]]) -> None:
        """Like ``_apply``, on a worker: an error reaches the caller that waits for a response, not the worker."""
        try:
            self._apply(event)
        except Exception as error:
            with self._runtime.lock:
                self._broken = error
                self._runtime.wake()
        except BaseException as error:  # the caller that waits is told to reset
            if is_interrupt(error):
                self._deliver(event)  # Ctrl-C may have come before the event; no call ends twice
                raise

    def _carry_out(self, command: Command, now: float) -> None:
        match command:  # by class alone: a pattern that also takes the class apart takes longer
            case Start():
                self._ledger.started(now, command.run, self._tree.root)
                self._start(command.run)
            case Predict():
                self.guessing.predict(command.node, self._tree, command.may_spend)
            case StopPredicting():
                self._to_cancel.append(self.guessing.token_of(command.node))
            case Committed():
                self._ledger.committed(now, command)
                self.guessing.observe(command.node, command.response)
            case Discarded():
                self._ledger.discarded(now, command.node)
                # Node and children refer to each other, and would wait for the garbage collector.
                command.node.children = {}
            case Cancel():
                self._ledger.cancelled(now, command.run)
                token = self._tokens.get(command.run)
                if token is None:  # an event that was to end the run has failed
                    return
                self._to_cancel.append(token)
                if (job := self._authoritative) is not None and job.token is token:
                    job.deliver(None, CallCancelled())  # the job has not begun
            case _:
                assert_never(command)

    def _start(self, run: Run) -> None:
        token = self._runtime.token()
        process, call = run.process, run.call
        try:
            handler = process.handler or self._handler(call.handler)
        except UnknownHandler as error:
            handler = _refusing(error)

        function = functools.partial(answered, handler, call.query)
        if self._tree.counts_begins(call.handler):
            function = functools.partial(function, begins=self._begins(run, token))
        self._tokens[run] = token
        if run.speculative:
            token.is_ahead = lambda: run.speculative
        deliver = functools.partial(self._deliver_end, run)
        job = Job(call.handler, function, deliver, token, self._is_async(call.handler, handler))
        if not run.speculative:
            self._authoritative = job
            return
        try:
            self._runtime.spawn(job)
        except BaseException:  # the job may have begun or not; what it delivers is dropped
            self._tokens.pop(run, token)
            self._to_cancel.append(token)
            raise

    def _begins(self, run: Run, token: CancelToken) -> Callable[[], None]:
        def began() -> None:  # called on a thread or in a task that may have waited for its turn
            self._runtime.meanwhile(token, lambda: self._deliver(lambda now: self._tree.began(run, now)))

        return began

    def _deliver_end(self, run: Run, response: Any, error: BaseException | None) -> None:
        self._deliver(functools.partial(self._ended, run, response, error))

    def _is_async(self, name: str, handler: Handler) -> bool:
        """Whether ``handler`` is asynchronous; remembered by name, because finding out takes a while."""
        known = self._awaited.get(name)
        if known is None or known[0] is not handler:
            known = self._awaited[name] = (handler, is_async(handler))
        return known[1]

    def _ended(self, run: Run, response: Any, error: BaseException | None, now: float) -> list[Command]:
        token = self._tokens.pop(run, None)
        if token is None:
            return []
        if self._authoritative is not None and self._authoritative.token is token:
            self._authoritative = None
        partial, full = token.usage()
        try:
            if run.state is CANCELLED:
                return self._tree.stopped(run, partial, now, full=full)
            if error is not None:
                return self._tree.failed(run, error, partial, now)
            return self._tree.responded(run, response, partial, now)
        finally:
            if not run.in_flight:  # if it is in flight, Ctrl-C has come first
                self._ledger.ended(now, run, full)


def _response_of(run: Run) -> Any:
    if run.state is FAILED:
        assert run.error is not None
        raise run.error
    return run.response


def _refusing(error: Exception) -> Handler:
    def handler(query: Any, cancel: CancelToken) -> Any:
        raise error

    return handler
