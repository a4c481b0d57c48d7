"""Environments that are not what Gymnasium and ``CallEnv`` ask for: the error says which part, and how it should be."""

from __future__ import annotations

import asyncio
from typing import Any

import gymnasium as gym
import pytest

from spec_envs import Call, CallEnv, Guess, fork
from spec_envs.errors import ForkCheckFailed, InvalidConfiguration
from spec_envs.testing import check_fork
from spec_envs.wrappers import AsyncSpeculativeWrapper, LastWriteWins, SpeculativeWrapper, Verdict, certify


class Returns(CallEnv[int, int]):
    """Returns what it was told to, from ``step`` and ``reset``."""

    observation_space: gym.spaces.Discrete[Any] = gym.spaces.Discrete(10)
    action_space: gym.spaces.Discrete[Any] = gym.spaces.Discrete(2)

    def __init__(self, step: Any, reset: Any = (0, {})) -> None:
        super().__init__({"look": lambda query: 1})
        self._step, self._reset = step, reset

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        return self._reset

    def step(self, action: int) -> Any:
        self.ask(Call("look", action))
        return self._step


class ReturnsAtOnce(gym.Env[int, int]):
    """The same, of an environment that asks for no calls."""

    observation_space: gym.spaces.Discrete[Any] = gym.spaces.Discrete(10)
    action_space: gym.spaces.Discrete[Any] = gym.spaces.Discrete(2)

    def __init__(self, step: Any, reset: Any = (0, {})) -> None:
        self._step, self._reset = step, reset

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        return self._reset

    def step(self, action: int) -> Any:
        return self._step


class Always:
    def guess(self, call, k):
        return [Guess(1, 0.9)]


def act(observation: Any) -> int:
    return 1


def played(env: Any) -> None:
    with SpeculativeWrapper(env, act, guessers={"policy": Always()}, guard=False) as wrapper:
        observation, _ = wrapper.reset(seed=0)
        for _ in range(2):
            observation, *_ = wrapper.step(wrapper.act(observation))


def played_awaited(env: Any) -> None:
    async def main() -> None:
        async with AsyncSpeculativeWrapper(env, act, guessers={"policy": Always()}, guard=False) as wrapper:
            observation, _ = await wrapper.reset(seed=0)
            for _ in range(2):
                observation, *_ = await wrapper.step(await wrapper.act(observation))

    asyncio.run(main())


def played_live(env: Any) -> None:
    with LastWriteWins(env, act) as wrapper:
        wrapper.reset(seed=0)
        wrapper.step(1)


def checked(env: Any) -> None:
    try:
        check_fork(env, actions=lambda observation, info, rng: 1)
    except ForkCheckFailed as error:
        assert "if the action is not allowed" not in str(error)
        assert isinstance(error.__cause__, InvalidConfiguration)
        raise error.__cause__ from error


RETURNED: Any = [
    ((0, 0.0, False, {}), (0, {}), r"step\(\) of .* must return \(observation, reward, .*\), not 4 values: \(0, 0.0, "),
    (None, (0, {}), r"step\(\) of .* not NoneType: None"),
    ((0, 0.0, False, False, {}), 0, r"reset\(\) of .* must return \(observation, info\), not int: 0"),
    ((0, 0.0, False, False, {}), (0, {}, 1), r"reset\(\) of .* not 3 values"),
]


@pytest.mark.parametrize("kind", [Returns, ReturnsAtOnce], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("play", [played, played_awaited, played_live, checked], ids=lambda play: play.__name__)
@pytest.mark.parametrize(("step", "reset", "message"), RETURNED, ids=["four", "none", "int", "three"])
def test_what_step_and_reset_return_is_named(kind, play, step, reset, message):
    with pytest.raises(InvalidConfiguration, match=message):
        play(kind(step, reset))


@pytest.mark.parametrize("kind", [Returns, ReturnsAtOnce], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(("step", "reset", "message"), RETURNED, ids=["four", "none", "int", "three"])
def test_certify_finds_them_alike_in_both_loops(kind, step, reset, message):
    certificate = certify(lambda: kind(step, reset), act, {"policy": Always()}, [0])
    assert certificate.verdict is Verdict.NOTHING_COMPARED
    with pytest.raises(InvalidConfiguration, match=message):
        raise InvalidConfiguration(certificate.failure)


@pytest.mark.parametrize(
    ("handlers", "message"),
    [
        (None, "handlers must be a mapping from names to handlers, not None"),
        (["look"], "handlers must be a mapping .*, not \\['look'\\]"),
        (act, "handlers must be a mapping"),
        ({3: act}, "handlers are named by a text, not by 3"),
        ({"": act}, "handlers are named by a text, not by ''"),
        ({"policy": act}, "'policy': that is the agent's own decision"),
        ({"look": None}, "a handler must be callable, and None is not"),
        ({"look": lambda: 1}, "no parameter for the query"),
        ({"look": lambda query, token: 1}, "nobody gives its parameter 'token' a value"),
        ({"look": Always}, "no parameter for the query|not the class Always"),
    ],
    ids=["none", "list", "function", "number", "empty", "policy", "no handler", "no query", "token", "class"],
)
def test_handlers_are_checked_when_the_environment_is_made(handlers, message):
    with pytest.raises(InvalidConfiguration, match=message):
        CallEnv(handlers)


class Forgets(Returns):
    """Does not call ``super().__init__``."""

    def __init__(self) -> None:
        self._step, self._reset = (0, 0.0, False, False, {}), (0, {})


@pytest.mark.parametrize(
    "use",
    [
        lambda env: env.reset(seed=0),
        lambda env: env.step(0),
        lambda env: env.handler("look"),
        lambda env: env.handlers,
        fork,
        played,
        played_awaited,
        played_live,
    ],
    ids=["reset", "step", "handler", "handlers", "fork", "sync", "async", "live"],
)
def test_an_environment_that_was_not_set_up_says_so(use):
    env = Forgets()
    with pytest.raises(InvalidConfiguration, match=r"Forgets .* its __init__ must call super\(\).__init__\(handlers\)"):
        use(env)
    env.close()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"steps": "3"}, "steps must be an integer of at least 1, not '3'"),
        ({"seed": -1}, "seed must be an integer of at least 0, not -1"),
        ({"actions": lambda observation: 1}, "actions is called as actions\\(observation, info, rng\\)"),
        ({"env": Returns}, "make one first: Returns\\(…\\)"),
        ({"env": "CartPole-v1"}, "make it first: gym.make\\('CartPole-v1'\\)"),
    ],
    ids=["steps", "seed", "actions", "class", "id"],
)
def test_check_fork_names_what_it_cannot_use(given, message):
    with pytest.raises(InvalidConfiguration, match=message):
        check_fork(**{"env": Returns((0, 0.0, False, False, {}))} | given)
