"""A store of few keys that an episode reads and writes at random, so that queries repeat: no read may be stale."""

from __future__ import annotations

import argparse
import random
import sys
import warnings
from collections.abc import Iterable
from typing import Any

import gymnasium as gym

from spec_envs import Call, CallEnv, CancelToken, Effect, Guess
from spec_envs.errors import HandlerFailed
from spec_envs.testing import pure_response
from spec_envs.wrappers import Certificate, HandlerLimit, Limits
from tests.wrappers.loops import VIRTUAL, certify_on, shows_no_difference

KEYS = ("a", "b", "c")
#: What one call reads (the sum) or writes: one key, or two.
PARTS = (*KEYS, "ab")


class Store:
    """The outside world. A read of a value above 9, and a write of 13 to ``"b"``, fail."""

    def __init__(self) -> None:
        self.values: dict[str, int] = dict.fromkeys(KEYS, 0)

    def read(self, keys: str, cancel: CancelToken) -> int:
        # As it is when the call begins: a call begun too early would see too little.
        value = sum(self.values[key] for key in keys)
        cancel.sleep(0.1 + pure_response(("read", keys)))
        if value > 9:
            raise HandlerFailed(f"{keys} holds {value}")
        return value

    def write(self, query: tuple[str, int], cancel: CancelToken) -> int:
        keys, value = query
        cancel.sleep(0.2 + pure_response(("write", keys, value)) / 2)
        if query == ("b", 13):
            raise HandlerFailed("b is unlucky")
        before = sum(self.values[key] for key in keys)
        self.values.update(dict.fromkeys(keys, value))
        return before


class StoreEnv(CallEnv[str, int]):
    """Each step makes one to four reads and writes; what is written depends on what was read.

    Args:
        touches: Whether calls say which keys they touch; if not, every write may touch every read.
    """

    metadata = {"render_modes": []}

    def __init__(self, *, touches: bool, length: int = 8) -> None:
        store = Store()
        super().__init__({"read": store.read, "write": store.write})
        self.observation_space: gym.Space[Any] = gym.spaces.Text(10_000)
        self.action_space: gym.Space[Any] = gym.spaces.Discrete(4)
        self._touches, self._length = touches, length
        self._seen: tuple[str, ...] = ()
        self._program: tuple[tuple[tuple[str, str], ...], ...] = ()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        super().reset(seed=seed)
        draw = self.np_random.integers
        self._program = tuple(
            tuple((("read", "read", "write")[draw(3)], PARTS[draw(len(PARTS))]) for _ in range(1 + draw(4)))
            for _ in range(self._length)
        )
        self._seen = ()
        return "", {}

    def step(self, action: int) -> tuple[str, float, bool, bool, dict[str, Any]]:
        seen, latest = [str(action)], int(action)
        for what, keys in self._program[len(self._seen)]:
            touches = set(keys) if self._touches else None
            query: Any = keys if what == "read" else (keys, latest + action)
            effect = Effect.READ if what == "read" else Effect.WRITE
            try:
                latest = self.ask(Call(what, query, effect, touches=touches))
            except HandlerFailed as error:
                latest = 3
                seen.append(str(error))
            seen.append(f"{what} {query} {latest}")
        self._seen = (*self._seen, ";".join(seen))
        return "|".join(self._seen), float(latest), len(self._seen) >= self._length, False, {}


class Guesses:
    """Guesses small numbers, right now and then; fails sometimes."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def guess(self, call: Call, k: int, cancel: CancelToken) -> list[Guess]:
        cancel.sleep(self._random.choice([0.0, 0.0, 0.05, 0.5]))
        if self._random.random() < 0.05:
            raise ValueError("no idea")
        values = self._random.sample(range(8), k)
        return [Guess(value, 0.9 / (rank + 1)) for rank, value in enumerate(values)]


def policy(observation: str) -> int:
    return pure_response(("policy", observation))


LIMITS = (
    Limits(max_inflight=3, read_ttl_s=1e9),
    Limits(max_inflight=1, read_ttl_s=0.5, max_reads=1),
    Limits(max_inflight=8, per_handler={"read": HandlerLimit(max_inflight=2)}, read_ttl_s=1e9),
    Limits(max_inflight=4, max_nodes=5, max_depth=3),
)


def compare(runtime: str, seeds: Iterable[int], **options: Any) -> list[Certificate]:
    """Certify one episode for each seed, on ``runtime``; the seed also chooses the options that are not given."""
    return [_certify(runtime, seed, **options) for seed in seeds]


def _certify(runtime: str, seed: int, **options: Any) -> Certificate:
    return certify_on(
        runtime,
        lambda: StoreEnv(touches=bool(seed % 2)),
        policy,
        {name: Guesses(seed) for name in ("policy", "read", "write")},
        [seed],
        limits=LIMITS[seed // 2 % len(LIMITS)],
        k=1 + seed % 4,
        **options,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=2000)
    count = parser.parse_args().episodes
    warnings.simplefilter("ignore", RuntimeWarning)  # the guessers fail on purpose
    wrong = 0
    for number, runtime in enumerate(VIRTUAL):
        seeds = range(number, count, len(VIRTUAL))
        differing = [str(each) for each in compare(runtime, seeds) if not shows_no_difference(each)]
        wrong += len(differing)
        lines = [f"{runtime:12}{len(seeds)} episodes, {len(differing)} differ", *differing[:5]]
        sys.stdout.write("\n  ".join(lines) + "\n")
        sys.stdout.flush()
    raise SystemExit(wrong > 0)


if __name__ == "__main__":
    main()
