"""A game of chess in which both sides take their time, played sooner: no model, key or Stockfish needed.

The agent and its opponent each think for a while (here the built-in engine after a wait). While one of them does, the
built-in engine guesses the move, and the other side's thinking is started for each guess. The moves are the same.
"""

import time
from functools import partial

import gymnasium as gym

import spec_envs  # noqa: F401  (registers SpecChess-v0)
from spec_envs.agents import BuiltinGuesser, BuiltinPolicy
from spec_envs.chess.opponents import BuiltinOpponent
from spec_envs.wrappers import SpeculativeWrapper
from spec_envs.wrappers.handlers import with_latency

SECONDS = 0.1
PLIES = 16

make_env = partial(gym.make, "SpecChess-v0", opponent=with_latency(BuiltinOpponent(depth=2), SECONDS), max_plies=PLIES)


def play(k: int) -> str:
    """Play a game with ``k`` guesses for each call and print how long it took; 0 is a plain run."""
    policy = with_latency(BuiltinPolicy(depth=2), SECONDS)
    guesser = BuiltinGuesser()
    guessers = {"opponent": guesser, "policy": guesser} if k else {}
    start = time.perf_counter()
    with SpeculativeWrapper(make_env(), policy=policy, guessers=guessers, k=max(k, 1), max_inflight=4) as env:
        observation, _ = env.reset(seed=0)
        done = False
        while not done:
            observation, _, terminated, truncated, _ = env.step(env.act(observation))
            done = terminated or truncated
        print(f"{k} guesses: {time.perf_counter() - start:.1f} s")
        print(env.statistics if k else "", end="\n\n")
    return str(observation["history"])


if __name__ == "__main__":
    plain = play(k=0)
    ahead = play(k=3)
    assert plain == ahead
    print(f"The same game both times: {plain}")
