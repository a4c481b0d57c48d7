"""``spec-envs bench tuning``: a slow tuner and a fast guesser on one system, and how soon the system does well.

The clock begins with the first window, under the setting of the start. A figure of a window holds until the next one
begins, so that time in which nothing is measured counts as well.
"""

from __future__ import annotations

import dataclasses
import math
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, assert_never

import gymnasium as gym

from spec_envs.agents.tuning import (
    Fixed,
    GaussianProcess,
    HillClimb,
    RandomSearch,
    SameAgain,
    Strategy,
    TuningGuesser,
    TuningPolicy,
)
from spec_envs.benchmarks.timed import TimedGuesser
from spec_envs.calls import Call
from spec_envs.guesses import Guess
from spec_envs.tuning.report import Report
from spec_envs.tuning.workloads.round_robin import SLICE, RoundRobin
from spec_envs.tuning.workloads.surface import Surface
from spec_envs.wrappers import LastWriteWins, SimulationRuntime, SpeculativeWrapper, ThreadRuntime
from spec_envs.wrappers.handlers import with_latency

if TYPE_CHECKING:
    from spec_envs.benchmarks.tuning.settings import TuningSettings
    from spec_envs.tuning.backends.protocol import Backend
    from spec_envs.tuning.knobs import Knob
    from spec_envs.tuning.measurement import Workload
    from spec_envs.wrappers.runtimes.base import Runtime

#: The paper's reaction time: latencies are averaged over the first so many seconds.
REACTION_S = 20.0
#: What a guess costs on the virtual clock, where computing takes no time: measured for a Gaussian process, rounded up.
FREE_S = 0.02
#: How near to the best p95 is good.
_GOOD = 1.1


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    """A window as the clock saw it: when its setting came into force, what was set, what was measured and expected."""

    time_s: float
    setting: tuple[Any, ...]
    p95: float
    expected: float


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TuningRun:
    """What became of one episode. Times are seconds of the run's clock.

    Args:
        mode: How it was run.
        seed: Of the episode.
        p95_20s: Mean ``p95`` in ms over the first 20 s.
        windows_to_10pct: Windows until ``p95`` stays within 10 % of the best, all of them where it never does. Where a
            model tells it, the ``p95`` without noise. Where the best is not known, it is the best of the run.
        seconds_to_10pct: The same in seconds.
        regret: How far ``p95`` lay above the best in ms, in the mean over the first 20 s.
        settings_tried: Different settings.
        windows: Of the episode; ``guessed`` of them had a setting that the guesser chose.
        guessed: See ``windows``.
        seconds: How long the episode took.
        saved: Share of the time without speculation that was saved; lossless only.
        hit_rate: Share of the tuner's answers that were guessed; lossless only.
        curve: ``p95`` in ms, window by window.
    """

    mode: str
    seed: int
    p95_20s: float
    windows_to_10pct: int
    seconds_to_10pct: float
    regret: float
    settings_tried: int
    windows: int
    guessed: int
    seconds: float
    saved: float | None
    hit_rate: float | None
    curve: list[float]


