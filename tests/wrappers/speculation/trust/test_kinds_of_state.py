"""Environments that keep their state in every way that Python has: each is as in the plain loop, on every runtime."""

from __future__ import annotations

import collections
import dataclasses
import enum
import functools
import hashlib
import heapq
import itertools
import random
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Generic, List, Optional, TypeVar  # noqa: UP035

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import wrappers

from spec_envs import Guess
from spec_envs.wrappers.handlers import with_latency
from tests.wrappers.loops import RUNTIMES, make

# This module is full of objects without annotations: they are what is tested.
T = TypeVar("T")

# mypy: disable-error-code="no-untyped-def, var-annotated"


class Base(gym.Env[Any, int]):
    observation_space: Any = gym.spaces.Box(-1e9, 1e9, (2,))
    action_space: Any = gym.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t, self.x = 0, 0.25
        self.begin()
        return self.seen(), {}

    def step(self, action: int) -> Any:
        self.t += 1
        self.x = (1.3 * self.x + float(self.use(action)) + 0.37 * action) % 97
        return self.seen(), self.x, self.t >= 20, False, {}

    def seen(self) -> Any:
        return np.array([self.x, self.t], float)

    def begin(self): ...

    def use(self, action):
        return 1.0


class Containers(Base):
    def begin(self):
        self.last = collections.deque([1, 2, 3], maxlen=3)
        self.order = collections.OrderedDict.fromkeys("abc", 1)
        self.counts = collections.Counter("ab")
        self.heap = [3, 1, 2]
        heapq.heapify(self.heap)
        self.chain = collections.ChainMap({}, {"z": 1})
        self.own = collections.UserDict(a=[1])
        self.names = types.SimpleNamespace(number=0)

    def use(self, action):
        self.last.append(action + self.t)
        self.order.move_to_end("abc"[self.t % 3])
        self.counts["ab"[action]] += 1
        heapq.heappush(self.heap, action * self.t)
        self.chain["z"] += action
        self.own["a"].append(action)
        self.names.number += 1
        first, often = next(iter(self.order)), self.counts.most_common(1)[0][1]
        return sum(self.last) + ord(first) + often + heapq.heappop(self.heap) + self.chain["z"] + len(self.own["a"])


class Slots(Base):
    __slots__ = ("log",)

    def begin(self):
        self.log = [1]

    def use(self, action):
        self.log.append(action)
        return sum(self.log)


@dataclasses.dataclass(slots=True)
class Point:
    x: int = 0
    log: list[int] = dataclasses.field(default_factory=list)


class WithPoint(Base):
    def begin(self):
        self.point = Point()

    def use(self, action):
        self.point.x += 1
        self.point.log.append(action)
        return self.point.x + sum(self.point.log)


class Weak(Base):
    def begin(self):
        self.point = Off()
        self.point.x = 0
        self.again = weakref.ref(self.point)

    def use(self, action):
        again: Any = self.again()
        again.x += 1
        return self.point.x


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Enums(Base):
    def begin(self):
        self.colour, self.by_colour = Colour.RED, {Colour.RED: 0, Colour.BLUE: 0}

    def use(self, action):
        self.colour = Colour.BLUE if action else Colour.RED
        self.by_colour[self.colour] += 1
        return self.by_colour[Colour.RED] + self.colour.value


class Named:
    """A descriptor that keeps its value in the instance."""

    def __set_name__(self, owner, name):
        self.name = f"_{name}"

    def __get__(self, instance, owner=None):
        return self if instance is None else getattr(instance, self.name, 0)

    def __set__(self, instance, value):
        setattr(instance, self.name, value)


class Descriptor(Base):
    number: Any = Named()

    def use(self, action):
        self.number = self.number + 1
        return self.number

    def begin(self):
        self.number = 0


class Itertools(Base):
    def begin(self):
        self.cycle = itertools.cycle([1, 2, 3])
        self.slice = itertools.islice(itertools.count(), 2, None)
        self.one, self.two = itertools.tee(range(100))
        self.sums = itertools.accumulate(range(100))
        self.pairs = zip(range(99), itertools.repeat(2), strict=False)

    def use(self, action):
        return next(self.cycle) + next(self.slice) + next(self.one) + next(self.sums) + next(self.pairs)[0]


class On:
    def go(self) -> int:
        self.__class__ = Off  # type: ignore[assignment]
        return 1


