"""``fork(env)``: an independent copy of an environment and of every wrapper around it.

Environments and wrappers that define ``fork`` themselves are asked to. Any other wrapper is copied layer by layer. An
environment that is not ours is deep-copied, and the copy is compared with the original, because some classes (those
built on ``gymnasium.utils.EzPickle``) run their constructor again when copied and lose their state without a word.
"""

from __future__ import annotations

from typing import TypeVar

import gymnasium as gym

EnvT = TypeVar("EnvT", bound=gym.Env)


def fork(env: EnvT) -> EnvT:
    """An independent environment in the same state, with the same stack of wrappers."""
    raise NotImplementedError("to be written")