class TuningBench:
    """Runs episodes one after the other on one backend.

    Args:
        settings: How.
        backend: Where; stays yours to close.
    """

    def __init__(self, settings: TuningSettings, backend: Backend) -> None:
        self.settings = settings
        self._backend = backend

    def run(self, seed: int) -> TuningRun:
        """Run one episode."""
        mode = self.settings.mode
        match mode:
            case "lossless":
                return self._lossless(seed)
            case "speculator":
                return self._speculator(seed)
            case "actor":
                return self._live(seed, alone=True)
            case "last-write-wins":
                return self._live(seed, alone=False)
            case unknown:
                assert_never(unknown)

    def _live(self, seed: int, *, alone: bool) -> TuningRun:
        """The system goes on while the tuner thinks."""
        env, workload = self._env(seed)
        tuner = with_latency(self._actor(workload, seed), self.settings.actor_seconds)
        guesser = None if alone else self._charged(self._guesser(workload, seed))
        return self._played(seed, env, workload, tuner, guesser)

    def _speculator(self, seed: int) -> TuningRun:
        """The guesser is the tuner, and does not take long."""
        env, workload = self._env(seed)
        policy = _policy(self._strategy(seed), workload.knobs)
        return self._played(seed, env, workload, with_latency(policy, FREE_S if self._virtual else 0.0), None)

    def _played(self, seed: int, env: gym.Env[Any, Any], workload: Workload, tuner: Any, guesser: Any) -> TuningRun:
        runtime = self._runtime()
        noted = _Noted(env, runtime)
        with LastWriteWins(noted, tuner, guesser=guesser, runtime=runtime) as loop:
            observation, _ = loop.reset(seed=seed)
            done = False
            while not done:
                observation, _, terminated, truncated, _ = loop.step(loop.act(observation))
                done = terminated or truncated
            seconds = runtime.now() - noted.begun
        return self._row(seed, noted.points, workload, seconds=seconds, guessed=loop.statistics.guesses)

    def _lossless(self, seed: int) -> TuningRun:
        """The tuner's answers are guessed, and measured ahead."""
        runtime = self._runtime()
        env, workload = self._env(seed)
        tuner = self._actor(workload, seed)
        guesser = self._charged(self._guesser(workload, seed))
        wrapper = SpeculativeWrapper(
            env,
            with_latency(tuner, self.settings.actor_seconds),
            guessers={"policy": guesser},
            k=self.settings.k,
            limits=self.settings.limits,
            runtime=runtime,
        )
        with wrapper:
            begun = runtime.now()
            observation, info = wrapper.reset(seed=seed)
            points = [_point(0.0, info)]
            done = False
            while not done:
                action = wrapper.act(observation)
                start = runtime.now() - begun
                observation, _, terminated, truncated, info = wrapper.step(action)
                points.append(_point(start, info))
                done = terminated or truncated
            seconds = runtime.now() - begun
        figures = wrapper.statistics
        return self._row(
            seed, points, workload, seconds=seconds, guessed=0, saved=figures.saved, hit_rate=figures.hit_rate
        )

    def _row(
        self,
        seed: int,
        points: list[Point],
        workload: Workload,
        *,
        saved: float | None = None,
        hit_rate: float | None = None,
        guessed: int,
        seconds: float,
    ) -> TuningRun:
        known = self._backend.best(workload)
        best = min(point.expected for point in points) if known is None else known
        windows = _windows_to(points, _GOOD * best)
        mean_p95 = _mean_over(points, lambda point: point.p95)
        return TuningRun(
            mode=self.settings.mode,
            seed=seed,
            p95_20s=mean_p95,
            windows_to_10pct=windows,
            seconds_to_10pct=points[windows].time_s if windows < len(points) else seconds,
            regret=_mean_over(points, lambda point: point.expected) - best,
            settings_tried=len({point.setting for point in points}),
            windows=len(points),
            guessed=guessed,
            seconds=seconds,
            saved=saved,
            hit_rate=hit_rate,
            curve=[point.p95 for point in points],
        )

    def _env(self, seed: int) -> tuple[gym.Env[Any, Any], Workload]:
        workload = self.settings.workload(seed) or self._backend.workload
        env = gym.make("SpecTuning-v0", backend=self._backend, workload=workload, **self.settings.environment)
        return env, workload

    def _runtime(self) -> Runtime:
        return SimulationRuntime() if self._virtual else ThreadRuntime()

    @property
    def _virtual(self) -> bool:
        return self.settings.clock == "virtual"

    def _actor(self, workload: Workload, seed: int) -> Callable[[Any], Any]:
        match self.settings.actor:
            case "best":
                return _policy(Fixed(best_values(workload)), workload.knobs)
            case "gp":
                return _policy(GaussianProcess(), workload.knobs)
            case "climb":
                return _policy(HillClimb(), workload.knobs)
            case "random":
                return _policy(RandomSearch(seed), workload.knobs)
            case unknown:
                assert_never(unknown)

    def _strategy(self, seed: int) -> Strategy:
        match self.settings.guesser:
            case "gp":
                return GaussianProcess()
            case "climb":
                return HillClimb()
            case "same" | "half":
                return SameAgain()
            case "random":
                return RandomSearch(seed + 1)
            case unknown:
                assert_never(unknown)

    def _guesser(self, workload: Workload, seed: int) -> Any:
        if self.settings.guesser == "half":
            return _Half(self._actor(workload, seed), workload.knobs)
        return TuningGuesser(self._strategy(seed), workload.knobs)

    def _charged(self, guesser: Any) -> Any:
        return TimedGuesser(guesser, FREE_S) if self._virtual else guesser


