"""Environments whose copies are not copies: ``fork(env)`` finds it out, refuses them, and names the place."""

import collections
import copy
import functools
import random
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils import EzPickle

from spec_envs import fork
from spec_envs.errors import NotForkable
from tests.foreign_envs import Foreign, foreign, held


class Rebuilt(EzPickle):
    def __init__(self, size):
        EzPickle.__init__(self, size)
        self.board = [0] * size


def test_ez_pickle_anywhere_in_an_environment_is_refused():
    env = foreign(game=[Rebuilt(3)])
    with pytest.raises(NotForkable, match=r"env\.game\[0\] is built on EzPickle: a copy of it is a new Rebuilt"):
        fork(env)
    with pytest.raises(NotForkable, match=r"Holder\.held is built on EzPickle"):
        held(lambda self: Rebuilt(3))


def test_an_ez_pickle_class_with_hooks_of_its_own_is_looked_at_instead():
    class Careful(Rebuilt):
        def __deepcopy__(self, memo):
            twin = Careful(len(self.board))
            twin.board[:] = self.board
            return twin

    env = foreign(game=Careful(3))
    env.game.board[1] = 5
    assert fork(env).game.board == [0, 5, 0]


class Forgetful:
    def __init__(self):
        self.moves = []

    def __deepcopy__(self, memo):
        return Forgetful()


class Sharing:
    def __init__(self):
        self.moves = ["e4"]

    def __deepcopy__(self, memo):
        twin = copy.copy(self)
        return twin


class HalfReduced:
    def __init__(self):
        self.a, self.b = 1, 2

    def __getstate__(self):
        return {"a": self.a}


class Reduced:
    def __init__(self):
        self.value = 0

    def __reduce__(self):
        return Reduced, ()


class Claimed:
    """Says that it is a global, and keeps state."""

    def __init__(self):
        self.state = []

    def __reduce__(self):
        return "Claimed"


class Torn:
    def __init__(self):
        self.a = self.b = [1]

    def __deepcopy__(self, memo):
        twin = Torn()
        twin.b = [1]
        return twin


class Singleton:
    def __init__(self):
        self.state = 1

    def __deepcopy__(self, memo):
        return self


class Nan:
    def __init__(self, value):
        self.value = value

    def __deepcopy__(self, memo):
        return Nan(0.0)


def with_value(thing, value):
    thing.value = value
    return thing


def with_moves(thing):
    thing.moves.append("d4")
    return thing


SHARED = "that the original and the copy share"
WRONG_COPIES = {
    "forgets": (with_moves(Forgetful()), r"env\.part\.moves has 1 items, and its copy 0"),
    "shares": (Sharing(), rf"env\.part\.moves is a list {SHARED}"),
    "half": (HalfReduced(), r"env\.part has other attributes than its copy: b"),
    "reduced": (with_value(Reduced(), 4), r"env\.part\.value is 4, and its copy 0"),
    "global": (Claimed(), rf"env\.part is a Claimed {SHARED}"),
    "torn": (Torn(), r"env\.part\.[ab] was one object with another part of the original, and is not in the copy"),
    "singleton": (Singleton(), rf"env\.part is a Singleton {SHARED}"),
    "nan": (Nan(float("nan")), r"env\.part\.value is nan, and its copy 0\.0"),
    "zero": (Nan(-0.0), r"env\.part\.value is -0\.0, and its copy 0\.0"),
    "type": (Nan(0), r"env\.part\.value is a int, and its copy a float"),
    "array": (Nan(np.zeros(2)), r"env\.part\.value is a ndarray, and its copy a float"),
}


@pytest.mark.parametrize("name", WRONG_COPIES)
def test_a_wrong_copy_is_found_out_and_its_place_named(name):
    part, message = WRONG_COPIES[name]
    with pytest.raises(
        NotForkable, match=message + ".*; give it a fork.. of its own, or build it on spec_envs.CallEnv"
    ):
        fork(foreign(part=part))
    with pytest.raises(NotForkable, match=message.removeprefix(r"env\.part")):
        held(lambda self: part)


def lossy(original, **changes):
    """An object whose copy has some attributes changed."""

    class Lossy:
        def __init__(self, value):
            self.value = value

        def __deepcopy__(self, memo):
            return Lossy(changes["copy"])

    return Lossy(original)


