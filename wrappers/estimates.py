"""How slow and how dear the calls of a handler are, how good its guesser is, and whether guesses come in time.

Pure: no clock; times are given in seconds. The speculation tree and ``wrappers.tools`` estimate with these classes, by
one rule: a mean goes back over the last ``MEMORY`` values, so that a handler that becomes slower is soon noticed.
"""

import collections
import math
import statistics
from collections.abc import Iterator

from spec_envs.handling import Usage

#: How many values of each kind are remembered.
MEMORY = 8
#: How much an imagined guess that comes at once counts, relative to a real one: so one late guess decides nothing.
_HOPE = 0.3


class Recent:
    """The last ``MEMORY`` values of a quantity, and their mean."""

    __slots__ = ("_mean", "_values")

    def __init__(self) -> None:
        self._values: collections.deque[float] = collections.deque(maxlen=MEMORY)
        self._mean: float | None = None

    def add(self, value: float) -> None:
        """Remember ``value``, and forget the oldest value beyond ``MEMORY``."""
        self._values.append(value)
        self._mean = None

    def clear(self) -> None:
        """Forget all values."""
        self._values.clear()
        self._mean = None

    def mean(self, unknown: float) -> float:
        """The mean of the remembered values; ``unknown`` where there are none."""
        if not self._values:
            return unknown
        if self._mean is None:
            self._mean = statistics.fmean(self._values)
        return self._mean

    def __iter__(self) -> Iterator[float]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class CallEstimate:
    """What the calls of one handler take and cost.

    Attributes:
        seconds: How long the last calls took.
        money: What each of them cost.
        most: The greatest usage that any call ever had: what a call is charged with before its usage is known.
    """

    __slots__ = ("money", "most", "seconds")

    def __init__(self) -> None:
        self.seconds = Recent()
        self.money = Recent()
        self.most = Usage()

    def add(self, seconds: float, usage: Usage) -> None:
        """A call took ``seconds`` and used ``usage``."""
        self.seconds.add(seconds)
        self.money.add(usage.money)
        if usage:
            most = self.most
            self.most = Usage(
                max(most.tokens_in, usage.tokens_in),
                max(most.tokens_out, usage.tokens_out),
                max(most.money, usage.money),
            )


class GuesserEstimate:
    """How fast and how sure the guesser of one handler is.

    Attributes:
        first_s: After how many seconds its first guess came; infinite for a guess that came after the response.
        whole_s: After how many seconds it returned.
        best: The probability of the best guess that it returned; 0 where it returned none.
    """

    __slots__ = ("best", "first_s", "whole_s")

    def __init__(self) -> None:
        self.first_s = Recent()
        self.whole_s = Recent()
        self.best = Recent()

    def time_left(self, calls: CallEstimate, delay_s: float) -> float:
        """The share of a call's time, in [0, 1], that is expected to be left when the first guess of it comes.

        Every remembered guess is compared with every remembered call. While nothing is known the share is 1.

        Args:
            calls: The calls that are guessed.
            delay_s: In how many seconds the call begins, where the guesser begins at once; may be infinite.
        """
        total = sum(calls.seconds)
        if not self.first_s or not total:
            return 1.0
        left = sum(
            min(call, max(0.0, call + delay_s - guess)) if guess < math.inf else 0.0
            for call in calls.seconds
            for guess in self.first_s
        )
        return (left / total + _HOPE) / (len(self.first_s) + _HOPE)
