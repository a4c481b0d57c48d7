"""``SpeculativeWrapper`` as a citizen of Gymnasium: checker, vectors, specs, other wrappers, and evaluation loops."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env

import spec_envs  # noqa: F401  (registers SpecChess-v0)
from spec_envs.agents import BuiltinChessGuesser, BuiltinChessPolicy
from spec_envs.errors import InvalidConfiguration, NotForkable
from spec_envs.testing import FakeEnv
from spec_envs.wrappers import SimulationRuntime, SpeculativeWrapper
from spec_envs.wrappers.handlers import with_latency
from tests.wrappers.loops import PERFECT, Answers, choose, make, play

GUESSERS = {"policy": BuiltinChessGuesser(), "opponent": BuiltinChessGuesser()}
RIGHT, DOWN = 2, 1


def lake(policy: Any = lambda observation: DOWN, seconds: float = 1.0, **options: Any) -> SpeculativeWrapper[Any, Any]:
    """FrozenLake with a slow policy whose actions are known beforehand."""
    env = gym.make("FrozenLake-v1", is_slippery=False, disable_env_checker=True)
    return make(env, with_latency(policy, seconds), guessers={"policy": Answers(policy)}, **options)


# The checker.


@pytest.mark.parametrize("runtime", ["simulation", "threads"])
@pytest.mark.parametrize("name", ["fake", "SpecChess-v0", "CartPole-v1", "FrozenLake-v1"])
def test_check_env(name, runtime):
    env: gym.Env
    if name == "fake":
        env = make(FakeEnv(calls_in_reset=1), runtime=runtime, guessers=PERFECT)
    elif name == "SpecChess-v0":
        inner = gym.make(name, opponent="builtin", max_plies=6)
        env = make(inner, BuiltinChessPolicy(), runtime=runtime, guessers=GUESSERS if runtime == "simulation" else {})
    else:
        env = make(
            gym.make(name), lambda observation: 0, runtime=runtime, guessers={"policy": Answers(lambda query: 0)}
        )
    with warnings.catch_warnings(), env:
        # It advises to check the environment without wrappers; the wrapper is what this is about.
        warnings.filterwarnings("ignore", message=".*is different from the unwrapped version")
        # CartPole's own space has no bounds.
        warnings.filterwarnings("ignore", message=".*Box observation space (minimum|maximum) value is")
        check_env(env, skip_render_check=True)


# Vectors.


def test_in_a_sync_vector_env_with_autoreset():
    def episodes(wrap: bool) -> list[Any]:
        def one() -> gym.Env:
            env = gym.make("CartPole-v1", max_episode_steps=7)
            return make(env, lambda observation: 0, guessers={"policy": Answers(lambda query: 1)}) if wrap else env

        rows = []
        with_vector = gym.vector.SyncVectorEnv([one, one])
        observations, _ = with_vector.reset(seed=3)
        for number in range(30):
            actions = np.array([number % 2, number // 2 % 2])
            observations, rewards, terminations, truncations, infos = with_vector.step(actions)
            assert ("speculation" in infos) is wrap
            rows.append([part.tolist() for part in (observations, rewards, terminations, truncations)])
        with_vector.close()
        return rows

    rows = episodes(wrap=True)
    assert rows == episodes(wrap=False)
    assert any(any(row[3]) for row in rows)  # there were ends, and resets after them


def test_wrappers_in_a_vector_act_for_themselves():
    wrappers = [make(FakeEnv(length=3), guessers=PERFECT) for _ in range(2)]
    vector = gym.vector.SyncVectorEnv([lambda: wrappers[0], lambda: wrappers[1]])
    observations, _ = vector.reset(seed=[1, 2])
    expected = [play(FakeEnv(length=3), choose, seed)[-1] for seed in (1, 2)]
    for _ in range(3):
        actions = [env.act(observation) for env, observation in zip(wrappers, observations, strict=True)]
        observations, rewards, terminations, _, _ = vector.step(np.array(actions))
    assert terminations.all()
    assert [last[2] for last in expected] == list(observations)
    vector.close()


# Specs. Gymnasium keeps the arguments of each wrapper and calls its constructor with them again.


def test_spec_round_trip():
    env = SpeculativeWrapper(
        gym.make("SpecChess-v0", opponent="random", max_plies=4),
        BuiltinChessPolicy(),
        guessers=GUESSERS,
        k=2,
        max_inflight=3,
        runtime="simulation",
    )
    assert env.spec is not None
    kwargs = env.spec.additional_wrappers[-1].kwargs
    assert kwargs is not None and kwargs["k"] == 2 and kwargs["guessers"] is GUESSERS
    again = gym.make(env.spec)
    assert isinstance(again, SpeculativeWrapper)
    assert again.spec == env.spec
    with env, again:
        assert play(env, env.act, 3) == play(again, again.act, 3)
        assert again.statistics.windows == env.statistics.windows > 0


def test_a_spec_with_functions_in_it_cannot_be_json():
    # What is no data is not written down: gymnasium refuses callables, whatever the wrapper.
    env = make(gym.make("SpecChess-v0"), BuiltinChessPolicy(), guessers=GUESSERS)
    assert env.spec is not None
    with env, pytest.raises((TypeError, ValueError)):
        env.spec.to_json()


def test_a_spec_without_functions_can_be_json():
    with make(gym.make("SpecChess-v0", opponent="random"), None, max_inflight=2) as env:
        assert env.spec is not None
        spec = EnvSpec.from_json(env.spec.to_json())
        with gym.make(spec) as again:
            assert isinstance(again, SpeculativeWrapper)
            assert again.reset(seed=1)[0] == env.reset(seed=1)[0]


# Other wrappers.


class Recorder(gym.wrappers.RecordVideo):
    """Keeps frames where ``RecordVideo`` writes files (its own constructor wants moviepy)."""

    def __init__(self, env: gym.Env) -> None:
        gym.Wrapper.__init__(self, env)
        self.frames: list[str] = []

    def reset(self, **options: Any) -> Any:
        self.frames.clear()
        return gym.Wrapper.reset(self, **options)

    def step(self, action: Any) -> Any:
        result = gym.Wrapper.step(self, action)
        self.frames.append(str(gym.Wrapper.render(self)))
        return result

    def close(self) -> None:
        gym.Wrapper.close(self)


def make_chess() -> gym.Env:
    return gym.make("SpecChess-v0", opponent="random", max_plies=6, render_mode="ansi")


def test_a_recorder_inside_is_refused_and_outside_sees_what_really_happened():
    with pytest.raises(NotForkable, match="it writes video files; put it outside SpeculativeWrapper"):
        make(Recorder(make_chess()), BuiltinChessPolicy())
    policy = BuiltinChessPolicy()
    speculative = make(make_chess(), policy, guessers=GUESSERS)
    plain = make(make_chess(), policy, max_inflight=0)
    with Recorder(speculative) as outer, Recorder(plain) as other:
        assert play(outer, speculative.act) == play(other, plain.act)
        assert outer.frames == other.frames
        assert len(outer.frames) == 3


def test_human_rendering_is_refused():
    pytest.importorskip("pygame")
    env = gym.wrappers.HumanRendering(gym.make("CartPole-v1", render_mode="rgb_array"))
    with pytest.raises(NotForkable, match="it shows the episode in a window"):
        make(env)


def test_ordinary_wrappers_on_either_side():
    def wrapped(env: gym.Env) -> gym.Env:
        return gym.wrappers.TimeLimit(gym.wrappers.TransformReward(env, lambda reward: float(reward) * 2), 6)

    inner = make(wrapped(FakeEnv()), guessers=PERFECT)
    outer = make(FakeEnv(), guessers=PERFECT)
    assert play(inner, inner.act) == play(wrapped(outer), outer.act) == play(wrapped(FakeEnv()), choose)
    inner.close()
    outer.close()


# Random actions: the space is the user's to sample from.


@pytest.mark.parametrize("name", ["CartPole-v1", "FrozenLake-v1"])
def test_sampling_actions_is_not_disturbed(name):
    runtime = SimulationRuntime()

    def sampled(env: gym.Env) -> list[int]:
        env.reset(seed=0)
        env.action_space.seed(5)
        actions = []
        for _ in range(12):
            runtime.advance(1.0)  # the guessed step is made meanwhile
            actions.append(int(env.action_space.sample()))
            if any(env.step(actions[-1])[2:4]):
                env.reset()
        return actions

    guessers = {"policy": Answers(lambda query: np.int64(0))}
    with make(gym.make(name), None, guessers=guessers, runtime=runtime) as env:
        assert sampled(env) == sampled(gym.make(name))


# predict, and those who call it.


def test_predict_for_one_observation_and_for_a_batch_of_one():
    with make(gym.make("CartPole-v1"), lambda observation: int(observation[2] > 0)) as env:
        observation, _ = env.reset(seed=0)
        expected = int(observation[2] > 0)
        assert env.policy.predict(observation) == (expected, None)
        actions, state = env.policy.predict(observation[None], state="kept", episode_start=np.ones(1, bool))
        assert (actions.tolist(), state) == ([expected], "kept")
        with pytest.raises(InvalidConfiguration, match="given 2 observations"):
            env.policy.predict(np.stack([observation] * 2))


def test_predict_for_a_batch_of_mappings():
    with make(gym.make("SpecChess-v0", opponent="random"), lambda observation: observation["history"]) as env:
        observation, _ = env.reset(seed=0)
        batch = {name: [value] for name, value in observation.items()}
        assert env.policy.predict(batch)[0].tolist() == [observation["history"]]


def evaluated(env: SpeculativeWrapper[Any, Any], batched: bool) -> float:
    """Play an episode as stable-baselines3's ``evaluate_policy`` does; the time that it waited."""
    observation, _ = env.reset(seed=0)
    state, start, done, space = None, np.ones(1, dtype=bool), False, env.observation_space
    while not done:
        if batched:  # as its DummyVecEnv has them: in the space's dtype
            actions, state = env.policy.predict(
                np.array([observation], space.dtype), state=state, episode_start=start, deterministic=True
            )
            action = actions[0]
        else:
            action, state = env.policy.predict(observation, state=state, episode_start=start, deterministic=True)
        observation, _, terminated, truncated, _ = env.step(action)
        done, start = terminated or truncated, np.zeros(1, dtype=bool)
    return env.statistics.waited_s


