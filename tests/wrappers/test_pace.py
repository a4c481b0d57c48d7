"""A guesser that is slower than the call it predicts is used now and then only; all in virtual time."""

from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from spec_envs import Call, Effect, Guess, Usage
from spec_envs.testing import FakeEnv, pure_response
from spec_envs.wrappers import Limits, SpeculativeWrapper
from spec_envs.wrappers.estimates import CallEstimate, Estimates
from spec_envs.wrappers.handlers import with_latency
from spec_envs.wrappers.latency import exponential
from spec_envs.wrappers.speculation.tree.commands import StopPredicting
from spec_envs.wrappers.speculation.tree.dial import Dial
from spec_envs.wrappers.speculation.tree.nodes import Node, Run
from spec_envs.wrappers.speculation.tree.predicting import Predicting

from .loops import choose, play

#: Without a guess in time a step takes the policy's second and the world's.
SLOW_POLICY = with_latency(choose, 1.0)


class Timed:
    """Guesses the world's response, right, after a time that may change from one episode to the next."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.used = 0

    def guess(self, call: Call, k: int, cancel: Any) -> list[Guess]:
        self.used += 1
        cancel.sleep(self.seconds)
        return [Guess(pure_response(call.query), 0.9)]


@dataclasses.dataclass
class World:
    """Answers after a time that may change."""

    seconds: float

    def __call__(self, query: Any, cancel: Any) -> int:
        cancel.sleep(self.seconds)
        return pure_response(query)


def make(world: World, guesser: Timed, **options: Any) -> SpeculativeWrapper[Any, Any]:
    env = FakeEnv({"world": world}, length=20, **options)
    return SpeculativeWrapper(env, SLOW_POLICY, guessers={"world": guesser}, runtime="simulation")


def used_in_an_episode(env: SpeculativeWrapper[Any, Any], guesser: Timed) -> int:
    before = guesser.used
    play(env, env.act)
    return guesser.used - before


class TestInVirtualTime:
    def test_a_quick_guesser_is_always_used(self):
        guesser = Timed(0.1)
        with make(World(1.0), guesser) as env:
            play(env, env.act)
            assert env.statistics.not_predicted == 0
            # Each guess lets the policy begin 0.9 s before the world has answered.
            assert env.statistics.saved_s > 0.85 * 19

    def test_a_guesser_that_is_always_too_late_is_used_three_times_and_then_every_tenth(self):
        guesser = Timed(2.0)
        with make(World(1.0), guesser) as env:
            play(env, env.act)  # 20 calls of the world
            assert env.statistics.windows + env.statistics.not_predicted == 20
            assert guesser.used == 3 + 17 // 10
            assert env.statistics.hits == 0
            assert env.statistics.guesses["cancelled"] == guesser.used

    def test_a_guesser_that_has_become_quick_is_found_out_by_the_next_trial(self):
        guesser = Timed(2.0)
        with make(World(1.0), guesser) as env:
            play(env, env.act)
            guesser.seconds = 0.1
            used_in_an_episode(env, guesser)
            assert used_in_an_episode(env, guesser) == 20

    def test_a_call_that_has_become_slow_is_guessed_once_a_trial_has_shown_it(self):
        guesser, world = Timed(2.0), World(1.0)
        with make(world, guesser) as env:
            play(env, env.act)
            world.seconds = 20.0
            used_in_an_episode(env, guesser)
            assert used_in_an_episode(env, guesser) == 20

    def test_a_guesser_that_has_become_slow_is_given_up(self):
        guesser = Timed(0.1)
        with make(World(1.0), guesser) as env:
            play(env, env.act)
            guesser.seconds = 2.0
            used_in_an_episode(env, guesser)
            assert used_in_an_episode(env, guesser) <= 4

    def test_what_cannot_begin_yet_is_guessed_by_a_slower_guesser_too(self):
        # The world is only asked when the policy has decided: a guess that takes longer than the world does, and less
        # than both of them together, comes in time on a branch.
        guesser = Timed(1.5)
        policies = {"policy": _Perfect()}
        env = FakeEnv({"world": World(1.0)}, effects=(Effect.WRITE,), length=20)
        with SpeculativeWrapper(
            env, SLOW_POLICY, guessers={"world": guesser, **policies}, runtime="simulation"
        ) as wrapped:
            play(wrapped, wrapped.act)
            assert wrapped.statistics.not_predicted == 0
            assert wrapped.statistics.hits > 15

    @settings(max_examples=25, deadline=None)
    @given(call=st.floats(0.01, 10.0), guess=st.floats(0.0, 10.0), seed=st.integers(0, 3))
    def test_whatever_the_times_nothing_but_time_changes(self, call, guess, seed):
        expected = play(FakeEnv(length=12), choose, seed)
        env = FakeEnv({"world": with_latency(pure_response, exponential(call, seed))}, length=12)
        guesser = Timed(guess)
        with SpeculativeWrapper(env, SLOW_POLICY, guessers={"world": guesser}, runtime="simulation") as wrapped:
            assert play(wrapped, wrapped.act, seed) == expected
            figures = wrapped.statistics
            assert sum(figures.guesses.values()) == guesser.used
            assert figures.windows + figures.not_predicted >= 12
            # Of guesses that come too late at least one of ten is made.
            assert figures.not_predicted <= 9 * (guesser.used + 1)


class _Perfect:
    def guess(self, call: Call, k: int) -> list[Guess]:
        return [Guess(choose(call.query), 1.0)]


def predicting_with(estimates: Estimates) -> Predicting:
    limits = Limits()
    return Predicting(limits, estimates, Dial(limits, estimates))


class TestAlone:
    def predicting(self, *guesses: float, calls: float = 0.35) -> Predicting:
        """Knows one call, and guesses that took so long."""
        estimates = Estimates()
        estimates.calls["page"] = CallEstimate()
        estimates.calls["page"].add(calls, Usage())
        predicting = predicting_with(estimates)
        for seconds in guesses:
            self.learn(predicting, seconds)
        return predicting

    def learn(self, predicting: Predicting, seconds: float, *, empty: bool = False) -> None:
        node = _waiting_node()
        assert self.is_predicted(predicting, node)
        predicting.guessed(node, None if empty else 0.5, Usage(), seconds, early=False)

    def is_predicted(self, predicting: Predicting, node: Node) -> bool:
        predicting.add(node)
        commands = predicting.predict(node, 0.0)
        assert predicting.was_predicted(node) == bool(commands)
        return bool(commands)

    def test_what_is_not_known_is_tried(self):
        assert self.is_predicted(predicting_with(Estimates()), _waiting_node())
        assert self.is_predicted(self.predicting(), _waiting_node())

    def test_a_few_late_guesses_decide_nothing(self):
        predicting = self.predicting(0.7, 0.7)
        self.learn(predicting, 0.7)
        assert not self.is_predicted(predicting, _waiting_node())
        assert predicting.num_not_predicted == 1

    def test_what_a_guesser_without_an_answer_takes_says_nothing(self):
        predicting = self.predicting(0.7, 0.7)
        for _ in range(20):
            self.learn(predicting, 0.0, empty=True)
        self.learn(predicting, 0.7)
        assert not self.is_predicted(predicting, _waiting_node())

    def test_calls_that_take_no_time_are_no_reason_not_to_guess(self):
        assert self.is_predicted(self.predicting(0.7, 0.7, 0.7, calls=0.0), _waiting_node())

    def test_guesses_that_come_in_time_half_of_the_time_are_worth_it(self):
        assert self.is_predicted(self.predicting(0.0, 0.7, 0.0, 0.7, 0.0, 0.7), _waiting_node())

    def test_a_node_is_decided_on_once(self):
        predicting, node = self.predicting(), _waiting_node()
        assert self.is_predicted(predicting, node)
        predicting.guessed(node, None, Usage(), 1.0, early=False)
        predicting.add(node)
        assert predicting.predict(node, 1.0) == []

    def test_nobody_is_told_to_stop_twice(self):
        predicting, node = self.predicting(), _waiting_node()
        assert self.is_predicted(predicting, node)
        assert predicting.stop(node) == [StopPredicting(node)]
        assert predicting.forget(node) == []


def _waiting_node() -> Node:
    """A node whose call is under way."""
    process: Any = _At(Call("page", 1, Effect.READ))
    node = Node(0, None, None, 1.0, process, 0.0, 0)
    node.run = Run(0, process.call, process, False, 0.0, ahead=False, nodes=[node])
    return node


@dataclasses.dataclass
class _At:
    call: Call
