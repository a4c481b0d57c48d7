"""Estimates of handlers and guessers: how long calls take and what they cost, how often guesses are right and in time.

Pure: no clock; times are given in seconds. The speculation tree and ``wrappers.tools`` estimate with these classes, by
one rule: a mean covers the last ``MEMORY`` values, so that a handler that becomes slower is soon noticed.
"""

import collections
import dataclasses
import math
from typing import Literal, Self

from spec_envs.usage import NOTHING, Usage
from spec_envs.wrappers.calibration import Calibration
from spec_envs.wrappers.crowding import Crowd
from spec_envs.wrappers.speculation.timing.guard import Record

#: The unit of cost.
Unit = Literal["tokens", "money"]
#: The number of values of each kind that are remembered.
MEMORY = 8
#: The prior probability of a guesser's best guess; it has the weight of one guess.
_USUAL_BEST = 0.5
#: The weight of an imagined guess that comes at once, relative to a real guess. So one late guess decides nothing.
_HOPE = 0.3


def beyond(usage: Usage, max_tokens: float | None, max_money: float | None) -> Usage:
    """The part of ``usage`` beyond these budgets, ignoring the rounding of sums. Its tokens count as written tokens."""
    over = [
        used - most if most is not None and used - most > 1e-9 * (1 + most) else 0.0
        for used, most in ((usage.tokens, max_tokens), (usage.money, max_money))
    ]
    return Usage(0, *over)


class Recent(list[float]):  # a wrapper has dozens of these, and an empty deque takes 760 bytes
    """The last ``MEMORY`` values of a quantity, and their mean. Only ``add`` and ``clear`` change it."""

    __slots__ = ("_mean",)

    def __init__(self) -> None:
        self._mean: float | None = None

    def add(self, value: float) -> None:
        """Remember ``value``, and forget the oldest value beyond ``MEMORY``."""
        self.append(value)
        if len(self) > MEMORY:
            del self[0]
        self._mean = None

    def clear(self) -> None:
        """Forget all values."""
        super().clear()
        self._mean = None

    def copied(self) -> Self:
        """Another object with the same values."""
        twin = type(self)()
        twin.extend(self)
        return twin

    def mean(self, unknown: float) -> float:
        """The mean of the remembered values; ``unknown`` if there are no values."""
        if self._mean is not None:
            return self._mean
        if not self:
            return unknown
        self._mean = mean = math.fsum(self) / len(self)
        return mean


class CallEstimate:
    """How long the calls of one handler take, and what they cost.

    Attributes:
        seconds: How long the last calls took.
        tokens: The tokens of each of these calls.
        money: The money that each of these calls cost.
        most: The greatest usage of any call so far. A call is charged with it before its own usage is known.
    """

    __slots__ = ("_num_free", "money", "most", "seconds", "tokens")

    def __init__(self) -> None:
        self._num_free = 0  # the number of calls since the last call that cost something
        self.seconds = Recent()
        self.tokens = Recent()
        self.money = Recent()
        self.most = NOTHING

    def copied(self) -> Self:
        """A copy of this object."""
        twin = type(self)()
        twin.seconds, twin.tokens, twin.money = self.seconds.copied(), self.tokens.copied(), self.money.copied()
        twin.most, twin._num_free = self.most, self._num_free
        return twin

    def add(self, seconds: float, usage: Usage) -> None:
        """A call took ``seconds`` and used ``usage``."""
        self.seconds.add(seconds)
        costs = usage is not NOTHING and bool(usage)
        self._num_free = 0 if costs else self._num_free + 1
        if self._num_free > MEMORY:  # all that is remembered is zeros already
            return
        self.tokens.add(usage.tokens)
        self.money.add(usage.money)
        if costs:
            most = self.most
            self.most = Usage(
                max(most.tokens_in, usage.tokens_in),
                max(most.tokens_out, usage.tokens_out),
                max(most.money, usage.money),
            )


