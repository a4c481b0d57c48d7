"""Whether a guess would come in time: how long calls and guesses of each handler lately took.

Pure, like the tree that owns it: time only enters as a number.
"""

from __future__ import annotations

import collections
import math
import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spec_envs.wrappers.speculation.tree.nodes import Node

#: Times that are remembered of each handler and each guesser: the last so many.
_MEMORY = 8
#: A guesser is asked while a guess is expected to come with at least this share of the call's time left.
_LEAST_GAIN = 0.1
#: How much one guess that comes at once, taken to have been made beside the real ones, weighs against each of them.
_HOPE = 0.3
#: Of so many guesses that would come too late one is asked for all the same, to see whether that is still so.
_PROBE_EVERY = 10


class Pace:
    """Times by handler. A guesser that is slower than the call it predicts is not asked, but now and then.

    A guess saves the time between its coming and that of the response; one that comes later saves nothing, and costs a
    place and whatever guessing costs. On a branch that is no different: once the branch's own call is under way its
    response settles the matter. Only where that call has to wait (a ``WRITE``) there is more time: until those before
    it are answered, and it is too.

    What is expected is the mean over the last calls and guesses, each with each. A guess that the response overtook is
    one that comes too late for any call. A part of one more is taken to come at once, so that one or two late ones do
    not decide.
    """

    def __init__(self) -> None:
        self._calls: dict[str, collections.deque[float]] = collections.defaultdict(_last_ones)
        self._guesses: dict[str, collections.deque[float]] = collections.defaultdict(_last_ones)
        self._too_late: dict[str, int] = collections.Counter()
        self._probes: set[Node] = set()
        self.num_not_asked = 0

    def called(self, handler: str, seconds: float) -> None:
        """A call took ``seconds``."""
        self._calls[handler].append(seconds)

    def guessed(self, node: Node, seconds: float, *, empty: bool) -> None:
        """A guesser took ``seconds`` for the response at ``node``; ``empty``: it has guessed nothing."""
        assert node.call is not None
        guesses = self._guesses[node.call.handler]
        probe = node in self._probes
        self._probes.discard(node)
        if node.answered:
            guesses.append(math.inf)
        elif node.alive and not empty:
            if probe:  # it is in time again: what was known no longer holds
                guesses.clear()
            guesses.append(seconds)

    def pays(self, node: Node) -> bool:
        """Whether to ask for the response at ``node``. To be called once for a node."""
        assert node.call is not None
        handler = node.call.handler
        if self._gain(handler, self._delay(node)) >= _LEAST_GAIN:
            return True
        self._too_late[handler] += 1
        if self._too_late[handler] % _PROBE_EVERY == 0:
            self._probes.add(node)
            return True
        self.num_not_asked += 1
        return False

    def _gain(self, handler: str, delay: float) -> float:
        """The share of a call's time that is left when a guess comes, if the call begins in ``delay`` seconds."""
        calls, guesses = self._calls.get(handler, ()), self._guesses.get(handler, ())
        total = sum(calls)
        if not guesses or not total:
            return 1.0
        left = sum(min(call, max(0.0, call + delay - guess)) for call in calls for guess in guesses)
        return (left / total + _HOPE) / (len(guesses) + _HOPE)

    def _delay(self, node: Node) -> float:
        """In how many seconds the call at ``node`` begins, where it has to wait for others; unknown times are long."""
        if node.run is not None:
            return 0.0
        waiting = [each.call.handler for each in node.ancestors() if each.call is not None and not each.answered]
        return sum(statistics.fmean(self._calls[name]) if self._calls[name] else math.inf for name in waiting)


def _last_ones() -> collections.deque[float]:
    return collections.deque(maxlen=_MEMORY)
