"""Parts of an environment whose state is not in them, or that take something from the original when a copy goes."""

from __future__ import annotations

import copy
import gc
import random
import sys
import types
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from spec_envs import fork
from spec_envs.errors import NotForkable
from spec_envs.forking import difference
from tests.foreign_envs import Foreign, foreign

CLOSED: list[int] = []


class Client:
    """Closes the connection when it goes, as a physics client does."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        CLOSED.append(self.number)


class OwnCopies(Client):
    def __deepcopy__(self, memo: Any) -> OwnCopies:
        return OwnCopies(self.number + 1)


class ClosesItself(Foreign):
    def __del__(self) -> None:
        CLOSED.append(-1)


class ClosingWrapper(gym.Wrapper):
    def __del__(self) -> None:
        CLOSED.append(-2)


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda: foreign(client=Client(7)), r"env\.client is a Client, whose __del__"),
        (lambda: foreign(clients={"a": [Client(7)]}), r"env\.clients\['a'\]\[0\] is a Client, whose __del__"),
        (lambda: foreign(ClosesItself), "env is a ClosesItself, whose __del__"),
        (lambda: ClosingWrapper(Foreign()), "ClosingWrapper in .* is a ClosingWrapper, whose __del__"),
    ],
    ids=["part", "deep part", "environment", "wrapper"],
)
def test_what_lets_go_of_something_at_its_end_is_not_copied(make, part):
    CLOSED.clear()
    env = make()
    with pytest.raises(NotForkable, match=part):
        fork(env)
    gc.collect()
    assert CLOSED == []


def test_a_class_may_say_how_such_a_part_is_copied():
    class Equal(OwnCopies):
        def __deepcopy__(self, memo: Any) -> Equal:
            return Equal(self.number)

    assert fork(foreign(client=Equal(3))).client.number == 3
    with pytest.raises(NotForkable, match=r"env\.client\.number is 3, and its copy 4"):
        fork(foreign(client=OwnCopies(3)))


@pytest.mark.parametrize("name", ["pybullet", "libsumo", "traci"])
def test_a_simulation_that_is_known_by_a_number_is_not_copied(monkeypatch, name):
    simulation, module = types.ModuleType(name), types.ModuleType("someones_robots")
    module.client = simulation  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, name, simulation)
    monkeypatch.setitem(sys.modules, "someones_robots", module)
    robot = type("Robot", (), {"__module__": "someones_robots"})()
    with pytest.raises(NotForkable, match=rf"env\.robot is a Robot, whose code uses {name}"):
        fork(foreign(robot=robot))


@pytest.mark.parametrize(
    "draw",
    [random.random, random.choice, np.random.rand, np.random.mtrand._rand],
    ids=["random.random", "random.choice", "np.random.rand", "np.random's own"],
)
def test_the_global_generators_are_not_copied(draw):
    with pytest.raises(NotForkable, match=r"env\.draw.* is a global random generator.* use self\.np_random"):
        fork(foreign(draw=draw))


class Room:
    """What a level of a game may look like: a set, whose order ``copy.deepcopy`` does not keep, and shared parts."""

    def __init__(self) -> None:
        self.doors = {(n * 7 % 32, -n) for n in range(40)}
        for n in range(0, 40, 2):
            self.doors.discard((n * 7 % 32, -n))
        self.doors.add((99, 99))
        self.exits = [self.doors]


class Game:
    """Copies itself with ``copy.deepcopy``."""

    def __init__(self, **parts: Any) -> None:
        self.__dict__.update(parts)

    def __deepcopy__(self, memo: Any) -> Game:
        twin = object.__new__(type(self))
        memo[id(self)] = twin
        for name, value in self.__dict__.items():
            setattr(twin, name, copy.deepcopy(value, memo))
        return twin


def _refers_back() -> Game:
    game = Game(room=Room())
    game.player = Game(game=game, room=game.room)  # type: ignore[attr-defined]
    return game


@pytest.mark.parametrize(
    "game",
    [lambda: Game(room=Room()), lambda: Game(inner=Game(room=Room()), again=[1]), _refers_back],
    ids=["plain", "nested", "refers back"],
)
def test_a_class_that_copies_itself_keeps_the_order_of_its_sets(game):
    env = foreign(game=game())
    twin = fork(env)
    assert difference(env, twin) is None
    room, other = (getattr(each.game, "inner", each.game).room for each in (env, twin))
    assert list(room.doors) == list(other.doors)
    assert other.exits[0] is other.doors is not room.doors


def test_a_class_that_copies_itself_wrongly_is_found_out_also_where_its_parts_are_right():
    class Forgets(Game):
        def __deepcopy__(self, memo: Any) -> Any:
            twin: Any = super().__deepcopy__(memo)
            twin.turn = 0
            return twin

    class Shares(Game):
        def __deepcopy__(self, memo: Any) -> Any:
            return Shares(**self.__dict__)

    with pytest.raises(NotForkable, match=r"env\.game\.turn is 3, and its copy 0"):
        fork(foreign(game=Forgets(room=Room(), turn=3)))
    with pytest.raises(NotForkable, match=r"env\.game\.room is a Room that the original and the copy share"):
        fork(foreign(game=Shares(room=Room())))
    with pytest.raises(NotForkable, match=r"env\.game\.inner\.turn is 3, and its copy 0"):
        fork(foreign(game=Game(inner=Forgets(turn=3))))
