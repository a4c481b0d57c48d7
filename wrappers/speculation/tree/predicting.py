"""Which nodes wait for a guesser, which nodes have a guesser at work and since when, and whether guessing pays.

A guess saves the time between its arrival and the arrival of the response. A guess that arrives after the response
saves nothing, and costs a slot and whatever guessing costs. So a guesser that is slower than the calls it predicts is
used only now and then. This also holds on a branch: once the branch's own call is under way, its response makes the
guess useless. Only a call that has to wait for other calls (a ``WRITE``) leaves the guesser more time: until those
calls and the call itself are answered.

A call that was started keeps its slot until the call is done or cannot be needed any more. So, while a guesser is about
to return guesses that lead to a better call, a free slot is *held*: the best of the known calls does not get the slot.
A slot is held for at most twice the time that the guesser usually takes.

Other parts decide which nodes there are, and what guesses do to them. Pure, like the tree that owns it: time only
enters as a number.
"""

import collections
import dataclasses
import math
from collections.abc import Container

from spec_envs.usage import Usage
from spec_envs.wrappers.estimates import Estimates, GuesserEstimate
from spec_envs.wrappers.speculation.tree.commands import Command, Predict, StopPredicting
from spec_envs.wrappers.speculation.tree.dial import Dial
from spec_envs.wrappers.speculation.tree.limits import Limits
from spec_envs.wrappers.speculation.tree.nodes import Node
from spec_envs.wrappers.speculation.tree.queue import rank, share_of

#: A guesser is used while a guess is expected to come with at least this share of the call's time left.
_LEAST_TIME_LEFT = 0.1
#: One in this many guesses that are expected too late is made all the same, to see whether it still comes too late.
_PROBE_EVERY = 10
#: A slot is held for a guesser for this many times its usual time.
_PATIENCE = 2.0


@dataclasses.dataclass(slots=True)
class _Prediction:
    """A guesser at work."""

    handler: str  # the handler whose response is predicted
    since: float  # when the guesser began
    probe: bool  # whether its guesses were expected to come too late, or to cost too much
    may_spend: bool = True  # whether its guesses may cost anything
    stopped: bool = False  # whether it was told to stop, because nobody needs its guesses any more
    has_guessed: bool = False  # whether its first guess has arrived, or it has returned without a guess
    best_early: float = 0.0  # the probability of the best guess that it had before it returned; 0 without such a guess


