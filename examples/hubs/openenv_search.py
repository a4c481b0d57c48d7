"""Search episodes on a server of OpenEnv, which fetches pages ahead of time while its remote client thinks.

The client knows nothing of that: it thinks for half a second, acts, and waits. The pages take half a second too. The
episodes are the same with and without speculation in the server, and take less time with it.

Needs: pip install "spec-envs[openenv,servers]"
"""

import time
from typing import Any

import gymnasium as gym

from spec_envs.agents import ScriptedSearchPolicy, SearchGuesser
from spec_envs.asgi_server import Served
from spec_envs.extras import needed
from spec_envs.search.loading import load_corpus
from spec_envs.wrappers import SpeculativeWrapper
from spec_envs.wrappers.handlers import with_latency

with needed("this example", "openenv", "servers", script=True):
    from spec_envs.integrations.openenv import RemoteEnv, openenv_app

SECONDS, EPISODES = 0.5, 10
GUESSER = SearchGuesser()  # shared by all sessions, so that each learns from all


def plain() -> Any:
    """An environment whose pages come from a slow site."""
    return gym.make("SpecSearch-v0", backend=with_latency(load_corpus("embedded"), SECONDS))


def ahead() -> Any:
    """The same, behind a wrapper that guesses what the client will do next."""
    return SpeculativeWrapper(plain(), guessers={"policy": GUESSER})


def play(address: str) -> tuple[list[Any], float]:
    """The last steps of some episodes, and how long all of them took."""
    policy, ends, start = with_latency(ScriptedSearchPolicy(), SECONDS), [], time.perf_counter()
    env = RemoteEnv(address)
    for seed in range(EPISODES):
        observation, done = env.reset(seed=seed)[0], False
        while not done:
            observation, reward, terminated, truncated, _ = env.step(policy(observation))
            done = terminated or truncated
        ends.append((observation["transcript"], reward))
    env.close()
    return ends, time.perf_counter() - start


if __name__ == "__main__":
    told = {}
    for make in (plain, ahead):
        with Served(openenv_app(make), websockets=True) as server:
            told[make.__name__] = play(server.address)
    (ends, seconds), (same, less) = told["plain"], told["ahead"]
    assert same == ends
    print(f"{EPISODES} equal episodes: {seconds:.1f} s, and {less:.1f} s with speculation in the server")
    print(f"time saved: {1 - less / seconds:.0%}")
