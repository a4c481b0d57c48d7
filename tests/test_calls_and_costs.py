"""Calls and costs are checked where they are made, so that an error names the value, and not what came of it later."""

from __future__ import annotations

import asyncio
import math
from decimal import Decimal
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from spec_envs import Call, CallEnv, CancelToken, Effect, Guess, Usage
from spec_envs.errors import InvalidConfiguration
from spec_envs.wrappers import AsyncSpeculativeWrapper, SpeculativeWrapper
from spec_envs.wrappers.handlers import DecoratedHandler, metered, record, replay, retry
from spec_envs.wrappers.recording import Recording


@pytest.mark.parametrize("handler", [3, "", None, b"look", ("look",)], ids=repr)
def test_a_call_names_its_handler(handler):
    with pytest.raises(InvalidConfiguration, match="the handler of a call is (named|given)"):
        Call(handler, 1)


@pytest.mark.parametrize("effect", ["read", "WRITE", None, 1, Effect], ids=repr)
def test_the_effect_of_a_call_is_an_effect(effect):
    with pytest.raises(InvalidConfiguration, match="effect of a call of 'look' must be Effect.READ, .* not "):
        Call("look", 1, effect)


@pytest.mark.parametrize("name", ["tokens_in", "tokens_out", "money", "unpriced"])
@pytest.mark.parametrize("value", ["3", math.nan, math.inf, -1, -0.5, None, True, [1], 1j], ids=repr)
def test_a_cost_is_a_number(name, value):
    with pytest.raises(InvalidConfiguration, match=f"{name} of a Usage must be finite and at least 0, not "):
        Usage(**{name: value})


def test_costs_are_kept_as_the_numbers_that_they_mean_and_can_be_subtracted():
    usage = Usage(np.int64(3), 4, Decimal("0.5"))  # type: ignore[arg-type]
    assert (usage.tokens_in, usage.tokens_out, usage.money) == (3, 4, 0.5)
    assert {type(each) for each in (usage.tokens_in, usage.money)} == {float}
    assert type(usage.tokens_out) is int
    assert (Usage(1) + Usage(3) * -1).tokens_in == -2  # a difference


COSTS: Any = [5, "3", {"tokens_in": 3}, Usage]


@pytest.mark.parametrize("cost", COSTS, ids=repr)
def test_what_is_spent_is_a_usage(cost):
    for spend in (lambda token: token.spend(cost), lambda token: token.sleep(0.0, cost)):
        token = CancelToken()
        with pytest.raises(InvalidConfiguration, match="the cost of a call|what a call costs"):
            spend(token)
        assert token.usage() == (Usage(), Usage())


def same(query):
    return query


@pytest.mark.parametrize(
    ("decorate", "given", "message"),
    [
        (metered, (same, 5), "not 5"),
        (metered, (same, lambda query: Usage()), "no parameter for the response"),
        (retry, (same, 2, "OSError"), "not 'OSError'"),
        (retry, (same, 2, [OSError]), "such as \\(OSError,\\), not \\["),
        (retry, (same, 2, (OSError, KeyboardInterrupt)), "not \\(.*KeyboardInterrupt"),
        (record, (same, "calls.jsonl"), "Recording.load\\('calls.jsonl'\\) reads a file"),
        (replay, ("calls.jsonl", same), "Recording.load\\('calls.jsonl'\\) reads a file"),
        (replay, (Recording(), "refuse"), "must be callable"),
        (DecoratedHandler, (same, lambda query: 3), "around\\(inner, query, cancel\\)"),
        (DecoratedHandler, (same, 3), "around\\(inner, query, cancel\\)"),
    ],
    ids=["cost", "cost function", "name", "list", "no Exception", "record", "replay", "missing", "around", "number"],
)
def test_decorators_check_what_they_are_given(decorate, given, message):
    with pytest.raises(InvalidConfiguration, match=message):
        decorate(*given)


def test_one_class_of_errors_is_enough():
    tries = iter([OSError("busy"), None])

    def handler(query):
        error = next(tries)
        if error is not None:
            raise error
        return query

    assert retry(handler, 2, on=OSError, backoff_s=0)(7) == 7


class Asks(CallEnv[int, int]):
    """Each step makes one call, of ``what``."""

    observation_space: gym.spaces.Discrete[Any] = gym.spaces.Discrete(10)
    action_space: gym.spaces.Discrete[Any] = gym.spaces.Discrete(2)

    def __init__(self, what: Any, look: Any = lambda query: 1) -> None:
        super().__init__({"look": look})
        self._what = what

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        return 0, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        return self.ask(self._what()), 0.0, False, False, {}


class Always:
    def guess(self, call, k):
        return [Guess(1, 0.9)]


GUESSERS = {"look": Always(), "policy": Always()}


def steps(env: CallEnv[Any, Any], runtime: str) -> None:
    """Three steps with speculation, and ``close`` while an error is on its way."""
    if runtime == "asyncio":
        asyncio.run(_steps_awaited(env))
        return
    options: dict[str, Any] = {"guessers": GUESSERS, "runtime": runtime, "guard": False}
    with SpeculativeWrapper(env, lambda observation: 1, **options) as wrapper:
        observation, _ = wrapper.reset(seed=0)
        for _ in range(3):
            observation, *_ = wrapper.step(wrapper.act(observation))


async def _steps_awaited(env: CallEnv[Any, Any]) -> None:
    async with AsyncSpeculativeWrapper(env, lambda observation: 1, guessers=GUESSERS, guard=False) as wrapper:
        observation, _ = await wrapper.reset(seed=0)
        for _ in range(3):
            observation, *_ = await wrapper.step(await wrapper.act(observation))


def _spends(cost: Any) -> Any:
    def look(query, cancel):
        cancel.spend(cost)
        return 1

    return look


def _miscounts(query, cancel):
    cancel.spend(Usage(tokens_in="3"))  # type: ignore[arg-type]


RUNTIMES = pytest.mark.parametrize("runtime", ["threads", "simulation", "asyncio"])


@RUNTIMES
@pytest.mark.parametrize(
    ("env", "message"),
    [
        (Asks(lambda: "look"), "ask\\(\\) takes a Call, such as Call\\('handler', query\\), not 'look'"),
        (Asks(lambda: Call("look", 1, "read")), "must be Effect.READ"),  # type: ignore[arg-type]
        (Asks(lambda: Call(3, 1)), "not by 3"),  # type: ignore[arg-type]
        (Asks(lambda: Call("look", 1), _spends(5)), "not 5"),
        (Asks(lambda: Call("look", 1), _miscounts), "tokens_in of a Usage must be .* not '3'"),
        (Asks(lambda: Call("look", 1), metered(lambda query: 1, lambda query, response: 5)), "not 5"),  # type: ignore[arg-type, return-value]
    ],
    ids=["no call", "effect", "name", "spend", "usage", "metered"],
)
def test_the_error_of_a_step_says_what_was_wrong(env, message, runtime):
    with pytest.raises(InvalidConfiguration, match=message):
        steps(env.fork(), runtime)


def _broken_inside() -> Call:
    call = Call("look", 1)
    object.__setattr__(call, "effect", "read")  # as no call can be made: it breaks an event in the middle
    return call


@RUNTIMES
def test_closing_does_not_hide_the_first_error(runtime):
    with pytest.raises(AttributeError, match="'str' object has no attribute '_value_'"):
        steps(Asks(_broken_inside), runtime)
