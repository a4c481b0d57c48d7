"""``spec-envs tuning certify``: does speculation change anything of ``SpecTuning-v0`` on the simulator?"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import click
import gymnasium as gym

from spec_envs.benchmarks.reports import progress
from spec_envs.calls import Call
from spec_envs.errors import SpecEnvsError
from spec_envs.guesses import Guess
from spec_envs.tuning.backends.simulated import SimulatedBackend
from spec_envs.tuning.report import Report
from spec_envs.tuning.workloads.round_robin import RoundRobin
from spec_envs.tuning.workloads.surface import Surface
from spec_envs.wrappers import Certificate, certify
from spec_envs.wrappers.handlers import with_latency

if TYPE_CHECKING:
    from spec_envs.tuning.measurement import Workload

_WINDOWS = 8
_THINKING_S = 10.0


class DivergedError(SpecEnvsError):
    """The speculative loop gave something else than the plain one."""


def run(seeds: int) -> None:
    """Certify a scheduler and a six-knob surface, with carry-over, and say what came of it."""
    for workload in (RoundRobin(), Surface(6)):
        with progress(workload.name, seeds) as show:
            for seed in range(seeds):
                certificate = certify_once(workload, seed)
                if not certificate:
                    raise DivergedError(f"{workload.name}: {certificate}")
                show(seed + 1)
        click.echo(f"{workload.name}: lossless on {seeds} seed(s), {_WINDOWS} windows each")


def certify_once(workload: Workload, seed: int) -> Certificate:
    """One episode in virtual time. Half of the guesses, of settings and of measurements, are right."""
    backend = SimulatedBackend(workload, carry_over=0.3, paced=True)
    plain = SimulatedBackend(workload, carry_over=0.3)

    def policy(observation: str) -> dict[str, Any]:
        return _choose(observation, workload)

    return certify(
        lambda: gym.make("SpecTuning-v0", backend=backend, windows=_WINDOWS, observation="text"),
        with_latency(policy, _THINKING_S),
        {
            "policy": _Halfway(lambda call: policy(call.query)),
            "measure": _Halfway(lambda call: plain(call.query, None)),  # type: ignore[arg-type]  # it takes no time
        },
        seeds=[seed],
        runtime="simulation",
    )


def _choose(observation: str, workload: Workload) -> dict[str, Any]:
    """A setting that is a function of all that was seen, down to the last digit, and nothing else."""
    trials = Report.of(observation, workload.knobs).trials
    drawn = zlib.crc32(repr(trials).encode())
    best = min(trials, key=lambda trial: trial.metrics.p95)
    knob = workload.knobs[drawn % len(workload.knobs)]
    return {**dict(best.knobs), knob.name: knob.grid[drawn // 7 % len(knob.grid)]}


class _Halfway:
    """Right for half of the calls, and wrong for the others in a way that could be right."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer
        self._last: Any = None

    def guess(self, call: Call, k: int) -> list[Guess]:
        """One guess."""
        right = self._answer(call)
        guessed, self._last = (right, right) if zlib.crc32(repr(call.query).encode()) % 2 else (self._last, right)
        return [] if guessed is None else [Guess(guessed, 0.5)]
