"""Guessers that are right, wrong, empty, repetitive, slow, early, hanging, raising or absurd."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from spec_envs import Call, CancelToken, Guess

Truth = Callable[[Call], Any]


class Scripted:
    """Guesses what a function of the call gives; learns nothing."""

    def __init__(self, guess: Callable[[Call, int], Sequence[Guess]], seconds: float = 0.0) -> None:
        self._guess = guess
        self._seconds = seconds

    def guess(self, call: Call, k: int, cancel: CancelToken) -> Sequence[Guess]:
        cancel.sleep(self._seconds)
        return self._guess(call, k)


def perfect(truth: Truth) -> Scripted:
    return Scripted(lambda call, k: [Guess(truth(call), 1.0)])


def sometimes_right(truth: Truth) -> Scripted:
    """Among its guesses is the truth for about half of the queries."""

    def guess(call: Call, k: int) -> list[Guess]:
        right = hash(call.key) % 2 == 0
        others = [value for value in range(4) if value != truth(call)]
        values = ([truth(call)] if right else []) + others
        return [Guess(value, 0.5 / (rank + 1)) for rank, value in enumerate(values[:k])]

    return Scripted(guess)


def wrong(truth: Truth) -> Scripted:
    return Scripted(lambda call, k: [Guess((truth(call) + 1) % 4, 0.9)])


def empty(truth: Truth) -> Scripted:
    return Scripted(lambda call, k: [])


def duplicate(truth: Truth) -> Scripted:
    return Scripted(lambda call, k: [Guess(truth(call), 0.6)] * k)


def slow(truth: Truth) -> Scripted:
    return Scripted(lambda call, k: [Guess(truth(call), 0.8)], seconds=1.0)


def hanging(truth: Truth) -> Scripted:
    return Scripted(lambda call, k: [], seconds=math.inf)


def absurd(truth: Truth) -> Scripted:
    """Responses that the environment refuses, and of types that it does not expect."""
    return Scripted(lambda call, k: [Guess(value, 0.3) for value in (999, "nonsense", None)][:k])


class _Early:
    """Says something at once, and something else, or nothing, a second later."""

    def __init__(self, first: Callable[[Call], Any], last: Callable[[Call], Any] | None) -> None:
        self._first, self._last = first, last

    def guess(self, call: Call, k: int, cancel: CancelToken, early: Callable[[Sequence[Guess]], None]) -> list[Guess]:
        early([Guess(self._first(call), 0.6)])
        cancel.sleep(1.0)
        if self._last is None:
            raise RuntimeError("this guesser is broken")
        return [Guess(self._last(call), 0.7)]


def early_right(truth: Truth) -> _Early:
    return _Early(truth, lambda call: (truth(call) + 1) % 4)


def early_wrong(truth: Truth) -> _Early:
    return _Early(lambda call: (truth(call) + 1) % 4, truth)


def early_broken(truth: Truth) -> _Early:
    return _Early(truth, None)


class _Raising:
    def guess(self, call: Call, k: int) -> Sequence[Guess]:
        raise RuntimeError("this guesser is broken")

    def observe(self, call: Call, response: Any) -> None:
        raise RuntimeError("and cannot learn")


def raising(truth: Truth) -> _Raising:
    return _Raising()


class _Impossible:
    def guess(self, call: Call, k: int) -> Any:
        return ["not a Guess"]


def impossible(truth: Truth) -> _Impossible:
    return _Impossible()


KINDS = (
    perfect,
    sometimes_right,
    wrong,
    empty,
    duplicate,
    slow,
    hanging,
    absurd,
    early_right,
    early_wrong,
    early_broken,
    raising,
    impossible,
)
