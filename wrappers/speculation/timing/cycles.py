"""The times of one cycle, which lasts from the end of one step to the end of a later step.

Pure data, for ``guard`` (whether to run ahead) and ``control`` (what running ahead has saved).
"""

import collections
import dataclasses
from typing import NamedTuple

#: If calls take at least this long in the mean, in seconds, and the CPU idles meanwhile, an episode mostly waits.
LONG_CALL_S = 0.1
#: The share of the time, on one CPU, that this process may compute while its CPU counts as idle. On an event loop the
#: share may be greater, because too much work shows in another way: the loop becomes late (``Runtime.is_late``).
IDLE_CPU, IDLE_LOOP = 0.3, 0.6


class Cycle(NamedTuple):
    """One cycle: a step, or the mean of several short steps."""

    seconds: float  # the time spent in ``act`` and ``step``
    calls_s: float  # how long the calls took whose responses the episode has used
    num_calls: float = 1  # the number of these calls
    machinery_s: float = 0.0  # the part of ``seconds`` without waiting for calls and without the environment's work
    cpu: float = 0.0  # how much this process computed, as a share of the time on one CPU
    ahead: bool = False  # whether calls were made ahead of time
    settled: bool = True  # whether no call or guesser of a cycle of the other kind was left over
    steps: int = 1  # the number of steps of which these are the means


class Window:
    """The last cycles, and the means of their steps.

    Args:
        most: The number of cycles that are remembered.
        idle_cpu: The share of the time that the process may compute while its CPU counts as idle.
    """

    def __init__(self, most: int, idle_cpu: float) -> None:
        self._cycles: collections.deque[Cycle] = collections.deque()
        self._most, self._idle_cpu = most, idle_cpu
        self._seconds = self._calls_s = self._num_calls = self._cpu = 0.0
        self._steps = 0

    def add(self, cycle: Cycle) -> None:
        """Remember ``cycle``, and forget the oldest cycle beyond ``most``."""
        self._cycles.append(cycle)
        self._count(cycle, cycle.steps)
        if len(self._cycles) > self._most:
            oldest = self._cycles.popleft()
            self._count(oldest, -oldest.steps)

    def _count(self, cycle: Cycle, steps: int) -> None:
        self._steps += steps
        self._seconds += steps * cycle.seconds
        self._calls_s += steps * cycle.calls_s
        self._num_calls += steps * cycle.num_calls
        self._cpu += steps * cycle.cpu

    def __len__(self) -> int:
        return len(self._cycles)

    @property
    def seconds(self) -> float:
        """The mean time of a step."""
        return self._seconds / self._steps

    @property
    def calls_s(self) -> float:
        """The mean time in calls of a step."""
        return self._calls_s / self._steps

    @property
    def local_s(self) -> float:
        """The mean time outside of calls of a step."""
        return max(0.0, self._seconds - self._calls_s) / self._steps

    @property
    def call_s(self) -> float:
        """The mean time of a call."""
        return self._calls_s / max(1.0, self._num_calls)

    @property
    def cpu(self) -> float:
        """The mean share of the time for which the process computes."""
        return self._cpu / self._steps

    @property
    def waits(self) -> bool:
        """Whether the cycles wait for long calls while the CPU idles."""
        return bool(self._cycles) and self.call_s >= LONG_CALL_S and self.cpu <= self._idle_cpu


@dataclasses.dataclass(slots=True)
class Mean:
    """Mean and variance of a quantity over steps, by Welford's method, from means of several steps each."""

    count: int = 0  # the number of means that were given
    steps: int = 0  # the number of steps of which these are the means
    mean: float = 0.0  # the mean over all steps
    _squares: float = 0.0

    def add(self, value: float, steps: int = 1) -> None:
        """Add ``value``, the mean of ``steps`` steps."""
        self.count += 1
        self.steps += steps
        before = value - self.mean
        self.mean += before * steps / self.steps
        self._squares += before * (value - self.mean) * steps

    @property
    def variance(self) -> float:
        """The estimated variance of one step; 0 with fewer than two means."""
        return self._squares / (self.count - 1) if self.count > 1 else 0.0

    @property
    def relative_error(self) -> float:
        """The variance of the mean, relative to the square of the mean; 0 if the mean is 0."""
        return self.variance / self.steps / self.mean**2 if self.mean else 0.0
