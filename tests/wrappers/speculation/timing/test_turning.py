"""Where the guard turns from the tree to the plain loop and back, in mid-episode, nothing is lost or repeated."""

from __future__ import annotations

import random
from typing import Any

import gymnasium as gym
import pytest

from spec_envs import Effect
from spec_envs.testing import FakeEnv
from spec_envs.wrappers.speculation import session
from spec_envs.wrappers.speculation.timing.cycles import Cycle
from spec_envs.wrappers.speculation.timing.guard import Guard, Mode
from tests.wrappers.loops import PERFECT, VIRTUAL, Answers, certify_on, choose, make, play, slow_fake
from tests.wrappers.store import compare


class Flighty(Guard):
    """Wants something else at random."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.draw = random.Random(3)
        self.mode = self.draw.choice(list(Mode))

    def ended(self, cycle: Cycle, **options: Any) -> None:
        super().ended(cycle, **options)
        self.mode = self.draw.choice(list(Mode))


@pytest.fixture(autouse=True)
def flighty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "Guard", Flighty)


@pytest.mark.parametrize("runtime", VIRTUAL)
@pytest.mark.parametrize("effect", Effect)
def test_environments_that_ask(runtime: str, effect: Effect) -> None:
    def make_env() -> gym.Env[Any, Any]:
        return slow_fake(length=30, calls_per_step=2, effects=[effect])

    assert certify_on(runtime, make_env, choose, PERFECT, range(3), guard=True)


@pytest.mark.parametrize("runtime", VIRTUAL)
def test_no_read_is_stale_after_a_turn(runtime: str) -> None:
    certificates = compare(runtime, range(40), guard=True)
    assert [str(each) for each in certificates if not each] == []


def balance(observation: Any) -> int:
    return int(observation[2] > 0)


@pytest.mark.parametrize("runtime", VIRTUAL)
def test_environments_that_do_not_ask(runtime: str) -> None:
    guessers = {"policy": Answers(balance)}
    assert certify_on(runtime, lambda: gym.make("CartPole-v1"), balance, guessers, range(5), guard=True)


@pytest.mark.parametrize("slow_s", [0.0, float("inf")])
def test_steps_that_are_made_on_the_loop_and_beside_it(slow_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_QUICK_S", float("inf"))
    monkeypatch.setattr(session, "_SLOW_S", slow_s)
    guessers = {"policy": Answers(balance)}
    assert certify_on("asyncio", lambda: gym.make("CartPole-v1"), balance, guessers, range(5), guard=True)


class Counting:
    """A policy with state: every second action is the other one."""

    def __init__(self, count: int = 0) -> None:
        self.count = count

    def __call__(self, observation: Any) -> int:
        self.count += 1
        return self.count % 2

    def fork(self) -> Counting:
        return Counting(self.count)


@pytest.mark.parametrize("runtime", VIRTUAL)
def test_a_policy_with_state(runtime: str) -> None:
    assert certify_on(runtime, lambda: slow_fake(length=30), Counting(), {"world": PERFECT["world"]}, [0], guard=True)


@pytest.mark.parametrize("runtime", VIRTUAL)
def test_the_commits_of_a_step_do_not_depend_on_the_turn(runtime: str) -> None:
    with make(slow_fake(length=30), guessers=PERFECT, runtime=runtime, guard=True) as env:
        env.reset(seed=0)
        commits = {int(env.step(0)[-1]["speculation"]["commits"]) for _ in range(29)}
    assert commits == {2}


@pytest.mark.parametrize("runtime", VIRTUAL)
def test_every_call_is_in_the_books(runtime: str) -> None:
    with make(slow_fake(length=30), guessers=PERFECT, runtime=runtime, guard=True) as env:
        play(env, env.act)
    statistics = env.statistics
    started = [event for event in env.trace if event.kind == "start"]
    assert len(started) == sum(statistics.calls.values())
    assert len({event.call for event in started}) == len(started)
    assert statistics.calls["committed"] + statistics.shared == statistics.commits


def test_machinery_is_what_is_left_of_the_time() -> None:
    with make(slow_fake(0.001, length=20), guessers=PERFECT, runtime="threads", guard=True) as env:
        play(env, env.act)
    statistics = env.statistics
    assert statistics.inside_s >= statistics.waited_s + statistics.environment_s - 1e-6
    assert 0 < statistics.machinery_s < statistics.inside_s


def test_closing_in_any_mode_leaves_nothing() -> None:
    for steps in range(6):
        with make(FakeEnv(length=30), guessers=PERFECT, runtime="threads", guard=True) as env:
            env.reset(seed=0)
            for _ in range(steps):
                env.step(0)