class Off:
    x = 0

    def go(self) -> int:
        self.__class__ = On  # type: ignore[assignment]
        return 2


class ClassOfInstance(Base):
    def begin(self):
        self.state = On()

    def use(self, action):
        return self.state.go()


class BoundMethod(Base):
    def begin(self):
        self.rule = self.one

    def one(self, action):
        self.rule = self.two
        return 1

    def two(self, action):
        self.rule = functools.partial(self.one)
        return 2

    def use(self, action):
        return self.rule(action)


class Nonlocal(Base):
    def begin(self):
        number = 0

        def count():
            nonlocal number
            number += 1
            return number

        self.count = count

    def use(self, action):
        return self.count()


class CachedProperty(Base):
    def begin(self):
        self.__dict__.pop("large", None)
        self.number = 3

    @functools.cached_property
    def large(self):
        self.number += 1
        return self.number

    def use(self, action):
        if action:
            self.__dict__.pop("large", None)
        return self.large


class ReturnsItsBuffer(Base):
    def begin(self):
        self.buffer = np.zeros(2)

    def seen(self):
        self.buffer[:] = self.x, self.t
        return self.buffer


class Views(Base):
    def begin(self):
        self.array = np.zeros(6)
        self.view = self.array[::2].reshape(3, 1)
        self.objects = np.array([[1], None], dtype=object)
        self.table = np.zeros(2, dtype=[("a", "i4"), ("b", "f8")])
        self.row = self.table[1]

    def use(self, action):
        self.view += 1
        self.objects[0].append(action)
        self.row["a"] += 1
        return self.array.sum() + len(self.objects[0]) + self.table["a"][1]


class KeepsAnError(Base):
    def begin(self):
        self.error = None

    def use(self, action):
        if self.t % 7 == 6:
            try:
                raise KeyError(self.t)
            except KeyError as error:
                self.error = error
        return 0.0 if self.error is None else self.error.args[0]


class Draws(Base):
    def begin(self):
        self.random = random.Random(3)
        self.children = self.np_random.spawn(2)
        self.action_space = gym.spaces.Discrete(2, seed=5)

    def use(self, action):
        return self.random.random() + self.children[action].random() + float(self.action_space.sample())


class Hashes(Base):
    def begin(self):
        self.hash = hashlib.sha256(b"begin")

    def use(self, action):
        self.hash.update(bytes([action, self.t]))
        return self.hash.digest()[0]


class HoldsItself(Base):
    def begin(self):
        self.me = self
        self.parts: Any = [self, {"env": self}]

    def use(self, action):
        self.parts[1]["env"].me.x += 1
        return self.parts[0].x


class Sets(Base):
    def begin(self):
        self.free = {(x, y) for x in range(6) for y in range(6)}

    def use(self, action):
        self.free.discard(next(iter(self.free)))
        return sum(list(self.free)[self.np_random.integers(len(self.free))])


class Tree(Base):
    """A game tree whose nodes know their parent and their children."""

    class Node:
        def __init__(self, parent: Any) -> None:
            self.parent, self.children, self.visits = parent, dict[int, Any](), 0

    def begin(self):
        self.root = self.here = self.Node(None)

    def use(self, action):
        self.here = self.here.children.setdefault(action, self.Node(self.here)) if self.t % 4 else self.root
        node = self.here
        while node is not None:
            node.visits, node = node.visits + 1, node.parent
        return self.root.visits + self.here.visits


class ItemsAsAttributes(Base):
    class Items(dict[str, Any]):
        __getattr__: Any = dict.__getitem__  # raises KeyError for what is not there
        __setattr__: Any = dict.__setitem__

    class Rows(list[Any]):
        def __getattr__(self, name):
            return [row[name] for row in self]

    def begin(self):
        self.items: Any = self.Items(number=0)
        self.rows = self.Rows([self.items])

    def use(self, action):
        self.rows.number[0] = self.items.number = self.items.number + 1 + action
        return self.rows.number[0]


class Cells(Base):
    class Cell(Generic[T]):
        def __init__(self, value: T) -> None:
            self.value = value

    def begin(self):
        self.cell = self.Cell[list[int]]([0])  # type: ignore[operator]
        self.kinds = [self.Cell[int], dict[str, int], int | None, Optional[int], List[int]]  # noqa: UP006, UP045

    def use(self, action):
        self.cell.value.append(action)
        return sum(self.cell.value)


