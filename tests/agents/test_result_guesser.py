"""``ResultGuesser``: results that come again, and agents that go on before a slow result is there."""

from __future__ import annotations

import contextlib
import dataclasses
import pickle
from typing import Any

import pytest
from gymnasium import spaces

from spec_envs import Call, CallEnv, Effect
from spec_envs.agents import ResultGuesser
from spec_envs.wrappers import SimulationRuntime, SpeculativeWrapper
from spec_envs.wrappers.handlers import with_latency


@dataclasses.dataclass(frozen=True)
class Query:
    name: str
    item: int


def read(name: str, item: int = 0, effect: Effect = Effect.READ) -> Call:
    return Call("tool", Query(name, item), effect)


def responses(guesser: ResultGuesser, call: Call) -> list[Any]:
    return [guess.response for guess in guesser.guess(call, 3)]


def test_guesses_what_an_equal_read_returned_last():
    guesser = ResultGuesser()
    assert guesser.guess(read("price", 1), 3) == []
    for price in (10, 11):
        guesser.observe(read("price", 1), price)
    assert responses(guesser, read("price", 1)) == [11] and responses(guesser, read("price", 2)) == []
    assert responses(pickle.loads(pickle.dumps(guesser)), read("price", 1)) == [11]


def test_a_read_that_returned_nothing_may_return_nothing_again():
    guesser = ResultGuesser(copy=lambda query: 1)
    guesser.observe(read("find"), None)
    assert responses(guesser, read("find")) == [None]


@pytest.mark.parametrize("effect", [Effect.SAMPLE, Effect.WRITE])
def test_only_reads_come_again(effect):
    guesser = ResultGuesser(copy=lambda query: 1)
    guesser.observe(read("price"), 10)
    guesser.observe(read("price", 1, effect), 10)
    assert guesser.guess(read("price", 1, effect), 3) == []


def test_learns_for_each_tool_how_often_results_come_again():
    guesser = ResultGuesser()
    for time in range(20):
        guesser.observe(read("clock"), time)
        guesser.observe(read("price"), 10)
    (clock,), (price,) = (guesser.guess(read(name), 1) for name in ("clock", "price"))
    assert clock.probability < 0.25 and price.probability > 0.95


def test_a_copy_is_judged_apart_and_may_say_nothing():
    guesser = ResultGuesser(copy=lambda query: None if query.item > 50 else query.item)
    (first,) = guesser.guess(read("price", 1), 3)
    for item in range(20):
        guesser.observe(read("price", item), item + 1)  # the copy is out of date
    assert responses(guesser, read("price", 3)) == [4] and responses(guesser, read("price", 99)) == []
    (copied,), (seen,) = guesser.guess(read("price", 40), 3), guesser.guess(read("price", 3), 3)
    assert copied.response == 40 and copied.probability < 0.15 < first.probability < seen.probability


class Shop(CallEnv[dict[str, Any], Any]):
    """Each step reads the price of an item."""

    def __init__(self, prices) -> None:
        super().__init__({"tool": prices})
        self.observation_space: Any = spaces.Discrete(1_000)
        self.action_space: Any = spaces.Discrete(10)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return 0, {}

    def step(self, action):
        self.steps += 1
        price = self.ask(Call("tool", Query("price", int(action)), Effect.READ))
        return price, 0.0, self.steps == 6, False, {}


@pytest.mark.parametrize("change", [0, 1], ids=["the same prices", "other prices"])
def test_the_next_call_starts_before_a_slow_result_is_there(change):
    now = {"change": 0}
    prices = with_latency(lambda query: 10 * query.item + now["change"], 3.0)
    policy = with_latency(lambda observation: (observation // 10 + 1) % 10, 1.0)

    def episode(guessers):
        runtime = SimulationRuntime()
        with contextlib.closing(SpeculativeWrapper(Shop(prices), policy, guessers=guessers, runtime=runtime)) as env:
            observation, _ = env.reset(seed=0)
            start, seen, done = runtime.now(), [observation], False
            while not done:
                observation, _, done, _, _ = env.step(env.act(observation))
                seen.append(observation)
            return seen, runtime.now() - start

    guesser = ResultGuesser()
    episode({"tool": guesser})
    now["change"] = change
    plain, seconds = episode({})
    ahead, fewer = episode({"tool": guesser})
    assert ahead == plain and seconds == pytest.approx(24.0)
    assert fewer <= 24.0 if change else fewer < 12.0  # the thoughts run beside the reads before them
