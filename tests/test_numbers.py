"""Arguments that are numbers: integers and numbers of every kind are taken, and all else is refused by name."""

from __future__ import annotations

import decimal
import fractions
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from spec_envs.agents import FrequencyGuesser, NearestGuesser, PatternGuesser, ReActPolicy
from spec_envs.agents.llm import ChatModel, Price
from spec_envs.chess.builtin import rank_moves
from spec_envs.chess.engine import EnginePool
from spec_envs.chess.position import Position
from spec_envs.errors import InvalidConfiguration
from spec_envs.guesses import Guess
from spec_envs.wrappers import Trace
from spec_envs.wrappers.handlers import rate_limited, replay, retry
from spec_envs.wrappers.recording import Recording


class Index:
    def __index__(self) -> int:
        return 3


class Real:
    def __float__(self) -> float:
        return 3.0


INTEGERS = [3, np.int8(3), np.uint64(3), np.array(3), Index()]
NO_INTEGERS = [3.0, np.float64(3), fractions.Fraction(3), decimal.Decimal(3), math.nan, math.inf, True, np.True_]
NO_INTEGERS += ["3", b"3", [3], np.array([3]), 3 + 0j, {}]
NUMBERS = [3, 3.0, np.int8(3), np.float32(3), fractions.Fraction(3), decimal.Decimal(3), np.array(3.0), Index(), Real()]
NO_NUMBERS = ["3", b"3", bytearray(b"3"), True, np.True_, [3], np.array([3.0]), 3 + 0j, {}, math.nan, -1, None]
NO_NUMBERS += [decimal.Decimal("NaN"), np.float32("nan"), "nan"]


def handler(query: Any) -> Any:
    return 1


TAKES_INTEGERS: dict[str, Callable[[Any], Any]] = {
    "FrequencyGuesser, max_responses": lambda value: FrequencyGuesser(max_responses=value),
    "PatternGuesser, seed": lambda value: PatternGuesser(seed=value),
    "Trace, max_events": lambda value: Trace(value),
    "rank_moves, depth": lambda value: rank_moves(Position("k7/8/8/8/8/8/8/KQ6 w - - 0 1").board(), 1, value),
    "retry, attempts": lambda value: retry(handler, attempts=value),
    "rate_limited, max_calls": lambda value: rate_limited(handler, max_calls=value, per_s=1),
    "ReActPolicy, max_tokens": lambda value: ReActPolicy(handler, max_tokens=value),
}
TAKES_NUMBERS: dict[str, Callable[[Any], Any]] = {
    "FrequencyGuesser, strength": lambda value: FrequencyGuesser(strength=value),
    "NearestGuesser, strength": lambda value: NearestGuesser(strength=value),
    "ChatModel, timeout_s": lambda value: ChatModel("m", base_url="http://127.0.0.1:9/v1", timeout_s=value).close(),
    "Price": lambda value: Price(value, value),
    "EnginePool, timeout_s": lambda value: EnginePool("engine", timeout_s=value).close(),
    "rate_limited, per_s": lambda value: rate_limited(handler, max_calls=3, per_s=value),
    "replay, speed": lambda value: replay(Recording(), speed=value),
    "retry, backoff_s": lambda value: retry(handler, attempts=2, backoff_s=value),
}


@pytest.mark.parametrize("make", TAKES_INTEGERS.values(), ids=TAKES_INTEGERS)
def test_integers_of_every_kind_and_nothing_else(make):
    for value in INTEGERS:
        make(value)
    for value in NO_INTEGERS:
        with pytest.raises(InvalidConfiguration):
            make(value)


@pytest.mark.parametrize("make", TAKES_NUMBERS.values(), ids=TAKES_NUMBERS)
def test_numbers_of_every_kind_and_nothing_else(make):
    for value in NUMBERS:
        make(value)
    for value in NO_NUMBERS:
        with pytest.raises(InvalidConfiguration):
            make(value)


def test_a_temperature_is_kept_as_json_can_write_it():
    for value in NUMBERS:
        ReActPolicy(handler, temperature=value)  # type: ignore[arg-type]
    with pytest.raises(InvalidConfiguration, match="temperature must be finite and at least 0, not '0.5'"):
        ReActPolicy(handler, temperature="0.5")  # type: ignore[arg-type]


@pytest.mark.parametrize("amount", [decimal.Decimal("1.5"), np.float32(1.5), fractions.Fraction(3, 2)])
def test_a_price_of_every_kind_is_added_up(amount):
    assert Price(amount, amount).usage(1e6, 0.5).money == pytest.approx(1.50000075)


@pytest.mark.parametrize("probability", [True, np.True_, "0.5", [0.5], math.nan, 2, -0.1])
def test_what_is_no_probability_is_refused(probability):
    with pytest.raises(InvalidConfiguration, match="probability of a guess must lie in"):
        Guess("e2e4", probability)
