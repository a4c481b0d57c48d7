"""Games for the tests of ``SpecChess-v0``: opponents, environments and whole games played out."""

import importlib
import random
from typing import Any

import gymnasium as gym
import numpy as np

FOOLS = "f2f3 e7e5 g2g4 d8h4"


def seeded(position):
    """A random opponent that is a function of its query."""
    moves = sorted(move.uci() for move in position.board().legal_moves)
    return random.Random(position.seed).choice(moves)


def plays(*replies):
    """An opponent that plays ``replies`` in turn, whatever the position."""
    rest = list(replies)
    return lambda position: rest.pop(0)


def make(**arguments) -> Any:
    arguments.setdefault("opponent", seeded)
    return gym.make("SpecChess-v0", **arguments).unwrapped


def text_of(env) -> str:
    """What an environment with ``render_mode="ansi"`` shows."""
    text = env.render()
    assert isinstance(text, str)
    return text


def picture_of(env) -> np.ndarray:
    """What an environment with ``render_mode="rgb_array"`` shows."""
    picture = env.render()
    assert isinstance(picture, np.ndarray)
    return picture


def can_draw():
    try:
        importlib.import_module("cairosvg")
    except (ImportError, OSError):
        return False
    return True


def play_out(moves, color="white", **arguments):
    """Play ``moves``, every other one the agent's; the environment and its last step."""
    moves = moves.split()
    first = 0 if color == "white" else 1
    env = make(opponent=plays(*moves[1 - first :: 2]), color=color, **arguments)
    env.reset(seed=0)
    steps = [env.step(action) for action in moves[first::2]]
    for _, reward, terminated, truncated, info in steps[:-1]:
        assert (reward, terminated, truncated, info["outcome"], info["winner"]) == (0.0, False, False, None, None)
    return env, steps[-1]
