"""Policies and guessers for any environment: what they choose depends on the observation, alike in every process."""

from __future__ import annotations

import copy
import random
import re
import threading
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from spec_envs import Call, CancelToken, Guess
from spec_envs.actions import sampling_copy
from spec_envs.values import key_of

#: What players of text games say where the observation names nothing.
_WORDS = (
    "up",
    "down",
    "left",
    "right",
    "hit",
    "stand",
    "check",
    "call",
    "fold",
    "cooperate",
    "defect",
    "bid 1",
    "pass",
)

_SPEAKER = re.compile("GAME|Player")


class Choices:
    """Actions for an observation: the choice with a number is always the same one.

    Args:
        env: The environment, for its action space.
        seed: Another seed makes other choices.
    """

    def __init__(self, env: gym.Env[Any, Any], seed: int) -> None:
        self._space, self._seed = sampling_copy(env.action_space), seed
        self._is_text = isinstance(self._space, gym.spaces.Text)
        self._lock = threading.Lock()  # on threads, the policy and its guesser draw at once

    def __call__(self, observation: Any, number: int = 0) -> Any:
        seed = zlib.crc32(repr((self._seed, number, key_of(observation))).encode())
        if self._is_text:
            return _said(observation, random.Random(seed))
        mask = observation.get("action_mask") if isinstance(observation, dict) else None
        with self._lock:
            self._space.seed(seed)
            return self._space.sample(mask)


def _said(observation: str, draw: random.Random) -> str:
    """An action of a text game: one that the observation names in brackets, or one that many games know."""
    named = [each for each in re.findall(r"\[([^\[\]\n]{1,20})\]", observation)[-40:] if not _SPEAKER.match(each)]
    if named and draw.random() < 0.7:
        return f"[{draw.choice(named)}]"
    kinds = (draw.choice(_WORDS), str(draw.randrange(10)), f"{draw.randrange(5)} {draw.randrange(5)}")
    return f"[{draw.choice(kinds)}]"


# -- policies ----------------------------------------------------------------------------------------------------------


class Seeded:
    """Thinks for ``seconds``, and chooses by the observation."""

    def __init__(self, choices: Choices, seconds: float) -> None:
        self.choices, self.seconds = choices, seconds

    def __call__(self, observation: Any, cancel: CancelToken) -> Any:
        cancel.sleep(self.seconds)
        return self.choices(observation)


class Careless(Seeded):
    """Writes into its observation, once it has chosen."""

    def __call__(self, observation: Any, cancel: CancelToken) -> Any:
        action = super().__call__(observation, cancel)
        spoil(observation)
        return action


class Scripted(Seeded):
    """Keeps count of its actions, and takes its first, second and third choice in turn."""

    count = 0

    def __call__(self, observation: Any, cancel: CancelToken) -> Any:
        cancel.sleep(self.seconds)
        self.count += 1
        return self.choices(observation, self.count % 3)

    def fork(self) -> Scripted:
        return copy.copy(self)


POLICIES: dict[str, Callable[[Choices, float], Any]] = {"seeded": Seeded, "careless": Careless, "scripted": Scripted}


def spoil(value: Any) -> None:
    """Change ``value`` in place, as far as it can be changed."""
    if isinstance(value, np.ndarray) and value.flags.writeable:
        value.fill(0)
    elif isinstance(value, dict):
        for each in value.values():
            spoil(each)
        value.clear()
    elif isinstance(value, list):
        value.clear()


# -- guessers ----------------------------------------------------------------------------------------------------------


class _Guesser:
    """Guesses choices by their numbers: 0 is what the policy takes, or for ``Scripted`` one of 0, 1 and 2.

    Args:
        choices: The policy's.
        seconds: For how long the policy thinks.
    """

    numbers: tuple[int, ...] = (0, 1, 2)
    share = 0.0  # of the policy's time, which the guesser takes

    def __init__(self, choices: Choices, seconds: float) -> None:
        self.choices, self.seconds = choices, self.share * seconds

    def guess(self, call: Call, k: int, cancel: CancelToken) -> Sequence[Guess]:
        cancel.sleep(self.seconds)
        return [Guess(self.choices(call.query, number), 0.9 / (rank + 1)) for rank, number in enumerate(self.numbers)]


class _Wrong(_Guesser):
    numbers = (7, 8)


class _Mixed(_Guesser):
    def guess(self, call: Call, k: int, cancel: CancelToken) -> Sequence[Guess]:
        right = zlib.crc32(repr(call.key).encode()) % 2
        return [Guess(self.choices(call.query, number), 0.4) for number in ((0, 9) if right else (5, 6))][:k]


class _Slow(_Guesser):
    share = 0.8


class _Raising(_Guesser):
    def guess(self, call: Call, k: int, cancel: CancelToken) -> Sequence[Guess]:
        if zlib.crc32(repr(call.key).encode()) % 3:
            raise RuntimeError("this guesser is broken")
        return super().guess(call, k, cancel)


class _Reusing(_Guesser):
    """Returns the same list each time, with the same arrays in it."""

    def __init__(self, choices: Choices, seconds: float) -> None:
        super().__init__(choices, seconds)
        self._buffer: list[Guess] = []
        self._arrays: list[Any] = []

    def guess(self, call: Call, k: int, cancel: CancelToken) -> Sequence[Guess]:
        fresh = [each.response for each in super().guess(call, k, cancel)]
        if not self._arrays:
            self._arrays = [copy.deepcopy(each) for each in fresh]
        self._buffer.clear()
        for number, response in enumerate(fresh):
            if isinstance(response, np.ndarray):
                self._arrays[number][...] = response
                response = self._arrays[number]
            self._buffer.append(Guess(response, 0.3))
        return self._buffer


class _InPlace(_Guesser):
    """Writes into the query, and into its guesses of the time before."""

    def __init__(self, choices: Choices, seconds: float) -> None:
        super().__init__(choices, seconds)
        self._before: Sequence[Guess] = ()

    def guess(self, call: Call, k: int, cancel: CancelToken) -> Sequence[Guess]:
        for each in self._before:
            spoil(each.response)
        self._before = super().guess(call, k, cancel)
        spoil(call.query)
        return self._before


GUESSERS: dict[str, Callable[[Choices, float], Any]] = {
    "perfect": _Guesser,
    "wrong": _Wrong,
    "mixed": _Mixed,
    "slow": _Slow,
    "raising": _Raising,
    "buffer-reusing": _Reusing,
    "in-place": _InPlace,
}
