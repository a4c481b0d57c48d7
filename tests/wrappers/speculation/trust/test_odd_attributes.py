"""Objects that raise when an attribute or their class is read: nothing asks them what the plain loop does not ask."""

from __future__ import annotations

import sys
import types
import warnings
import weakref
from typing import Any

import gymnasium as gym
import pytest

from spec_envs import Call, CallEnv, Effect, Guess
from tests.wrappers.loops import make, play


class Settings(dict[str, Any]):
    """A usual idiom: a missing attribute raises ``KeyError``."""

    __getattr__ = dict.__getitem__


class Client:
    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"not connected, so there is no {name}")


class Lazy:
    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise RuntimeError("not configured yet")


class Closed:
    def __getattribute__(self, name: str) -> Any:
        raise OSError(f"closed, so there is no {name}")


class Slots:
    __slots__ = ("left", "right")

    def __getattr__(self, name: str) -> Any:
        raise LookupError(name)


class Kind(type):
    def __getattr__(cls, name: str) -> Any:
        raise RuntimeError(f"the class has no {name}")


class OfKind(metaclass=Kind):
    pass


class Untouchable:
    def __hash__(self) -> int:
        raise TypeError("no hash")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("never equal, never unequal")

    def __bool__(self) -> bool:
        raise RuntimeError("neither true nor false")

    def __repr__(self) -> str:
        raise RuntimeError("not to be shown")


def gone() -> Any:
    class Short:
        pass

    return weakref.proxy(Short())


OBJECTS = {
    "settings": Settings(lr=0.1),
    "client": Client(),
    "lazy": Lazy(),
    "closed": Closed(),
    "slots": Slots(),
    "class": OfKind,
    "of a class": OfKind(),
    "untouchable": Untouchable(),
    "dead proxy": gone(),
}

MODULE = """
import gymnasium as gym

class Walk(gym.Env):
    action_space = gym.spaces.Discrete(2)
    observation_space = gym.spaces.Discrete(100)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = 0
        return 0, {}

    def step(self, action):
        if self.place < 0:
            odd.used()
        self.place += action + 1
        return self.place, 1.0, self.place > 9, False, {}

def function(observation):
    if observation < 0:
        odd.used()
    return observation % 2

def closing(inside):
    def decide(observation):
        if observation < 0:
            inside.used()
        return observation % 2
    return decide

class Holder:
    def __init__(self):
        self.odd = odd

    def __call__(self, observation):
        if observation < 0:
            self.odd.used()
        return observation % 2

class Guesser:
    def __init__(self):
        self.odd = odd

    def guess(self, call, k):
        return [(0, 0.5), (1, 0.4)]
"""


class Desk(CallEnv[Any, Any]):
    """Asks for its calls, and holds an odd object in its class."""

    action_space = gym.spaces.Discrete(2)
    observation_space = gym.spaces.Discrete(100)
    odd: Any = None

    def __init__(self) -> None:
        super().__init__({"world": lambda query: query + 1})

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self.place = 0
        return 0, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        self.place = self.ask(Call("world", self.place + action, Effect.READ))
        return self.place, 1.0, self.place > 9, False, {}


class Plus:
    def guess(self, call: Call, k: int) -> list[Guess]:
        return [Guess(call.query + 1, 0.9)]


@pytest.mark.parametrize("policy", ["function", "closing", "Holder"])
@pytest.mark.parametrize("name", OBJECTS)  # pytest asks its parameters what odd objects would not answer
def test_policies_and_environments_may_use_odd_objects(name: str, policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = OBJECTS[name]
    module = types.ModuleType("odd_module_of_a_user")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    vars(module)["odd"] = odd
    exec(MODULE, vars(module))
    made = {"function": module.function, "closing": module.closing(odd), "Holder": module.Holder()}[policy]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = make(module.Walk(), made, guessers={"policy": module.Guesser()})
        assert play(env, env.act) == play(module.Walk(), made)


@pytest.mark.parametrize("name", OBJECTS)
def test_an_environment_that_asks_may_hold_an_odd_object(name: str) -> None:
    kind = type("Holding", (Desk,), {"odd": OBJECTS[name]})
    env = make(kind(), lambda observation: 0, guessers={"world": Plus()})
    assert play(env, env.act) == play(kind(), lambda observation: 0)


@pytest.mark.parametrize("base", [Settings, Client, Slots, OfKind, Untouchable])
def test_policies_and_guessers_may_be_odd_objects(base: type) -> None:
    policy = type("Policy", (base,), {"__call__": lambda self, observation: observation % 2})()
    guesser = type("Guesser", (base,), {"guess": lambda self, call, k: Plus().guess(call, k)})()
    env = make(Desk(), policy, guessers={"world": guesser})
    assert play(env, env.act) == play(Desk(), policy)
    assert not env.statistics.guess_errors
