"""``CartPole-v1`` with a slow policy, and a guesser that learns it while it plays.

CartPole knows nothing of this library, so it is forked by copying. No observation occurs twice, so the guesser looks at
the policy's actions in the most similar situations so far.

Needs: pip install spec-envs
"""

import gymnasium as gym

from spec_envs.agents import NearestGuesser
from spec_envs.wrappers import SpeculativeWrapper
from spec_envs.wrappers.handlers import with_latency


def balance(observation: list[float]) -> int:
    """Push to the side to which the pole is falling."""
    _, _, angle, speed = observation
    return int(angle + 0.3 * speed > 0)


def play(max_inflight: int) -> float:
    """Play one episode with up to ``max_inflight`` calls ahead of time (0: plainly), and show how long it took."""
    with SpeculativeWrapper(
        gym.make("CartPole-v1", max_episode_steps=120),
        policy=with_latency(balance, 0.02),
        guessers={"policy": NearestGuesser()},
        k=2,
        max_inflight=max_inflight,
    ) as env:
        observation, _ = env.reset(seed=0)
        done, total = False, 0.0
        while not done:
            observation, reward, terminated, truncated, _ = env.step(env.act(observation))
            done, total = terminated or truncated, total + float(reward)
        print(f"max_inflight={max_inflight}: return {total:.0f}\n{env.statistics}\n")
    return total


if __name__ == "__main__":
    assert play(max_inflight=0) == play(max_inflight=4)
