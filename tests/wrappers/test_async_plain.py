"""Plain steps on an event loop: those of environments that do not ask, where they are quick, and of those that ask."""

from __future__ import annotations

import asyncio
from typing import Any

import gymnasium as gym
import pytest

from spec_envs import Call, CallEnv
from spec_envs.errors import EnvClosed
from spec_envs.testing import FakeEnv, pure_response
from spec_envs.values import key_of
from spec_envs.wrappers import AsyncSpeculativeWrapper, Limits
from spec_envs.wrappers.quota import HandlerLimit
from spec_envs.wrappers.speculation import session
from tests.virtual_time import run, without_threads
from tests.wrappers.loops import choose, play
from tests.wrappers.test_async import Slow, after, episode


def balance(observation: Any) -> int:
    return int(observation[2] + 0.3 * observation[3] > 0)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether steps are quick is measured in real time; here all of them are."""
    monkeypatch.setattr(session, "_QUICK_S", float("inf"))
    monkeypatch.setattr(session, "_SLOW_S", float("inf"))


def make(policy: Any, **options: Any) -> AsyncSpeculativeWrapper[Any, Any]:
    options = {"max_inflight": 0} | options
    return AsyncSpeculativeWrapper(gym.make("CartPole-v1", max_episode_steps=20), policy, **options)


def plain_episode() -> list[Any]:
    env = gym.make("CartPole-v1", max_episode_steps=20)
    observation, info = env.reset(seed=0)
    seen, done = [key_of((observation, info))], False
    while not done:
        action = balance(observation)
        observation, reward, terminated, truncated, info = env.step(action)
        done = terminated or truncated
        seen.append(key_of((action, observation, float(reward), terminated, truncated, info)))
    return seen


def without_tree(env: AsyncSpeculativeWrapper[Any, Any], handler: str) -> list[str | None]:
    """The outcomes of calls that were made without the tree."""
    return [
        event.outcome
        for event in env.trace
        if event.kind == "end" and event.handler == handler and event.call is not None and event.call < 0
    ]


async def stepped_once(env: AsyncSpeculativeWrapper[Any, Any]) -> Any:
    """The observation after one step, which goes through the tree, because nothing is known before it."""
    observation, _ = await env.reset(seed=0)
    observation, *_ = await env.step(await env.act(observation))
    return observation


def test_the_episode_is_the_same_and_the_books_too():
    async def main() -> None:
        async with make(Slow(balance)) as env:
            with without_threads():
                assert await episode_until_the_end(env) == plain_episode()
            figures = env.statistics
            assert figures.commits == figures.calls["committed"] == 40
            assert figures.sequential_s == figures.waited_s == 20 * 2.0
            assert len(without_tree(env, "step")) == 19

    run(main)


async def episode_until_the_end(env: AsyncSpeculativeWrapper[Any, Any]) -> list[Any]:
    seen = []
    observation, info = await env.reset(seed=0)
    seen.append(key_of((observation, {})))
    done = False
    while not done:
        action = await env.act(observation)
        observation, reward, terminated, truncated, info = await env.step(action)
        done = terminated or truncated
        info = {name: value for name, value in info.items() if name != "speculation"}
        seen.append(key_of((action, observation, float(reward), terminated, truncated, info)))
    return seen


@pytest.mark.parametrize("slow_s", [0.0, float("inf")])
def test_slow_steps_are_made_beside_the_loop_again(slow_s: float, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(session, "_SLOW_S", slow_s)

    async def main() -> None:
        async with make(Slow(balance)) as env:
            with without_threads():
                assert await episode_until_the_end(env) == plain_episode()
            assert len(without_tree(env, "step")) == (10 if slow_s == 0.0 else 19)

    run(main)


def test_a_cancelled_act_neither_loses_nor_repeats_the_draw():
    policy = Slow(balance, 3.0)

    async def main() -> None:
        async with make(policy) as env:
            with without_threads():
                observation = await stepped_once(env)
            for _ in range(2):
                with pytest.raises(TimeoutError):
                    await after(1.0, env.act(observation))
            before = asyncio.get_running_loop().time()
            assert await env.act(observation) == balance(observation)
            assert asyncio.get_running_loop().time() - before == 1.0  # of three seconds
        assert (policy.started, policy.answered, policy.cancelled) == (2, 2, 0)

    run(main)


@pytest.mark.parametrize("method", ["step", "reset"])
def test_what_comes_instead_of_the_decision_drops_it(method: str):
    policy = Slow(balance, 3.0)

    async def main() -> None:
        async with make(policy) as env:
            with without_threads():
                observation = await stepped_once(env)
            with pytest.raises(TimeoutError):
                await after(1.0, env.act(observation))
            if method == "step":
                await env.step(0)
            else:
                await env.reset(seed=0)
            await asyncio.sleep(0)
            assert policy.cancelled == env.statistics.calls["cancelled"] == 1
            assert without_tree(env, "policy")[-1] == "stopped"

    run(main)


def test_an_error_of_the_policy_reaches_the_user_and_the_policy_is_asked_again():
    async def policy(observation: Any) -> int:
        asked.append(observation)
        if len(asked) == 2:
            raise OSError("offline")
        return balance(observation)

    asked: list[Any] = []

    async def main() -> None:
        async with make(policy) as env:
            with without_threads():
                observation = await stepped_once(env)
            with pytest.raises(OSError, match="offline"):
                await env.act(observation)
            assert await env.act(observation) == balance(observation)
            assert env.statistics.calls["failed"] == 1

    run(main)


def test_closing_ends_the_decision_under_way():
    policy = Slow(balance, 3.0)

    async def main() -> None:
        env = make(policy)
        with without_threads():
            observation = await stepped_once(env)
        act = asyncio.create_task(env.act(observation))
        await asyncio.sleep(1.0)
        await env.close()
        with pytest.raises(EnvClosed):
            await act
        assert policy.cancelled == 1

    run(main)


# Of environments that ask.


def asking(world: Any, **options: Any) -> AsyncSpeculativeWrapper[Any, Any]:
    env = gym.wrappers.TimeLimit(FakeEnv({"world": world}, calls_per_step=2, calls_in_reset=1), 50)
    options = {"max_inflight": 0} | options
    return AsyncSpeculativeWrapper(env, Slow(choose, 3.0), **options)


def test_the_calls_of_an_environment_are_made_without_the_tree():
    world = Slow()

    async def main() -> None:
        async with asking(world) as env:
            assert await episode(env) == play(FakeEnv(calls_per_step=2, calls_in_reset=1), choose)
            figures, policies = env.statistics, len(without_tree(env, "policy"))
            assert len(without_tree(env, "world")) == world.started == 1 + 2 * policies
            assert figures.waited_s == figures.sequential_s == 3.0 * policies + 2.0 * world.started
            assert figures.commits == figures.calls["committed"] == policies + world.started
            assert all(event.call is None or event.call < 0 for event in env.trace)

    run(main)


def test_where_a_handler_has_a_limit_the_tree_keeps_to_it():
    async def main() -> None:
        limits = Limits(max_inflight=0, per_handler={"world": HandlerLimit(max_inflight=1)})
        async with asking(Slow(), max_inflight=None, limits=limits) as env:
            assert await episode(env) == play(FakeEnv(calls_per_step=2, calls_in_reset=1), choose)
            assert without_tree(env, "world") == []

    run(main)


def test_an_error_of_a_handler_leaves_the_step_to_be_made_again():
    async def world(query: Any) -> Any:
        asked.append(query)
        if len(asked) == 3:  # the second call of the first step
            raise OSError("offline")
        return pure_response(query)

    asked: list[Any] = []

    async def main() -> None:
        async with asking(world) as env:
            observation, _ = await env.reset(seed=0)
            action = await env.act(observation)
            with pytest.raises(OSError, match="offline"):
                await env.step(action)
            other = FakeEnv(calls_per_step=2, calls_in_reset=1)
            other.reset(seed=0)
            assert (await env.step(action))[:4] == other.step(action)[:4]
            assert env.statistics.calls["failed"] == 1
            assert len(asked) == 1 + 2 + 2

    run(main)


@pytest.mark.parametrize("method", ["reset", "step"])
def test_closing_ends_the_call_under_way(method: str):
    world = Slow()

    async def main() -> None:
        env = asking(world)
        if method == "step":
            await env.reset(seed=0)
        under_way = asyncio.create_task(env.step(0) if method == "step" else env.reset(seed=0))
        await asyncio.sleep(1.0)
        await env.close()
        with pytest.raises(EnvClosed):
            await under_way
        assert world.cancelled == env.statistics.calls["cancelled"] == 1

    run(main)


class Forgetful(CallEnv[Any, Any]):
    """Breaks the third rule: a step changes a list, and catches everything, before its calls are answered."""

    observation_space, action_space = gym.spaces.Discrete(10**9), gym.spaces.Discrete(99)

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.said = list[int]()
        return 0, {}

    def step(self, action: int) -> Any:
        self.said.append(action)
        first = self.ask(Call("world", tuple(self.said)))
        self.said.append(first)
        try:
            second = self.ask(Call("world", tuple(self.said)))
        except:  # noqa: E722  # what is tested
            second = -1
        return first + 31 * second + 1000 * len(self.said), 0.0, len(self.said) >= 12, False, {}


class CountsActions(gym.Wrapper[Any, Any, Any, Any]):
    """Keeps the actions before it makes the step."""

    def reset(self, **options: Any) -> Any:
        self.actions = list[int]()
        return super().reset(**options)

    def step(self, action: Any) -> Any:
        self.actions.append(action)
        observation, *rest = super().step(action)
        return observation + len(self.actions), *rest


def say(query: Any) -> int:
    return sum(query) % 7


@pytest.mark.parametrize("options", [{"max_inflight": 0}, {}, {"guard": False}], ids=["plain", "guarded", "ahead"])
def test_what_a_step_changes_before_its_calls_are_answered_is_put_back(options: dict[str, Any]) -> None:
    def factory() -> Any:
        return CountsActions(Forgetful({"world": say}))

    def decide(observation: Any) -> int:
        return int(observation) % 5

    async def awaited() -> list[Any]:
        async with AsyncSpeculativeWrapper(factory(), decide, **options) as env:
            observation, _ = await env.reset(seed=0)
            seen, done = [observation], False
            while not done:
                observation, _, done, _, _ = await env.step(await env.act(observation))
                seen.append(observation)
        return seen

    env = factory()
    observation, done = env.reset(seed=0)[0], False
    expected = [observation]
    while not done:
        observation, _, done, _, _ = env.step(decide(observation))
        expected.append(observation)
    assert asyncio.run(awaited()) == expected
