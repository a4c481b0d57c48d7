"""A slow tuner and a fast guesser on one system, and how soon the system does well.

The clock begins with the first window, under the starting setting. A figure of a window holds until the next window
begins, so that time in which nothing is measured counts as well.
"""

import dataclasses
import math
import zlib
from collections.abc import Callable
from typing import Any, assert_never

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
from spec_envs.benchmarks.episodes import Tokens, charged, play, play_plainly, runtime_of, tokens_of
from spec_envs.benchmarks.tuning import ROUND_ROBIN, Actor, Guesses, TuningSettings
from spec_envs.calls import Call
from spec_envs.guesses import Guess
from spec_envs.tuning.backends import make_backend
from spec_envs.tuning.backends.protocol import Backend
from spec_envs.tuning.backends.simulated import SimulatedBackend
from spec_envs.tuning.knobs import Knob
from spec_envs.tuning.measurement import Workload
from spec_envs.tuning.models import Surface
from spec_envs.tuning.report import Report
from spec_envs.tuning.round_robin import SLICE, RoundRobin
from spec_envs.usage import Usage
from spec_envs.wrappers import LastWriteWins, SpeculativeWrapper
from spec_envs.wrappers.handlers import metered, with_latency
from spec_envs.wrappers.runtimes.base import Runtime

Env = gym.Env[Any, Any]

#: The reaction time of the paper: latencies are averaged over this many seconds from the start.
REACTION_S = 20.0
#: What a guess costs on the virtual clock, where computing takes no time: measured for a Gaussian process, rounded up.
FREE_S = 0.02
#: What a tuner writes while it thinks, were it a language model; an answer is charged when it begins.
_TOKENS_PER_S = 60.0
#: A ``p95`` of at most this many times the best one counts as good.
_GOOD = 1.1


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    """A window."""

    time_s: float  # when its setting came into force
    setting: tuple[Any, ...]
    p95: float  # measured, in ms
    expected: float  # ``p95`` without noise where a model tells it, otherwise the measured one


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TuningRun:
    """The figures of one episode. Times are seconds of the run's clock."""

    mode: str
    seed: int
    p95_20s: float  # mean ``p95`` in ms over the first 20 s
    # Windows until ``p95`` (without noise, where a model tells it) stays within 10 % of the best, or of the best of the
    # run where the best is not known; the number of all windows if it never does.
    windows_to_10pct: int
    seconds_to_10pct: float  # the same in seconds
    regret: float  # how far ``p95`` lay above the best in ms, in the mean over the first 20 s
    settings_tried: int  # number of different settings
    windows: int  # windows of the episode
    guessed: int  # windows whose setting the guesser chose
    seconds: float  # how long the episode took
    # Only with mode "lossless", from here to ``tokens_partial``: how long the plain loop took,
    sequential_s: float | None
    saved: float | None  # which share of that was saved
    hit_rate: float | None  # share of the tuner's answers that were guessed
    lossless: int | None  # 1 if the same was measured as without speculation, else 0; ``None`` on a real machine
    tokens: float | None  # of the tuner's answers that were used
    tokens_spent: float | None  # of all answers, cancelled ones charged in full
    tokens_full: float | None  # ``tokens_spent`` relative to ``tokens``
    tokens_partial: float | None  # the same, cancelled answers charged for the part that was written
    curve: list[float]  # ``p95`` in ms, window by window


_ONLY_LOSSLESS = (
    "sequential_s",
    "saved",
    "hit_rate",
    "lossless",
    *(field.name for field in dataclasses.fields(Tokens)),
)


