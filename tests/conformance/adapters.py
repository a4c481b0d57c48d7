"""Environments of other interfaces as Gymnasium environments, in the few lines that a user would write."""

from __future__ import annotations

import contextlib
from typing import Any

import gymnasium as gym

_ANY_TEXT = 100_000


class TextArenaGame(gym.Env[str, str]):
    """A game of TextArena, in which one agent plays all the players, in turn.

    Args:
        name: The name in TextArena's registry.
        num_players: How many players take part.
    """

    metadata = {"render_modes": []}

    def __init__(self, name: str, num_players: int) -> None:
        import textarena

        self.observation_space = gym.spaces.Text(_ANY_TEXT)
        self.action_space = gym.spaces.Text(100)
        self.game = textarena.make(name)
        self.num_players = num_players

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        super().reset(seed=seed)
        self.game.reset(num_players=self.num_players, seed=seed)
        return self._observation(), {}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        done, info = self.game.step(action=action)
        rewards = self.game.close()[0] if done else {}
        return self._observation(), float(sum((rewards or {}).values())), bool(done), False, dict(info or {})

    def _observation(self) -> str:
        player, text = self.game.get_observation()
        return f"{player}: {text}"


def num_players_of(name: str) -> int | None:
    """The smallest number of players with which the game begins; ``None`` where it does not begin at all."""
    for number in range(1, 8):
        with contextlib.suppress(Exception):
            TextArenaGame(name, number).reset(seed=0)
            return number
    return None


class PettingZooGame(gym.Env[Any, Any]):
    """A game of PettingZoo's AEC interface, in which one agent plays all the players, in turn.

    Args:
        raw: The game.
    """

    metadata = {"render_modes": []}

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        first = raw.possible_agents[0]
        self.observation_space, self.action_space = raw.observation_space(first), raw.action_space(first)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.raw.reset(seed=seed)
        return self.raw.observe(self.raw.agent_selection), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.raw.step(action)
        observation, reward, terminated, truncated, info = self.raw.last()
        return observation, float(reward), bool(terminated), bool(truncated), dict(info)
