"""The dial: how much cost a second of waiting is worth, and so which calls and guesses are worth making.

A call starts only if

    P s S mu >= (1 - P) T.

P is the probability of the path. s is the share of the call that fits in before its response is needed. S and T are the
seconds and the cost that the call is expected to take. mu is the worth of a second.

A call on a certain path wastes nothing and is never refused. Guessing is paid for whether the guess is right or not. So
a guesser that costs something is asked only if P q s S mu >= T. Here T is the cost of the guesser, and q is the usual
probability of its best guess, less that of its best early guess.

The worth of a second is ``money_per_s``. Without ``money_per_s``, mu is the mean cost of a second of the calls that
cost something, divided by the selectivity. So the selectivity is the least odds, times the share, of a call that costs
the mean.

Pure, like the tree that owns it.
"""

import math
from collections.abc import Iterable

from spec_envs.usage import Usage
from spec_envs.wrappers.estimates import CallEstimate, Estimates, GuesserEstimate, Unit, mean_cost
from spec_envs.wrappers.speculation.tree.controller import Controller
from spec_envs.wrappers.speculation.tree.limits import Limits
from spec_envs.wrappers.speculation.tree.nodes import Node, Run

#: A path of this probability is certain. (Probabilities come from sums of logarithms, which are rounded.)
_CERTAIN = 1 - 1e-9


class Dial:
    """Says whether a call, or a guess, is worth its cost.

    Args:
        limits: Which dial is set, and to which value.
        estimates: How long calls and guesses take, and what they cost.
    """

    def __init__(self, limits: Limits, estimates: Estimates) -> None:
        self._money_per_s = limits.money_per_s
        self._selectivity = limits.selectivity
        self._calls = estimates.calls
        self._controller: Controller | None = None
        ratios: Iterable[tuple[Unit, float | None]] = (("tokens", limits.token_ratio), ("money", limits.money_ratio))
        for unit, ratio in ratios:
            if ratio is not None:
                self._controller = Controller(unit, ratio, limits.selectivity, estimates)

    @property
    def may_probe(self) -> bool:
        """Whether trying a guesser again, which may have become quicker or cheaper, can be worth anything."""
        return self._money_per_s != 0

    def is_worth_calling(self, handler: str, probability: float, share: float, root: Node) -> bool:
        """Whether a call of ``handler`` may start, on a path of ``probability`` and with the share ``share``."""
        if probability >= _CERTAIN:
            return True
        calls = self._calls.get(handler)
        return probability * share >= self._needed(calls, calls, root) * (1 - probability)

    def is_worth_guessing(
        self, handler: str, guesser: GuesserEstimate, probability: float, share: float, root: Node
    ) -> bool:
        """Whether the response to a call of ``handler`` may be guessed; the path and ``share`` are the next call's."""
        if guesser.tokens.mean(0.0) == guesser.money.mean(0.0) == 0:
            return self.may_probe
        needed = self._needed(guesser, self._calls.get(handler), root)
        return probability * guesser.usual_gain * share >= needed

    # -- what the controller is told -----------------------------------------------------------------------------

    def began(self, run: Run) -> None:
        """``run`` makes a call, or another call shares it."""
        if self._controller is not None:
            self._controller.began(run)

    def spent(self, usage: Usage) -> None:
        """A call or a guesser has ended, and has cost ``usage``."""
        if self._controller is not None:
            self._controller.spent(usage)

    def committed(self, run: Run | None, root: Node) -> None:
        """The episode has used the response of ``run`` for the first time (``None``: of no run), and is at ``root``."""
        if self._controller is not None:
            self._controller.committed(run, root)

    # -- what odds are needed ------------------------------------------------------------------------------------

    def _needed(self, cost: CallEstimate | GuesserEstimate | None, calls: CallEstimate | None, root: Node) -> float:
        """The least odds, times the share, at which ``cost`` is worth the time of a call with the estimate ``calls``.

        If an estimate is ``None``, it is not known yet. Then certainty is needed with ``money_per_s``, and otherwise
        the usual odds.
        """
        if self._money_per_s is not None:
            worth = 0.0 if calls is None else calls.seconds.mean(0.0) * self._money_per_s
            return cost.money.mean(0.0) / worth if cost is not None and worth > 0 else math.inf
        selectivity = self._selectivity if self._controller is None else self._controller.selectivity(root)
        usual = self._usual_cost_per_s()
        if cost is None or calls is None or usual is None or selectivity == 0:
            return selectivity
        price = mean_cost(cost, self._unit()) / usual  # in seconds of a usual call
        seconds = calls.seconds.mean(0.0)
        return selectivity * price / seconds if seconds > 0 else math.inf if price else 0.0

    def _unit(self) -> Unit:
        """The unit of cost: money, if any call costs money."""
        if self._controller is not None:
            return self._controller.unit
        return "money" if any(calls.money.mean(0.0) for calls in self._calls.values()) else "tokens"

    def _usual_cost_per_s(self) -> float | None:
        """The mean cost of a second of the calls that cost something; ``None`` if no such call is known."""
        unit = self._unit()
        paid = [calls for calls in self._calls.values() if mean_cost(calls, unit) > 0]
        seconds = sum(calls.seconds.mean(0.0) for calls in paid)
        return sum(mean_cost(calls, unit) for calls in paid) / seconds if seconds > 0 else None
