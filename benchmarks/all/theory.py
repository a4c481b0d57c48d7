"""Theory: what is measured against the closed forms of arXiv 2510.04371."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from spec_envs.benchmarks.all.figures import Figure, Point, Rows, figure, series
from spec_envs.benchmarks.all.here import Here
from spec_envs.benchmarks.all.units import Row, Unit
from spec_envs.benchmarks.episodes import TimedGuesser, play, play_plainly
from spec_envs.benchmarks.plan.closed_form import hits_and_windows
from spec_envs.benchmarks.plan.simulation import POLICY, PlannedEnv, PlannedGuesser, Players
from spec_envs.benchmarks.plan.workload import Guessing, PlannedCall, Workload
from spec_envs.calls import Call
from spec_envs.wrappers import Limits, SimulationRuntime, SpeculativeWrapper

#: Calls of an episode; mean seconds of a call, and of a guess.
STEPS, CALL_S, GUESS_S = 20, 8.0, 2.0
_PS = (0.2, 0.4, 0.6, 0.8, 1.0)
_EPISODES, _QUICK_EPISODES = 200, 50
#: The forms speak of a machine that starts everything, and takes guessers at their word.
_FREELY = Limits(min_probability=0.0, selectivity=0.0, calibrate=False)
_LIMITS = {
    "depth 1": dataclasses.replace(_FREELY, max_depth=1, windows_ahead=False, max_inflight=16),
    "any depth": dataclasses.replace(_FREELY, max_inflight=10_000, max_nodes=100_000),
}


def plan(here: Here, *, quick: bool, seed: int) -> Iterator[Unit]:
    """The units: all episodes of one point of a figure."""
    episodes = _QUICK_EPISODES if quick else _EPISODES
    for p in _PS:
        for depth, latency in (("depth 1", "fixed"), ("any depth", "fixed"), ("depth 1", "exponential")):
            tags = {"depth": depth, "latency": latency, "p": p}
            yield Unit(part="theory", tags=tags, items=(seed, episodes), cost_s=episodes / 40)


def work(unit: Unit) -> list[Row]:
    """Play the episodes of one point."""
    seed, count = unit.items
    return [_episode(random.Random(f"{seed} {number} {unit.tags}"), number, **unit.tags) for number in range(count)]


def _episode(rng: random.Random, number: int, *, depth: str, latency: str, p: float) -> Row:
    seconds = [CALL_S if latency == "fixed" else rng.expovariate(1 / CALL_S) for _ in range(STEPS)]
    planned = [PlannedCall(POLICY, each) for each in seconds]
    workload = Workload([planned], {}, num_known=1.0)
    players = Players(planned, workload, rng.randrange(2**32))
    plain = play_plainly(PlannedEnv(planned, players), players.policy(), SimulationRuntime())
    guesser = TimedGuesser(PlannedGuesser(players, Guessing((p,))), _guess_seconds(latency, rng.randrange(2**32)))
    runtime = SimulationRuntime()
    with SpeculativeWrapper(
        PlannedEnv(planned, players),
        players.policy(),
        guessers={POLICY: guesser},
        k=1,
        limits=_LIMITS[depth],
        runtime=runtime,
        guard=False,
    ) as env:
        ahead = play(env, env.act, now=runtime.now)
    return {
        "episode": f"{number}",
        "clock": "virtual",
        "saved": 1 - ahead.seconds / plain.seconds,
        # In units of the mean episode, since the forms are ratios of means.
        "saved_of_mean": (plain.seconds - ahead.seconds) / (STEPS * CALL_S),
        "sequential_s": plain.seconds,
        "speculative_s": ahead.seconds,
        "hit_rate": env.statistics.hit_rate,
        "lossless": int(ahead.is_as(plain)),
    }


def _guess_seconds(latency: str, seed: int) -> Callable[[Call], float]:
    """How long the guess for a call takes; drawn by the call alone."""
    if latency == "fixed":
        return lambda call: GUESS_S
    return lambda call: random.Random(f"{seed} {call.query}").expovariate(1 / GUESS_S)


def depth_1(p: float) -> float:
    """What one call ahead saves where latencies are fixed: each of the hits saves what is left of a call."""
    hits, _ = hits_and_windows(STEPS - 1, p)
    return hits * (1 - GUESS_S / CALL_S) / STEPS


def any_depth(p: float) -> float:
    """What a tree without limits saves where latencies are fixed."""
    return (STEPS - 1) / STEPS * p * (1 - GUESS_S / CALL_S)


def papers(p: float) -> float:
    """The paper's theorem for one call ahead and exponential latencies."""
    hits, _ = hits_and_windows(STEPS - 1, p)
    return hits * _IN_TIME / STEPS


def independent(p: float) -> float:
    """The same where calls are independent: late guesses are none, and a hit saves no more than the next call takes."""
    hits, _ = hits_and_windows(STEPS - 1, p * _IN_TIME)
    return hits / (2 * STEPS)


#: That a guess comes before the response: alpha / (alpha + beta).
_IN_TIME = CALL_S / (CALL_S + GUESS_S)


def figures(rows: Rows) -> list[Figure]:
    """The figures of this part."""
    axes = ("chance that a guess is right", "time saved")
    fixed, drawn = rows.where(latency="fixed"), rows.where(latency="exponential")
    shown = [
        series("one call ahead, closed form", _form(depth_1)),
        series("one call ahead, measured", _measured(fixed.where(depth="depth 1")), "points"),
        series("tree without limits, closed form", _form(any_depth)),
        series("tree without limits, measured", _measured(fixed.where(depth="any depth")), "points"),
    ]
    about = (
        f"{STEPS} calls of {CALL_S:g} s, one guess for each after {GUESS_S:g} s. One call ahead never saves half; the "
        "tree saves up to nearly all that the guesser's time leaves."
    )
    found = figure("Theory: fixed latencies", about, axes, shown if len(fixed) else [])
    shown = [
        series("the paper's theorem", _form(papers)),
        series("with independent latencies", _form(independent)),
        series("measured", _measured(drawn), "points"),
    ]
    about = (
        f"One call ahead; exponential latencies with means of {CALL_S:g} s and {GUESS_S:g} s. The theorem counts a "
        "late guess as a hit, and has a hit save all that is left of a call, however short the next one is. Where "
        "calls are independent, a hit saves what is left or the next call, whichever is less: that is measured."
    )
    return found + figure("Theory: exponential latencies", about, axes, shown if len(drawn) else [])


def _form(form: Callable[[float], float]) -> Sequence[Point]:
    return [{"x": p, "y": form(p)} for p in _PS]


def _measured(rows: Rows) -> Sequence[Any]:
    return [rows.where(p=p).point(p, "saved_of_mean") for p in rows.tags("p")]