class GuesserEstimate:
    """How fast the guesser of one handler is, how often it is right, and what it costs.

    Attributes:
        first_s: Seconds until the first guess; infinite for a guess that came after the response.
        whole_s: Seconds until the guesser returned.
        best: The probability of the best returned guess; 0 without any guess.
        best_early: The probability of the best guess that was reported before the guesser returned; 0 without any.
        tokens: The tokens of guessing once.
        money: The money that guessing once costs.
        calibration: Corrects the guesser's probabilities.
    """

    __slots__ = ("_num_free", "best", "best_early", "calibration", "first_s", "money", "tokens", "whole_s")

    def __init__(self) -> None:
        self._num_free = 0  # how often the guesser has returned since it last cost something or had an early guess
        self.first_s = Recent()
        self.whole_s = Recent()
        self.best = Recent()
        self.best_early = Recent()
        self.tokens = Recent()
        self.money = Recent()
        self.calibration = Calibration()

    def add(self, seconds: float, best: float, best_early: float, usage: Usage) -> None:
        """The guesser has returned after ``seconds``, with guesses as probable as ``best`` and ``best_early``."""
        self.whole_s.add(seconds)
        self.best.add(best)
        self._num_free = 0 if best_early or (usage is not NOTHING and usage) else self._num_free + 1
        if self._num_free > MEMORY:  # all that is remembered is zeros already
            return
        self.best_early.add(best_early)
        self.tokens.add(usage.tokens)
        self.money.add(usage.money)

    @property
    def usual_best(self) -> float:
        """The usual probability of the guesser's best guess."""
        return (sum(self.best) + _USUAL_BEST) / (len(self.best) + 1)

    @property
    def usual_gain(self) -> float:
        """By how much the best guess is usually more probable than the best early guess."""
        return max(0.0, self.usual_best - sum(self.best_early) / (len(self.best_early) + 1))

    def time_left(self, calls: CallEstimate, delay_s: float) -> float:
        """The share of a call's time, in [0, 1], that is expected to be left when the first guess arrives.

        Every remembered guess is compared with every remembered call. Without such guesses or calls, the share is 1.

        Args:
            calls: The calls whose responses are guessed.
            delay_s: The seconds until the call begins, while the guesser begins at once; may be infinite.
        """
        total = sum(calls.seconds)
        if not self.first_s or not total:
            return 1.0
        in_time = [guess for guess in self.first_s if guess < math.inf]
        left = sum([min(call, max(0.0, call + delay_s - guess)) for call in calls.seconds for guess in in_time])
        return (left / total + _HOPE) / (len(self.first_s) + _HOPE)


def mean_cost(estimate: CallEstimate | GuesserEstimate, unit: Unit) -> float:
    """The mean cost of the last calls, or of guessing; 0 while the cost is unknown."""
    return (estimate.tokens if unit == "tokens" else estimate.money).mean(0.0)


@dataclasses.dataclass(slots=True)
class Account:
    """The account of a controller of cost, in tokens or in money; see ``speculation.tree.controller``."""

    committed: float = 0.0  # the cost of the calls that episodes have used
    commits: int = 0  # the number of these calls that cost something
    spent: float = 0.0  # the cost of all calls and guesses
    #: The logarithm of the selectivity that has held the ratio lately; ``None`` at first.
    log_selectivity: float | None = None


@dataclasses.dataclass(slots=True)
class Estimates:
    """Estimates of the handlers and guessers of an environment. They may outlive a wrapper."""

    #: The calls of each handler, once a call has been answered.
    calls: dict[str, CallEstimate] = dataclasses.field(default_factory=dict)
    #: The guesser of each handler.
    guessers: collections.defaultdict[str, GuesserEstimate] = dataclasses.field(
        default_factory=lambda: collections.defaultdict(GuesserEstimate)
    )
    #: The accounts of the controllers of cost, by unit.
    accounts: collections.defaultdict[Unit, Account] = dataclasses.field(
        default_factory=lambda: collections.defaultdict(Account)
    )
    #: How many calls each handler can take at once.
    crowds: collections.defaultdict[str, Crowd] = dataclasses.field(
        default_factory=lambda: collections.defaultdict(Crowd)
    )
    #: The calibrations of the guessers of earlier wrappers, by handler and kind of guesser.
    calibrations: dict[str, Calibration] = dataclasses.field(default_factory=dict)
    guard: Record | None = None  # how running ahead went
