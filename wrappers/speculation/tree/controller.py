"""The controller of cost: moves the selectivity so that episodes cost a wanted ratio of what they cost plainly.

(r - 1) C - W may still be wasted. r is the wanted ratio. C is the cost of the calls that the episodes have used. W is
the cost of everything else; a call that may still be used is weighted with the probability that it is in vain. u is
the same in units of a mean call. The logarithm of the selectivity is I - 0.1 u, and I itself moves by -0.003 u with
each commit.

Pure, like the tree that owns it.
"""

import math

from spec_envs.usage import Usage
from spec_envs.wrappers.estimates import Estimates, Unit, mean_cost
from spec_envs.wrappers.speculation.tree.nodes import Node, Run

_PROPORTIONAL, _INTEGRAL = 0.1, 0.003
#: The selectivity stays in these bounds: from starting almost everything to starting only what is nearly certain.
_LEAST, _MOST = math.log(1e-3), math.log(1e3)


def cost_of(usage: Usage, unit: Unit) -> float:
    """The part of ``usage`` that is counted in ``unit``."""
    return usage.tokens if unit == "tokens" else usage.money


class Controller:
    """Says how selective to be, from the costs of all calls and guesses so far.

    Args:
        unit: The unit of cost.
        ratio: The wanted cost of everything, relative to the cost of the calls that the episodes use.
        selectivity: The selectivity to begin with, unless ``estimates`` know the selectivity that held the ratio
            before.
        estimates: The costs of calls, and the account of this controller.

    Attributes:
        unit: The unit of cost.
    """

    def __init__(self, unit: Unit, ratio: float, selectivity: float, estimates: Estimates) -> None:
        self.unit: Unit = unit
        self._ratio = ratio
        self._calls = estimates.calls
        self._account = estimates.accounts[unit]
        if self._account.log_selectivity is None:
            self._account.log_selectivity = _bounded(math.log(max(selectivity, 1e-9)))
        self._open: dict[Run, None] = {}  # runs that have begun, and are neither used yet nor certainly wasted

    def began(self, run: Run) -> None:
        """``run`` makes a call, or another call shares it."""
        if not run.committed:
            self._open[run] = None

    def spent(self, usage: Usage) -> None:
        """A call or a guesser has ended, and has cost ``usage``; if it was stopped, ``usage`` is its full cost."""
        self._account.spent += cost_of(usage, self.unit)

    def committed(self, run: Run | None, root: Node) -> None:
        """The episode has used the response of ``run`` for the first time (``None``: of no run), and is at ``root``."""
        account = self._account
        if run is not None:
            self._open.pop(run, None)
            cost = cost_of(run.usage, self.unit)
            account.committed += cost
            account.commits += cost > 0
        assert account.log_selectivity is not None
        account.log_selectivity = _bounded(account.log_selectivity - _INTEGRAL * self._slack(root))

    def selectivity(self, root: Node) -> float:
        """How selective to be now, with the episode at ``root``."""
        assert self._account.log_selectivity is not None
        return math.exp(_bounded(self._account.log_selectivity - _PROPORTIONAL * self._slack(root)))

    def _slack(self, root: Node) -> float:
        """What may still be wasted, in mean calls."""
        account = self._account
        mean = account.committed / account.commits if account.commits else 1.0
        wasted = account.spent - account.committed
        for run in tuple(self._open):
            used = min(1.0, sum(node.probability_from(root) for node in run.nodes))
            if run.in_flight:
                estimate = self._calls.get(run.call.handler)
                wasted += (1 - used) * (mean if estimate is None else mean_cost(estimate, self.unit))
            elif run.nodes:
                wasted -= used * cost_of(run.usage, self.unit)
            else:
                del self._open[run]
        return ((self._ratio - 1) * account.committed - wasted) / mean


def _bounded(log_selectivity: float) -> float:
    return max(_LEAST, min(_MOST, log_selectivity))
