"""The time that running ahead has saved, measured against cycles that were run plainly.

A call's own duration is no measure of the plain loop, since speculation may make calls slower: they share the
interpreter's lock, the CPU and the server with the calls that are made ahead. So ``guard`` has some cycles run plainly,
at places drawn beforehand, and all cycles are compared with the mean of these control cycles.

Pure: cycles are given as data.
"""

import dataclasses
import math

from spec_envs.wrappers.speculation.timing.cycles import IDLE_CPU, LONG_CALL_S, Cycle, Mean

#: If the interval of ``saved`` reaches further than this to each side, the calls are long, and the CPU idles, then the
#: calls' own durations are a better measure than the control cycles.
NOISY = 0.1
#: Fewer cycles do not show how much cycles differ. The times of hits and misses are far apart, and four cycles ahead
#: may well all be hits.
_LEAST_PLAIN, _LEAST_OTHERS = 4, 6


@dataclasses.dataclass(frozen=True, slots=True)
class Control:
    """The time saved, by comparison with the control cycles."""

    saved: float  # the time saved, as a share of the time of as many plain cycles; negative if it became slower
    low: float  # the lower end of a 95 % interval of ``saved``, from the spread of cycles of both kinds
    high: float  # the upper end of the interval
    cycles: int  # the number of all steps
    ahead_cycles: int  # the number of steps in which calls were made ahead
    control_cycles: int  # the number of plain cycles to compare with; each is a step, or several short steps
    plain_s: float  # the mean time of a plain step
    waits: bool  # whether calls are long and the CPU idles, so that the calls' own durations are a measure

    @property
    def is_noisy(self) -> bool:
        """Whether the calls' own durations are a better measure than the control cycles."""
        return self.waits and self.high - self.low > 2 * NOISY


class Controls:
    """Collects cycles for ``Control``.

    Args:
        idle_cpu: The share of the time that the process may compute while its CPU counts as idle.
    """

    def __init__(self, idle_cpu: float = IDLE_CPU) -> None:
        self._idle_cpu = idle_cpu
        self._plain, self._others = Mean(), Mean()  # the plain cycles to compare with, and all other cycles
        self._calls_s = self._num_calls = self._cpu = 0.0  # of the plain cycles
        self._num_ahead = 0

    def add(self, cycle: Cycle) -> None:
        """A cycle has ended."""
        self._num_ahead += cycle.steps if cycle.ahead else 0
        if cycle.ahead or not cycle.settled:
            self._others.add(cycle.seconds, cycle.steps)
            return
        self._plain.add(cycle.seconds, cycle.steps)
        self._cpu += cycle.cpu * cycle.steps
        self._calls_s += cycle.calls_s * cycle.steps
        self._num_calls += cycle.num_calls * cycle.steps

    def figure(self) -> Control | None:
        """The comparison so far; ``None`` with too few plain cycles, or too few other cycles."""
        plain, others = self._plain, self._others
        if plain.count < _LEAST_PLAIN or plain.mean <= 0 or (self._num_ahead and others.count < _LEAST_OTHERS):
            return None
        count = plain.steps + others.steps
        saved = low = high = 0.0
        if self._num_ahead:
            share = others.steps * others.mean / (count * plain.mean)
            saved = others.steps / count - share
            half = _relative_half(plain, others)
            # On a logarithmic scale: times are skewed, so the mean of a few is more often too small than too great.
            low, high = saved - share * math.expm1(half), saved - share * math.expm1(-half)
        return Control(
            saved=saved,
            low=low,
            high=high,
            cycles=count,
            ahead_cycles=self._num_ahead,
            control_cycles=plain.count,
            plain_s=plain.mean,
            waits=self._calls_s >= LONG_CALL_S * self._num_calls and self._cpu <= self._idle_cpu * plain.steps,
        )


def _relative_half(one: Mean, other: Mean) -> float:
    """Half of the 95 % interval of the logarithm of the ratio of two means, by Welch: their variances may differ."""
    errors = one.relative_error, other.relative_error
    if not sum(errors):
        return 0.0
    freedom = sum(errors) ** 2 / (errors[0] ** 2 / (one.count - 1) + errors[1] ** 2 / (other.count - 1))
    return math.sqrt(sum(errors)) * student(freedom)


def student(freedom: float) -> float:
    """Student's t for a two-sided 95 % interval (an expansion that is within 4 % from three degrees of freedom on)."""
    z = 1.959964
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