class Phases(Base):
    """Its rules are made anew in each step, from functions that close over each other."""

    def rules(self) -> Iterator[Callable[[int], int]]:
        for number in range(3):
            yield lambda action, number=number: number + action + self.t  # type: ignore[misc]

    def begin(self):
        self.rule = [*self.rules()]

    def use(self, action):
        result = self.rule[self.t % 3](action)
        self.rule = [*self.rules()]
        return result


def counting() -> gym.Env[Any, Any]:
    seen: list[int] = []

    def counted(observation: Any) -> Any:
        seen.append(1)
        return observation + len(seen)

    return wrappers.TransformObservation(Base(), counted, None)


def stacked() -> gym.Env[Any, Any]:
    inner = wrappers.TimeLimit(wrappers.NormalizeObservation(gym.make("CartPole-v1")), 15)
    return wrappers.FrameStackObservation(wrappers.RecordEpisodeStatistics(inner), 3)


KINDS: dict[str, Callable[[], gym.Env[Any, Any]]] = {
    kind.__name__: kind
    for kind in (
        *(Containers, Slots, WithPoint, Weak, Enums, Descriptor, Itertools, ClassOfInstance, BoundMethod, Nonlocal),
        *(CachedProperty, ReturnsItsBuffer, Views, KeepsAnError, Draws, Hashes, HoldsItself, Sets, Tree, Phases),
        *(ItemsAsAttributes, Cells),
        *(counting, stacked),
    )
} | {
    "normalized reward": lambda: wrappers.NormalizeReward(gym.make("MountainCar-v0")),
    "delayed": lambda: wrappers.DelayObservation(wrappers.StickyAction(gym.make("CartPole-v1"), 0.3), 2),
    "reset by itself": lambda: wrappers.Autoreset(wrappers.TimeLimit(Base(), 5)),
    "aware of time": lambda: wrappers.TimeAwareObservation(wrappers.TimeLimit(Base(), 9)),
}


def act(observation: Any) -> int:
    return int(abs(np.asarray(observation, float)).sum() * 1000) % 2


class Both:
    def guess(self, call: Any, k: int) -> list[Guess]:
        return [Guess(act(call.query), 0.5), Guess(1 - act(call.query), 0.4)]


def episode(env: Any, choose: Callable[[Any], int], seed: int) -> list[Any]:
    observation, _ = env.reset(seed=seed)
    seen = [np.array(observation).tolist()]
    for _ in range(25):
        observation, reward, terminated, truncated, _ = env.step(choose(observation))
        seen.append((np.array(observation).tolist(), float(reward)))
        if terminated or truncated:
            break
    return seen


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("name", KINDS)
def test_an_episode_is_as_in_the_plain_loop(name: str, runtime: str) -> None:
    factory = KINDS[name]
    policy = with_latency(act, 0.0 if runtime == "threads" else 1.0)
    for seed in range(2):
        expected = episode(factory(), act, seed)
        with make(factory(), policy, guessers={"policy": Both()}, runtime=runtime, prove_every=3) as env:
            assert episode(env, env.act, seed) == expected
            assert env.statistics.proof_differences == 0 and env.statistics.stopped is None


INTEGERS: dict[str, Callable[[Any], Any]] = {
    "int": int,
    "int32": np.int32,
    "int64": np.int64,
    "uint8": np.uint8,
    "array": np.array,
}


@pytest.mark.parametrize("guessed", INTEGERS)
@pytest.mark.parametrize("chosen", INTEGERS)
def test_an_integer_of_another_type_that_was_guessed_is_no_difference(chosen: str, guessed: str) -> None:
    class Guesses:
        def guess(self, call: Any, k: int) -> list[Guess]:
            return [Guess(INTEGERS[guessed](act(call.query)), 0.9)]

    def policy(observation: Any) -> Any:
        return INTEGERS[chosen](act(observation))

    expected = episode(Base(), policy, 0)
    options: dict[str, Any] = {"guessers": {"policy": Guesses()}, "runtime": "simulation", "prove_every": 1}
    with make(Base(), with_latency(policy, 1.0), **options) as env:
        assert episode(env, env.act, 0) == expected
        assert env.statistics.stopped is None and env.statistics.proofs == 20
