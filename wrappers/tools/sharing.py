"""How a server shares its time among calls: how many it answers at once, and what a call takes without the others.

A server need not say that it answers one call at a time. Every ``Discipline`` says what share of its time a server
gives to each of the calls that are in flight *beside* one another. From this follows how long the server itself has
worked on a call. The right queueing discipline is the one by which this time is about the same for all calls of a tool,
also for those that were *alone*. One call that had to wait can be enough. It may be chance that this call took twice as
long; it is hardly chance that it took as long as usual, counted from the end of the call before it.

Pure: no clock; times are given in seconds.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from spec_envs.checks import as_number, integer, integer_or_none
from spec_envs.wrappers.tools.disciplines import DISCIPLINES

#: Only calls of tools that take this long alone are judged: in shorter calls, machinery is the greater part.
_LONG_S = 0.05
#: Shorter times are equal: a call that the server has not begun, by some discipline, may have ended all the same.
_LEAST_S = 0.001
#: How many calls of each tool are remembered.
_MEMORY = 8
#: The standard deviation of the logarithm of a duration that is assumed beforehand, and the values that it counts for.
_SIGMA, _WEIGHT = 0.2, 1
#: The most that one call may speak against a discipline, and all calls together.
_MOST, _MOST_TOGETHER = 4.0, 12.0
#: Greater numbers than this are in no file that is whole.
_GREATEST = 100.0
#: A server counts as one that answers few calls at once if this much more speaks against that it answers any number.
_MARGIN = 3.0
#: After so many calls of such a server, more are tried again; doubled each time that they were tried in vain.
_RETRY, _MOST_RETRY = 300, 5_000


class Sharing:
    """What is known of one server; may outlive the proxies that use the server.

    Args:
        at_first: How many calls the server gets at once until it has answered some beside others as quickly as alone;
            ``None``: any number.
    """

    def __init__(self, at_first: int | None = None) -> None:
        self._on_trial = at_first
        #: Of each tool, for each discipline: logarithms of the times that the server took for the last calls.
        self._taken: dict[str, list[list[float]]] = {}
        self._against = [0.0] * len(DISCIPLINES)  # how much speaks against each discipline
        self._place = 0  # of the discipline in ``DISCIPLINES``
        self._retry_in = self._patience = _RETRY

    @property
    def place(self) -> int:
        """The place of the server's discipline in ``DISCIPLINES``."""
        return self._place

    @property
    def at_once(self) -> int | None:
        """How many calls the server answers at once; ``None``: any number, as far as is known."""
        return DISCIPLINES[self._place].at_once if self._place else self._on_trial

    @property
    def is_known(self) -> bool:
        """Whether it is known whether the server answers one call at once, or more."""
        return max(self._against) >= _MARGIN

    def usual_s(self, tool: str, unknown: float) -> float:
        """How long a call of ``tool`` usually takes alone, at the most; ``unknown`` if this is not known."""
        known = self._taken.get(tool)
        if known is None:
            return unknown
        taken = known[self._place]
        return math.exp(statistics.fmean(taken) + math.sqrt(_variance(taken)))

    def took(self, tool: str, served: Sequence[float]) -> None:
        """A call of ``tool`` ended for which the server took so many seconds, by each of ``DISCIPLINES``."""
        self._count()
        values = [math.log(max(seconds, _LEAST_S)) for seconds in served]
        known = self._taken.get(tool)
        if known is None:
            self._taken[tool] = [[value] for value in values]
            return
        if statistics.fmean(known[self._place]) >= math.log(_LONG_S):
            self._weigh(known, values)
        for taken, value in zip(known, values, strict=True):
            taken.append(value)
            del taken[:-_MEMORY]

    def _weigh(self, known: Sequence[Sequence[float]], values: Sequence[float]) -> None:
        """Find out by which discipline a call took as long as the calls before."""
        for place, (taken, value) in enumerate(zip(known, values, strict=True)):
            self._against[place] += _surprise(taken, value)
        least = min(self._against)
        self._against = [min(_MOST_TOGETHER, each - least) for each in self._against]
        best, was_any = self._against.index(0.0), self._place == 0
        self._place = best if self._against[0] >= _MARGIN else 0
        if was_any and self._place:
            self._retry_in, self._patience = self._patience, min(_MOST_RETRY, 2 * self._patience)
        elif self._against[0] == 0.0 and self._against[1] >= _MARGIN:
            self._on_trial = None  # it answers more than one at once

    def _count(self) -> None:
        """Another call has ended: the server may have become another one since its discipline was found out."""
        if self._place:
            self._retry_in -= 1
            if self._retry_in <= 0:
                self._on_trial = 1 + (self.at_once or 0)
                self._place, self._against = 0, [0.0] * len(DISCIPLINES)

    def as_dict(self) -> dict[str, Any]:
        """The state as values that JSON can hold; ``restore`` takes them."""
        taken = {tool: [list(each) for each in known] for tool, known in list(self._taken.items())}
        state = {"place": self._place, "retry_in": self._retry_in, "patience": self._patience}
        return {"taken": taken, "against": list(self._against), "on_trial": self._on_trial, **state}

    def restore(self, held: Mapping[str, Any]) -> None:
        """Take over the state that ``as_dict`` has returned.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: The values are not those of ``as_dict``.
        """
        taken = {str(tool): [_numbers(each) for each in known] for tool, known in held["taken"].items()}
        against = _numbers(held["against"])
        place, retry_in, patience = (integer(name, held[name], least=0) for name in ("place", "retry_in", "patience"))
        on_trial = integer_or_none("on_trial", held["on_trial"], least=1)
        if {len(against), *map(len, taken.values())} != {len(DISCIPLINES)} or place >= len(DISCIPLINES):
            raise ValueError("these are other disciplines")
        if not all(1 <= len(each) <= _MEMORY for known in taken.values() for each in known):
            raise ValueError("there are too few values, or too many")
        self._taken, self._against, self._place = taken, against, place
        self._retry_in, self._patience = retry_in, min(_MOST_RETRY, max(_RETRY, patience))
        self._on_trial = on_trial


def _numbers(values: Any) -> list[float]:
    """Logarithms of seconds, or what speaks against disciplines; ``ValueError``, ``TypeError`` if they are neither."""
    numbers = [as_number(value) for value in values]
    if not all(abs(number) <= _GREATEST for number in numbers):
        raise ValueError(f"{numbers} are out of range")
    return numbers


def _variance(taken: Sequence[float]) -> float:
    """The variance of the next value about the mean of those remembered."""
    mean = statistics.fmean(taken)
    squares = sum((value - mean) ** 2 for value in taken)
    return (_WEIGHT * _SIGMA**2 + squares) / (_WEIGHT + len(taken) - 1) * (1 + 1 / len(taken))


def _surprise(taken: Sequence[float], value: float) -> float:
    """How much ``value`` speaks against those remembered, up to a bound: by Student's distribution.

    By the normal one, calls whose durations vary would often look like calls that waited, as long as few are known.
    """
    freedom, variance = _WEIGHT + len(taken) - 1, _variance(taken)
    distance = (value - statistics.fmean(taken)) ** 2 / (freedom * variance)
    return min(_MOST, (freedom + 1) / 2 * math.log1p(distance)) + math.log(variance) / 2
