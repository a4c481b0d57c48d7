"""What a step costs that the wrapper plays plainly: without anything to guess, and while the guard waits.

CartPole with a policy that answers at once, and chess between two players that do, which is two calls a step. The plain
loop and the wrapped ones take turns, some steps each, and every figure is of the quickest turn: by processor time, so
that other programs count little.
"""

import asyncio
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym

from spec_envs.agents import BuiltinChessGuesser, NearestGuesser
from spec_envs.benchmarks.overhead import Measured
from spec_envs.guesses import Guesser
from spec_envs.wrappers import AsyncSpeculativeWrapper, SpeculativeWrapper
from spec_envs.wrappers.estimates import Estimates

#: How many turns each loop has; a turn is of ``_STEPS`` steps, as many as the guard looks at together.
TURNS, _STEPS = 200, 16
_OFF: dict[str, Any] = {"max_inflight": 0}
_GUARDED: dict[str, Any] = {"guard": True}


def figures() -> Iterator[Measured]:
    """Microseconds of a plain step beyond those of the plain loop."""
    plain, off, guarded = _best_us(lambda: gym.make("CartPole-v1"), _balance, {"policy": NearestGuesser()})
    name = "plain step of CartPole, beyond the plain loop's"
    yield Measured(f"{name}: max_inflight=0", "us", off - plain, 20)
    yield Measured(f"{name}: guarded", "us", guarded - plain, 25)
    yield Measured(f"{name}: guarded, asyncio", "us", asyncio.run(_awaited_us()) - plain)
    guesser = BuiltinChessGuesser()
    plain, off, guarded = _best_us(_chess, _move, {"policy": guesser, "opponent": guesser})
    name = "plain step of chess, beyond the plain loop's"
    yield Measured(f"{name}: max_inflight=0", "us", off - plain, 60)
    yield Measured(f"{name}: guarded", "us", guarded - plain, 60)


def _best_us(
    make: Callable[[], gym.Env[Any, Any]], policy: Callable[[Any], Any], guessers: dict[str, Guesser]
) -> tuple[float, float, float]:
    """Microseconds of a step of the plain loop, with ``max_inflight=0``, and under the guard."""
    loops = [_Loop(make(), policy)]
    for options in (_OFF, _GUARDED):
        env = SpeculativeWrapper(make(), policy, guessers=guessers, estimates=Estimates(), **options)
        loops.append(_Loop(env, env.act))
    for _ in range(TURNS):
        for loop in loops:
            loop.take_turn()
    for loop in loops:
        loop.env.close()
    plain, off, guarded = (loop.best_us for loop in loops)
    return plain, off, guarded


def _balance(observation: Any) -> int:
    return int(observation[2] + 0.3 * observation[3] > 0)


async def _balance_async(observation: Any) -> int:
    return _balance(observation)


def _chess() -> gym.Env[Any, Any]:
    return gym.make("SpecChess-v0", opponent=_reply, max_plies=60)


def _move(observation: Any) -> str:
    moves: list[str] = observation["legal_moves"].split()
    return moves[zlib.crc32(observation["fen"].encode()) % len(moves)]


def _reply(position: Any) -> str:
    moves: tuple[str, ...] = position.legal_moves
    return moves[zlib.crc32(" ".join(position.moves).encode()) % len(moves)]


class _Loop:
    """One loop, and the time of its quickest turn, in microseconds a step."""

    def __init__(self, env: gym.Env[Any, Any], act: Callable[[Any], Any]) -> None:
        self.env = env
        self.best_us = float("inf")
        self._act = act
        self._observation, _ = env.reset(seed=0)

    def take_turn(self) -> None:
        """Make the steps of one turn."""
        start = time.thread_time_ns()
        for _ in range(_STEPS):
            self._observation, _, terminated, truncated, _ = self.env.step(self._act(self._observation))
            if terminated or truncated:
                self._observation, _ = self.env.reset()
        self.best_us = min(self.best_us, (time.thread_time_ns() - start) / _STEPS / 1e3)


async def _awaited_us() -> float:
    """The time of the quickest turn on an event loop, in microseconds a step."""
    best_us = float("inf")
    async with AsyncSpeculativeWrapper(
        gym.make("CartPole-v1"),
        _balance_async,
        guessers={"policy": NearestGuesser()},
        estimates=Estimates(),
        **_GUARDED,
    ) as env:
        observation, _ = await env.reset(seed=0)
        for _ in range(TURNS):
            start = time.thread_time_ns()
            for _ in range(_STEPS):
                observation, _, terminated, truncated, _ = await env.step(await env.act(observation))
                if terminated or truncated:
                    observation, _ = await env.reset()
            best_us = min(best_us, (time.thread_time_ns() - start) / _STEPS / 1e3)
    return best_us