class TuningBench:
    """Runs episodes one after the other on one backend, which the caller closes."""

    def __init__(self, settings: TuningSettings, backend: Backend) -> None:
        self.settings = settings
        self._backend = backend

    def run(self, seed: int) -> TuningRun:
        """Run one episode."""
        workload = workload_of(self.settings, seed) or self._backend.workload
        played = self._lossless if self.settings.mode == "lossless" else self._live
        points, figures = played(workload, seed)
        known = self._backend.best(workload)
        best = min(point.expected for point in points) if known is None else known
        windows = _windows_to(points, _GOOD * best)
        return TuningRun(
            mode=self.settings.mode,
            seed=seed,
            p95_20s=_mean_over(points, lambda point: point.p95),
            windows_to_10pct=windows,
            seconds_to_10pct=points[windows].time_s if windows < len(points) else figures["seconds"],
            regret=_mean_over(points, lambda point: point.expected) - best,
            settings_tried=len({point.setting for point in points}),
            windows=len(points),
            curve=[point.p95 for point in points],
            **figures,
        )

    def _env(self, workload: Workload) -> Env:
        return gym.make("SpecTuning-v0", backend=self._backend, workload=workload, **arguments_of(self.settings))

    def _live(self, workload: Workload, seed: int) -> tuple[list[Point], dict[str, Any]]:
        """The live system goes on while the tuner thinks."""
        guesser = None
        if self.settings.mode == "speculator":  # the guesser takes the place of the tuner, and does not take long
            policy = _policy(self._strategy(workload, seed), workload.knobs)
            tuner = with_latency(policy, FREE_S if self.settings.clock == "virtual" else 0.0)
        else:
            tuner = with_latency(self._actor(workload, seed), self.settings.actor_seconds)
            if self.settings.mode == "last-write-wins":
                guesser = self._guesser(workload, seed)
        runtime = runtime_of(self.settings.clock)
        noted = _Noted(self._env(workload), runtime)
        with LastWriteWins(noted, tuner, guesser=guesser, runtime=runtime) as loop:
            play(loop, loop.act, seed=seed)
            seconds = runtime.now() - noted.begun
        figures = dict.fromkeys(_ONLY_LOSSLESS)
        return noted.points, {"seconds": seconds, "guessed": loop.statistics.guesses, **figures}

    def _lossless(self, workload: Workload, seed: int) -> tuple[list[Point], dict[str, Any]]:
        """The tuner's answers are predicted, and measured ahead of time; a plain run goes before."""
        runtime = runtime_of(self.settings.clock, priced=self.settings.money_per_s is not None)
        usage = Usage(tokens_out=_TOKENS_PER_S * self.settings.actor_seconds)
        tuner = metered(with_latency(self._actor(workload, seed), self.settings.actor_seconds), usage)
        plain = play_plainly(self._env(workload), tuner, runtime, seed=seed)
        wrapper: SpeculativeWrapper[Any, Any] = SpeculativeWrapper(
            self._env(workload),
            tuner,
            guessers={"policy": self._guesser(workload, seed)},
            k=self.settings.k,
            limits=self.settings.limits,
            runtime=runtime,
            guard=False,
        )
        with _Noted(wrapper, runtime) as noted:
            ahead = play(noted, wrapper.act, seed=seed, now=runtime.now)
        figures = {
            "seconds": ahead.seconds,
            "sequential_s": plain.seconds,
            "saved": 1 - ahead.seconds / plain.seconds,
            "hit_rate": wrapper.statistics.hit_rate,
            "lossless": int(ahead.is_as(plain)) if self.settings.clock == "virtual" else None,
        }
        return noted.points, {"guessed": 0, **figures, **tokens_of(wrapper.statistics)}

    def _actor(self, workload: Workload, seed: int) -> Callable[[Any], Any]:
        return _policy(_strategy(self.settings.actor, workload, seed), workload.knobs)

    def _strategy(self, workload: Workload, seed: int) -> Strategy:
        return _strategy(self.settings.guesser, workload, seed + 1)

    def _guesser(self, workload: Workload, seed: int) -> Any:
        if self.settings.guesser == "half":
            guesser: Any = _Half(self._actor(workload, seed), workload.knobs)
        else:
            guesser = TuningGuesser(self._strategy(workload, seed), workload.knobs)
        return charged(guesser, FREE_S, self.settings.clock)


