"""Environments that never heard of this library: a slow policy, a guesser that learns it, in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import pytest
from gymnasium.utils import EzPickle

from spec_envs.agents import FrequencyGuesser, NearestGuesser
from spec_envs.errors import NotForkable
from spec_envs.testing import same
from spec_envs.wrappers import SpeculativeWrapper, ThreadRuntime
from spec_envs.wrappers.handlers import with_latency
from tests.wrappers.loops import Answers, play

SECONDS = 2.0
TAXI = "Taxi-v4" if "Taxi-v4" in gym.registry else "Taxi-v3"

# Left 0, down 1, right 2, up 3: the way that falls into a hole least often, field by field.
LAKE = [0, 3, 3, 3, 0, 0, 0, 0, 3, 1, 0, 0, 0, 2, 1, 0]


def skate(observation: Any) -> int:
    return LAKE[int(observation)]


def balance(observation: Any) -> int:
    """Push to the side to which the pole is falling."""
    return int(observation[2] + 0.3 * observation[3] > 0)


def drive(observation: Any) -> int:
    """Around the houses, wherever the passenger is: pure, and legal everywhere."""
    return (int(observation) * 7 // 20) % 4


CASES: dict[str, tuple[Callable[[], gym.Env], Callable[[Any], int], Callable[[], Any]]] = {
    "CartPole-v1": (lambda: gym.make("CartPole-v1", max_episode_steps=60), balance, NearestGuesser),
    "FrozenLake-v1": (lambda: gym.make("FrozenLake-v1", is_slippery=True), skate, FrequencyGuesser),
    "Taxi": (lambda: gym.make(TAXI, max_episode_steps=8), drive, FrequencyGuesser),
}
# Taxi is a table of thousands of lists, which a fork copies: a few steps of it must do.
every_env = pytest.mark.parametrize(("make_env", "policy", "new_guesser"), CASES.values(), ids=CASES)
small_envs = pytest.mark.parametrize(
    ("make_env", "policy", "new_guesser"), list(CASES.values())[:2], ids=list(CASES)[:2]
)


def speculative(env: gym.Env, policy: Any, **options: Any) -> SpeculativeWrapper[Any, Any]:
    options.setdefault("runtime", "simulation")
    return SpeculativeWrapper(env, with_latency(policy, SECONDS), **options)


@every_env
def test_lossless_and_sooner_once_the_policy_is_known(make_env, policy, new_guesser):
    with speculative(make_env(), policy, guessers={"policy": new_guesser()}, k=2, max_inflight=8) as env:
        other = make_env()
        for seed in (0, None, 2, 3):
            before = env.statistics
            assert play(env, env.act, seed) == play(other, policy, seed)
            after = env.statistics
        assert after.divergences == 0
        # Only the policy takes time, so the last episode is faster by what it did not wait for.
        sequential_s = after.sequential_s - before.sequential_s
        waited_s = after.waited_s - before.waited_s
        assert sequential_s % SECONDS == 0
        assert waited_s <= 0.6 * sequential_s


@small_envs
def test_lossless_on_threads(make_env, policy, new_guesser):
    options: dict[str, Any] = {"guessers": {"policy": new_guesser()}, "k": 2, "runtime": ThreadRuntime()}
    with SpeculativeWrapper(make_env(), policy, **options) as env:
        other = make_env()
        for seed in (0, None, 2):
            assert play(env, env.act, seed) == play(other, policy, seed)


@small_envs
def test_a_known_policy_is_waited_for_once_every_max_inflight_steps(make_env, policy, new_guesser):
    # Beside the authoritative call, three are made ahead: four decisions ripen in the time of one.
    with speculative(make_env(), policy, guessers={"policy": Answers(policy)}, max_inflight=3) as env:
        steps = len(play(env, env.act, 0)) - 1
        assert env.statistics.sequential_s == steps * SECONDS
        assert env.statistics.hits == steps
        assert env.statistics.waited_s == -(-steps // 4) * SECONDS


@small_envs
def test_wrong_guesses_cost_no_time_and_change_nothing(make_env, policy, new_guesser):
    wrong = Answers(lambda query: 1 - policy(query) % 2)
    with speculative(make_env(), policy, guessers={"policy": wrong}) as env:
        assert play(env, env.act, 0) == play(make_env(), policy, 0)
        assert env.statistics.hits == 0
        assert env.statistics.waited_s == env.statistics.sequential_s


def test_wrappers_inside_go_along_with_the_committed_fork():
    def make_env() -> gym.Env:
        return gym.wrappers.RecordEpisodeStatistics(gym.make("CartPole-v1"))

    with speculative(make_env(), balance, guessers={"policy": Answers(balance)}) as env:
        other = make_env()
        observation, _ = env.reset(seed=1)
        expected, _ = other.reset(seed=1)
        done = False
        while not done:
            observation, _, terminated, truncated, info = env.step(env.act(observation))
            expected, *_, expected_info = other.step(balance(expected))
            done = terminated or truncated
        assert same(info["episode"]["r"], expected_info["episode"]["r"])
        assert same(info["episode"]["l"], expected_info["episode"]["l"])
        assert env.get_wrapper_attr("return_queue") == other.get_wrapper_attr("return_queue")


def _push(env: Any) -> None:
    env.unwrapped.state = tuple(0.9 * value for value in env.unwrapped.state)


def _pull_harder(env: Any) -> None:
    env.set_wrapper_attr("force_mag", env.get_wrapper_attr("force_mag") + 0.5)


@pytest.mark.parametrize("change", [_push, _pull_harder])
@pytest.mark.parametrize("is_before_act", [True, False])
def test_what_the_user_changes_in_the_environment_between_steps_counts(change, is_before_act):
    with speculative(gym.make("CartPole-v1"), balance, guessers={"policy": Answers(balance)}) as env:
        other = gym.make("CartPole-v1")
        observation, _ = env.reset(seed=1)
        expected, _ = other.reset(seed=1)
        for t in range(12):
            if is_before_act and t % 3 == 0:
                change(env)
            action = env.act(observation)
            if not is_before_act and t % 3 == 0:
                change(env)
            observation = env.step(action)[0]
            if t % 3 == 0:
                change(other)
            expected = other.step(balance(expected))[0]
            assert same(observation, expected)


def test_who_only_looks_at_the_environment_loses_nothing():
    with speculative(gym.make("CartPole-v1"), balance, guessers={"policy": Answers(balance)}) as env:
        observation, _ = env.reset(seed=1)
        for _ in range(12):
            assert env.get_wrapper_attr("state") is not None
            observation = env.step(env.act(observation))[0]
        assert env.statistics.saved > 0.5


def test_a_step_that_raises_leaves_the_episode_as_it_was():
    class Strict(gym.ActionWrapper):
        def action(self, action: Any) -> Any:
            if action not in self.action_space:
                raise ValueError(f"no such action: {action}")
            return action

    with speculative(Strict(gym.make("CartPole-v1")), balance, guessers={"policy": Answers(balance)}) as env:
        other = gym.make("CartPole-v1")
        observation, _ = env.reset(seed=1)
        expected, _ = other.reset(seed=1)
        for _ in range(5):
            with pytest.raises(ValueError, match="no such action: 7"):
                env.step(7)
            observation = env.step(env.act(observation))[0]
            expected = other.step(balance(expected))[0]
            assert same(observation, expected)


class Pickled(gym.Env, EzPickle):
    """Loses its count when it is copied: the copy is made by the constructor."""

    observation_space = gym.spaces.Discrete(1000)
    action_space = gym.spaces.Discrete(2)

    def __init__(self) -> None:
        EzPickle.__init__(self)
        self.count = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.count = 0
        return 0, {}

    def step(self, action: Any) -> Any:
        self.count += 1
        return self.count, 0.0, False, False, {}


def test_an_env_whose_copy_loses_its_state_is_refused():
    with pytest.raises(NotForkable, match="Pickled in .* built on EzPickle.* give it a fork\\(\\) of its own"):
        speculative(Pickled(), balance)


def test_an_env_shown_to_a_person_is_refused():
    pytest.importorskip("pygame")
    env = gym.make("CartPole-v1", render_mode="human")
    with pytest.raises(NotForkable, match="it shows the episode to a person; make it with another render_mode"):
        speculative(env, balance)
