"""What a guesser says before it has returned is used at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from spec_envs import Call, CancelToken, Guess
from spec_envs.agents import UnionGuesser
from spec_envs.testing import FakeEnv, pure_response
from spec_envs.wrappers import SpeculativeWrapper
from spec_envs.wrappers.handlers import with_latency
from tests.wrappers.loops import Answers, choose, make, play, slow_fake, virtual  # noqa: F401  (a fixture)

Early = Callable[[Sequence[Guess]], None]


class Slow:
    """Guesses what ``function(query)`` says, after three seconds."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function
        self.heard: list[Any] = []

    def guess(self, call: Call, k: int, cancel: CancelToken) -> list[Guess]:
        cancel.sleep(3.0)
        return [Guess(self._function(call.query), 1.0)]

    def observe(self, call: Call, response: Any) -> None:
        self.heard.append(response)


@pytest.mark.usefixtures("virtual")
def test_the_quick_member_of_a_union_saves_its_time_whatever_the_slow_one_takes() -> None:
    slow = Slow(pure_response)
    union = UnionGuesser([Answers(pure_response), slow])
    with make(slow_fake(length=20), with_latency(choose, 1.0), guessers={"world": union}) as env:
        play(env, env.act)
        # Every answer of the world but the last is foreseen, and the policy's next second falls into the world's.
        assert env.statistics.hits == 20 and env.statistics.saved_s == pytest.approx(19.0)
        assert env.statistics.guesses.get("done", 0) == 0  # the slow member was never waited for
        assert env.statistics.not_predicted == 0


@pytest.mark.usefixtures("virtual")
def test_what_comes_last_takes_the_place_of_what_came_early() -> None:
    class Changing:
        def guess(self, call: Call, k: int, cancel: CancelToken, early: Early) -> list[Guess]:
            early([Guess(pure_response(call.query) ^ 1, 0.3)])
            cancel.sleep(0.25)
            return [Guess(pure_response(call.query), 0.9)]

    with make(slow_fake(length=20), with_latency(choose, 1.0), guessers={"world": Changing()}) as env:
        play(env, env.act)
        assert env.statistics.hits == 20 and env.statistics.saved_s == pytest.approx(0.75 * 19)


def test_on_threads_a_call_begins_while_its_guesser_goes_on() -> None:
    begun = threading.Event()

    class Stuck:
        def guess(self, call: Call, k: int, cancel: CancelToken, early: Early) -> list[Guess]:
            early([Guess(pure_response(call.query), 0.9)])
            cancel.sleep(float("inf"))
            return []

    def world(query: Any) -> int:
        begun.wait()  # until the policy is asked about what the world has not answered yet
        return pure_response(query)

    def policy(observation: Any) -> int:
        if threading.current_thread() is not threading.main_thread():
            begun.set()
        return choose(observation)

    env = SpeculativeWrapper(FakeEnv({"world": world}), policy, guessers={"world": Stuck()}, guard=False)
    with env:
        observation, _ = env.reset(seed=0)
        env.step(env.act(observation))
        assert env.statistics.hits == 1


@pytest.mark.usefixtures("virtual")
def test_early_guesses_are_checked_as_others_are() -> None:
    class Absurd:
        def guess(self, call: Call, k: int, early: Callable[[Any], None]) -> list[Guess]:
            early(["no guess"])
            return []

    with make(slow_fake(), guessers={"world": Absurd()}) as env:
        play(env, env.act)
        assert env.statistics.guesses["failed"] > 0 and env.statistics.hits == 0
