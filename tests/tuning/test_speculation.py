"""Speculating on measurements: nothing changes, and what cannot be beside each other is not."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import pytest

from spec_envs import Guess
from spec_envs.benchmarks.checks import certify_tuning
from spec_envs.tuning.backends.simulated import SimulatedBackend
from spec_envs.tuning.env import TuningEnv
from spec_envs.tuning.models import Surface
from spec_envs.tuning.round_robin import RoundRobin
from spec_envs.wrappers import HandlerLimit, Limits, SpeculativeWrapper
from spec_envs.wrappers.handlers import with_latency

SETTINGS = (1.0, 2.0, 4.0, 8.0)
#: Seven windows and six answers, one after the other.
ALONE_S = 7 * 1.0 + 6 * 10.0


class Next:
    """Guesses the settings that the policy goes through, the right one among them."""

    def guess(self, call: Any, k: int) -> list[Guess]:
        return [Guess({"slice_ms": slice_ms}, 0.25) for slice_ms in SETTINGS][:k]


class Watched(SimulatedBackend):
    """Says how many calls it can take at once, and looks how many it gets."""

    def __init__(self, max_inflight: int | None) -> None:
        super().__init__(paced=True)
        self.max_inflight = max_inflight


def policy(observation: Any) -> dict[str, float]:
    return {"slice_ms": SETTINGS[int(observation["window"][0]) % len(SETTINGS)]}


def run(backend: SimulatedBackend, **options: Any) -> tuple[float, int]:
    """Seconds that an episode took, and the most measurements at once."""
    env = SpeculativeWrapper(
        gym.make("SpecTuning-v0", backend=backend, windows=6),
        policy=with_latency(policy, 10.0),
        guessers={"policy": Next()},
        k=4,
        runtime="simulation",
        **options,
    )
    with env:
        observation, _ = env.reset(seed=0)
        done = False
        while not done:
            observation, _, _, done, _ = env.step(env.act(observation))
        inflight = most = 0
        for event in env.trace:
            if event.handler == "measure":
                inflight += {"start": 1, "end": -1}.get(event.kind, 0)
                most = max(most, inflight)
        seconds = env.statistics.waited_s
    return seconds, most


@pytest.mark.parametrize("workload", [RoundRobin(), Surface(6)], ids=lambda workload: workload.name)
def test_lossless_on_the_simulator(workload):
    assert certify_tuning(workload, range(5))


def test_a_setting_that_was_guessed_is_measured_while_the_tuner_thinks():
    seconds, most = run(Watched(None))
    assert seconds < ALONE_S - 6 * 1.0 + 1e-6  # all windows but the first cost nothing, and the tuner thinks ahead too
    assert most == 4


def test_a_backend_is_held_to_as_many_measurements_as_it_can_take():
    seconds, most = run(Watched(1))
    assert most == 1  # no room beside the committed branch's place
    assert seconds == pytest.approx(ALONE_S)
    _, most = run(Watched(3))
    assert most == 3  # never more, although four settings are guessed


def test_a_handler_that_is_decorated_is_held_to_it_too():
    backend = Watched(1)
    env = TuningEnv(backend=backend, windows=3)
    env.handlers["measure"] = with_latency(backend, 1.0)
    wrapper = SpeculativeWrapper(env, policy=policy, guessers={"policy": Next()}, runtime="simulation")
    with wrapper:
        observation, _ = wrapper.reset(seed=0)
        for _ in range(3):
            observation, *_ = wrapper.step(wrapper.act(observation))
        calls = wrapper.statistics.calls
        assert calls.pop("committed") == 7
        assert not any(calls.values())


def test_the_users_limit_goes_before_the_backends():
    limits = Limits(per_handler={"measure": HandlerLimit(max_inflight=2)})
    seconds, most = run(Watched(1), limits=limits)
    assert most == 2
    assert seconds < ALONE_S
