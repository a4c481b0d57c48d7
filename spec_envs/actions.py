"""Random actions that are allowed, for those who try an environment out."""

import copy
from typing import Any

import gymnasium as gym
import numpy as np


def sampling_copy(space: gym.Space[Any], seed: int = 0) -> gym.Space[Any]:
    """A copy of an action space to draw from, so that the random generator of the original stays as it is."""
    twin = copy.deepcopy(space)
    twin.seed(seed)
    return twin


def allowed_action(
    space: gym.Space[Any], observation: Any, info: dict[str, Any], rng: np.random.Generator | None = None
) -> Any:
    """A random action; one of ``action_mask`` or ``legal_moves``, where the info or the observation has these."""
    for source in (info, observation):
        if isinstance(source, dict):
            if "action_mask" in source:
                return space.sample(np.asarray(source["action_mask"], dtype=np.int8))
            if "legal_moves" in source:
                moves = source["legal_moves"]
                moves = moves.split() if isinstance(moves, str) else list(moves)
                return moves[(rng or space.np_random).integers(len(moves))]
    return space.sample()
