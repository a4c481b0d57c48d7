"""Handlers that cannot take more calls at once: seen by how long calls take, and by calls that fail beside others."""

from __future__ import annotations

import random
from typing import Any

import pytest

from spec_envs import Effect
from spec_envs.errors import HandlerFailed
from spec_envs.handling import CancelToken
from spec_envs.testing import FakeEnv, pure_response
from spec_envs.wrappers import SimulationRuntime
from spec_envs.wrappers.crowding import Crowd
from tests.wrappers.loops import Answers, choose, make, play


def fed(crowd: Crowd, calls: int, seconds: Any, *, seed: int = 0) -> list[int]:
    """Feed ``crowd`` with calls at the level that it allows, a tenth of them alone; return what it allowed."""
    draw = random.Random(seed)
    allowed = []
    for number in range(calls):
        beside = 0 if number < 2 or number % 10 == 0 else min(4, crowd.allowed)
        crowd.took(seconds(beside, draw), own=beside, others=0)
        allowed.append(crowd.allowed)
    return allowed


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_the_number_of_slots_is_found(slots: int) -> None:
    allowed = fed(Crowd(), 400, lambda beside, draw: draw.lognormvariate(0, 0.1) * max(1.0, (beside + 1) / slots))
    too_many = sum(each >= 2 * slots for each in allowed)
    assert too_many < 0.1 * len(allowed)
    assert max(allowed[5:45]) >= slots - 1


@pytest.mark.parametrize("sigma", [0.0, 0.3, 0.7])
def test_a_handler_without_a_limit_gets_none(sigma: float) -> None:
    ends = [fed(Crowd(), 300, lambda beside, draw: draw.lognormvariate(0, sigma), seed=seed)[-1] for seed in range(30)]
    assert sum(end >= 4 for end in ends) >= 25


def test_more_is_tried_again_more_and_more_rarely() -> None:
    allowed = fed(Crowd(), 2000, lambda beside, draw: 1.0 + beside)
    tries = [n for n in range(1, 2000) if allowed[n] > allowed[n - 1] == 0]
    assert 2 <= len(tries) <= 8
    assert tries[-1] - tries[-2] > tries[1] - tries[0]


def test_calls_that_are_short_are_left_to_the_guard() -> None:
    crowd = Crowd()
    for _ in range(5):
        crowd.took(0.001, own=0, others=0)
        crowd.took(0.1, own=1, others=0)
    assert crowd.has_room(10)


def test_other_handlers_stop_counting_once_they_do_no_harm() -> None:
    crowd = Crowd()
    crowd.took(1.0, own=0, others=0)
    for _ in range(4):
        crowd.took(1.0, own=0, others=1)
    assert crowd.own_only


class OneAtATime:
    """A server with one slot, in virtual time: a call waits until the ones before it have been served."""

    def __init__(self, runtime: SimulationRuntime) -> None:
        self.runtime = runtime
        self.free_at = 0.0
        self.served = 0

    def __call__(self, query: Any, cancel: CancelToken) -> int:
        begins = max(self.runtime.now(), self.free_at)
        self.free_at = begins + 1.0
        self.served += 1
        cancel.sleep(self.free_at - self.runtime.now())
        return pure_response(query)


def test_a_server_with_one_slot_is_hardly_kept_busy_for_nothing() -> None:
    def seconds(**options: Any) -> float:
        runtime = SimulationRuntime()
        server = OneAtATime(runtime)
        wrong = Answers(lambda query: 7)  # every guess is wrong, and what it starts holds the server up
        env = make(
            FakeEnv({"world": server}, length=200),
            lambda observation, cancel: choose(observation),
            guessers={"world": wrong, "policy": wrong},
            runtime=runtime,
            **options,
        )
        play(env, env.act)
        took = runtime.now()
        env.close()
        return took

    plain, guarded = seconds(max_inflight=0), seconds(guard=True)
    assert guarded <= 1.05 * plain
    assert guarded < seconds(guard=False)


class DropsWhenAnotherComes:
    """Fails a call during which another one came, as a server does that has one slot and no queue."""

    def __init__(self) -> None:
        self.current = self.failed = 0

    async def __call__(self, query: Any, cancel: CancelToken) -> int:
        self.current += 1
        mine = self.current
        await cancel.asleep(1.0)
        if mine != self.current:
            self.failed += 1
            raise HandlerFailed("another request came")
        return pure_response(query)


