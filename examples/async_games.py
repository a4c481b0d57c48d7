"""Three games of chess at once on one event loop, with an async model: no key or Stockfish needed.

The model is the built-in engine after an ``asyncio.sleep``; a client such as ``AsyncOpenAI`` can take its place. While
the model thinks, its move is guessed, and the opponent is called for its reply to the guess. Calls that turn out to be
useless are cancelled.

Needs: pip install spec-envs
"""

import asyncio
import time
from typing import Any

import gymnasium as gym

import spec_envs  # noqa: F401  (registers SpecChess-v0)
from spec_envs import CancelToken
from spec_envs.agents import BuiltinChessGuesser, BuiltinChessPolicy
from spec_envs.chess.opponents import BuiltinOpponent
from spec_envs.chess.position import Position
from spec_envs.wrappers import AsyncSpeculativeWrapper

engine, answerer = BuiltinChessPolicy(depth=1), BuiltinOpponent(depth=1)


async def model(observation: Any, cancel: CancelToken) -> Any:
    """The agent, a coroutine function like the opponent."""
    await asyncio.sleep(0.2)
    return engine(observation, cancel)


async def opponent(position: Position, cancel: CancelToken) -> str:
    """Answer after a while."""
    await asyncio.sleep(0.2)
    return answerer(position, cancel)


class Guesser:
    """The engine's guesses, made on the event loop, since they take 1 ms. A plain ``guess`` runs on a thread."""

    def __init__(self) -> None:
        self._guesser = BuiltinChessGuesser()

    async def guess(self, call: Any, k: int) -> Any:
        """Return at most ``k`` guesses."""
        return self._guesser.guess(call, k)


async def game(seed: int, max_inflight: int) -> str:
    """Play one game, and return its moves."""
    env = gym.make("SpecChess-v0", opponent=opponent, max_plies=24, opening="random")
    guessers = {"policy": Guesser(), "opponent": Guesser()}
    async with AsyncSpeculativeWrapper(env, model, guessers=guessers, max_inflight=max_inflight) as wrapper:
        observation, _ = await wrapper.reset(seed=seed)
        done = False
        while not done:
            action = await wrapper.act(observation)
            observation, _, terminated, truncated, _ = await wrapper.step(action)
            done = terminated or truncated
    return str(observation["history"])


async def main() -> None:
    """Play the games without speculation, and then with it."""
    played = {}
    for max_inflight in (0, 4):
        start = time.perf_counter()
        played[max_inflight] = await asyncio.gather(*(game(seed, max_inflight) for seed in range(3)))
        print(f"max_inflight={max_inflight}: {time.perf_counter() - start:.1f} s")
    assert played[0] == played[4]


if __name__ == "__main__":
    asyncio.run(main())
