"""``FrozenLake-v1`` with a slow policy, which the guesser learns from episode to episode.

Observations are field numbers that occur again and again, so it is enough to count the policy's actions for each. The
ice is slippery, but a fork slips as the episode does: it has a copy of the random generator.
"""

import gymnasium as gym

from spec_envs.agents import FrequencyGuesser
from spec_envs.wrappers import SpeculativeWrapper
from spec_envs.wrappers.handlers import with_latency

# For each field the action (left 0, down 1, right 2, up 3) that falls into a hole least often.
ACTIONS = [0, 3, 3, 3, 0, 0, 0, 0, 3, 1, 0, 0, 0, 2, 1, 0]


def main() -> None:
    """Play some episodes and show what speculation saved."""
    with SpeculativeWrapper(
        gym.make("FrozenLake-v1", is_slippery=True),
        policy=with_latency(ACTIONS.__getitem__, 0.02),
        guessers={"policy": FrequencyGuesser()},
        k=1,
    ) as env:
        for episode in range(5):
            before = env.statistics
            observation, _ = env.reset(seed=episode)
            done = False
            while not done:
                observation, reward, terminated, truncated, _ = env.step(env.act(observation))
                done = terminated or truncated
            waited_s = env.statistics.waited_s - before.waited_s
            plain_s = env.statistics.sequential_s - before.sequential_s
            print(f"episode {episode}: return {reward:.0f}, {waited_s:.2f} s instead of {plain_s:.2f} s")
        print(env.statistics)


if __name__ == "__main__":
    main()
