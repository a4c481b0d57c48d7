"""Environments of other interfaces as Gymnasium environments, in the few lines that a user would write."""

from __future__ import annotations

import contextlib
import copy
import importlib
import io
from typing import Any

import gymnasium as gym

_ANY_TEXT = 100_000
#: The fewest players with which a game begins, by its name: some games take seconds to begin.
_NUM_PLAYERS: dict[str, int] = {}


class TextArenaGame(gym.Env[str, str]):
    """A game of TextArena, in which one agent plays all the players, in turn; as few players as there may be.

    Args:
        name: The name in TextArena's registry.

    Raises:
        Exception: The game does not begin: some want to download words, or to ask a model.
    """

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(self, name: str) -> None:
        import textarena

        self.observation_space = gym.spaces.Text(_ANY_TEXT)
        self.action_space = gym.spaces.Text(100)
        with contextlib.redirect_stdout(io.StringIO()):
            self.game = textarena.make(name)
        if name not in _NUM_PLAYERS:
            _NUM_PLAYERS[name] = self._fewest_players()
        self.num_players = _NUM_PLAYERS[name]

    def _fewest_players(self) -> int:
        for self.num_players in (1, 2, 3, 4, 5, 6):
            with contextlib.suppress(Exception):
                self.reset(seed=0)
                return self.num_players
        self.num_players = 7
        self.reset(seed=0)
        return self.num_players

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        super().reset(seed=seed)
        # The games draw from `random`, as their seed leaves it.
        self.game.reset(num_players=self.num_players, seed=int(self.np_random.integers(2**31)))
        return self._observation(), {}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        done, info = self.game.step(action=action)
        rewards = (self.game.close()[0] or {}).values() if done else ()
        reward = sum(each for each in rewards if isinstance(each, (int, float)))
        return self._observation(), float(reward), bool(done), False, dict(info or {})

    def _observation(self) -> str:
        player, text = self.game.get_observation()
        return f"{player}: {text}"


def textarena_games() -> list[str]:
    """One of each kind of TextArena's games."""
    from textarena.envs.registration import ENV_REGISTRY

    names: dict[Any, str] = {}
    for name, spec in ENV_REGISTRY.items():
        names.setdefault(spec.entry_point, name)
    return list(names.values())


class PettingZooGame(gym.Env[Any, Any]):
    """A game of PettingZoo's classic family, in which one agent plays all the players, in turn.

    Args:
        name: The name of its module.
    """

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(self, name: str) -> None:
        self.game = importlib.import_module(f"pettingzoo.classic.{name}").raw_env()
        first = self.game.possible_agents[0]
        self.observation_space, self.action_space = self.game.observation_space(first), self.game.action_space(first)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.game.reset(seed=seed)
        return self.game.observe(self.game.agent_selection), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.game.step(action)
        observation, reward, terminated, truncated, info = self.game.last()
        return observation, float(reward), bool(terminated), bool(truncated), dict(info)


class OwnObservations(gym.ObservationWrapper[Any, Any, Any]):
    """Copies observations: some environments return their own state, which a careless policy would change."""

    def observation(self, observation: Any) -> Any:
        return copy.deepcopy(observation)


class WithoutRandomInfo(gym.Wrapper[Any, Any, Any, Any]):
    """Drops the action from the info of a reset: highway-env samples it from a space that nobody has seeded."""

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        observation, info = super().reset(**options)
        return observation, {name: value for name, value in info.items() if name not in ("action", "rewards")}
