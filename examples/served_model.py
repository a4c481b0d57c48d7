"""Two chat models play chess over HTTP, sooner: no key, paid model or Stockfish needed.

The server stands in for a real one: with ``ChatModel("gpt-5.4")`` and a key in OPENAI_API_KEY the rest is the same.
"""

import gymnasium as gym

import spec_envs  # noqa: F401  (registers SpecChess-v0)
from spec_envs.agents import BuiltinGuesser, ChatModel, ChatPolicy
from spec_envs.benchmarks.serving import ModelServer, Pace
from spec_envs.wrappers import SpeculativeWrapper

pace = Pace(first_token_s=0.05, tokens_per_s=500, reasoning_tokens=50)
with ModelServer("chess", pace=pace) as server, ChatModel("chess", base_url=server.base_url) as model:
    player, guesser = ChatPolicy(model, "chess"), BuiltinGuesser()
    env = gym.make("SpecChess-v0", opponent=player, max_plies=10)
    with SpeculativeWrapper(env, player, guessers={"policy": guesser, "opponent": guesser}, max_inflight=2) as env:
        observation, _ = env.reset(seed=0)
        done = False
        while not done:
            observation, _, terminated, truncated, _ = env.step(env.act(observation))
            done = terminated or truncated
    print(f"{observation['history']}\n{env.statistics}")
    produced = server.settle()
    print(f"server    {produced.tokens_out:,} tokens out, {produced.hung_up} clients hung up")
