"""The environments that are looked at, by family: none of them was written for this library."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym

from tests.conformance import adapters, by_hand

Maker = Callable[[], gym.Env[Any, Any]]


@dataclasses.dataclass(frozen=True)
class Family:
    """Environments of one origin.

    Args:
        name: What the table calls them.
        modules: What has to be installed.
        members: The names of the environments, each with a function that makes one.
        episodes: How many episodes of each are compared, of 10,000 in all.
        steps: How long these are.
        forks: Whether they have to fork faithfully, as far as they draw from no global random generator.
    """

    name: str
    modules: tuple[str, ...]
    members: Callable[[], dict[str, Maker]]
    episodes: int = 0
    steps: int = 25
    forks: bool = True

    def missing(self) -> list[str]:
        """The modules that are not installed."""
        return [module for module in self.modules if importlib.util.find_spec(module) is None]


def _registered(prefix: str, start: str = "", *, but: str = " ") -> Callable[[], dict[str, Maker]]:
    """All that Gymnasium has registered from modules whose names start with ``prefix``."""

    def members() -> dict[str, Maker]:
        return {
            name: functools.partial(gym.make, name)
            for name, spec in gym.registry.items()
            if str(spec.entry_point).startswith(prefix) and name.startswith(start) and not name.startswith(but)
        }

    return members


def _of(module: str, members: Callable[[], dict[str, Maker]]) -> Callable[[], dict[str, Maker]]:
    """``members`` after ``module`` has registered its environments."""

    def imported() -> dict[str, Maker]:
        importlib.import_module(module)
        return members()

    return imported


def _some(members: Callable[[], dict[str, Maker]], *names: str) -> Callable[[], dict[str, Maker]]:
    return lambda: {name: make for name, make in members().items() if name.startswith(names)}


def _highway() -> dict[str, Maker]:
    found = _of("highway_env", _registered("highway_env"))()
    return {name: functools.partial(_without_draw, make) for name, make in found.items()}


def _without_draw(make: Maker) -> gym.Env[Any, Any]:
    return adapters.WithoutRandomInfo(make())


def _textarena() -> dict[str, Maker]:
    return {name: functools.partial(adapters.TextArenaGame, name) for name in adapters.textarena_games()}


def _pettingzoo() -> dict[str, Maker]:
    names = ["chess_v6", "connect_four_v3", "go_v5", "leduc_holdem_v4", "rps_v2", "texas_holdem_v4", "tictactoe_v3"]
    return {name: functools.partial(adapters.PettingZooGame, name) for name in (*names, "texas_holdem_no_limit_v6")}


_ALE = _some(_of("ale_py", _registered("ale_py")), "ALE/Pong-v5", "ALE/Breakout-v5", "ALE/Tetris-v5")

FAMILIES = (
    Family("Gymnasium toy text", (), _registered("gymnasium.envs.toy_text"), 300, 25),
    Family("Gymnasium classic control", (), _registered("gymnasium.envs.classic_control"), 300, 25),
    Family("MiniGrid", ("minigrid",), _of("minigrid", _registered("minigrid", but="BabyAI")), 20, 20),
    Family("BabyAI", ("minigrid",), _of("minigrid", _registered("minigrid", "BabyAI")), 20, 20),
    Family("highway-env", ("highway_env",), _highway, 4, 5),
    Family("TextArena", ("textarena",), _textarena, 50, 20),
    Family("written by hand", (), by_hand.faithful, 50, 20),
    Family("Box2D", ("Box2D",), _registered("gymnasium.envs.box2d"), forks=False),
    Family("MuJoCo", ("mujoco", "imageio"), _some(_registered("gymnasium.envs.mujoco"), *by_hand.MUJOCO), forks=False),
    Family("Atari (ALE)", ("ale_py",), _ALE, forks=False),
    Family("PettingZoo classic", ("pettingzoo", "rlcard"), _pettingzoo, forks=False),
    Family(
        "PyBullet",
        ("pybullet_envs_gymnasium",),
        _of("pybullet_envs_gymnasium", _registered("pybullet_envs_gymnasium")),
        forks=False,
    ),
    Family(
        "panda-gym",
        ("panda_gym",),
        _some(_of("panda_gym", _registered("panda_gym")), "PandaReach-", "PandaPush-", "PandaStack-"),
        forks=False,
    ),
    Family("written by hand, over C", ("Box2D", "ale_py", "pybullet"), by_hand.refused, forks=False),
)


@dataclasses.dataclass(frozen=True)
class Subject:
    """One environment of a family, by its names: these cross processes."""

    family: int
    name: str

    @property
    def of(self) -> Family:
        return FAMILIES[self.family]

    def make(self) -> gym.Env[Any, Any]:
        return _members(self.family)[self.name]()


@functools.cache
def _members(family: int) -> dict[str, Maker]:
    return FAMILIES[family].members()


def subjects(every: int = 1, only: str = "") -> Iterator[Subject]:
    """The installed environments of families with ``only`` in their names; of each family, one of ``every``."""
    for number, family in enumerate(FAMILIES):
        if only in family.name and not family.missing():
            yield from (Subject(number, name) for name in list(_members(number))[::every])
