"""The time that running ahead has saved, measured against cycles that were run plainly.

A call's own duration is no measure of the plain loop, since speculation may make calls slower: they share the
interpreter's lock, the CPU and the server with the calls that are made ahead. So some cycles are run plainly, at places
that ``guard`` draws beforehand, and all cycles are compared with the mean of these.

Pure: cycles are given as data.
"""

import dataclasses
import math

from spec_envs.wrappers.speculation.cycles import IDLE_CPU, LONG_CALL_S, Cycle, Mean

#: If the interval of a saving reaches further than this to each side, and the calls are long and the CPU idles, then
#: the calls' own durations are a better measure than the control cycles.
NOISY = 0.1
_LEAST_CONTROL_CYCLES = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Control:
    """The saving by the control cycles."""

    saved: float  # time saved, as a share of what the same number of plain cycles takes; negative where it got slower
    low: float  # lower end of a 95 % interval of ``saved``
    high: float  # its upper end
    cycles: int  # all steps
    ahead_cycles: int  # those in which calls were made ahead
    control_cycles: int  # the plain cycles that were compared with: a step each, or some that were short
    plain_s: float  # mean time of a plain cycle
    waits: bool  # whether the calls are long and the CPU idles meanwhile, so that a call's own duration means something

    @property
    def is_noisy(self) -> bool:
        """Whether the calls' own durations say more than the control cycles do."""
        return self.waits and self.high - self.low > 2 * NOISY


class Controls:
    """Collects cycles for ``Control``."""

    def __init__(self) -> None:
        self._plain, self._ahead = Mean(), Mean()
        self._calls_s = self._num_calls = self._cpu = 0.0  # of the plain cycles
        self._count, self._total_s = 0, 0.0

    def add(self, cycle: Cycle) -> None:
        """A cycle has ended."""
        self._count += cycle.steps
        self._total_s += cycle.seconds * cycle.steps
        if cycle.ahead:
            self._ahead.add(cycle.seconds, cycle.steps)
        elif cycle.settled:
            self._plain.add(cycle.seconds, cycle.steps)
            self._cpu += cycle.cpu * cycle.steps
            self._calls_s += cycle.calls_s * cycle.steps
            self._num_calls += cycle.num_calls * cycle.steps

    def figure(self) -> Control | None:
        """The figure so far; ``None`` with too few control cycles."""
        plain, ahead = self._plain, self._ahead
        if plain.count < _LEAST_CONTROL_CYCLES or plain.mean <= 0:
            return None
        saved = 1 - self._total_s / (self._count * plain.mean)
        share = ahead.steps * ahead.mean / (self._count * plain.mean)
        half = share * math.sqrt(ahead.relative_error + plain.relative_error) * student(plain.count - 1)
        return Control(
            saved=saved,
            low=saved - half,
            high=saved + half,
            cycles=self._count,
            ahead_cycles=ahead.steps,
            control_cycles=plain.count,
            plain_s=plain.mean,
            waits=self._calls_s >= LONG_CALL_S * self._num_calls and self._cpu <= IDLE_CPU * plain.steps,
        )


def student(freedom: int) -> float:
    """Student's t for a two-sided 95 % interval (an expansion that is within 4 % from three degrees of freedom on)."""
    z = 1.959964
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
