"""``AsyncSpeculativeWrapper``: what only it has. The promises that all runtimes share are tested with the others."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import gymnasium as gym
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spec_envs import Call, CallEnv, CancelToken, Guess
from spec_envs.benchmarks.episodes import VirtualLoop
from spec_envs.errors import EnvClosed, InvalidConfiguration, NotForkable, ResetNeeded
from spec_envs.testing import FakeEnv, pure_response
from spec_envs.values import key_of
from spec_envs.wrappers import AsyncSpeculativeWrapper, Limits, SpeculativeWrapper, Verdict, certify_async
from spec_envs.wrappers.handlers import rate_limited, retry, with_latency
from spec_envs.wrappers.quota import HandlerLimit
from tests.virtual_time import run
from tests.wrappers.loops import PERFECT, Answers, Counter, choose, plain, play


class Slow:
    """An async handler: answers after some seconds, and counts what became of its calls."""

    def __init__(self, function: Callable[[Any], Any] = pure_response, seconds: float = 2.0) -> None:
        self._function = function
        self.seconds = seconds
        self.started = self.answered = self.cancelled = 0

    async def __call__(self, query: Any) -> Any:
        self.started += 1
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.answered += 1
        return self._function(query)


class Guesses:
    """Async, and at once."""

    def __init__(self, function: Callable[[Any], Any], probability: float = 0.9) -> None:
        self._function = function
        self._probability = probability
        self.learned: list[Any] = []

    async def guess(self, call: Call, k: int) -> list[Guess]:
        return [Guess(self._function(call.query), self._probability)]

    def observe(self, call: Call, response: Any) -> None:
        self.learned.append((asyncio.get_running_loop(), response))


def make(env: gym.Env | None = None, policy: Any = None, **options: Any) -> AsyncSpeculativeWrapper[Any, Any]:
    options.setdefault("guard", False)
    return AsyncSpeculativeWrapper(
        FakeEnv({"world": Slow()}) if env is None else env, policy or Slow(choose, 3.0), **options
    )


async def episode(env: AsyncSpeculativeWrapper[Any, Any], seed: int = 0) -> list[Any]:
    """Like ``play``."""
    observation, info = await env.reset(seed=seed)
    seen, done = [key_of((observation, plain(info)))], False
    while not done:
        action = await env.act(observation)
        observation, reward, done, truncated, info = await env.step(action)
        seen.append(key_of((action, observation, float(reward), done, truncated, plain(info))))
    return seen


async def after(seconds: float, awaitable: Awaitable[Any]) -> Any:
    """Cancel what awaits ``awaitable``, as a time-out does."""
    async with asyncio.timeout(seconds):
        return await awaitable


# Tasks.


def test_a_discarded_branch_has_its_task_cancelled_at_once():
    cancelled_at: list[tuple[float, bool]] = []

    async def world(query: Any, cancel: CancelToken) -> int:
        try:
            await asyncio.sleep(100.0)
        except asyncio.CancelledError:
            cancelled_at.append((asyncio.get_running_loop().time(), cancel.cancelled))
            raise
        return 0

    async def main() -> None:
        wrong = {"policy": Guesses(lambda query: (choose(query) + 1) % 4)}
        async with make(FakeEnv({"world": world}), guessers=wrong) as env:
            observation, _ = await env.reset(seed=0)
            action = await env.act(observation)  # takes three seconds
            with pytest.raises(TimeoutError):
                await after(1.0, env.step(action))
            assert cancelled_at == [(3.0, True)]
            assert env.statistics.calls["cancelled"] == 1

    run(main)


def test_cooperative_tokens_work_too():
    called: list[float] = []

    async def world(query: Any, cancel: CancelToken) -> int:
        cancel.on_cancel(lambda: called.append(cancel.now()))
        await cancel.asleep(100.0)
        return 0

    async def main() -> None:
        wrong = {"policy": Guesses(lambda query: (choose(query) + 1) % 4)}
        async with make(FakeEnv({"world": world}), guessers=wrong) as env:
            observation, _ = await env.reset(seed=0)
            await env.act(observation)
            with pytest.raises(TimeoutError):
                await after(1.0, env.step(choose(observation)))
        assert called == [3.0, 4.0]  # the branch's when it was discarded, the real one's on close

    run(main)


def test_a_call_that_ignores_its_cancellation_keeps_its_place_until_it_returns():
    release = asyncio.Event()

    async def world(query: Any) -> Any:
        if query[1] != choose(""):
            try:
                await release.wait()
            except asyncio.CancelledError:
                await release.wait()
                return "dropped"
        return pure_response(query)

    async def main() -> None:
        guessers = {"policy": Guesses(lambda query: choose("") ^ 1)}
        env = make(FakeEnv({"world": world}), Slow(lambda seen: choose(""), 1.0), guessers=guessers, max_inflight=1)
        assert await episode(env) == play(FakeEnv(), lambda seen: choose(""))
        assert env.statistics.calls["open"] == 1  # all the time, so that there was no place for another
        release.set()
        await env.close()
        assert env.statistics.calls["open"] == 0

    run(main)


def test_close_warns_of_a_call_that_does_not_end():
    release = asyncio.Event()

    async def world(query: Any) -> Any:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                pass
        return 0

    async def main() -> None:
        env = make(FakeEnv({"world": world}), guessers={"policy": Guesses(choose)})
        observation, _ = await env.reset(seed=0)
        await env.act(observation)
        with pytest.warns(RuntimeWarning, match="1 call\\(s\\) ignore that they were cancelled .*: world"):
            await env.close()
        release.set()
        await asyncio.sleep(0.1)

    run(main)


def test_two_may_close_at_once():
    async def world(query: Any) -> int:
        try:
            await asyncio.sleep(100.0)
        except asyncio.CancelledError:
            await asyncio.sleep(1.0)
        return 0

    async def main() -> None:
        env = make(FakeEnv({"world": world}), guessers={"policy": Guesses(choose)})
        observation, _ = await env.reset(seed=0)
        await env.act(observation)
        await asyncio.gather(env.close(), env.close())
        assert asyncio.get_running_loop().time() == 4.0

    run(main)


def test_a_branch_that_somebody_else_cancels_is_not_missed():
    async def main() -> None:
        async with make(guessers={"policy": Guesses(choose), "world": Guesses(pure_response)}) as env:
            observation, _ = await env.reset(seed=0)
            acting = asyncio.create_task(env.act(observation))
            await asyncio.sleep(0.5)
            for task in asyncio.all_tasks() - {asyncio.current_task(), acting}:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):  # its own call may be among them
                await acting
            assert await episode(env) == play(FakeEnv(), choose)

    run(main)


def test_a_wrapper_whose_loop_has_ended_can_be_closed_in_another():
    release = threading.Event()

    async def main() -> AsyncSpeculativeWrapper[Any, Any]:
        env = make(FakeEnv(), lambda observation: release.wait(30.0))
        observation, _ = await env.reset(seed=0)
        await asyncio.wait([asyncio.create_task(env.act(observation))], timeout=0.01)
        return env

    env = asyncio.run(main())
    release.set()
    asyncio.run(env.close())
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("speculation-")]


def test_two_tasks_take_turns():
    async def main() -> None:
        async with make() as env, asyncio.TaskGroup() as group:
            observation, _ = await env.reset(seed=0)
            acts = [group.create_task(env.act(observation)) for _ in range(2)]
            steps = [group.create_task(env.step(0)) for _ in range(2)]
        assert [task.result() for task in acts] == [choose(observation)] * 2
        other = FakeEnv()
        other.reset(seed=0)
        assert [task.result()[0] for task in steps] == [other.step(0)[0] for _ in range(2)]

    run(main)


@pytest.mark.parametrize("turns", range(0, 60, 3))
def test_a_loop_that_ends_before_close_takes_its_tasks_along(turns):
    acting: list[asyncio.Task[Any]] = []

    async def main() -> AsyncSpeculativeWrapper[Any, Any]:
        env = make(guessers={"policy": Guesses(choose), "world": Guesses(pure_response)}, max_inflight=8)
        observation, _ = await env.reset(seed=0)
        acting.append(asyncio.create_task(env.act(observation)))
        for _ in range(turns):  # so the loop ends before, while and after guesses arrive and branches start
            await asyncio.sleep(0)
        return env  # not closed

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        env, loop = runner.run(main()), runner.get_loop()
    assert not asyncio.all_tasks(loop)
    with pytest.raises(InvalidConfiguration, match="belongs to another event loop"):
        asyncio.run(env.step(0))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_eager_tasks_change_nothing():
    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009
        instant = Slow(seconds=0.0)
        guessers = {"policy": Guesses(choose), "world": Guesses(pure_response)}
        assert await certify_async(lambda: FakeEnv({"world": instant}), choose_async, guessers, range(3))

    asyncio.run(main())


def test_a_plain_policy_that_raises_stop_iteration_ends_the_plain_loop():
    def never(observation: Any) -> int:
        raise StopIteration

    async def main() -> None:
        certificate = await certify_async(lambda: FakeEnv({"world": Slow(seconds=0.0)}), never, {}, [0])
        assert certificate.failure is not None and "StopIteration" in certificate.failure.error

    asyncio.run(main())


#: Nothing is made ahead of time; where a handler has a limit, the tree keeps to it also then.
PLAINLY = Limits(max_inflight=0)
THROUGH_THE_TREE = Limits(max_inflight=0, per_handler={"world": HandlerLimit(max_inflight=9)})
BOTH_WAYS = pytest.mark.parametrize("limits", [PLAINLY, THROUGH_THE_TREE], ids=["plainly", "through the tree"])


async def choose_async(observation: Any) -> int:
    return choose(observation)


# The user's own task is cancelled.


@BOTH_WAYS
def test_a_cancelled_act_neither_loses_nor_repeats_the_draw(limits: Limits):
    draws = itertools.count(1)
    policy = Slow(lambda observation: next(draws), 3.0)

    async def main() -> None:
        async with make(FakeEnv({"world": Slow()}, num_actions=99), policy, limits=limits) as env:
            observation, _ = await env.reset(seed=0)
            for _ in range(2):
                with pytest.raises(TimeoutError):
                    await after(1.0, env.act(observation))
            before = asyncio.get_running_loop().time()
            assert await env.act(observation) == 1
            assert asyncio.get_running_loop().time() - before == 1.0  # of three seconds
            await env.step(1)
        assert (policy.started, policy.cancelled) == (1, 0)

    run(main)


@BOTH_WAYS
def test_a_cancelled_step_goes_on_where_it_was(limits: Limits):
    world = Slow()

    async def main() -> None:
        async with make(FakeEnv({"world": world}, calls_per_step=3), limits=limits) as env:
            observation, _ = await env.reset(seed=0)
            action = await env.act(observation)
            with pytest.raises(TimeoutError):
                await after(3.0, env.step(action))  # the second of three calls is under way
            assert await env.act(observation) == action  # already decided
            seen = await env.step(action)
            assert asyncio.get_running_loop().time() == 3.0 + 6.0  # the policy, and three calls
        other = FakeEnv(calls_per_step=3)
        other.reset(seed=0)
        assert seen[:4] == other.step(action)[:4]
        assert (world.started, world.answered) == (3, 3)

    run(main)


@BOTH_WAYS
def test_another_action_takes_a_cancelled_step_back(limits: Limits):
    world = Slow()

    async def main() -> None:
        async with make(FakeEnv({"world": world}), limits=limits) as env:
            observation, _ = await env.reset(seed=0)
            action = await env.act(observation)
            with pytest.raises(TimeoutError):
                await after(1.0, env.step(action))
            other = FakeEnv()
            other.reset(seed=0)
            assert (await env.step((action + 1) % 4))[:4] == other.step((action + 1) % 4)[:4]
            assert (world.started, world.cancelled) == (2, 1)
            assert env.statistics.divergences == 0

    run(main)


@BOTH_WAYS
def test_reset_after_a_cancelled_step_and_after_a_cancelled_reset(limits: Limits):
    world = Slow()

    async def main() -> None:
        async with make(FakeEnv({"world": world}, calls_in_reset=2), limits=limits) as env:
            for seed in (0, 1):
                with pytest.raises(TimeoutError):
                    await after(3.0, env.reset(seed=seed))
            assert (await env.reset(seed=1))[0] == FakeEnv(calls_in_reset=2).reset(seed=1)[0]
            assert (world.started, world.answered, world.cancelled) == (4, 3, 1)
            with pytest.raises(TimeoutError):
                await after(1.0, env.step(0))
            assert await episode(env, 5) == play(FakeEnv(calls_in_reset=2), choose, 5)

    run(main)


def test_a_step_without_act_that_was_cancelled_can_be_taken_back_by_act():
    async def main() -> None:
        async with make() as env:
            observation, _ = await env.reset(seed=0)
            with pytest.raises(TimeoutError):
                await after(1.0, env.step(0))
            action = await env.act(observation)
            assert action == choose(observation)
            other = FakeEnv()
            other.reset(seed=0)
            assert (await env.step(action))[:4] == other.step(action)[:4]

    run(main)


@settings(max_examples=40, deadline=None)
@given(
    patience=st.lists(st.floats(0.1, 4.0), min_size=1, max_size=8),
    calls_per_step=st.integers(1, 3),
    guessed=st.booleans(),
    max_inflight=st.integers(0, 4),
)
def test_whoever_gives_up_again_and_again_gets_the_same_episode(
    patience: list[float], calls_per_step: int, guessed: bool, max_inflight: int
) -> None:
    """Every call of the user is given up a few times; the draws that count are those of the first asking."""
    world, policy, times = Slow(), Slow(choose, 3.0), itertools.cycle(patience)

    async def stubborn(method: Callable[..., Any], *args: Any, **options: Any) -> Any:
        while True:
            try:
                return await after(next(times), method(*args, **options))
            except TimeoutError:
                continue

    async def main() -> list[Any]:
        guessers = {"policy": Guesses(choose), "world": Guesses(lambda query: 1, 0.5)} if guessed else {}
        env_inside = FakeEnv({"world": world}, calls_per_step=calls_per_step, calls_in_reset=1, length=3)
        async with make(env_inside, policy, guessers=guessers, max_inflight=max_inflight) as env:
            observation, info = await stubborn(env.reset, seed=0)
            seen, done = [key_of((observation, plain(info)))], False
            while not done:
                action = await stubborn(env.act, observation)
                observation, reward, done, truncated, info = await stubborn(env.step, action)
                seen.append(key_of((action, observation, float(reward), done, truncated, plain(info))))
            assert env.statistics.divergences == 0
            assert env.statistics.commits == 1 + 3 * (calls_per_step + 1)
        return seen

    assert run(main) == play(FakeEnv(calls_per_step=calls_per_step, calls_in_reset=1, length=3), choose)
    if max_inflight == 0:
        assert world.started == world.answered == 1 + 3 * calls_per_step
        assert policy.started == policy.answered == 3


def test_a_cancelled_step_of_an_environment_that_does_not_ask_goes_on_where_it_was():
    stepping, release = threading.Event(), threading.Event()

    class Held(gym.ActionWrapper):
        def action(self, action: Any) -> Any:
            stepping.set()
            assert release.wait(30.0)
            return action

    async def main() -> None:
        async with AsyncSpeculativeWrapper(Held(gym.make("CartPole-v1")), rehearse=False) as env:
            await env.reset(seed=3)
            step = asyncio.create_task(env.step(1))
            await asyncio.to_thread(stepping.wait, 30.0)
            step.cancel()
            await asyncio.wait([step])
            release.set()
            observation = (await env.step(1))[0]
            assert env.statistics.calls["committed"] == 1 and env.statistics.calls["cancelled"] == 0
        other = gym.make("CartPole-v1")
        other.reset(seed=3)
        assert key_of(observation) == key_of(other.step(1)[0])

    asyncio.run(main())


# Plain functions.


def test_plain_functions_run_on_threads_and_the_loop_goes_on():
    threads: set[str] = set()
    inside, release = threading.Event(), threading.Event()

    def world(query: Any) -> int:
        threads.add(threading.current_thread().name)
        inside.set()
        assert release.wait(30.0)
        return pure_response(query)

    class Learner(Answers):
        def observe(self, call: Call, response: Any) -> None:
            threads.add(threading.current_thread().name)

    async def main() -> None:
        async with make(FakeEnv({"world": world}), choose, guessers={"world": Learner(pure_response)}) as env:
            playing = asyncio.create_task(episode(env))
            assert await asyncio.to_thread(inside.wait, 30.0)  # the loop is free
            release.set()
            assert await playing == play(FakeEnv(), choose)
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("speculation-")]

    asyncio.run(main())
    assert threads and all(name.startswith("speculation-") for name in threads)


def test_a_plain_function_may_return_something_to_await():
    async def main() -> None:
        slow = Slow(seconds=0.0)
        async with make(FakeEnv({"world": lambda query: slow(query)}), lambda seen: choose_async(seen)) as env:
            assert await episode(env) == play(FakeEnv(), choose)
        assert slow.answered == 10

    asyncio.run(main())


def test_close_awaits_a_guesser_that_is_slow_to_learn():
    learning, release = threading.Event(), threading.Event()

    class Learner(Answers):
        def observe(self, call: Call, response: Any) -> None:
            learning.set()
            assert release.wait(30.0)

    async def main() -> None:
        env = make(FakeEnv(length=1), choose, guessers={"world": Learner(pure_response)})
        await episode(env)
        closing = asyncio.create_task(env.close())
        assert await asyncio.to_thread(learning.wait, 30.0)  # the loop is free
        release.set()
        await closing
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("speculation-")]

    asyncio.run(main())


def test_an_async_guesser_learns_on_the_loop():
    guesser = Guesses(pure_response)

    async def main() -> None:
        async with make(guessers={"world": guesser}) as env:
            await episode(env)
        assert [loop for loop, _ in guesser.learned] == [asyncio.get_running_loop()] * 10

    run(main)


def test_sleeping_in_an_async_handler_would_stop_the_loop():
    async def world(query: Any, cancel: CancelToken) -> int:
        cancel.sleep(1.0)
        return 0

    async def main() -> None:
        async with make(FakeEnv({"world": world})) as env:
            await env.reset(seed=0)
            with pytest.raises(InvalidConfiguration, match="would stop the event loop"):
                await env.step(0)

    run(main)


def test_async_functions_are_refused_where_nothing_awaits_them():
    cases: list[dict[str, Any]] = [{"policy": choose_async}, {"guessers": {"world": Guesses(pure_response)}}]
    for options in cases:
        with pytest.raises(
            InvalidConfiguration, match="is a coroutine function, which only AsyncSpeculativeWrapper awaits"
        ):
            SpeculativeWrapper(FakeEnv(), **options)
    with pytest.raises(InvalidConfiguration, match="the handler 'world' is a coroutine function, which"):
        SpeculativeWrapper(FakeEnv({"world": Slow()}))

    class Learner(Guesses):
        async def observe(self, call: Call, response: Any) -> None:  # type: ignore[override]
            pass

    with pytest.raises(InvalidConfiguration, match="guessers\\['world'\\].observe is a coroutine function"):
        make(guessers={"world": Learner(pure_response)})
    env = FakeEnv({"world": Slow()})
    env.reset(seed=0)
    with pytest.raises(
        InvalidConfiguration, match="the handler 'world' is a coroutine function, and step\\(\\) cannot"
    ):
        env.step(0)


# Errors, and environments that break the rules.


def test_what_must_be_there_and_what_is_closed():
    async def main() -> None:
        env = make()
        with pytest.raises(ResetNeeded, match="there is no episode"):
            await env.act("")
        with pytest.raises(ResetNeeded, match="reset"):
            await env.step(0)
        await episode(env)
        with pytest.raises(ResetNeeded, match="10 of 10 steps"):
            await env.step(0)
        await env.reset(seed=0)
        waiting = asyncio.create_task(env.act(";"))
        await asyncio.sleep(0.5)
        await env.close()
        await env.close()
        with pytest.raises(EnvClosed, match="closed while a response was awaited"):
            await waiting
        for use in (env.reset, lambda: env.step(0), lambda: env.act("")):
            with pytest.raises(EnvClosed, match="AsyncSpeculativeWrapper<.*make a new one"):
                await use()

    run(main)


def test_closing_in_the_middle_of_a_step_ends_it():
    async def main() -> None:
        env = make(guessers={"policy": Guesses(choose)})
        await env.reset(seed=0)
        step = asyncio.create_task(env.step(0))
        await asyncio.sleep(0.5)
        await env.close()
        with pytest.raises(EnvClosed):
            await step
        assert env.statistics.calls["open"] == 0

    run(main)


class Fallback(CallEnv[int, int]):
    """Asks somebody else when the first one fails, and whom it asks third depends on that."""

    action_space: gym.spaces.Discrete[Any] = gym.spaces.Discrete(4)
    observation_space: gym.spaces.Discrete[Any] = gym.spaces.Discrete(1000)

    def __init__(self, *, knows: bool = True, **handlers: Any) -> None:
        super().__init__(handlers)
        self.steps, self.knows = 0, knows

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return 0, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        draw = int(self.np_random.integers(10))
        try:
            found = self.ask(Call("first", (self.steps, action)))
        except OSError:
            found = self.ask(Call("second", (self.steps, action, draw)))
        third = self.ask(Call("second", (found, draw, self.knows)))
        self.steps += 1
        return 10 * self.steps + (found + third) % 10, 0.0, self.steps >= 5, False, {"draw": draw}

    def fork(self) -> Fallback:
        twin = super().fork()
        twin.knows = True
        return twin


def first(query: Any) -> int:
    if query[0] % 2:
        raise OSError("offline")
    return pure_response(query)


@pytest.mark.parametrize("faithful", [True, False])
def test_what_no_fork_asked_for_is_awaited_then(faithful):
    """An environment that goes on after a failed call, and one whose forks ask for something else."""

    def act(observation: int) -> int:
        return observation % 4

    async def decide(observation: int) -> int:
        await asyncio.sleep(2.0)
        return act(observation)

    expected = play(Fallback(knows=faithful, first=first, second=pure_response), act)

    def told() -> Any:
        return contextlib.nullcontext() if faithful else pytest.warns(RuntimeWarning, match="speculation.* ends here")

    second = Slow()

    async def main() -> None:
        limits = Limits(max_inflight=0, per_handler={"second": HandlerLimit(max_inflight=9)})  # so there is a tree
        inside = gym.wrappers.TimeLimit(Fallback(knows=faithful, first=Slow(first), second=second), 50)
        async with make(inside, decide, guessers={"policy": Guesses(act)}, limits=limits) as env:
            with told():
                assert await episode(env) == expected
            assert env.statistics.divergences >= (2 if faithful else 1)
            assert sum(env.statistics.calls.values()) == sum(event.kind == "start" for event in env.trace)
        handlers = {"first": Slow(first), "second": Slow()}
        with told():
            assert await certify_async(lambda: Fallback(knows=faithful, **handlers), decide, {}, range(3))

    run(main)


def test_a_step_that_is_no_function_of_its_responses_is_refused():
    times = itertools.count()

    class Restless(FakeEnv):
        def step(self, action: int) -> Any:
            self.ask(Call("world", next(times)))
            return super().step(action)

    async def main() -> None:
        async with make(Restless({"world": Slow()})) as env:
            await env.reset(seed=0)
            with pytest.raises(NotForkable, match="asked for Call\\(handler='world', .* where it had asked for Call"):
                await env.step(0)

    run(main)


def test_a_handler_that_gives_up_as_if_cancelled_is_asked_again():
    async def world(query: Any) -> int:
        if not failed:
            failed.append(query)
            raise asyncio.CancelledError
        return pure_response(query)

    failed: list[Any] = []

    async def main() -> None:
        async with make(FakeEnv({"world": world})) as env:
            observation, _ = await env.reset(seed=0)
            with pytest.raises(asyncio.CancelledError):
                await env.step(0)
            other = FakeEnv()
            other.reset(seed=0)
            assert (await env.step(0))[:4] == other.step(0)[:4]

    run(main)


# certify_async.


def test_certificates():
    count = itertools.count()
    guessers = {"policy": Guesses(choose), "world": Guesses(pure_response)}

    async def main() -> None:
        result = await certify_async(lambda: FakeEnv({"world": Slow()}), choose_async, guessers, range(3))
        assert (result.verdict, result.seeds) == (Verdict.LOSSLESS, 3)
        result = await certify_async(
            lambda: FakeEnv({"world": Slow(lambda query: next(count))}), choose_async, guessers, range(3)
        )
        assert (result.verdict, result.seeds) == (Verdict.NONDETERMINISTIC_CONTROL, 1)
        assert result.difference is not None and result.difference.step == 1

        def hidden() -> FakeEnv:
            numbers = itertools.count()  # depends on how often it was called, which branches do too
            return FakeEnv({"world": Slow(lambda query: next(numbers) % 4)})

        wrong = {"policy": Guesses(lambda query: choose(query) ^ 1)}
        result = await certify_async(hidden, Slow(choose, 5.0), wrong, range(3))
        assert (result.verdict, result.seeds) == (Verdict.DIVERGED, 1)

    run(main)


def test_plain_handlers_are_certified_on_the_loop_too():
    assert asyncio.run(certify_async(FakeEnv, Counter(), PERFECT, range(2)))


class Unreliable:
    """Fails on the first call of each query."""

    def __init__(self) -> None:
        self._seen: set[Any] = set()

    def __call__(self, query: Any) -> Any:
        if query not in self._seen:
            self._seen.add(query)
            raise ValueError("once")
        return pure_response(query)


@pytest.mark.parametrize(
    "world",
    [
        lambda: with_latency(pure_response, 0.001),
        lambda: rate_limited(pure_response, 1, 0.002),
        lambda: retry(Unreliable(), attempts=3, backoff_s=0.001),
        lambda: with_latency(rate_limited(retry(Unreliable(), attempts=3, backoff_s=0.001), 1, 0.001), 0.001),
    ],
    ids=["with_latency", "rate_limited", "retry", "all"],
)
def test_a_decorated_plain_handler_waits_on_its_worker_thread(world):
    assert asyncio.run(certify_async(lambda: FakeEnv({"world": world()}), choose, PERFECT, range(2)))


def test_statistics_can_be_read_before_a_loop_runs() -> None:
    env = AsyncSpeculativeWrapper(FakeEnv(), policy=Slow())
    assert env.statistics.commits == 0
    run(env.close)