@pytest.mark.parametrize("effect", [Effect.SAMPLE, Effect.READ])
def test_a_call_that_fails_beside_others_is_made_again_alone(effect: Effect) -> None:
    server = DropsWhenAnotherComes()
    env = FakeEnv({"world": server}, length=12, effects=[effect])
    guessers = {"world": Answers(pure_response), "policy": Answers(choose)}
    plain = play(FakeEnv(length=12, effects=[effect]), choose)
    with make(env, guessers=guessers, runtime="asyncio", guard=True) as wrapped:
        assert play(wrapped, wrapped.act) == plain
    assert 0 < server.failed <= 2


class FailsAt:
    """Fails its n-th calls for the given n, whatever else is under way, as a network does now and then."""

    def __init__(self, *failing: int) -> None:
        self.failing, self.calls = failing, 0

    async def __call__(self, query: Any, cancel: CancelToken) -> int:
        self.calls += 1
        fails = self.calls in self.failing
        await cancel.asleep(1.0)
        if fails:
            raise HandlerFailed("the network is down for a moment")
        return pure_response(query)


#: Which calls fail, and how much longer an episode of 120 steps may take than without any failure.
MISHAPS: dict[str, tuple[tuple[int, ...], float]] = {
    "none": ((), 1.0),
    "an early one": ((12,), 1.15),
    "a late one": ((150,), 1.15),
    "two": ((30, 150), 1.25),
    "three": ((30, 90, 150), 1.4),
    "two in a row": ((40, 41), 1.15),
    "five in a row": (tuple(range(40, 45)), 1.2),
    "every fiftieth": (tuple(range(50, 500, 50)), 2.0),
}


@pytest.mark.parametrize("name", MISHAPS)
def test_a_call_that_fails_by_chance_holds_few_others_back(name: str) -> None:
    failing, most = MISHAPS[name]

    def seconds(server: FailsAt) -> float:
        env = FakeEnv({"world": server}, length=120)
        guessers = {"world": Answers(pure_response), "policy": Answers(choose)}
        with make(env, guessers=guessers, runtime="asyncio", guard=True) as wrapped:
            observation, done = wrapped.reset(seed=0)[0], False
            while not done:
                try:
                    observation, _, done, *_ = wrapped.step(wrapped.act(observation))
                except HandlerFailed:  # it failed alone, too: tried again, as a user would
                    continue
            waited_s: float = wrapped.statistics.waited_s
        return waited_s

    assert seconds(FailsAt(*failing)) <= most * seconds(FailsAt())


@pytest.mark.parametrize("failures", range(1, 6))
def test_what_fails_alone_as_well_is_not_put_down_to_others(failures: int) -> None:
    crowd = Crowd()
    for _ in range(40):
        crowd.took(1.0, own=0, others=0)
        crowd.took(1.0, own=crowd.allowed, others=0)
    before = crowd.as_dict()
    for _ in range(failures):
        crowd.is_single()
        assert not crowd.has_room(0)
        crowd.fails_alone()
        assert crowd.as_dict() == before


@pytest.mark.parametrize("runtime", ["asyncio"])
def test_a_write_is_never_made_again(runtime: str) -> None:
    server = DropsWhenAnotherComes()
    env = FakeEnv({"world": server}, length=12, effects=[Effect.WRITE])
    guessers = {"world": Answers(pure_response), "policy": Answers(choose)}
    with make(env, guessers=guessers, runtime=runtime, guard=True) as wrapped:
        play(wrapped, wrapped.act)
    assert server.failed == 0 and server.current == 12  # one by one


def test_an_error_that_comes_again_alone_reaches_the_user() -> None:
    failing: list[int] = []

    def world(query: Any, cancel: CancelToken) -> int:
        cancel.sleep(1.0)
        failing.append(1)
        if len(failing) > 30:
            raise HandlerFailed("it is broken")
        return pure_response(query)

    guessers = {"world": Answers(pure_response), "policy": Answers(choose)}
    with make(FakeEnv({"world": world}, length=100), guessers=guessers, guard=True) as env:
        with pytest.raises(HandlerFailed, match="it is broken"):
            play(env, env.act)
