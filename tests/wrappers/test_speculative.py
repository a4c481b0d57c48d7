"""``SpeculativeWrapper`` through its public API, on environments that ask (``FakeEnv``, ``SpecChess-v0``)."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import spec_envs  # noqa: F401  (registers SpecChess-v0)
from spec_envs import Call, CancelToken, Effect, Guess
from spec_envs.agents import BuiltinChessGuesser, FrequencyGuesser, RandomChessPolicy
from spec_envs.handling import as_handler
from spec_envs.testing import FakeEnv, pure_response
from spec_envs.values import key_of
from spec_envs.wrappers import SimulationRuntime
from spec_envs.wrappers.handlers import with_latency
from tests.wrappers.loops import PERFECT, RUNTIMES, Answers, Counter, choose, make, plain, play, slow_fake, virtual  # noqa: F401  (a fixture)

pytestmark = pytest.mark.usefixtures("virtual")

# Episodes.


@pytest.mark.parametrize("options", [{}, {"calls_per_step": 3}, {"calls_in_reset": 2}, {"calls_per_step": 0}], ids=str)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_same_episodes_as_the_plain_loop(runtime, options):
    env, other = make(FakeEnv(**options), guessers=PERFECT, runtime=runtime), FakeEnv(**options)
    with env:
        # The second reset goes on with the random generator of the first.
        for seed in (0, None, 7):
            assert play(env, env.act, seed) == play(other, choose, seed)


@pytest.mark.parametrize("arguments", [{}, {"color": "black", "opening": "random"}, {"observation": "planes"}], ids=str)
def test_same_chess_game_as_the_plain_loop(arguments):
    def make_chess() -> gym.Env:
        return gym.make("SpecChess-v0", opponent="random", max_plies=10, disable_env_checker=True, **arguments)

    policy: Any = RandomChessPolicy(3)
    if "observation" in arguments:
        policy = lambda observation: "g1f3" if observation[..., 7:].sum() % 2 else "b1c3"  # noqa: E731
    guessers = {"opponent": BuiltinChessGuesser(), "policy": BuiltinChessGuesser()}
    steps = 1 if "observation" in arguments else 10
    with make(make_chess(), policy, guessers=guessers) as env:
        handler = as_handler(policy)
        expected = play(make_chess(), lambda observation: handler(observation, CancelToken()), 4, steps)
        assert play(env, env.act, 4, steps) == expected


def test_without_guessers_calls_still_start_as_soon_as_they_are_known():
    with make(slow_fake(1.0, length=3), with_latency(choose, 2.0)) as env:
        play(env, env.act)
        assert env.statistics.waited_s == env.statistics.sequential_s == 9.0
        assert env.statistics.windows == 0


def test_statistics_of_perfect_guesses():
    # The queries hold a seed that the fork draws as the episode will, so all six calls are under way at time 0.
    with make(slow_fake(1.0, length=3), with_latency(choose, 2.0), guessers=PERFECT, max_inflight=8) as env:
        play(env, env.act)
        statistics = env.statistics
    assert (statistics.commits, statistics.windows, statistics.hits, statistics.hit_rate) == (6, 6, 6, 1.0)
    assert (statistics.sequential_s, statistics.waited_s) == (9.0, 2.0)
    assert statistics.saved == pytest.approx(7 / 9)
    assert statistics.calls["committed"] == 6
    assert statistics.divergences == 0
    assert "6 of 6 responses guessed" in str(statistics)


def test_info_says_what_speculation_did_in_this_step():
    with make(slow_fake(calls_in_reset=2), with_latency(choose, 1.0), guessers=PERFECT) as env:
        observation, info = env.reset(seed=0)
        assert info["speculation"] == {"commits": 2, "windows": 2, "hits": 2}
        info = env.step(env.act(observation))[-1]
        assert info["speculation"] == {"commits": 2, "windows": 2, "hits": 2}  # the decision and the world
    with make() as env:
        observation, info = env.reset(seed=0)
        assert info["speculation"] == {"commits": 0, "windows": 0, "hits": 0}
        info = env.step(env.act(observation))[-1]
        assert info["speculation"] == {"commits": 2, "windows": 0, "hits": 0}


def test_what_depends_on_timing_takes_no_part_when_infos_are_compared():
    def last_info(**options: Any) -> dict[str, Any]:
        with contextlib.closing(make(**options)) as env:
            observation, _ = env.reset(seed=0)
            return env.step(env.act(observation))[-1]

    plain_info, guessed_info = last_info(), last_info(guessers=PERFECT)
    figures = plain_info["speculation"], guessed_info["speculation"]
    assert all(type(each) is dict for each in figures)
    assert plain_info == guessed_info and json.dumps(figures[1]) == '{"commits": 2, "windows": 2, "hits": 2}'
    assert figures[0]["hits"] == 0 != figures[1]["hits"] == 2 and sum(each["hits"] for each in figures) == 2
    assert plain_info["speculation"] | {"commits": 3} != guessed_info["speculation"]


def test_act_again_gives_the_same_action_without_asking_again():
    asked = []
    with make(policy=lambda observation: asked.append(observation) or len(asked)) as env:
        observation, _ = env.reset(seed=0)
        assert [env.act(observation), env.act(observation)] == [1, 1]
        assert env.policy(observation) == 1


def test_reset_in_the_middle_discards_what_was_under_way():
    with make(guessers=PERFECT) as env, FakeEnv() as other:
        observation, _ = env.reset(seed=0)
        env.step(env.act(observation))
        assert play(env, env.act, 5) == play(other, choose, 5)
        assert env.statistics.calls["open"] == 0


# Actions from elsewhere.


def test_a_foreseen_action_from_elsewhere_is_a_hit():
    runtime = SimulationRuntime()
    with make(policy=None, guessers={"policy": Answers(lambda query: 2)}, runtime=runtime) as env:
        observation, _ = env.reset(seed=0)
        runtime.advance(0.75)  # somebody thinks; meanwhile the call behind the guessed action is under way
        info = env.step(2)[-1]
        assert info["speculation"]["hits"] == 1
        assert env.statistics.waited_s == 0.25
        runtime.advance(5)
        assert env.step(1)[-1]["speculation"]["hits"] == 0
        assert env.statistics.waited_s == 1.25
        starts = [event for event in env.trace if event.kind == "start" and event.handler == "policy"]
        assert starts == []  # it is not ours to call


@pytest.mark.parametrize("guessers", [{}, PERFECT], ids=["unguessed", "guessed"])
def test_another_action_than_act_gave(guessers):
    env, other = make(guessers=guessers), FakeEnv()
    with env:
        observation, _ = env.reset(seed=0)
        expected, _ = other.reset(seed=0)
        for number in range(10):
            assert env.act(observation) == choose(expected)
            action = (choose(expected) + number % 3) % 4
            observation, reward, *_ = env.step(action)
            expected, expected_reward, *_ = other.step(action)
            assert (observation, reward) == (expected, expected_reward)


def test_an_observation_changed_outside_is_the_one_that_the_policy_sees():
    seen = []

    def policy(observation: str) -> int:
        seen.append(observation)
        return choose(observation)

    def changed(observation: str) -> str:
        return observation.upper() + "!"

    with make(policy=policy, guessers={"world": Answers(pure_response)}) as inner:
        env = gym.wrappers.TransformObservation(inner, changed, None)
        other = gym.wrappers.TransformObservation(FakeEnv(), changed, None)
        assert play(env, inner.act) == play(other, choose)
        assert sum(observation.endswith("!") for observation in seen) == 10
        assert inner.statistics.divergences == 0


# Policies with state, and effects.


class SlowCounter:
    """Like ``Counter``, but takes a second."""

    def __init__(self, counter: Counter | None = None) -> None:
        self._counter = Counter() if counter is None else counter

    def __call__(self, observation: Any, cancel: CancelToken) -> int:
        cancel.sleep(1.0)
        return self._counter(observation)

    def fork(self) -> SlowCounter:
        return SlowCounter(self._counter.fork())


class Numbered:
    """Guesses every action with the same probability."""

    def guess(self, call: Call, k: int) -> list[Guess]:
        return [Guess(action, 0.25) for action in range(4)]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_policy_with_state_is_forked(runtime):
    policy = Counter()
    guessers = {"world": Answers(pure_response), "policy": Numbered()}
    with make(FakeEnv(), policy, guessers=guessers, runtime=runtime, k=4) as env:
        assert play(env, env.act) == play(FakeEnv(), Counter())
        assert policy.count == 0  # only its forks were called


def test_a_policy_with_state_has_decided_whatever_the_user_does_then():
    policy = Counter()
    with make(FakeEnv(), Counter()) as env:
        observation, _ = env.reset(seed=0)
        for _ in range(5):
            assert env.act(observation) == policy(observation)
            observation = env.step(0)[0]


def test_guessers_learn_the_actions_of_a_policy_with_state_and_nothing_of_its_state():
    learned = []

    class Learner(Numbered):
        def observe(self, call: Call, response: Any) -> None:
            learned.append(response)

    with make(policy=Counter(), guessers={"policy": Learner()}) as env:
        observation, _ = env.reset(seed=0)
        actions = []
        for _ in range(5):
            actions.append(env.act(observation))
            observation = env.step(actions[-1])[0]
    assert learned == actions


def test_a_slow_policy_with_state_and_a_guesser_that_learns():
    with make(slow_fake(), SlowCounter(), guessers={"policy": FrequencyGuesser()}, k=4) as env:
        counter = Counter()
        for seed in range(5):
            assert play(env, env.act, seed) == play(FakeEnv(), counter, seed)
        assert env.statistics.hits > 0


def test_a_policy_that_writes_is_never_called_ahead():
    choose_by_hand = with_latency(choose, 1.0)
    choose_by_hand.effect = Effect.WRITE
    with make(policy=choose_by_hand, guessers=PERFECT) as env:
        assert play(env, env.act) == play(FakeEnv(), choose)
        starts = [event for event in env.trace if event.kind == "start" and event.handler == "policy"]
        assert len(starts) == 10
        assert not any(event.speculative for event in starts)
        assert env.statistics.saved == pytest.approx(0.5)  # the world's calls run beside it, on its guessed actions


def test_equal_reads_share_one_execution():
    queries = []

    def world(query: Any) -> int:
        queries.append(query)
        return 1

    env = FakeEnv({"world": world}, effects=[Effect.READ], random=False)
    with make(env, lambda observation: 0) as wrapped:
        first = play(wrapped, wrapped.act)
        assert play(wrapped, wrapped.act) == first
        assert len(queries) == len(set(queries)) == 10
        assert wrapped.statistics.shared == 10


def test_calls_that_write_are_made_once_and_in_order():
    orders: list[Any] = []

    def world(query: Any) -> int:
        orders.append(query)
        return pure_response(query)

    with make(FakeEnv({"world": world}, effects=[Effect.WRITE]), guessers=PERFECT) as env:
        seen = play(env, env.act)
        speculative, orders[:] = tuple(orders), []
        assert play(FakeEnv({"world": world}), choose) == seen
        assert tuple(orders) == speculative


# What the user gets is the user's own.


def test_observations_and_infos_may_be_changed_by_their_receiver():
    guesser = BuiltinChessGuesser()
    plain_env = gym.make("SpecChess-v0", opponent="random", max_plies=10)
    expected = play(plain_env, lambda observation: observation["legal_moves"].split()[0])
    env = make(
        gym.make("SpecChess-v0", opponent="random", max_plies=10),
        lambda observation: observation["legal_moves"].split()[0],
        guessers={"opponent": guesser, "policy": guesser},
    )
    with env:
        observation, info = env.reset(seed=0)
        seen = [key_of((observation, plain(info)))]
        while len(seen) < len(expected):
            action = env.act(observation)
            observation.clear()
            info.clear()
            observation, reward, terminated, truncated, info = env.step(action)
            seen.append(key_of((action, observation, float(reward), terminated, truncated, plain(info))))
        assert seen == expected
        assert env.statistics.divergences == 0


def test_the_policy_may_change_its_observation_no_more_than_the_user():
    with make(gym.make("CartPole-v1"), lambda observation: int(observation[2] > 0), runtime="simulation") as env:
        other = gym.make("CartPole-v1")
        observation, _ = env.reset(seed=0)
        other.reset(seed=0)
        for _ in range(8):
            action = env.act(observation)
            observation[:] = np.nan
            observation = env.step(action)[0]
            np.testing.assert_array_equal(observation, other.step(action)[0])
