"""``FrozenLake-v1`` with a slow policy: episode after episode, the guesser comes to know it.

Observations are numbers that come again, so counting what the policy did is enough. The ice is slippery, but a fork
slips as the episode will: it has the same random generator.
"""

import gymnasium as gym

from spec_envs.agents import FrequencyGuesser
from spec_envs.wrappers import SpeculativeWrapper
from spec_envs.wrappers.handlers import with_latency

SECONDS = 0.02
EPISODES = 5

# Left 0, down 1, right 2, up 3: the way that falls into a hole least often, field by field.
ACTIONS = [0, 3, 3, 3, 0, 0, 0, 0, 3, 1, 0, 0, 0, 2, 1, 0]


def main() -> None:
    """Play some episodes and say what speculation saved in each."""
    env = SpeculativeWrapper(
        gym.make("FrozenLake-v1", is_slippery=True),
        policy=with_latency(ACTIONS.__getitem__, SECONDS),
        guessers={"policy": FrequencyGuesser()},
        k=1,
        max_inflight=4,
    )
    with env:
        waited_s, sequential_s = 0.0, 0.0
        for episode in range(EPISODES):
            observation, _ = env.reset(seed=episode)
            done, steps = False, 0
            while not done:
                observation, reward, terminated, truncated, _ = env.step(env.act(observation))
                done, steps = terminated or truncated, steps + 1
            now = env.statistics
            took_s, plain_s = now.waited_s - waited_s, now.sequential_s - sequential_s
            waited_s, sequential_s = now.waited_s, now.sequential_s
            print(
                f"episode {episode}: {steps:3d} steps, return {reward:.0f}, {took_s:.2f} s instead of {plain_s:.2f} s"
            )


if __name__ == "__main__":
    main()
