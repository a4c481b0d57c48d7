"""Guessers at work: carries out the tree's commands about guessers, and lets guessers learn.

The tree decides which responses are predicted, and when. ``driver`` carries out the calls of handlers.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from spec_envs.attributes import attribute_of
from spec_envs.calls import Call
from spec_envs.guesses import AsyncGuesser, Guess, Guesser, Prefetcher, owned_guesses
from spec_envs.handling import CancelToken, as_guess, is_async
from spec_envs.values import own_copy
from spec_envs.wrappers.runtimes.base import Job, Runtime, contained
from spec_envs.wrappers.speculation.episode import Deciding
from spec_envs.wrappers.speculation.ledger import Ledger
from spec_envs.wrappers.speculation.transitions import action_of
from spec_envs.wrappers.speculation.tree import SpeculationTree
from spec_envs.wrappers.speculation.tree.commands import Command
from spec_envs.wrappers.speculation.tree.nodes import Node

#: The number of responses that are kept for guessers to learn later, while no guesser is at work.
_LESSONS = 200
#: Tells the tree of an event that happens at the given time, and carries out the commands that it returns.
Deliver = Callable[[Callable[[float], "list[Command]"]], None]


@dataclasses.dataclass(frozen=True, slots=True)
class _Called:
    """A guesser, and how it is called."""

    guesser: Any
    guess: Callable[..., Any]
    is_async: bool
    job: str  # the name of its jobs

    @classmethod
    def of(cls, handler: str, guesser: Guesser | AsyncGuesser) -> Self:
        return cls(guesser, as_guess(guesser.guess), is_async(guesser.guess), f"guess-{handler}")


@dataclasses.dataclass(slots=True, eq=False)
class _AtWork:
    """A guesser at work on a node, and the tree that waits for its guesses. Never changed."""

    guessing: Guessing
    called: _Called
    node: Node
    call: Call  # the call of the node
    tree: SpeculationTree
    token: CancelToken

    def guess(self, cancel: CancelToken) -> Sequence[Guess]:
        called, k = self.called, self.guessing.k
        with contained():
            return owned_guesses(called.guesser, called.guess(self.call.owned(), k, cancel, self.early), k)

    async def guess_async(self, cancel: CancelToken) -> Sequence[Guess]:
        called, k = self.called, self.guessing.k
        with contained():
            return owned_guesses(called.guesser, await called.guess(self.call.owned(), k, cancel, self.early), k)

    def early(self, guesses: Any) -> None:
        self.guessing.guessed_early(self, guesses)


class Guessing:
    """The guessers of one tree.

    Args:
        guessers: The guessers, by the name of the handler whose responses they guess.
        k: The greatest number of guesses that a guesser may return.
        runtime: Where guessers run.
        ledger: Trace and statistics.
        deliver: Tells the tree what guessers return.

    Attributes:
        k: The greatest number of guesses that a guesser may return.
    """

    def __init__(
        self,
        guessers: Mapping[str, Guesser | AsyncGuesser],
        k: int,
        runtime: Runtime,
        ledger: Ledger,
        deliver: Deliver,
    ) -> None:
        self._guessers = guessers
        self.k = k
        self._runtime = runtime
        self._ledger = ledger
        self._deliver = deliver
        self._tokens: dict[Node, CancelToken] = {}
        self._lessons: collections.deque[tuple[Call | Deciding, Any]] = collections.deque(maxlen=_LESSONS)
        self._num_warming = 0

    @functools.cached_property
    def _called(self) -> Mapping[str, _Called]:
        """How each guesser is called, looked up on first use: many episodes are played without any."""
        return {name: _Called.of(name, guesser) for name, guesser in self._guessers.items()}

    def predict(self, node: Node, tree: SpeculationTree, may_spend: bool) -> None:
        """Have the guesser of the node's handler predict the response to the node's call, and tell ``tree``."""
        assert node.call is not None
        called, token = self._called[node.call.handler], self._runtime.token()
        token.may_spend = may_spend
        at_work = _AtWork(self, called, node, node.call, tree, token)
        run = at_work.guess_async if called.is_async else at_work.guess
        deliver = functools.partial(self._returned, at_work)
        try:
            self._ledger.predicting(token)
            self._tokens[node] = token
            self._runtime.spawn(Job(called.job, run, deliver, token, called.is_async))
        except BaseException:
            self._ledger.not_begun(token)
            raise

    def guessed_early(self, at_work: _AtWork, guesses: Any) -> None:
        """The guesser ``at_work`` has ``guesses``, and has not returned yet."""
        known = owned_guesses(at_work.called.guesser, guesses, self.k)
        self._runtime.meanwhile(
            at_work.token, lambda: self._deliver(lambda now: self._guessed_early(at_work, known, now))
        )

    def _guessed_early(self, at_work: _AtWork, guesses: Sequence[Guess], now: float) -> list[Command]:
        node = at_work.node
        if node not in self._tokens or at_work.token.cancelled:
            return []
        return at_work.tree.guessed(node, guesses, now, early=True)

    def _returned(self, at_work: _AtWork, guesses: Any, error: BaseException | None) -> None:
        self._deliver(functools.partial(self._guessed, at_work, guesses, error))

    def _guessed(self, at_work: _AtWork, guesses: Any, error: BaseException | None, now: float) -> list[Command]:
        node, token = at_work.node, at_work.token
        partial, full = token.usage()
        self._ledger.guessed(now, node, token, error, partial, full)
        if self._tokens.pop(node, None) is None:
            return []
        usable = () if error is not None or token.cancelled else guesses
        return at_work.tree.guessed(node, usable, now, usage=full)

    def token_of(self, node: Node) -> CancelToken:
        """The token of the guesser at work on ``node``; cancelling it tells the guesser to stop."""
        return self._tokens[node]

    def give_up(self) -> list[CancelToken]:
        """Take no more guesses from the guessers at work, and return their tokens."""
        tokens = list(self._tokens.values())
        self._tokens.clear()
        return tokens

    # -- getting ready -------------------------------------------------------------------------------------------

    def keep(self, handler: str, asked: Call | Deciding, response: Any) -> None:
        """Keep a response that no guesser was to predict, as a lesson for guessers before they predict again.

        Args:
            handler: The handler that was called.
            asked: The call, or the place of the episode from which the call follows.
            response: The response; it is not changed any more.
        """
        if handler in self._guessers:
            self._lessons.append((asked, response))

    def learn_kept(self) -> dict[str, Call]:
        """Have guessers learn the kept responses, beside the episode; return the last call of each handler."""
        lessons, learned = [*self._lessons], dict[str, Call]()
        self._lessons.clear()
        for asked, response in lessons:
            call = asked if isinstance(asked, Call) else asked.call
            if call is not None:
                self._learn(call, response)
                learned[call.handler] = call
        return learned

    def warm(self) -> None:
        """Have guessers learn the kept responses, and have each guesser predict a past call, beside the episode.

        So engines are started, models are loaded and threads are made before the first real prediction.
        """
        for name, call in self.learn_kept().items():
            called = self._called[name]
            if not called.is_async:
                self._begin_warming(called, call)

    def _begin_warming(self, called: _Called, call: Call) -> None:
        token = self._runtime.token()
        self._num_warming += 1

        def function(cancel: CancelToken) -> None:
            with contained():
                called.guess(call.owned(), self.k, cancel)

        def deliver(value: Any, error: BaseException | None) -> None:
            with self._runtime.lock:
                self._num_warming -= 1
                self._ledger.warmed(token, error)

        self._runtime.spawn(Job(f"warm-{call.handler}", function, deliver, token))

    @property
    def is_warm(self) -> bool:
        """Whether no guesser is still getting ready."""
        return not self._num_warming

    @property
    def is_idle(self) -> bool:
        """Whether no guesser is at work."""
        return not self._tokens and not self._num_warming

    # -- learning ------------------------------------------------------------------------------------------------

    def observe(self, node: Node, response: Any) -> None:
        """``response`` is the final response to the node's call: the guesser may learn from it."""
        if node.call is not None and node.call.handler in self._guessers:
            self._learn(node.call, response)

    def _learn(self, call: Call, response: Any) -> None:
        called = self._called[call.handler]
        observe = attribute_of(called.guesser, "observe")
        if observe is None:
            return
        if called.is_async:  # a guesser that lives on the event loop is used only by the thread of the loop
            self._teach(observe, call, action_of(response))
        else:
            self._runtime.learn(lambda: self._teach(observe, call, action_of(response)))

    def _teach(self, observe: Callable[..., None], call: Any, response: Any) -> None:
        try:
            with contained():
                observe(call.owned(), own_copy(response))
        except Exception:
            # A guesser that cannot learn still guesses; the episode must not notice.
            with self._runtime.lock:
                self._ledger.not_learned()


class AsGuesser:
    """A prefetcher as a guesser: it guesses the action for which a side branch waits."""

    def __init__(self, prefetcher: Prefetcher) -> None:
        self._prefetch = as_guess(prefetcher.prefetch)

    def guess(
        self, call: Call, k: int, cancel: CancelToken, early: Callable[[Sequence[Guess]], None]
    ) -> Sequence[Guess]:
        """Return the actions that the prefetcher names."""
        named: Sequence[Guess] = self._prefetch(call.query, k, cancel, early)
        return named
