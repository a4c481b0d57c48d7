"""What is saved where calls have a limit of their rate: the plain loop would have to wait for it, too."""

from __future__ import annotations

import dataclasses
from typing import Any

import gymnasium as gym
import pytest

from spec_envs import Call, Guess
from spec_envs.wrappers import HandlerLimit, Limits, SpeculativeWrapper, Statistics
from spec_envs.wrappers.handlers import with_latency
from spec_envs.wrappers.speculation.timing.control import Control
from spec_envs.wrappers.speculation.timing.plain_clock import PlainClock

STEPS = 12


class Counting(gym.Env[Any, Any]):
    observation_space = gym.spaces.Discrete(STEPS + 1)
    action_space = gym.spaces.Discrete(STEPS + 1)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self.count = 0
        return 0, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        self.count += 1
        return self.count, 0.0, self.count == STEPS, False, {}


class Knowing:
    def guess(self, call: Call, k: int) -> list[Guess]:
        return [Guess(call.query, 0.9)]


def played(limit: HandlerLimit | None, latency_s: float, **options: Any) -> Statistics:
    """The statistics of an episode in virtual time, whose guesser knows all actions."""
    policy = with_latency(lambda observation: observation, latency_s)
    limits = Limits(max_inflight=3, per_handler={} if limit is None else {"policy": limit})
    options = {"limits": limits, "guard": False, "guessers": {"policy": Knowing()}, **options}
    env = SpeculativeWrapper(Counting(), policy, runtime="simulation", **options)
    observation, is_over = env.reset(seed=0)[0], False
    while not is_over:
        observation, _, is_over, _, _ = env.step(env.act(observation))
    env.close()
    return env.statistics


@pytest.mark.parametrize(
    ("limit", "latency_s", "plain_s"),
    [
        (None, 1.0, 12.0),
        (HandlerLimit(max_inflight=2), 1.0, 12.0),
        (HandlerLimit(max_calls=1, per_s=10.0), 1.0, 11 * 10.0 + 1.0),
        (HandlerLimit(max_calls=1, per_s=0.5), 1.0, 12.0),
        (HandlerLimit(max_calls=4, per_s=10.0), 1.0, 10.0 + 10.0 + 4.0),
        (HandlerLimit(max_calls=11, per_s=10.0), 0.5, 10.0 + 0.5),
        (HandlerLimit(max_calls=12, per_s=100.0), 0.5, 6.0),
    ],
)
@pytest.mark.parametrize("guard", [False, True])
def test_the_plain_loop_waits_for_the_limit_too(
    limit: HandlerLimit | None, latency_s: float, plain_s: float, guard: bool
) -> None:
    plainly = played(limit, latency_s, limits=Limits(max_inflight=0, per_handler={"policy": limit} if limit else {}))
    assert plainly.inside_s == pytest.approx(plain_s)
    ahead = played(limit, latency_s, guard=guard)
    for statistics in (plainly, ahead):
        assert statistics.sequential_s == pytest.approx(STEPS * latency_s)
        assert statistics.sequential_s + statistics.limited_s == pytest.approx(plain_s)
        assert statistics.as_dict()["limited_s"] == statistics.limited_s
    assert (plainly.saved, plainly.claimed_saved, plainly.machinery_s) == pytest.approx((0.0, 0.0, 0.0))
    assert ahead.saved == pytest.approx(1 - ahead.inside_s / plain_s) and ahead.saved >= -1e-9
    assert ("for limits of their rate" in str(ahead)) == (ahead.limited_s > 0)


@pytest.mark.parametrize(
    ("used", "limited_s"),
    [
        ([("world", 5.0, 5.0, 5.0)] * 1, 0.0),
        # Each (handler, seconds, now, waited): 2 calls in 10 s; the third may begin at 10, as the first began at 0.
        ([("policy", 1.0, 1.0, 1.0), ("policy", 1.0, 2.0, 2.0), ("policy", 1.0, 3.0, 3.0)], 8.0),
        # 7 s of the time in between are no wait, such as the time of the user's own code.
        ([("policy", 1.0, 1.0, 1.0), ("policy", 1.0, 2.0, 2.0), ("policy", 1.0, 10.0, 3.0)], 1.0),
        # Calls of others take time as well.
        (
            [("policy", 1.0, 1.0, 1.0), ("world", 6.0, 1.0, 1.0), ("policy", 1.0, 1.0, 1.0), ("policy", 1.0, 1.0, 1.0)],
            2.0,
        ),
    ],
)
def test_the_clock_of_the_plain_loop(used: list[tuple[str, float, float, float]], limited_s: float) -> None:
    clock = PlainClock({"policy": HandlerLimit(max_calls=2, per_s=10.0), "world": HandlerLimit(max_inflight=1)})
    assert clock.is_needed and not PlainClock({"world": HandlerLimit(max_inflight=1)}).is_needed
    for each in used:
        clock.used(*each)
    assert clock.limited_s == pytest.approx(limited_s)


