"""How many calls a handler can take at once: measured by how much longer calls take beside others.

A handler need not say (``max_inflight``) how many slots it has. So calls that ran *beside* speculative calls are
compared with calls that ran *alone*. If calls take longer beside others, fewer calls are made at once; if not, more
calls. The first number is one. Two handlers may share one server, so at first the calls of all handlers count. When
calls beside calls of other handlers have turned out to be as quick as alone, only the handler's own calls count.

Pure: no clock; times are given in seconds.
"""

import collections
import dataclasses
import math
import statistics
from collections.abc import Iterable
from typing import Any, Self

#: Only calls that take at least this long alone are compared: of shorter calls, machinery is the greater part.
_LONG_S = 0.05
#: The number of durations of each kind that are remembered.
_MEMORY = 16
#: Calls beside others count as slower if they take this much longer, and if the difference has this many standard
#: errors.
_SLOWER, _ERRORS = math.log(1.25), 3.0
#: The prior standard deviation of the logarithm of a duration, and its weight as a number of values.
_SIGMA, _WEIGHT = 0.2, 2
#: The number of calls beside others that must be no slower before more calls are made at once.
_ENOUGH = 2
#: From this number of calls at once on there is no limit.
_MANY = 64
#: The number of calls after which more calls at once are tried again; doubled after each failed trial.
_RETRY, _MOST_RETRY = 100, 5_000
#: The same after a call has failed beside others. This may have been chance, and another failure costs one call.
_RETRY_FAILED = 20


@dataclasses.dataclass(slots=True)
class Crowd:
    """How many calls at once one handler can take, as far as is known."""

    allowed: int = 1  # the number of speculative calls that may be in flight beside a call of the handler
    own_only: bool = False  # whether only the handler's own calls slow its calls down
    retry_in: int = _RETRY  # after how many calls more calls at once are tried
    failures: int = 0  # how often more calls at once were tried in vain
    _before_failure: tuple[int, bool, int, int] | None = None
    _alone: collections.deque[float] = dataclasses.field(default_factory=lambda: collections.deque(maxlen=_MEMORY))
    _beside: collections.deque[float] = dataclasses.field(default_factory=lambda: collections.deque(maxlen=_MEMORY))
    _strangers: collections.deque[float] = dataclasses.field(default_factory=lambda: collections.deque(maxlen=_MEMORY))

    def copied(self) -> Self:
        """A copy of this object."""
        known = {name: getattr(self, name).copy() for name in ("_alone", "_beside", "_strangers")}
        return dataclasses.replace(self, **known)

    def has_room(self, beside: int) -> bool:
        """Whether a call may begin beside calls of the handler while ``beside`` speculative calls are in flight."""
        return beside < self.allowed or not self._alone or statistics.fmean(self._alone) < math.log(_LONG_S)

    def took(self, seconds: float, *, own: int, others: int) -> None:
        """A call took ``seconds``, beside at most ``own`` calls of its handler and ``others`` of other handlers."""
        value = math.log(max(seconds, 1e-6))
        level = own if self.own_only else own + others
        if not level:
            self._alone.append(value)
            self._retry()
            return
        if not own:
            self._strangers.append(value)
            self._see_strangers()
        if level > self.allowed // 2:
            self._beside.append(value)
            self._judge()
        self._retry()

    def is_single(self) -> None:
        """A call failed beside others: the handler gets its next calls one by one."""
        self._before_failure = (self.allowed, self.own_only, self.retry_in, self.failures)
        self._be_careful(0, _RETRY_FAILED)

    def fails_alone(self) -> None:
        """The call that failed beside others failed alone as well, so the others were not the reason."""
        if self._before_failure is not None:
            self.allowed, self.own_only, self.retry_in, self.failures = self._before_failure
            self._before_failure = None

    def as_dict(self) -> dict[str, Any]:
        """Return the state as values that JSON can hold; ``restore`` takes them."""
        fields = ("allowed", "own_only", "retry_in", "failures")
        return {name: getattr(self, name) for name in fields} | {"alone": list(self._alone)}

    def restore(self, held: dict[str, Any]) -> None:
        """Take over the state that ``as_dict`` has returned."""
        self.allowed, self.own_only = int(held["allowed"]), bool(held["own_only"])
        self.retry_in, self.failures = int(held["retry_in"]), int(held["failures"])
        self._alone.extend(float(value) for value in held["alone"])

    def _judge(self) -> None:
        if not self._alone:
            return
        if _are_slower(self._beside, self._alone):
            self._be_careful(self.allowed // 2)
        elif len(self._beside) >= _ENOUGH and self.allowed < _MANY and not _may_be_slower(self._beside, self._alone):
            self.allowed *= 2
            self._beside.clear()
            if self._before_failure is not None:  # calls beside others succeed again
                self.failures, self._before_failure = self._before_failure[-1], None

    def _see_strangers(self) -> None:
        enough = 2 * _ENOUGH
        if len(self._strangers) >= enough and len(self._alone) >= 1 and not self.own_only:
            self.own_only = not _may_be_slower(self._strangers, self._alone)

    def _be_careful(self, allowed: int, retry_in: int = _RETRY) -> None:
        self.allowed = allowed
        self.retry_in = min(_MOST_RETRY, retry_in * 2 ** min(20, self.failures))
        self.failures += 1
        self.own_only = False
        self._beside.clear()
        self._strangers.clear()

    def _retry(self) -> None:
        if not self.failures:
            return
        self.retry_in -= 1
        if self.retry_in <= 0:
            self.allowed = max(1, 2 * self.allowed)
            self.retry_in = min(_MOST_RETRY, _RETRY * 2 ** min(20, self.failures))
            self._beside.clear()


def _are_slower(beside: Iterable[float], alone: Iterable[float]) -> bool:
    """Whether calls beside others take longer, by more than chance."""
    difference, error = _compare(beside, alone)
    return difference > _SLOWER and difference > _ERRORS * error


def _may_be_slower(beside: Iterable[float], alone: Iterable[float]) -> bool:
    return _compare(beside, alone)[0] > _SLOWER


def _compare(beside: Iterable[float], alone: Iterable[float]) -> tuple[float, float]:
    """The difference of the means of two samples, and its standard error."""
    one, other = list(beside), list(alone)
    means = statistics.fmean(one), statistics.fmean(other)
    squares = sum((value - mean) ** 2 for values, mean in zip((one, other), means, strict=True) for value in values)
    variance = (_WEIGHT * _SIGMA**2 + squares) / (_WEIGHT + len(one) + len(other) - 2)
    return means[0] - means[1], math.sqrt(variance * (1 / len(one) + 1 / len(other)))
