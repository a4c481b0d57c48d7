"""``step_effect``: environments whose steps act on the outside world are never stepped on forks, nor by checks."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import pytest

from spec_envs import Call, CallEnv, Effect, Guess
from spec_envs.errors import InvalidConfiguration
from spec_envs.testing import check_fork
from spec_envs.wrappers import AsyncSpeculativeWrapper, HandlerLimit, Limits, SpeculativeWrapper


class Arm(gym.Env[int, int]):
    """Moves something outside, which all of its forks share."""

    observation_space: gym.spaces.Discrete[Any] = gym.spaces.Discrete(1000)
    action_space: gym.spaces.Discrete[Any] = gym.spaces.Discrete(2)

    def __init__(self, moves: list[int]) -> None:
        self.moves = moves

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        return 0, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        self.moves.append(action)
        return len(self.moves), 0.0, False, False, {}


class CallingArm(CallEnv[int, int]):
    """The same, with a look before each move; forks share what was moved."""

    shared_on_fork = frozenset({"moves"})
    observation_space: gym.spaces.Discrete[Any] = gym.spaces.Discrete(1000)
    action_space: gym.spaces.Discrete[Any] = gym.spaces.Discrete(2)
    step_effect: Any = Effect.WRITE

    def __init__(self, moves: list[int]) -> None:
        super().__init__({"look": lambda query: query})
        self.moves = moves

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        return 0, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        seen = self.ask(Call("look", action, Effect.READ))
        self.moves.append(seen)
        return len(self.moves), 0.0, False, False, {}


class Declares(gym.Wrapper[int, int, int, int]):
    """A layer that says it of what is inside."""

    step_effect = Effect.WRITE


class Both:
    def guess(self, call, k):
        return [Guess(0, 0.5), Guess(1, 0.5)]


def declared(kind: str, moves: list[int]) -> gym.Env[int, int]:
    if kind == "calls":
        return CallingArm(moves)
    env = Arm(moves)
    if kind == "layer":
        return gym.wrappers.TimeLimit(Declares(env), 100)
    env.step_effect = Effect.WRITE  # type: ignore[attr-defined]
    return gym.wrappers.TimeLimit(env, 100)


@pytest.mark.parametrize(
    "limits", [Limits(), Limits(per_handler={"policy": HandlerLimit(max_inflight=3)})], ids=["", "limited"]
)
@pytest.mark.parametrize("kind", ["object", "layer", "calls"])
def test_only_the_steps_of_the_episode_are_made(kind, limits):
    moves: list[int] = []
    guessers = {"policy": Both()}
    env = declared(kind, moves)
    with SpeculativeWrapper(env, lambda observation: 1, guessers=guessers, limits=limits, guard=False) as wrapper:
        observation, _ = wrapper.reset(seed=0)
        for _ in range(5):
            observation, *_ = wrapper.step(wrapper.act(observation))
    assert moves == [1] * 5


@pytest.mark.parametrize("kind", ["object", "layer", "calls"])
def test_check_fork_steps_nothing_that_acts_outside(kind):
    moves: list[int] = []
    with pytest.raises(InvalidConfiguration, match="declares step_effect = Effect.WRITE: its steps act on the outside"):
        check_fork(declared(kind, moves))
    assert moves == []


def test_on_an_event_loop_a_step_that_acts_and_asks_is_refused():
    with pytest.raises(InvalidConfiguration, match="a step begins anew .* act in a call instead"):
        AsyncSpeculativeWrapper(CallingArm([]), lambda observation: 1)


@pytest.mark.parametrize("effect", ["write", "WRITE", True, Effect], ids=str)
@pytest.mark.parametrize("use", [SpeculativeWrapper, AsyncSpeculativeWrapper, check_fork], ids=lambda use: use.__name__)
def test_what_is_no_effect_is_refused(use, effect):
    for env in (CallingArm([]), Arm([])):
        setattr(env, "step_effect", effect)  # noqa: B010  # of another type
        with pytest.raises(InvalidConfiguration, match="step_effect of (Calling)?Arm must be Effect.READ, .* not "):
            use(env)


@pytest.mark.parametrize("wrapper", [SpeculativeWrapper, AsyncSpeculativeWrapper], ids=["sync", "async"])
def test_the_effect_of_a_policy_is_an_effect_too(wrapper):
    def policy(observation):
        return 1

    policy.effect = "write"  # type: ignore[attr-defined]
    with pytest.raises(InvalidConfiguration, match="effect of the handler policy must be Effect.READ, .* not 'write'"):
        wrapper(Arm([]), policy)
