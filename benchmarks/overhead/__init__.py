"""``spec-envs bench overhead``: what does the machinery cost where it saves nothing?"""

import dataclasses
import statistics
import time
from typing import Any

import gymnasium as gym

from spec_envs.benchmarks.options import Settings
from spec_envs.forking import fork


@dataclasses.dataclass(frozen=True, kw_only=True)
class OverheadSettings(Settings):
    """Measure what speculation itself costs: forks, steps, replays, and 200 wrappers at once (about a minute).

    If tau-bench is installed, its own environment is measured side by side.
    """


@dataclasses.dataclass(frozen=True, slots=True)
class Measured:
    """One figure, and its target: the most that it should be, or ``None``."""

    name: str
    unit: str
    measured: float
    target: float | None = None

    @property
    def met(self) -> bool:
        """Whether the figure is at most the target."""
        return self.target is None or self.measured <= self.target


def median_fork_us(env: gym.Env[Any, Any], forks: int) -> float:
    """The median time of ``forks`` forks of ``env``, in microseconds."""
    times = []
    for _ in range(forks):
        start = time.perf_counter_ns()
        twin = fork(env)
        times.append(time.perf_counter_ns() - start)
        twin.close()
    return statistics.median(times) / 1e3
