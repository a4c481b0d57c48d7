"""Two chat models play chess over HTTP, made faster by speculation: no key, paid model or Stockfish needed.

The server stands in for a real one. With ``ChatModel("gpt-5.4")`` and a key in OPENAI_API_KEY, the rest is the same.

Needs: pip install "spec-envs[servers]"
"""

import gymnasium as gym

import spec_envs  # noqa: F401  (registers SpecChess-v0)
from spec_envs.agents import BuiltinChessGuesser, ChatModel, ChatPolicy
from spec_envs.extras import needed
from spec_envs.wrappers import SpeculativeWrapper

with needed("this example", "servers", script=True):
    import openai  # noqa: F401  (the import takes most of a second, and must not be measured)

    from spec_envs.benchmarks.serving import ModelServer, Pace

PACE = Pace(first_token_s=0.05, tokens_per_s=500, reasoning_tokens=50)


def play(max_inflight: int) -> str:
    """Play a game with up to ``max_inflight`` calls ahead of time (0: plainly), and show what it took."""
    with ModelServer("chess", pace=PACE) as server, ChatModel("chess", base_url=server.base_url) as model:
        player, guesser = ChatPolicy(model, "chess"), BuiltinChessGuesser()
        env = gym.make("SpecChess-v0", opponent=player, max_plies=16)
        guessers = {"policy": guesser, "opponent": guesser}
        with SpeculativeWrapper(env, player, guessers=guessers, max_inflight=max_inflight) as wrapped:
            observation, info = wrapped.reset(seed=0)
            done = False
            while not done:
                observation, reward, terminated, truncated, info = wrapped.step(wrapped.act(observation))
                done = terminated or truncated
        print(f"max_inflight={max_inflight}\n{wrapped.statistics}")
        produced = server.settle()
        print(f"server    {produced.tokens_out:,} tokens out, {produced.hung_up} clients hung up\n")
    return str(observation["history"])


if __name__ == "__main__":
    moves = play(max_inflight=0)
    assert play(max_inflight=2) == moves
    print(f"The same game both times: {moves}")
