"""``spec-envs tuning certify``: are episodes of ``SpecTuning-v0`` on the simulator the same with speculation?"""

import zlib
from collections.abc import Sequence
from typing import Any

import gymnasium as gym

from spec_envs.benchmarks.reports import watched
from spec_envs.calls import Call
from spec_envs.guesses import Guess
from spec_envs.tuning.backends.simulated import SimulatedBackend
from spec_envs.tuning.measurement import Workload
from spec_envs.tuning.report import Report
from spec_envs.wrappers import Certificate, certify
from spec_envs.wrappers.handlers import with_latency

_WINDOWS = 8
_THINKING_S = 10.0


def certify_tuning(workload: Workload, seeds: Sequence[int]) -> Certificate:
    """Certify episodes in virtual time. Half of the guesses of settings and of measurements are right."""
    backend = SimulatedBackend(workload, carry_over=0.3, paced=True)
    plain = SimulatedBackend(workload, carry_over=0.3)

    def policy(observation: str) -> dict[str, Any]:
        """Choose a setting that depends on every digit of the observation, and on nothing else."""
        trials = Report.of(observation, workload.knobs).trials
        drawn = zlib.crc32(repr(trials).encode())
        best = min(trials, key=lambda trial: trial.metrics.p95)
        knob = workload.knobs[drawn % len(workload.knobs)]
        return {**dict(best.knobs), knob.name: knob.grid[drawn // 7 % len(knob.grid)]}

    return certify(
        lambda: gym.make("SpecTuning-v0", backend=backend, windows=_WINDOWS, observation="text"),
        with_latency(policy, _THINKING_S),
        {
            "policy": _Halfway(lambda call: policy(call.query)),
            "measure": _Halfway(lambda call: plain(call.query, None)),
        },
        watched(seeds, "comparing", len(seeds)),
        runtime="simulation",
    )


class _Halfway:
    """Guesses right for half of the calls, and for the others repeats the response of the last call."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer
        self._last: Any = None

    def guess(self, call: Call, k: int) -> list[Guess]:
        """One guess."""
        right = self._answer(call)
        guessed, self._last = (right, right) if zlib.crc32(repr(call.query).encode()) % 2 else (self._last, right)
        return [] if guessed is None else [Guess(guessed, 0.5)]
