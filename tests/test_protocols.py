"""What users write is what the types say: handlers, guessers and prefetchers, with and without their options.

mypy and pyright read this file (``make check``). Each ``type: ignore`` below is an error that they must find.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import pytest

from spec_envs import Call, CancelToken, Effect, Guess, Guesser, Handler, Prefetcher, Situation
from spec_envs.guesses import AsyncGuesser
from spec_envs.handling import as_guess, as_handler

CALL = Call("world", 1)


class Plain:
    def guess(self, call: Call, k: int) -> list[Guess]:
        return [Guess(call.query, 1.0)][:k]


class WithOptions:
    def guess(
        self, call: Call, k: int, cancel: CancelToken, early: Callable[[Sequence[Guess]], None]
    ) -> Sequence[Guess]:
        cancel.raise_if_cancelled()
        early([])
        return [Guess(call.query, 1.0)][:k]


class WithDefaults:
    def guess(self, call: Call, k: int, *, cancel: CancelToken | None = None) -> tuple[Guess, ...]:
        return (Guess(call.query, 1.0),)[:k]


class OnALoop:
    async def guess(self, call: Call, k: int, cancel: CancelToken) -> list[Guess]:
        return []


class WithoutK:
    def guess(self, call: Call) -> list[Guess]:
        return []


class OfTexts:
    def guess(self, call: Call, k: int) -> list[str]:
        return []


class Fetching:
    def prefetch(self, situation: Situation, k: int) -> list[Guess]:
        return [Guess(situation.action, 0.5)][:k]


class FetchingWithToken:
    def prefetch(self, situation: Situation, k: int, cancel: CancelToken) -> list[Guess]:
        return []


def of_query(query: int) -> int:
    return query + 1


def of_both(query: int, cancel: CancelToken) -> int:
    cancel.raise_if_cancelled()
    return query + 1


async def awaited(query: int, *, cancel: CancelToken) -> int:
    return query + 1


def of_nothing() -> int:
    return 1


GUESSERS: list[Guesser] = [Plain(), WithOptions(), WithDefaults()]
ASYNC_GUESSERS: list[AsyncGuesser] = [OnALoop()]
PREFETCHERS: list[Prefetcher] = [Fetching(), FetchingWithToken()]
HANDLERS: list[Handler] = [of_query, of_both, lambda query: query + 1]
AWAITED: Handler = awaited

NO_K: Guesser = WithoutK()  # type: ignore[assignment]
NO_GUESSES: Guesser = OfTexts()  # type: ignore[assignment]
NO_PREFETCHER: Prefetcher = Plain()  # type: ignore[assignment]
NO_HANDLER: Handler = of_nothing  # type: ignore[assignment]
NOT_AWAITED: AsyncGuesser = Plain()  # type: ignore[assignment]


def test_guessers_are_asked_with_the_options_that_they_have_parameters_for():
    assert [list(as_guess(guesser.guess)(CALL, 1)) for guesser in GUESSERS] == [[Guess(1, 1.0)]] * 3


def test_prefetchers_are_asked_with_the_options_that_they_have_parameters_for():
    situation = Situation(CALL, before="", action="act", now="")
    found = [list(as_guess(prefetcher.prefetch)(situation, 1)) for prefetcher in PREFETCHERS]
    assert found == [[Guess("act", 0.5)], []]


def test_handlers_can_be_called_with_the_query_alone():
    assert [as_handler(handler)(1) for handler in HANDLERS] == [2, 2, 2]
    assert [as_handler(handler)(1, CancelToken()) for handler in HANDLERS] == [2, 2, 2]


def test_coroutine_functions_can_be_awaited_with_the_query_alone():
    coroutine: Any = as_handler(AWAITED)(1)
    try:
        coroutine.send(None)
    except StopIteration as done:
        assert done.value == 2


class Declared:
    effect = Effect.READ
    max_inflight = 3

    def __call__(self, query: int, cancel: CancelToken) -> int:
        return query


def test_handlers_keep_what_they_declare():
    handler: Any = as_handler(Declared())
    assert (handler.effect, handler.max_inflight, handler.is_async) == (Effect.READ, 3, False)


@pytest.mark.parametrize("name", ["SpecChess-v0", "SpecRetail-v0", "SpecSearch-v0", "SpecTuning-v0"])
def test_the_handlers_of_every_environment_can_be_called_with_the_query_alone(name):
    env: Any = gym.make(name).unwrapped
    answered: list[str] = []

    def answer(call: Call) -> Any:
        answered.append(call.handler)
        return env.handler(call.handler)(call.query)

    env.answer_with(answer)
    env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(3):
        env.step(env.action_space.sample())
    assert set(answered) <= set(env.handlers)
    assert answered
    env.close()
