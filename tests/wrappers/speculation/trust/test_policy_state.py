"""A policy that changes when it is called, and has no ``fork()``, is told of once."""

from __future__ import annotations

import collections
import functools
import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from spec_envs.testing import FakeEnv
from spec_envs.wrappers import AsyncSpeculativeWrapper
from spec_envs.wrappers.handlers import with_latency
from tests import virtual_time
from tests.wrappers.loops import PERFECT, Counter, choose, make, play, slow_fake


class Policy:
    """Chooses by the observation, and does ``keeping`` to itself in every call."""

    def __init__(self, keeping: Callable[[Any], object], **held: Any) -> None:
        self._keeping = keeping
        self.__dict__.update(held)

    def __call__(self, observation: Any) -> int:
        self._keeping(self)
        return choose(observation)

    def act(self, observation: Any) -> int:
        return self(observation)


class Slotted:
    __slots__ = ("turn",)

    def __init__(self) -> None:
        self.turn = 0

    def __call__(self, observation: Any) -> int:
        self.turn += 1
        return choose(observation) + 0 * self.turn


def closure() -> Any:
    messages: list[Any] = []

    def decide(observation: Any) -> int:
        messages.append(observation)
        return choose(observation)

    return decide


def counting() -> Any:
    turn = 0

    def decide(observation: Any) -> int:
        nonlocal turn
        turn += 1
        return choose(observation)

    return decide


class Measured:
    """Counts its calls and what they use, for a report."""

    def __init__(self) -> None:
        self.calls, self.usage, self.seconds, self.last = 0, {"tokens": 0}, [0.0], "nothing"

    def __call__(self, observation: Any) -> int:
        self.calls += 1
        self.usage["tokens"] += 10 + self.cost(observation)
        self.seconds.append(0.1)
        self.last = repr(observation)
        return choose(observation)

    def cost(self, observation: Any) -> int:
        return len(observation)

    def report(self) -> str:
        return f"{self.calls} calls, {self.usage}, {sum(self.seconds)} s; {self.last}"

    def act(self, observation: Any) -> int:
        return self(observation)


class Reporting(Measured):
    """Reads what it counts, in a method of its base."""

    def cost(self, observation: Any) -> int:
        return len(self.report())


class Handing(Measured):
    """Hands itself to somebody, who may read anything."""

    def cost(self, observation: Any) -> int:
        return id(self) % 2


class Reading(Measured):
    def cost(self, observation: Any) -> int:
        return self.calls


def _messages() -> Policy:
    return Policy(lambda policy: policy.messages.append({"role": "user"}), messages=[{"role": "system"}])


def _sets(name: str, value: Callable[[Any], Any], first: Any) -> Policy:
    return Policy(lambda policy: setattr(policy, name, value(getattr(policy, name))), **{name: first})


def _fills(policy: Any) -> None:
    policy.board[policy.turns[0] % 4] += 1


CHANGE: dict[str, tuple[Callable[[], Any], str]] = {
    "messages": (_messages, "messages"),
    "a counter": (lambda: _sets("turn", lambda turn: turn + 1, 0), "turn"),
    "a text": (lambda: _sets("notes", lambda notes: notes + "!", ""), "notes"),
    "a tuple": (lambda: _sets("seen", lambda seen: (*seen, 1), ()), "seen"),
    "a window": (lambda: Policy(lambda p: p.last.append(1), last=collections.deque(maxlen=3)), "last"),
    "an array": (lambda: Policy(_fills, board=np.zeros(4), turns=[0]), "board"),
    "a value in a dictionary": (lambda: Policy(lambda p: p.memory["n"].append(1), memory={"n": []}), "memory"),
    "a set that shrinks": (lambda: Policy(lambda p: p.left.pop(), left=set(range(200))), "left"),
    "slots": (Slotted, "turn"),
    "a method": (lambda: _messages().act, "messages"),
    "a partial method": (lambda: functools.partial(_messages().act), "messages"),
    "a decorated policy": (lambda: with_latency(with_latency(_messages(), 1.0), 1.0), "messages"),
    "a closure": (closure, "messages"),
    "a variable of the function around": (counting, "turn"),
    "a count that is read": (Reading, "calls"),
    "a count that is reported": (Reporting, "calls"),
    "a count that others may read": (Handing, "calls"),
}


@pytest.mark.parametrize("case", CHANGE)
def test_a_policy_that_changes_is_told_of_once(case: str) -> None:
    make_policy, name = CHANGE[case]
    env = make(policy=make_policy(), guessers=PERFECT)
    with pytest.warns(RuntimeWarning, match=f"changes '{name}' when it is called, and has no fork") as told:
        for seed in range(3):
            assert play(env, env.act, seed) == play(FakeEnv(), choose, seed)
    assert len(told) == 1


def test_a_change_that_comes_late_is_told_of() -> None:
    turns = iter(range(1000))
    policy = Policy(lambda policy: policy.summaries.append("…") if next(turns) == 20 else None, summaries=[])
    env = make(policy=policy)
    with pytest.warns(RuntimeWarning, match="changes 'summaries'"):
        for seed in range(12):
            play(env, env.act, seed)


def test_on_an_event_loop() -> None:
    class Agent:
        def __init__(self) -> None:
            self.messages: list[Any] = []

        async def act(self, observation: Any) -> int:
            self.messages.append(observation)
            return choose(self.messages[-1])

    async def main() -> None:
        async with AsyncSpeculativeWrapper(FakeEnv(), Agent().act) as env:
            observation, _ = await env.reset(seed=0)
            await env.act(observation)

    with pytest.warns(RuntimeWarning, match="the policy Agent changes 'messages'"):
        virtual_time.run(main)


def test_on_threads_and_with_the_guard() -> None:
    env = make(slow_fake(0.001), _messages(), runtime="threads", guard=True)
    with env, pytest.warns(RuntimeWarning, match="changes 'messages'"):
        play(env, env.act, 1)


def _connects(policy: Any) -> None:
    policy.client = policy.client or object()
    policy.model = policy.model or "a model"


HARMLESS: dict[str, Callable[[], Any]] = {
    "a function": lambda: choose,
    "a cache": lambda: Policy(lambda p: p.cache.setdefault(len(p.cache), 1), cache={}),
    "what it has seen": lambda: Policy(lambda p: p.seen.add(len(p.seen)), seen=set()),
    "what is made at first": lambda: Policy(_connects, client=None, model=None),
    "random draws": lambda: Policy(lambda p: p.rng.random(), rng=random.Random(1)),
    "numpy's draws": lambda: Policy(lambda p: p.rng.random(), rng=np.random.default_rng(1)),
    "a client": lambda: Policy(lambda p: p.client.__dict__.update(n=id(object())), client=Policy(id)),
    "a fork of its own": Counter,
    "counts for a report": Measured,
    "counts of a method": lambda: Measured().act,
    "counts of a decorated policy": lambda: with_latency(functools.partial(Measured().act), 1.0),
}


@pytest.mark.parametrize("case", HARMLESS)
def test_what_is_no_state_is_not_told_of(case: str) -> None:
    env = make(policy=HARMLESS[case](), guessers=PERFECT)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for seed in range(3):
            play(env, env.act, seed)
    assert [str(each.message) for each in told if "policy" in str(each.message)] == []


def test_where_warnings_are_errors_the_episode_goes_on() -> None:
    env = make(policy=_messages())
    assert play(env, env.act, 1) == play(FakeEnv(), choose, 1)
