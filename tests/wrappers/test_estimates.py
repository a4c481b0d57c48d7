"""Estimates of how slow, how dear and how sure handlers and guessers are."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spec_envs import Usage
from spec_envs.wrappers.estimates import MEMORY, CallEstimate, GuesserEstimate, Recent

SECONDS = st.floats(0.0, 100.0)


@given(st.lists(SECONDS, max_size=3 * MEMORY))
def test_a_mean_goes_back_over_the_last_values_alone(values: list[float]) -> None:
    recent = Recent()
    for number, value in enumerate(values):
        recent.add(value)
        assert recent.mean(-1.0) == pytest.approx(statistics.fmean(values[: number + 1][-MEMORY:]))
    assert list(recent) == values[-MEMORY:]
    assert len(recent) == min(len(values), MEMORY)
    recent.clear()
    assert recent.mean(-1.0) == -1.0


def test_the_greatest_usage_is_never_forgotten_and_taken_part_by_part() -> None:
    estimate = CallEstimate()
    estimate.add(1.0, Usage(tokens_in=5, money=1.0))
    estimate.add(1.0, Usage(tokens_out=7, money=3.0))
    for _ in range(2 * MEMORY):
        estimate.add(2.0, Usage())
    assert estimate.most == Usage(tokens_in=5, tokens_out=7, money=3.0)
    assert estimate.money.mean(math.nan) == 0.0
    assert estimate.seconds.mean(math.nan) == 2.0


def estimates(*guesses: float, calls: float = 0.35) -> tuple[CallEstimate, GuesserEstimate]:
    call, guesser = CallEstimate(), GuesserEstimate()
    call.add(calls, Usage())
    for seconds in guesses:
        guesser.first_s.add(seconds)
    return call, guesser


@pytest.mark.parametrize(
    ("guesses", "calls", "delay_s", "least", "most"),
    [
        ((), 1.0, 0.0, 1.0, 1.0),  # nothing is known of the guesser
        ((9.0,) * 3, 0.0, 0.0, 1.0, 1.0),  # calls that take no time
        ((0.0,) * 3, 1.0, 0.0, 1.0, 1.0),
        ((0.5,) * MEMORY, 1.0, 0.0, 0.5, 0.55),
        ((2.0,) * 2, 1.0, 0.0, 0.1, 0.2),  # two late guesses decide little
        ((2.0,) * 3, 1.0, 0.0, 0.05, 0.1),
        ((2.0,) * 3, 1.0, 2.0, 1.0, 1.0),  # the call begins only when the guess is there
        ((2.0,) * MEMORY, 1.0, 1.5, 0.5, 0.55),
        ((math.inf,) * MEMORY, 1.0, math.inf, 0.0, 0.05),  # the response was always first
        ((0.0, 2.0) * 4, 1.0, 0.0, 0.5, 0.55),
    ],
)
def test_how_much_of_a_call_is_left_when_the_guess_of_it_comes(
    guesses: tuple[float, ...], calls: float, delay_s: float, least: float, most: float
) -> None:
    call, guesser = estimates(*guesses, calls=calls)
    assert least <= guesser.time_left(call, delay_s) <= most


@given(st.lists(SECONDS, max_size=MEMORY), st.lists(SECONDS, max_size=MEMORY), SECONDS, SECONDS)
def test_later_calls_leave_more_time_and_later_guesses_less(
    calls: list[float], guesses: list[float], delay_s: float, more: float
) -> None:
    call, guesser = estimates(*guesses)
    for seconds in calls:
        call.add(seconds, Usage())
    share = guesser.time_left(call, delay_s)
    assert 0.0 <= share <= 1.0 + 1e-9
    assert guesser.time_left(call, delay_s + more) >= share - 1e-9
    _, slower = estimates(*(seconds + more for seconds in guesses))
    assert slower.time_left(call, delay_s) <= share + 1e-9
