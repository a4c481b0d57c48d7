"""``FrozenLake-v1`` with a slow policy, which the guesser learns from episode to episode.

Observations are field numbers that occur again and again, so it is enough to count the policy's actions for each. The
ice is slippery, but a fork slips as the episode does: it has a copy of the random generator.

Needs: pip install spec-envs
"""

import time

import gymnasium as gym

from spec_envs.agents import FrequencyGuesser
from spec_envs.wrappers import SpeculativeWrapper
from spec_envs.wrappers.handlers import with_latency

# For each field the action (left 0, down 1, right 2, up 3) that falls into a hole least often.
ACTIONS = [0, 3, 3, 3, 0, 0, 0, 0, 3, 1, 0, 0, 0, 2, 1, 0]


def play(max_inflight: int) -> list[float]:
    """Play some episodes with up to ``max_inflight`` calls ahead of time (0: plainly), and return their rewards."""
    rewards = []
    with SpeculativeWrapper(
        gym.make("FrozenLake-v1", is_slippery=True),
        policy=with_latency(ACTIONS.__getitem__, 0.02),
        guessers={"policy": FrequencyGuesser()},
        k=1,
        max_inflight=max_inflight,
    ) as env:
        print(f"max_inflight={max_inflight}")
        for episode in range(5):
            start, done, steps = time.perf_counter(), False, 0
            observation, _ = env.reset(seed=episode)
            while not done:
                observation, reward, terminated, truncated, _ = env.step(env.act(observation))
                done, steps = terminated or truncated, steps + 1
            rewards.append(float(reward))
            print(f"episode {episode}: return {reward:.0f}, {steps} steps in {time.perf_counter() - start:.2f} s")
        print(f"{env.statistics}\n")
    return rewards


if __name__ == "__main__":
    assert play(max_inflight=0) == play(max_inflight=4)