def control(saved: float, half: float, *, waits: bool = False) -> Control:
    return Control(saved, saved - half, saved + half, 100, 90, 10, 1.0, waits)


@pytest.mark.parametrize(
    ("statistics", "told"),
    [
        (
            Statistics(inside_s=2.5, sequential_s=10.0, windows=1),
            "2.5 s: 75.0% saved against the calls' own durations; no control",
        ),
        (
            Statistics(inside_s=12.0, sequential_s=10.0, windows=1),
            "12 s: slower than plain by 20.0%, against the calls' own durations; no",
        ),
        (
            Statistics(inside_s=72.0, sequential_s=10.0, windows=1),
            "72 s: 7.2 times as long as plainly, against the calls' own",
        ),
        (
            Statistics(inside_s=10.0, sequential_s=10.0),
            "as the plain loop: nothing was predicted, and nothing made",
        ),
        (
            Statistics(inside_s=437.5, sequential_s=10.0, guard="ahead"),
            "too few control or speculative steps to tell; 43.8 times as long as plainly",
        ),
        (
            Statistics(inside_s=30.0, sequential_s=10.0, control=control(-2.0, 0.5)),
            "3 times as long as plainly (2.5 to 3.5 times, by 10",
        ),
        (
            Statistics(inside_s=30.0, sequential_s=10.0, control=control(-0.5, 0.1)),
            "slower than plain by 50.0% (40.0 to 60.0 %, by 10",
        ),
        (
            Statistics(inside_s=30.0, sequential_s=10.0, control=control(0.5, 0.1)),
            "faster than plain by 50.0% (40.0 to 60.0 %, by 10",
        ),
        (
            Statistics(inside_s=30.0, sequential_s=10.0, control=control(0.0, 0.1)),
            "cannot tell: -10.0% to +10.0% saved, by 10 control and 90 speculative steps of 100",
        ),
        (
            Statistics(inside_s=3.0, sequential_s=2.9, control=dataclasses.replace(control(0.0, 0.0), ahead_cycles=0)),
            "as the plain loop: of 100 steps none was speculative, as no gain was seen yet",
        ),
        (Statistics(inside_s=0.02, environment_s=0.004, guard="warming"), "0.02 s: no calls yet"),
        (Statistics(inside_s=0.02, environment_s=0.004), "0.02 s: no calls yet"),
        (
            Statistics(inside_s=30.0, sequential_s=10.0, control=control(0.0, 0.3, waits=True)),
            "3 times as long as plainly, against the calls' own durations (control is too noisy)",
        ),
    ],
)
def test_how_time_is_told(statistics: Statistics, told: str) -> None:
    assert told in str(statistics).splitlines()[0]


def test_a_wrapper_that_was_only_reset_has_nothing_to_compare() -> None:
    env = SpeculativeWrapper(Counting(), lambda observation: observation, runtime="simulation")
    env.reset(seed=0)
    env.close()
    statistics = dataclasses.replace(env.statistics, inside_s=0.03, environment_s=0.004)
    assert statistics.commits == 0 and (statistics.saved, statistics.saved_s, statistics.claimed_saved) == (0, 0, 0)
    assert "%" not in str(statistics).splitlines()[0]


@pytest.mark.parametrize("max_inflight", [0, 3])
def test_the_last_error_of_a_call_is_told(max_inflight: int) -> None:
    def policy(observation: int) -> int:
        if observation == 2:
            raise ConnectionError("the model is away")
        return observation

    env = SpeculativeWrapper(
        Counting(),
        policy,
        runtime="simulation",
        guessers={"policy": Knowing()},
        limits=Limits(max_inflight=max_inflight),
    )
    observation = env.reset(seed=0)[0]
    with pytest.raises(ConnectionError):
        while True:
            assert env.statistics.last_failure is None or max_inflight
            observation = env.step(env.act(observation))[0]
    env.close()
    assert env.statistics.last_failure == "policy: ConnectionError('the model is away')"
    (calls,) = (line for line in str(env.statistics).splitlines() if line.startswith("calls "))
    assert "failed" in calls and "(the last one that failed: policy: ConnectionError('the model is away'))" in calls