def _strategy(name: Actor | Guesses, workload: Workload, seed: int) -> Strategy:
    match name:
        case "best":
            return Fixed(best_values(workload))
        case "gp":
            return GaussianProcess()
        case "climb":
            return HillClimb()
        case "same" | "half":
            return SameAgain()
        case "random":
            return RandomSearch(seed)
        case unknown:
            assert_never(unknown)


class _Noted(gym.Wrapper[Any, Any, Any, Any]):
    """Notes every window, and when its setting came into force."""

    def __init__(self, env: gym.Env[Any, Any], runtime: Runtime) -> None:
        super().__init__(env)
        self.points: list[Point] = []
        self.begun = 0.0
        self._runtime = runtime

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset, and note the first window."""
        self.begun = self._runtime.now()
        observation, info = self.env.reset(seed=seed, options=options)
        self.points = [_point(0.0, info)]
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step, and note the window."""
        start = self._runtime.now() - self.begun
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.points.append(_point(start, info))
        return observation, reward, terminated, truncated, info


class _Half:
    """Knows the tuner's answers: guesses the right one for half of the calls, and a neighbour of it for the others."""

    def __init__(self, tuner: Callable[[Any], Any], knobs: tuple[Knob, ...]) -> None:
        self._tuner = tuner
        self._knobs = knobs

    def guess(self, call: Call, k: int) -> list[Guess]:
        """One guess."""
        answer = dict(self._tuner(call.query))
        if zlib.crc32(repr(Report.of(call.query, self._knobs).trials).encode()) % 2:
            knob = self._knobs[0]
            index = knob.grid.index(answer[knob.name])
            answer[knob.name] = knob.grid[index - 1 if index else 1]
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
    """The number of windows before ``p95`` stayed at or below ``bound``."""
    count = len(points)
    while count and points[count - 1].expected <= bound:
        count -= 1
    return count


def _mean_over(points: list[Point], figure: Callable[[Point], float], seconds: float = REACTION_S) -> float:
    """The mean over the first ``seconds``; the last figure holds to the end."""
    ends = [*(point.time_s for point in points[1:]), math.inf]
    weights = [max(0.0, min(end, seconds) - point.time_s) for point, end in zip(points, ends, strict=True)]
    return sum(weight * figure(point) for weight, point in zip(weights, points, strict=True)) / seconds


def workload_of(settings: TuningSettings, seed: int) -> Workload | None:
    """The workload of an episode; ``None`` for the backend's own."""
    if settings.knobs > 1:
        return Surface(settings.knobs, seed)
    return RoundRobin(settings.service_ms, settings.tasks) if settings.backend in ROUND_ROBIN else None


def backend_of(settings: TuningSettings) -> Backend:
    """The backend; the caller closes it."""
    if settings.backend == "simulated":
        return SimulatedBackend(paced=True)
    return make_backend(settings.backend, workload=workload_of(settings, 0), allow_system=False)


def arguments_of(settings: TuningSettings) -> dict[str, Any]:
    """Arguments of ``SpecTuning-v0``."""
    has_slice = settings.knobs == 1 and settings.backend in (*ROUND_ROBIN, "sysbench")
    return {
        "start": {SLICE.name: settings.start} if has_slice else None,
        "window_s": settings.window_s,
        "settle_s": min(0.1, settings.window_s / 10),
        # The environment does not count the window of the starting setting; the tuner sees all windows.
        "windows": max(1, settings.windows - 1),
        "history": settings.windows,
    }


def best_values(workload: Workload) -> dict[str, Any]:
    """The setting with the least expected ``p95``."""
    if isinstance(workload, Surface):
        return workload.best_values()
    assert isinstance(workload, RoundRobin)  # the settings allow the actor "best" for no other workload
    return {SLICE.name: min(SLICE.grid, key=lambda value: workload.model({SLICE.name: value}).p95)}
