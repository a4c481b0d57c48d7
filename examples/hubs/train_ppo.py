"""PPO of stable-baselines3 learns to tune a simulated machine, and is compared with settings drawn at random.

The observation is the box view: numbers from -1 to 1 that need no scaling. What was learned is then measured on
episodes with seeds of their own, by the wrapper's ``act``: a model of stable-baselines3 is a policy as it is.

Needs: pip install "spec-envs[sb3]"
"""

import argparse
import json
import time
from typing import Any

import gymnasium as gym
import numpy as np

import spec_envs  # noqa: F401  (registers SpecTuning-v0)
from spec_envs.extras import needed
from spec_envs.wrappers import SpeculativeWrapper

with needed("this example", "sb3", script=True):
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env

VIEW: dict[str, Any] = {"observation": "box", "action_format": "box", "history": 4, "start": "random"}


class Curve(BaseCallback):
    """Keeps the mean return of the last episodes after each rollout."""

    def __init__(self) -> None:
        super().__init__()
        self.points: list[tuple[int, float]] = []

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        if self.model.ep_info_buffer:
            returns = [episode["r"] for episode in self.model.ep_info_buffer]
            self.points.append((self.num_timesteps, float(np.mean(returns))))


def returns_of(policy: Any, episodes: int) -> list[float]:
    """The returns of episodes that were not trained on."""
    env, returns = SpeculativeWrapper(gym.make("SpecTuning-v0", **VIEW), policy), []
    for seed in range(10_000, 10_000 + episodes):
        observation, done, total = env.reset(seed=seed)[0], False, 0.0
        while not done:
            observation, reward, terminated, truncated, _ = env.step(env.act(observation))
            total, done = total + float(reward), terminated or truncated
        returns.append(total)
    env.close()
    return returns


def random_settings(seed: int) -> Any:
    """A policy that draws coordinates, whatever it sees."""
    rng = np.random.default_rng(seed)
    return lambda observation: rng.uniform(-1, 1, 1).astype(np.float32)


def train(steps: int, seed: int) -> dict[str, Any]:
    """Train, and compare on 50 episodes."""
    torch.set_num_threads(1)
    start, curve = time.process_time(), Curve()
    envs = make_vec_env("SpecTuning-v0", n_envs=8, seed=seed, env_kwargs=VIEW)
    model = PPO("MlpPolicy", envs, n_steps=64, batch_size=128, n_epochs=5, gamma=0.9, learning_rate=1e-3, seed=seed)
    model.learn(steps, callback=curve)
    seconds = time.process_time() - start
    envs.close()
    learned, drawn = returns_of(model, 50), returns_of(random_settings(seed), 50)
    return {"curve": curve.points, "cpu_seconds": seconds, "learned": np.mean(learned), "random": np.mean(drawn)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=30_000, help="windows measured in all environments together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", help="a file for the curve")
    given = parser.parse_args()
    told = train(given.steps, given.seed)
    better = np.exp((told["learned"] - told["random"]) / 20)  # a return is the sum of 20 logarithms of p95
    print(f"{told['cpu_seconds']:.0f} s on a CPU; returns: {told['learned']:.2f}, and {told['random']:.2f} at random")
    print(f"p95 is {better:.2f} times lower than at random")
    if given.json:
        with open(given.json, "w", encoding="utf-8") as file:
            json.dump(told, file)
