"""Small environments as users write them, over libraries whose objects they hold."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import chess
import gymnasium as gym
import numpy as np

Maker = Callable[[], gym.Env[Any, Any]]

#: One of each kind of Gymnasium's environments over MuJoCo.
MUJOCO = ("Ant-v5", "HalfCheetah-v5", "Hopper-v5", "Humanoid-v5", "InvertedPendulum-v5", "Reacher-v5", "Swimmer-v5")


def _library(name: str) -> Any:
    """The module. No type checker looks into it, as it is installed in some checkouts only."""
    return importlib.import_module(name)


class _Numbers(gym.Env[Any, int]):
    """An environment whose observation is a few numbers."""

    metadata: dict[str, Any] = {"render_modes": []}
    length = 20

    def __init__(self) -> None:
        self.observation_space: gym.Space[Any] = gym.spaces.Box(-np.inf, np.inf, (2,))
        self.action_space: gym.Space[Any] = gym.spaces.Discrete(3)
        self.count = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.count = 0
        self.begin()
        return self._numbers(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.count += 1
        self.act(int(action))
        numbers = self._numbers()
        return numbers, float(numbers[0]), False, self.count >= self.length, {}

    def _numbers(self) -> Any:
        return np.array([self.look(), self.count], np.float64)

    def begin(self) -> None:
        """Begin an episode."""

    def act(self, action: int) -> None:
        """Take an action."""

    def look(self) -> float:
        """What is seen."""
        return 0.0


class Trading(_Numbers):
    """Holds a frame of pandas, and writes into it."""

    def begin(self) -> None:
        pandas = _library("pandas")

        prices = 100 + self.np_random.normal(size=self.length + 1).cumsum()
        self.frame = pandas.DataFrame({"price": prices, "held": 0.0})

    def act(self, action: int) -> None:
        self.frame.loc[self.count, "held"] = self.frame["held"].iloc[self.count - 1] + action - 1

    def look(self) -> float:
        return float((self.frame["price"] * self.frame["held"]).sum())


class Pieces(_Numbers):
    """Holds a board of python-chess with its history."""

    def begin(self) -> None:
        self.board = chess.Board()

    def act(self, action: int) -> None:
        moves = sorted(self.board.legal_moves, key=str)
        if not moves:  # mate
            self.board.reset()
            return
        self.board.push(moves[(action + int(self.np_random.integers(len(moves)))) % len(moves)])

    def look(self) -> float:
        return float(len(self.board.move_stack) + len(list(self.board.legal_moves)))


class OldGenerators(_Numbers):
    """Draws from generators of its own, of the old kinds."""

    def begin(self) -> None:
        import random

        seed = int(self.np_random.integers(1000))
        self.python, self.numpy = random.Random(seed), np.random.RandomState(seed)

    def look(self) -> float:
        return self.python.gauss(0, 1) + self.numpy.randn()


class World(_Numbers):
    """Holds a world of Box2D."""

    def begin(self) -> None:
        Box2D = _library("Box2D")

        self.world = Box2D.b2World(gravity=(0, -10))
        self.ball = self.world.CreateDynamicBody(position=(0, 4))
        self.ball.CreateCircleFixture(radius=1, density=1)

    def act(self, action: int) -> None:
        self.ball.ApplyLinearImpulse((action - 1, 0), self.ball.worldCenter, True)
        self.world.Step(0.02, 6, 2)

    def look(self) -> float:
        return float(self.ball.position[0] + self.ball.position[1])


class Data(_Numbers):
    """Holds the model and the data of MuJoCo."""

    def begin(self) -> None:
        mujoco = _library("mujoco")

        text = "<mujoco><worldbody><body pos='0 0 1'><freejoint/><geom size='.1'/></body></worldbody></mujoco>"
        self.model = mujoco.MjModel.from_xml_string(text)
        self.data = mujoco.MjData(self.model)

    def act(self, action: int) -> None:
        mujoco = _library("mujoco")

        self.data.qvel[0] += action - 1
        mujoco.mj_step(self.model, self.data)

    def look(self) -> float:
        return float(self.data.qpos[0] + self.data.qpos[2])


class Console(_Numbers):
    """Holds a console of the Arcade Learning Environment."""

    def begin(self) -> None:
        ale_py = _library("ale_py")

        self.console = ale_py.ALEInterface()
        self.console.loadROM(ale_py.roms.get_rom_path("pong"))
        self.console.reset_game()

    def act(self, action: int) -> None:
        for _ in range(10):
            self.console.act(action + 2)

    def look(self) -> float:
        return float(self.console.getRAM().astype(np.int64).sum())


class Server(_Numbers):
    """Knows the physics server of PyBullet by a number."""

    def begin(self) -> None:
        pybullet = _library("pybullet")

        self.pybullet = pybullet
        self.client = pybullet.connect(pybullet.DIRECT)
        pybullet.setGravity(0, 0, -10, physicsClientId=self.client)
        ball = pybullet.createCollisionShape(pybullet.GEOM_SPHERE, radius=0.1, physicsClientId=self.client)
        self.ball = pybullet.createMultiBody(1, ball, basePosition=[0, 0, 1], physicsClientId=self.client)

    def act(self, action: int) -> None:
        self.pybullet.applyExternalForce(
            self.ball, -1, [action - 1, 0, 0], [0, 0, 0], self.pybullet.LINK_FRAME, physicsClientId=self.client
        )
        self.pybullet.stepSimulation(physicsClientId=self.client)

    def look(self) -> float:
        position, _ = self.pybullet.getBasePositionAndOrientation(self.ball, physicsClientId=self.client)
        return float(position[0] + position[2])


def faithful() -> dict[str, Maker]:
    """Those that can be forked."""
    others = (("pandas", "a frame of pandas", Trading), ("mujoco", "MjModel and MjData", Data))
    return {
        "a board of python-chess": Pieces,
        "random.Random and RandomState": OldGenerators,
        **{name: make for module, name, make in others if importlib.util.find_spec(module) is not None},
    }


def refused() -> dict[str, Maker]:
    """Those whose state is not in Python."""
    return {"a Box2D world": World, "an ALEInterface": Console, "a PyBullet number": Server}