def best_values(workload: Workload) -> dict[str, Any]:
    """The setting with the least expected ``p95``."""
    if isinstance(workload, Surface):
        return workload.best_values()
    assert isinstance(workload, RoundRobin)  # settings see to that
    return {SLICE.name: min(SLICE.grid, key=lambda value: workload.model({SLICE.name: value}).p95)}


class _Noted(gym.Wrapper[Any, Any, Any, Any]):
    """Takes down every window, when its setting came into force."""

    def __init__(self, env: gym.Env[Any, Any], runtime: Runtime) -> None:
        super().__init__(env)
        self.points: list[Point] = []
        self.begun = 0.0
        self._runtime = runtime

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As the environment does."""
        self.begun = self._runtime.now()
        observation, info = self.env.reset(seed=seed, options=options)
        self.points = [_point(0.0, info)]
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """As the environment does."""
        start = self._runtime.now() - self.begun
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.points.append(_point(start, info))
        return observation, reward, terminated, truncated, info


class _Half:
    """Knows what the tuner will say, and says it for half of its questions; otherwise something near it."""

    def __init__(self, tuner: Callable[[Any], Any], knobs: tuple[Knob, ...]) -> None:
        self._tuner = tuner
        self._knobs = knobs

    def guess(self, call: Call, k: int) -> list[Guess]:
        """One guess."""
        answer = dict(self._tuner(call.query))
        if zlib.crc32(repr(Report.of(call.query, self._knobs).trials).encode()) % 2:
            knob = self._knobs[0]
            place = knob.grid.index(answer[knob.name])
            answer[knob.name] = knob.grid[place - 1 if place else 1]
        return [Guess(answer, 0.5)]

    def observe(self, call: Call, response: Any) -> None:
        """Nothing to learn."""


def _policy(strategy: Strategy, knobs: tuple[Knob, ...]) -> Callable[[Any], Any]:
    """A tuner whose answers are draws, as those of a language model are."""
    policy = TuningPolicy(strategy, knobs)
    return lambda observation: policy(observation)


def _point(time_s: float, info: dict[str, Any]) -> Point:
    expected = info["p95"] if info["regret"] is None else info["best"] + info["regret"]
    return Point(time_s, tuple(info["knobs"].items()), info["p95"], expected)


def _windows_to(points: list[Point], bound: float) -> int:
    """How many windows went by before ``p95`` stayed at most at ``bound``."""
    count = len(points)
    while count and points[count - 1].expected <= bound:
        count -= 1
    return count


def _mean_over(points: list[Point], figure: Callable[[Point], float], seconds: float = REACTION_S) -> float:
    """The mean over the first seconds; the last figure holds on."""
    ends = [*(point.time_s for point in points[1:]), math.inf]
    weights = [max(0.0, min(end, seconds) - point.time_s) for point, end in zip(points, ends, strict=True)]
    return sum(weight * figure(point) for weight, point in zip(weights, points, strict=True)) / seconds
