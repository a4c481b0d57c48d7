"""An environment and a wrapper that are not ours, for tests of what is copied and what is refused."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from spec_envs import fork
from spec_envs.testing import FakeEnv


class Foreign(gym.Env):
    """An environment that is not ours: no fork(), state of many kinds."""

    observation_space: Any = spaces.Box(-np.inf, np.inf, (3,))
    action_space: Any = spaces.Discrete(3)
    metadata = {"render_modes": ["rgb_array", "human"]}

    def __init__(self, render_mode=None):
        self.render_mode = render_mode
        self.position = np.zeros(3, np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.position = self.np_random.normal(size=3).astype(np.float32)
        return self.position.copy(), {}

    def step(self, action):
        self.position[action] += self.np_random.normal()
        return self.position.copy(), float(self.position.sum()), bool(abs(self.position).max() > 4), False, {}

    def render(self):
        return np.full((8, 8, 3), np.clip(self.position * 50, 0, 255), np.uint8)


def foreign(cls: Any = Foreign, **attributes) -> Any:
    """An environment with attributes of the test's choice."""
    env = cls()
    env.reset(seed=1)
    for name, value in attributes.items():
        setattr(env, name, value)
    return env


class Holder(gym.Wrapper):
    """A wrapper with an attribute of the test's choice."""

    def __init__(self, env, make):
        super().__init__(env)
        self.held = make(self)


def held(make, env=None):
    wrapper = Holder(env or FakeEnv(), make)
    wrapper.reset(seed=0)
    return wrapper, fork(wrapper)