@pytest.mark.parametrize(
    ("original", "copied", "message"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, r"env\.part\.value\['b'\] is 2, and its copy 1"),
        ({"a": [1]}, {"a": [2]}, r"value\['a'\]\[0\] is 1, and its copy 2"),
        ({1, 2}, {1, 3}, "is a set with other members"),
        (np.arange(3), np.arange(3) + 1, "is an array with other values"),
        (np.arange(3), np.arange(3.0), "is an array int64"),
        (np.array([1, [2]], dtype=object), np.array([1, [3]], dtype=object), r"value\.flat\[1\]\[0\] is 2"),
        (np.random.default_rng(1), np.random.default_rng(2), r"bit_generator is a random generator in another state"),
        (random.Random(1), random.Random(2), "is a random generator in another state"),
        (np.random.RandomState(1), np.random.RandomState(2), "is a random generator in another state"),
        (collections.deque([1], 2), collections.deque([1], 3), "has 1 items, and its copy 1"),
        (collections.defaultdict(list), collections.defaultdict(set), r"value\.default_factory is <class 'list'>"),
        (spaces.Discrete(2), spaces.Discrete(3), r"is Discrete\(2\), and its copy Discrete\(3\)"),
        (lambda: 1, lambda: 2, "is another function than its copy"),
        ([].append, [1].append, r"value\.__self__ has 0 items, and its copy 1"),
        ([].append, [].pop, "is another method than its copy"),
        (functools.partial(int, 1), functools.partial(int, 2), r"value\.args\[0\] is 1"),
        (bytearray(b"a"), bytearray(b"b"), r"is bytearray\(b'a'\), and its copy bytearray\(b'b'\)"),
        (ValueError(1), ValueError(2), r"value.* is 1, and its copy 2"),
        ({frozenset({1})}, {frozenset({2})}, "is a set with other members"),
        ({object(): 1}, {object(): 1}, "key"),
        ({lambda: 1}, {lambda: 1}, "is a set of objects that may change"),
    ],
)
def test_every_kind_of_state_is_compared(original, copied, message):
    with pytest.raises(NotForkable, match=message):
        fork(foreign(part=lossy(original, copy=copied)))


def test_shared_state_that_a_default_copy_would_leave_is_not_there():
    state = [1]
    env = foreign(state=state, read=lambda: list(state), push=state.append)
    twin = fork(env)
    twin.push(2)
    assert (twin.read(), env.read()) == ([1, 2], [1])


def test_parts_shared_across_the_two_graphs_are_found():
    class Crossed:
        def __init__(self, mine, other):
            self.mine, self.other = mine, other

        def __deepcopy__(self, memo):
            return Crossed(self.other, self.mine)

    with pytest.raises(NotForkable, match="is shared by the original and the copy"):
        fork(foreign(part=Crossed([1], [1])))


def test_state_outside_python_is_compared_by_what_would_be_pickled():
    import array

    env = foreign(numbers=array.array("d", [1.0, 2.0]), error=KeyError("x"), when=collections.Counter("abca"))
    twin = fork(env)
    twin.numbers[0] = 9.0
    assert env.numbers[0] == 1.0
    assert twin.error.args == ("x",) and twin.when == env.when


def test_state_outside_python_that_cannot_be_seen_is_refused():
    class Hidden(BaseException):  # stands for a class that keeps state in C
        def __reduce__(self):
            return Hidden, ()

    with pytest.raises(NotForkable, match="keeps state outside Python, and cannot be compared"):
        fork(foreign(part=Hidden()))


def test_the_parent_is_not_changed():
    env = Foreign()
    fork(env)
    assert env._np_random is None and env.action_space._np_random is None
    env.reset(seed=4)
    state, attributes = env.np_random.bit_generator.state, set(env.__dict__)
    fork(env)
    assert env.np_random.bit_generator.state == state and set(env.__dict__) == attributes


def test_a_deep_structure_does_not_overflow_the_comparison():
    env = foreign(table={(i, j): [(1.0, i, -1, False)] for i in range(50) for j in range(50)})
    assert fork(env).table == env.table


class ChessShim(gym.Env):
    """PettingZoo's chess as a Gymnasium environment for one player who plays both sides."""

    def __init__(self):
        from pettingzoo.classic import chess_v6

        self.game = chess_v6.env()
        self.game.reset(seed=0)
        self.observation_space = self.game.observation_space("player_0")
        self.action_space = self.game.action_space("player_0")

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.game.reset(seed=seed)
        observation, *_ = self.game.last()
        return observation, {}

    def step(self, action):
        self.game.step(action)
        observation, reward, terminated, truncated, info = self.game.last()
        return observation, reward, terminated, truncated, info


@pytest.fixture
def pettingzoo_chess():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pygame's
        pytest.importorskip("pygame", reason="PettingZoo's chess imports pygame")
        return ChessShim()


def test_pettingzoos_chess_is_found_out(pettingzoo_chess):
    env = pettingzoo_chess
    observation, _ = env.reset(seed=0)
    env.step(int(np.flatnonzero(observation["action_mask"])[0]))
    moves = len(env.game.unwrapped.board.move_stack)
    assert moves == 1 and len(copy.deepcopy(env).game.unwrapped.board.move_stack) == 0  # what is to be found out
    with pytest.raises(
        NotForkable, match=r"ChessShim in .*env\.game.* is built on EzPickle: a copy of it is a new raw_env"
    ):
        fork(gym.wrappers.TimeLimit(env, 5))
    assert len(env.game.unwrapped.board.move_stack) == 1
