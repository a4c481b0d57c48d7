"""A game of chess between two slow players, made faster by speculation: no model, key or Stockfish needed.

The agent and its opponent each think for a while (here, the built-in engine after a wait). While one of them thinks,
the built-in engine guesses the move, and the other player starts to think about each guess. The moves are the same.

Needs: pip install spec-envs
"""

import gymnasium as gym

import spec_envs  # noqa: F401  (registers SpecChess-v0)
from spec_envs.agents import BuiltinChessGuesser, BuiltinChessPolicy
from spec_envs.chess.opponents import BuiltinOpponent
from spec_envs.wrappers import SpeculativeWrapper
from spec_envs.wrappers.handlers import with_latency


def play(max_inflight: int) -> str:
    """Play a game with up to ``max_inflight`` calls ahead of time (0: a plain run), and show how long it took."""
    policy = with_latency(BuiltinChessPolicy(depth=2), 0.25)
    opponent = with_latency(BuiltinOpponent(depth=2), 0.25)
    env = gym.make("SpecChess-v0", opponent=opponent, max_plies=20)
    guesser = BuiltinChessGuesser()
    guessers = {"opponent": guesser, "policy": guesser}
    with SpeculativeWrapper(env, policy, guessers=guessers, max_inflight=max_inflight) as env:
        observation, _ = env.reset(seed=0)
        done = False
        while not done:
            observation, _, terminated, truncated, _ = env.step(env.act(observation))
            done = terminated or truncated
        print(f"max_inflight={max_inflight}\n{env.statistics}\n")
    return str(observation["history"])


if __name__ == "__main__":
    moves = play(max_inflight=0)
    assert play(max_inflight=4) == moves
    print(f"The same game both times: {moves}")
