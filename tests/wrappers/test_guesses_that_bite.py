"""Guesses and guessers that bite: dropped, counted and told once, and the episode is that of the plain loop."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from spec_envs import Call, Guess
from spec_envs.agents import ChatGuesser
from spec_envs.agents.llm import Completion
from spec_envs.testing import FakeEnv, pure_response
from spec_envs.values import key_of
from spec_envs.wrappers import AsyncSpeculativeWrapper, SpeculativeWrapper
from spec_envs.wrappers.handlers import with_latency
from spec_envs.wrappers.runtimes.simulation import SimulationRuntime
from spec_envs.wrappers.runtimes.threads import ThreadRuntime
from tests.virtual_time import AsyncGuesser
from tests.wrappers.loops import RUNTIMES, choose, make, plain, play, slow_fake


class _Hashed:
    def __hash__(self) -> int:
        return 1


class EqualsArray(_Hashed):
    __hash__ = _Hashed.__hash__

    def __eq__(self, other: object) -> Any:
        return np.array([True, False])


class EqualRaises(_Hashed):
    __hash__ = _Hashed.__hash__

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("do not compare me")


class EqualExits(_Hashed):
    __hash__ = _Hashed.__hash__

    def __eq__(self, other: object) -> bool:
        raise SystemExit(4)


class EqualsAll(_Hashed):
    __hash__ = _Hashed.__hash__

    def __eq__(self, other: object) -> bool:
        return True


class HashRaises:
    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        raise RuntimeError("no hash")


class Collides(int):
    def __hash__(self) -> int:
        return 0


class ReduceRaises:
    def __reduce__(self) -> Any:
        raise RuntimeError("no")


class ReduceExits:
    def __reduce__(self) -> Any:
        raise SystemExit(5)


class Unhashable:
    __hash__ = None  # type: ignore[assignment]

    def __init__(self) -> None:
        self.me = self


def _itself() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


ODD: dict[str, Callable[[], Any]] = {
    "== gives an array": EqualsArray,
    "== raises": EqualRaises,
    "== exits": EqualExits,
    "== is always true": EqualsAll,
    "hash raises": HashRaises,
    "hashes collide": lambda: Collides(2),
    "__reduce__ raises": ReduceRaises,
    "__reduce__ exits": ReduceExits,
    "unhashable, holds itself": Unhashable,
    "a list that holds itself": _itself,
    "an array": lambda: np.arange(3),
    "NaN": lambda: float("nan"),
    "a generator": lambda: (i for i in range(3)),
    "an array of arrays": lambda: np.array([np.arange(2), None], dtype=object),
}


class Gives:
    def __init__(self, give: Callable[[], Any]) -> None:
        self._give = give

    def guess(self, call: Call, k: int) -> Any:
        return self._give()


@pytest.mark.filterwarnings("ignore:the guesser for:RuntimeWarning")
@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_odd_guesses_change_nothing(name: str, runtime: str) -> None:
    seconds = 0.001 if runtime == "threads" else 1.0
    guesser = Gives(lambda: [Guess(ODD[name](), 0.4), Guess(ODD[name](), 0.3), Guess(2, 0.2)])
    env = make(slow_fake(seconds), guessers={"world": guesser, "policy": guesser}, runtime=runtime)
    assert play(env, env.act, 3) == play(FakeEnv(), choose, 3)
    env.close()


def _raising(error: BaseException) -> Callable[[], Any]:
    def give() -> Any:
        raise error

    return give


class ShowsNothing(Exception):
    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__


BROKEN: dict[str, tuple[Callable[[], Any], str]] = {
    "raises": (_raising(ValueError("no idea")), "no idea"),
    "exits": (_raising(SystemExit(3)), r"SystemExit\(3\)"),
    "raises KeyboardInterrupt": (_raising(KeyboardInterrupt()), r"KeyboardInterrupt\(\)"),
    "raises what cannot be shown": (_raising(ShowsNothing()), "<ShowsNothing, repr: RuntimeError>"),
    "raises GeneratorExit": (_raising(GeneratorExit()), r"GeneratorExit\(\)"),
    "a list of numbers": (lambda: [1], "returned 1; a guesser returns a sequence of Guess"),
    "a list of pairs": (lambda: [(1, 0.9)], r"returned \(1, 0.9\)"),
    "a bare guess": (lambda: Guess(1, 0.9), "returned Guess"),
    "nothing": (lambda: None, "returned None"),
    "text": (lambda: "1", "returned '1'"),
    "a probability of 9": (lambda: [Guess(1, 9)], "must lie in .0, 1., not 9"),
    "a probability of NaN": (lambda: [Guess(1, float("nan"))], "not nan"),
    "a probability as text": (lambda: [Guess(1, "0.9")], "not '0.9'"),  # type: ignore[arg-type]
    "a guess and a number": (lambda: [Guess(1, 0.5), 2], "returned 2"),
    "what cannot be copied": (lambda: [Guess((i for i in range(2)), 0.5)], "generator, which can change"),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_broken_guesser_is_told_once_with_its_message(name: str, runtime: str) -> None:
    give, message = BROKEN[name]
    seconds = 0.02 if runtime == "threads" else 1.0
    env = make(slow_fake(seconds), guessers={"world": Gives(give)}, runtime=runtime)
    with pytest.warns(RuntimeWarning, match=message) as told:
        assert play(env, env.act, 3) == play(FakeEnv(), choose, 3)
        env.close()
    assert len(told) == 1
    statistics = env.statistics
    assert statistics.guesses["failed"] > 0
    assert list(statistics.guess_errors) == ["world"]
    assert f"failed    {statistics.guesses['failed']} calls of guessers" in str(statistics)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_of_guesses_without_end_the_first_are_taken(runtime: str) -> None:
    guesser = Gives(lambda: (Guess(number, 0.01) for number in itertools.count()))
    env = make(slow_fake(0.01), guessers={"world": guesser}, runtime=runtime)
    assert play(env, env.act, 3) == play(FakeEnv(), choose, 3)
    env.close()
    assert env.statistics.guesses["done"] > 0


class Prefetches:
    def __init__(self, error: BaseException) -> None:
        self._error = error

    def prefetch(self, situation: Any, k: int) -> Any:
        raise self._error


@pytest.mark.parametrize("runtime", ["simulation", "threads"])  # virtual time does not wait for a plain function
def test_a_prefetcher_that_exits_is_told_too(runtime: str) -> None:
    env = make(slow_fake(0.02), prefetchers={"world": Prefetches(SystemExit(6))}, runtime=runtime)
    with pytest.warns(RuntimeWarning, match="'prefetch world' failed.*SystemExit"):
        assert play(env, env.act, 3) == play(FakeEnv(), choose, 3)
        env.close()


def test_a_guesser_never_ends_an_episode_where_warnings_are_errors() -> None:
    env = make(guessers={"world": Gives(_raising(ValueError("no idea")))})
    assert play(env, env.act, 3) == play(FakeEnv(), choose, 3)
    assert env.statistics.guess_errors == {"world": "ValueError('no idea')"}
    env.close()


def test_ctrl_c_during_a_guess_goes_through_and_asks_for_a_reset() -> None:
    pressed: list[int] = []

    def give() -> list[Guess]:
        if not pressed:
            pressed.append(1)
            signal.raise_signal(signal.SIGINT)
        return [Guess(1, 0.5)]

    env = make(guessers={"world": Gives(give)})
    with pytest.raises(KeyboardInterrupt):
        play(env, env.act, 3)
    assert pressed and not env.statistics.guess_errors
    assert play(env, env.act, 3) == play(FakeEnv(), choose, 3)
    env.close()


class Interrupts(FakeEnv):
    """Its forks are interrupted in their n-th step or later, once."""

    after = 0
    pressed = False

    def step(self, action: int) -> Any:
        cls = type(self)
        if self._answer is not None and type(self._answer).__name__ == "Script":
            cls.after -= 1
            if cls.after <= 0 and not cls.pressed:
                cls.pressed = True
                signal.raise_signal(signal.SIGINT)
        return super().step(action)


@pytest.mark.parametrize("after", range(1, 13))
@pytest.mark.parametrize("runtime", ["simulation", "threads"])
def test_ctrl_c_inside_an_event_asks_for_a_reset_or_goes_on(after: int, runtime: str) -> None:
    class Env(Interrupts):
        pass

    Env.after = after
    seconds = 0.001 if runtime == "threads" else 1.0
    guesser = Gives(lambda: [Guess(1, 0.5), Guess(2, 0.4)])
    world = with_latency(pure_response, seconds)
    env: Any = SpeculativeWrapper(
        Env({"world": world}),
        choose,
        guessers={"world": guesser, "policy": guesser},
        runtime=runtime,  # type: ignore[arg-type]
        guard=False,
        rehearse=False,  # its class counts the steps of forks
        prove_every=0,
    )
    try:
        play(env, env.act, 3)
    except KeyboardInterrupt:
        pass
    assert play(env, env.act, 4) == play(FakeEnv(), choose, 4)
    env.close()
    assert env.statistics.calls["open"] == env.statistics.guesses["open"] == 0
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("speculation-")]


class _PressesCtrlC:
    """A part of a runtime: Ctrl-C comes when its clock is read in the main thread for the n-th time."""

    left = 0

    def now(self) -> float:
        if threading.current_thread() is threading.main_thread():
            self.left -= 1
            if not self.left:
                signal.raise_signal(signal.SIGINT)
        now: float = super().now()  # type: ignore[misc]
        return now


class _Threads(_PressesCtrlC, ThreadRuntime):
    pass


class _Simulation(_PressesCtrlC, SimulationRuntime):
    pass


@pytest.mark.parametrize("kind", [_Simulation, _Threads], ids=["simulation", "threads"])
def test_whatever_ctrl_c_cuts_has_ended_when_the_wrapper_is_closed(kind: type[Any]) -> None:
    presses, pressed = 0, True
    while pressed:  # the clock is read at the beginning of every event, between its commands, and around each wait
        presses += 1
        runtime = kind()
        guesser = Gives(lambda: [Guess(1, 0.5), Guess(2, 0.4)])
        guessers = {"world": guesser, "policy": guesser}
        env = make(slow_fake(0.001, length=2), guessers=guessers, runtime=runtime)
        runtime.left, pressed = presses, False
        try:
            play(env, env.act, 3)
        except KeyboardInterrupt:
            pressed = True
        runtime.left = 0
        assert play(env, env.act, 4) == play(FakeEnv(length=2), choose, 4), presses
        env.close()
        assert env.statistics.calls["open"] == env.statistics.guesses["open"] == 0, presses


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), ValueError("no idea")], ids=repr
)
@pytest.mark.parametrize("kind", ["guesser", "awaited guesser", "prefetcher"])
def test_whatever_exits_on_an_event_loop_is_told_and_ends_nothing(kind: str, error: BaseException) -> None:
    async def episode() -> Any:
        options: Any = {
            "guesser": {"guessers": {"world": Gives(_raising(error))}},
            "awaited guesser": {"guessers": {"world": AsyncGuesser(Gives(_raising(error)))}},
            "prefetcher": {"prefetchers": {"world": Prefetches(error)}},
        }[kind]
        env: Any = AsyncSpeculativeWrapper(slow_fake(0.02), choose, **{"guard": False} | options)
        observation, info = await env.reset(seed=3)
        seen = [key_of((observation, plain(info)))]
        terminated = False
        while not terminated:
            action = await env.act(observation)
            observation, reward, terminated, truncated, info = await env.step(action)
            seen.append(key_of((action, observation, float(reward), terminated, truncated, plain(info))))
        await env.close()
        return seen, env.statistics

    with pytest.warns(RuntimeWarning, match="failed") as told:
        seen, statistics = asyncio.run(episode())
    assert len(told) == 1
    assert seen == play(FakeEnv(), choose, 3)
    assert statistics.guesses["failed"] > 0 == statistics.guesses["open"]
    assert repr(error).strip("()") in str(statistics)


def test_a_cut_answer_of_a_guesser_counts_as_a_failure_with_its_reason() -> None:
    def model(request: Any) -> Completion:
        return Completion(text="1\n2", finish_reason="content_filter")

    env = make(guessers={"world": ChatGuesser(model, "generic")}, runtime="simulation")
    with pytest.warns(RuntimeWarning, match=r"cut twice \(content_filter\)"):
        assert play(env, env.act, 3) == play(FakeEnv(), choose, 3)
        env.close()
    statistics = env.statistics
    assert statistics.guesses["failed"] > 0 == statistics.guesses.get("done", 0)
    assert "cut twice (content_filter)" in statistics.guess_errors["world"]


def test_after_an_interrupted_event_the_way_out_is_named() -> None:
    class Env(Interrupts):
        after = 4

    guesser = Gives(lambda: [Guess(1, 0.5), Guess(2, 0.4)])
    options: Any = {"guessers": {"world": guesser, "policy": guesser}, "rehearse": False, "prove_every": 0}
    env = make(Env({"world": with_latency(pure_response, 1.0)}), **options)
    observation, _ = env.reset(seed=0)
    with pytest.raises(KeyboardInterrupt):
        for _ in range(10):
            observation = env.step(env.act(observation))[0]
    with pytest.raises(Exception, match=r"interrupted.*call reset\(\)"):
        env.act(observation)
    with pytest.raises(Exception, match=r"interrupted.*call reset\(\)"):
        env.step(1)
    assert play(env, env.act, 4) == play(FakeEnv(), choose, 4)
    env.close()


def test_a_forked_process_is_told_to_make_its_own_wrapper() -> None:
    env = SpeculativeWrapper(slow_fake(0.01), choose, guessers={"world": Gives(lambda: [Guess(1, 0.5)])}, guard=False)
    observation, _ = env.reset(seed=0)
    observation = env.step(env.act(observation))[0]
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # nothing of pytest may run here
        said = []
        for use in (lambda: env.act(observation), lambda: env.step(1), lambda: env.reset(), lambda: env.statistics):
            try:
                use()
            except Exception as error:
                said.append(f"{type(error).__name__}: {error}")
        env.close()
        os.write(writing, "\n".join(said).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read().splitlines()
    assert os.waitpid(child, 0)[1] == 0
    assert len(said) == 4
    assert all("EnvClosed" in each and "make a new wrapper in this process" in each for each in said)
    plain = FakeEnv()
    first, _ = plain.reset(seed=0)
    assert key_of(observation) == key_of(plain.step(choose(first))[0])
    env.step(env.act(observation))  # the parent goes on
    env.close()