@pytest.mark.parametrize("batched", [False, True])
def test_evaluation_loops_that_call_predict_are_faster(batched):
    # Down, down, right, and into a hole or to the end: all steps are foreseen while the first is decided.
    with lake(lambda observation: DOWN if observation < 8 else RIGHT, max_inflight=16) as env:
        assert evaluated(env, batched) == 1.0


@pytest.mark.parametrize("batched", [False, True])
def test_evaluation_of_a_box_env_saves_time_too(batched):
    def policy(observation: Any) -> int:
        return 0

    guessers = {"policy": Answers(policy)}
    with make(gym.make("CartPole-v1"), with_latency(policy, 1.0), guessers=guessers, max_inflight=32) as env:
        assert evaluated(env, batched) == 1.0


def test_evaluate_policy_of_stable_baselines3():
    evaluation = pytest.importorskip("stable_baselines3.common.evaluation")
    monitor = pytest.importorskip("stable_baselines3.common.monitor")
    with lake(lambda observation: DOWN if observation < 8 else RIGHT, max_inflight=16) as env:
        mean, deviation = evaluation.evaluate_policy(env.policy, monitor.Monitor(env), n_eval_episodes=2, warn=False)
        assert deviation == 0.0
        assert mean in (0.0, 1.0)
        assert env.statistics.saved > 0.5
