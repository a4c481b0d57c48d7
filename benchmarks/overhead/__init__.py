"""``spec-envs bench overhead``: what does the machinery cost where it saves nothing?"""

import dataclasses
import statistics
import time
from collections.abc import Callable
from typing import Any

import gymnasium as gym

from spec_envs.benchmarks.options import Settings
from spec_envs.calls import Call
from spec_envs.forking import fork
from spec_envs.guesses import Guess


@dataclasses.dataclass(frozen=True, kw_only=True)
class OverheadSettings(Settings):
    """Measure what speculation itself costs: forks, steps, windows, tool calls and replays (some minutes).

    Where tau-bench, PettingZoo and SuperSuit are installed, their environments are measured as well, for comparison.
    """


@dataclasses.dataclass(frozen=True, slots=True)
class Measured:
    """One figure, and its target: the most that it should be, or the least (``at_least``), or ``None``."""

    name: str
    unit: str
    measured: float
    target: float | None = None
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the figure is as the target wants it."""
        if self.target is None:
            return True
        return self.measured >= self.target if self.at_least else self.measured <= self.target


class Right:
    """Guesses what ``response(query)`` returns, at once."""

    def __init__(self, response: Callable[[Any], Any]) -> None:
        self._response = response

    def guess(self, call: Call, k: int) -> list[Guess]:
        """Return the response as a guess."""
        return [Guess(self._response(call.query), 0.9)]


def median_fork_us(env: gym.Env[Any, Any], forks: int) -> float:
    """The median time of ``forks`` forks of ``env``, in microseconds."""
    times = []
    for _ in range(forks):
        start = time.perf_counter_ns()
        twin = fork(env)
        times.append(time.perf_counter_ns() - start)
        twin.close()
    return statistics.median(times) / 1e3
