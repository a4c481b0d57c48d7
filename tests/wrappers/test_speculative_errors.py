"""What ``SpeculativeWrapper`` refuses, and how it comes through the errors of others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import pytest

import spec_envs  # noqa: F401  (registers SpecChess-v0)
from spec_envs.agents import BuiltinChessGuesser
from spec_envs.errors import EnvClosed, InvalidAction, InvalidConfiguration, NotForkable, ResetNeeded, UnknownHandler
from spec_envs.forking import fork
from spec_envs.testing import FakeEnv, pure_response
from spec_envs.values import key_of
from spec_envs.wrappers import Limits, SpeculativeWrapper
from spec_envs.wrappers.handlers import with_latency
from tests.wrappers.loops import PERFECT, Answers, Counter, choose, make, plain, play, virtual  # noqa: F401  (a fixture)

pytestmark = pytest.mark.usefixtures("virtual")

# Errors.


def test_there_must_be_an_episode():
    with make() as env:
        with pytest.raises(ResetNeeded, match="there is no episode"):
            env.act("")
        with pytest.raises(ResetNeeded, match="reset"):
            env.step(0)
        play(env, env.act)
        with pytest.raises(ResetNeeded, match="the episode has ended"):
            env.act("")
        with pytest.raises(ResetNeeded, match="10 of 10 steps"):
            env.step(0)
        assert play(env, env.act) == play(FakeEnv(), choose)
    with make(gym.make("CartPole-v1")) as env, pytest.raises(gym.error.ResetNeeded):
        env.step(0)


def test_nothing_works_after_close():
    env = make(guessers=PERFECT)
    observation, _ = env.reset(seed=0)
    env.act(observation)
    env.close()
    env.close()
    for use in (env.reset, lambda: env.step(0), lambda: env.act(observation)):
        with pytest.raises(EnvClosed, match="make a new one"):
            use()
    assert env.statistics.calls["open"] == 0
    with pytest.raises(EnvClosed):
        fork(env.env)  # the environment inside is closed too


def test_act_needs_a_policy():
    with make(policy=None) as env:
        observation, _ = env.reset(seed=0)
        with pytest.raises(InvalidConfiguration, match="act\\(\\) needs a policy"):
            env.act(observation)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"guessers": {"wrold": PERFECT["world"]}}, UnknownHandler, "'wrold', but the calls here are: policy, world"),
        ({"guessers": {"world": object()}}, InvalidConfiguration, "no method guess"),
        ({"guessers": [PERFECT["world"]]}, InvalidConfiguration, "guessers must be a mapping from names of calls"),
        ({"k": 0}, InvalidConfiguration, "k must be an integer of at least 1, not 0"),
        ({"shadow_every": 0}, InvalidConfiguration, "shadow_every must be an integer of at least 1, not 0"),
        ({"limits": Limits(), "max_inflight": 1}, InvalidConfiguration, "max_inflight or limits, not both"),
        ({"max_inflight": -1}, InvalidConfiguration, "max_inflight must be an integer of at least 0, not -1"),
        ({"runtime": "asyncio"}, InvalidConfiguration, "'threads', 'simulation' or a runtime object, not 'asyncio'"),
        ({"policy": 3}, InvalidConfiguration, r"policy must be callable .*, or have predict\(observation\), not 3"),
    ],
    ids=lambda value: "" if isinstance(value, type | str) else str(sorted(value)),
)
def test_bad_arguments(options, error, message):
    with pytest.raises(error, match=message):
        SpeculativeWrapper(FakeEnv(), **options)


def test_the_wrapper_itself_is_not_forked():
    with SpeculativeWrapper(FakeEnv()) as env, pytest.raises(NotForkable, match="fork the environment inside"):
        env.fork()


@pytest.mark.parametrize("action", ["e2e5", "nonsense"])
def test_an_illegal_move_raises_and_the_game_goes_on(action):
    guesser = BuiltinChessGuesser()

    def make_chess() -> gym.Env:
        return gym.make("SpecChess-v0", opponent="random", max_plies=6, disable_env_checker=True)

    def policy(observation: Any) -> str:
        return observation["legal_moves"].split()[-1]

    with make(make_chess(), policy, guessers={"opponent": guesser, "policy": guesser}) as env:
        observation, info = env.reset(seed=0)
        done = False
        seen: list[Any] = [key_of((observation, plain(info)))]
        while not done:
            with pytest.raises(InvalidAction, match=action):
                env.step(action)
            observation, reward, done, truncated, info = env.step(env.act(observation))
            seen.append(key_of((info["last_move"], observation, float(reward), done, truncated, plain(info))))
            done = done or truncated
        expected = play(make_chess(), policy)
        assert [entry[2:] for entry in seen[1:]] == [entry[2:] for entry in expected[1:]]


class Failing:
    """Answers, but fails the first ``times`` times that it is asked for each query."""

    def __init__(self, function: Callable[[Any], Any], times: int) -> None:
        self._function = function
        self._times = times
        self.failures: dict[Any, int] = {}

    def __call__(self, query: Any) -> Any:
        count = self.failures.get(query, 0)
        if count < self._times:
            self.failures[query] = count + 1
            raise OSError(f"failure {count + 1}")
        return self._function(query)


def test_a_failure_of_a_call_made_ahead_is_made_good():
    world = Failing(pure_response, 1)
    guessers = {"policy": Answers(choose)}
    with make(FakeEnv({"world": world}), with_latency(choose, 1.0), guessers=guessers) as env:
        assert play(env, env.act) == play(FakeEnv(), choose)
        assert env.statistics.calls["failed"] == 10


@pytest.mark.parametrize("new_policy", [lambda: choose, Counter], ids=["pure", "with state"])
def test_an_error_of_a_handler_surfaces_once_and_the_step_can_be_tried_again(new_policy):
    world = Failing(pure_response, 2)  # once ahead of time, once for real
    with make(FakeEnv({"world": world}), new_policy()) as env:
        other, policy = FakeEnv(), new_policy()
        observation, _ = env.reset(seed=0)
        other.reset(seed=0)
        for _ in range(10):
            action = env.act(observation)
            assert action == policy(observation)
            with pytest.raises(OSError, match="failure 2"):
                env.step(action)
            seen, expected = env.step(action), other.step(action)
            assert seen[:-1] == expected[:-1]
            observation = seen[0]
        assert env.statistics.divergences == 0


def test_an_error_in_reset_surfaces_and_reset_can_be_tried_again():
    world = Failing(pure_response, 1)
    with make(FakeEnv({"world": world}, calls_in_reset=1, random=False), guessers=PERFECT) as env:
        with pytest.raises(OSError, match="failure 1"):
            env.reset()
        with pytest.raises(ResetNeeded):
            env.act("")
        assert env.reset()[0] == FakeEnv(calls_in_reset=1, random=False).reset()[0]


@pytest.mark.parametrize("guessers", [{}, {"world": Answers(pure_response)}], ids=["unguessed", "guessed"])
def test_an_error_of_the_policy_surfaces_and_it_can_be_asked_again(guessers):
    policy = Failing(choose, 2)
    other = FakeEnv()
    with make(policy=policy, guessers=guessers) as env:
        observation, _ = env.reset(seed=0)
        other.reset(seed=0)
        for _ in range(10):
            while policy.failures.get(observation, 0) < 2:
                with pytest.raises(OSError, match="failure"):
                    env.act(observation)
            action = env.act(observation)
            observation = env.step(action)[0]
            assert observation == other.step(action)[0]
