"""What one cycle took: from the end of one step to the end of the next, as far as the wrapper has to do with it.

Pure data, for ``guard`` (whether to run ahead) and ``control`` (what running ahead has saved).
"""

import collections
import dataclasses
from typing import NamedTuple

#: From this mean duration of its calls on, in seconds, an episode waits rather than works, if the CPU idles meanwhile.
LONG_CALL_S = 0.1
#: The share of the time, on one CPU, that this process may compute while its CPU counts as idle.
IDLE_CPU = 0.3


class Cycle(NamedTuple):
    """One cycle.

    Args:
        seconds: Spent in ``act`` and ``step``.
        calls_s: How long the calls took whose responses the episode has used.
        num_calls: How many these were.
        machinery_s: The part of ``seconds`` that was neither waiting for a call nor the environment's own work.
        cpu: How much this process computed, as a share of the time on one CPU.
        ahead: Whether calls were made ahead of time.
        settled: Whether nothing of a cycle of the other kind was left over.
    """

    seconds: float
    calls_s: float
    num_calls: int = 1
    machinery_s: float = 0.0
    cpu: float = 0.0
    ahead: bool = False
    settled: bool = True

    @property
    def local_s(self) -> float:
        """The part of a plain cycle that is not spent in calls."""
        return max(0.0, self.seconds - self.calls_s)


class Window:
    """The last cycles, and means of them."""

    def __init__(self, most: int) -> None:
        self._cycles: collections.deque[Cycle] = collections.deque()
        self._most = most
        self._seconds = self._calls_s = self._local_s = self._cpu = 0.0
        self._num_calls = 0

    def add(self, cycle: Cycle) -> None:
        """Take ``cycle`` in, and forget the oldest one beyond the number to remember."""
        self._cycles.append(cycle)
        self._count(cycle, 1)
        if len(self._cycles) > self._most:
            self._count(self._cycles.popleft(), -1)

    def _count(self, cycle: Cycle, sign: int) -> None:
        self._seconds += sign * cycle.seconds
        self._calls_s += sign * cycle.calls_s
        self._local_s += sign * cycle.local_s
        self._cpu += sign * cycle.cpu
        self._num_calls += sign * cycle.num_calls

    def __len__(self) -> int:
        return len(self._cycles)

    @property
    def seconds(self) -> float:
        """Mean time of a cycle."""
        return self._seconds / len(self._cycles)

    @property
    def calls_s(self) -> float:
        """Mean time of a cycle that is spent in calls."""
        return self._calls_s / len(self._cycles)

    @property
    def local_s(self) -> float:
        """Mean time of a cycle that is not."""
        return self._local_s / len(self._cycles)

    @property
    def call_s(self) -> float:
        """Mean time of one call."""
        return self._calls_s / max(1, self._num_calls)

    @property
    def cpu(self) -> float:
        """Mean share of the time that the process computes."""
        return self._cpu / len(self._cycles)

    @property
    def waits(self) -> bool:
        """Whether the cycles wait for long calls, with the CPU idle."""
        return bool(self._cycles) and self.call_s >= LONG_CALL_S and self.cpu <= IDLE_CPU


@dataclasses.dataclass(slots=True)
class Mean:
    """Number, mean and variance of values, by Welford's method."""

    count: int = 0
    mean: float = 0.0
    _squares: float = 0.0

    def add(self, value: float) -> None:
        """Take ``value`` in."""
        self.count += 1
        before = value - self.mean
        self.mean += before / self.count
        self._squares += before * (value - self.mean)

    @property
    def variance(self) -> float:
        """The estimated variance of one value; 0 of fewer than two."""
        return self._squares / (self.count - 1) if self.count > 1 else 0.0

    @property
    def relative_error(self) -> float:
        """The variance of the mean, relative to the square of the mean; 0 where the mean is 0."""
        return self.variance / self.count / self.mean**2 if self.mean else 0.0