class Predicting:
    """Puts guessers to work on nodes, the most probable node first, while there are slots for guessers.

    Args:
        limits: Bounds of the speculation.
        estimates: How long the calls of each handler take, and the estimate of its guesser.
        dial: Says whether guesses are worth what guessing costs.
        frugal: Names of the handlers whose guesser can be asked for only those guesses that cost nothing.

    Attributes:
        num_not_predicted: The number of responses that no guesser predicted, because the guess was expected to come
            after the response, or to cost more than the time that it could save is worth.
        waiting: The nodes that wait for a guesser.
        decided: For each node that does not wait any more, whether a guesser was put to work.
    """

    def __init__(self, limits: Limits, estimates: Estimates, dial: Dial, frugal: Container[str] = ()) -> None:
        self.num_not_predicted = 0
        self._limits = limits
        self._num_slots = _num_slots(limits)
        self._calls = estimates.calls
        self._guessers = estimates.guessers
        self._dial = dial
        self._frugal = frugal
        self.waiting: dict[Node, None] = {}
        self.decided: dict[Node, bool] = {}
        self._at_work: dict[Node, _Prediction] = {}
        self._num_left_out: dict[str, int] = collections.Counter()

    def pause(self, paused: bool) -> None:
        """While ``paused``, there are no slots for guessers."""
        self._num_slots = 0 if paused else _num_slots(self._limits)

    # -- who is predicted ----------------------------------------------------------------------------------------

    def was_predicted(self, node: Node) -> bool:
        """Whether a guesser is or was at work on ``node``."""
        return self.decided.get(node, False)

    def add(self, node: Node) -> None:
        """Put a guesser to work on ``node`` when there is a slot. For each node, a guesser works at most once."""
        if node not in self.decided:
            self.waiting[node] = None

    def predict(self, root: Node, now: float) -> list[Command]:
        """Put a guesser to work for each free slot, on the most probable node first."""
        commands: list[Command] = []
        at_work, num_slots = self._at_work, self._num_slots
        if len(at_work) >= num_slots:
            return commands
        waiting = tuple(self.waiting)
        for node in sorted(waiting, key=lambda node: -node.score) if len(waiting) > 1 else waiting:
            if len(at_work) >= num_slots:
                break
            if not self._may_predict(node, root):
                continue
            del self.waiting[node]
            if (prediction := self._decide(node, root, now)) is not None:
                at_work[node] = prediction
                commands.append(Predict(node, prediction.may_spend))
        return commands

    def _may_predict(self, node: Node, root: Node) -> bool:
        if node.run is not None and node.run.ahead and not self._limits.windows_ahead:
            return False
        return self._limits.reach(node.level - root.level + 1, node.probability_from(root))

    def _decide(self, node: Node, root: Node, now: float) -> _Prediction | None:
        assert node.call is not None
        handler = node.call.handler
        guesser, may_spend = self._guessers[handler], True
        probability, share = node.probability_from(root), share_of(node, behind=1)
        worth = self._dial.is_worth_guessing(handler, guesser, probability, share, root)
        in_time = self._is_in_time(node, handler, guesser)
        probe = not (worth and in_time)
        if probe:
            may_probe = self._dial.may_probe
            self._num_left_out[handler] += 1
            if self._num_left_out[handler] % _PROBE_EVERY or not may_probe:
                may_spend = False
                if not (in_time and may_probe and handler in self._frugal):
                    self.decided[node] = False
                    self.num_not_predicted += 1
                    return None
        self.decided[node] = True
        return _Prediction(handler, now, probe and may_spend, may_spend)

    def _is_in_time(self, node: Node, handler: str, guesser: GuesserEstimate) -> bool:
        calls = self._calls.get(handler)
        if calls is None or not guesser.first_s:
            return True
        return guesser.time_left(calls, self._delay_s(node)) >= _LEAST_TIME_LEFT

    def _delay_s(self, node: Node) -> float:
        """In how many seconds the call of ``node`` begins, if it waits for other calls; unknown times are infinite."""
        if node.run is not None:
            return 0.0
        waiting = [each.call.handler for each in node.ancestors() if each.call is not None and not each.answered]
        return sum(self._calls[name].seconds.mean(math.inf) if name in self._calls else math.inf for name in waiting)

    # -- what guessers return, and when nobody needs it ----------------------------------------------------------

    def check_at_work(self, node: Node) -> None:
        """Raise ``ValueError`` if no guesser is at work on ``node``."""
        if node not in self._at_work:
            raise ValueError(f"node {node.id} is not being guessed")

    def guessed(self, node: Node, best: float | None, usage: Usage, now: float, *, early: bool) -> None:
        """The guesser at work on ``node`` has returned, or has guesses before it returns (``early``).

        Args:
            node: The node whose response is guessed.
            best: The probability of the best guess; ``None`` if there are no guesses.
            usage: The usage of the guesser.
            now: The time.
            early: Whether the guesser has not returned yet.
        """
        prediction = self._at_work[node]
        seconds = now - prediction.since
        guesser = self._guessers[prediction.handler]
        if not prediction.has_guessed and (best is not None or not early):
            prediction.has_guessed = True
            if node.answered:
                guesser.first_s.add(math.inf)
            elif node.alive and best is not None:
                if prediction.probe:  # a guess is in time again, so earlier times no longer hold
                    guesser.first_s.clear()
                guesser.first_s.add(seconds)
            if early:
                prediction.best_early = best or 0.0
        if not early:
            del self._at_work[node]
            if prediction.may_spend:
                guesser.add(seconds, best or 0.0, prediction.best_early, usage)

    def stop(self, node: Node) -> list[Command]:
        """Guesses for ``node`` are of no use any more: its call is answered, or it has no call."""
        self.waiting.pop(node, None)
        prediction = self._at_work.get(node)
        if prediction is None or prediction.stopped:
            return []
        prediction.stopped = True
        return [StopPredicting(node)]

    def forget(self, node: Node) -> list[Command]:
        """``node`` is no longer part of the tree."""
        self.decided.pop(node, None)
        return self.stop(node)

    # -- slots for calls -----------------------------------------------------------------------------------------

    def held(self, candidate: float, now: float) -> tuple[int, float]:
        """How many slots are held for calls that are better than the rank ``candidate``; and until when the first is.

        Such a better call would come after a node with a guesser at work, if the guesser returned a guess that is as
        probable as its best guesses usually are.
        """
        count, until = 0, math.inf
        for node, prediction in self._at_work.items():
            guesser = self._guessers[prediction.handler]
            best = guesser.best.mean(0.0)
            if prediction.stopped or best <= 0:
                continue
            end = prediction.since + _PATIENCE * guesser.whole_s.mean(0.0)
            if now < end and rank(node, probability=best, behind=int(node.side_branch is None)) > candidate:
                count += 1
                until = min(until, end)
        return count, until


def _num_slots(limits: Limits) -> int:
    return limits.max_inflight + 1 if limits.max_inflight else 0
