"""Options that are given by the names of handlers: other names, and values of another kind, are refused at once."""

from __future__ import annotations

import asyncio
from typing import Any

import gymnasium as gym
import pytest

from spec_envs import Effect
from spec_envs.agents import CallableGuesser, FrequencyGuesser, NGramGuesser, UnionGuesser
from spec_envs.errors import InvalidConfiguration, UnknownHandler
from spec_envs.testing import FakeEnv, pure_response
from spec_envs.wrappers import (
    AsyncSpeculativeWrapper,
    HandlerLimit,
    LastWriteWins,
    Limits,
    SpeculativeTools,
    SpeculativeWrapper,
)
from spec_envs.wrappers.handlers import with_latency
from spec_envs.wrappers.tools import ToolRule
from tests.wrappers.loops import Answers, choose, slow_fake

LIMIT = HandlerLimit(max_calls=2)


class Guesses:
    def guess(self, call, k):
        return []


class Prefetches:
    def prefetch(self, situation, k):
        return []


class StaticGuesses:
    @staticmethod
    def guess(call, k, *, early):
        return []


class WithoutK:
    def guess(self, call):
        return []


class WantsMore:
    def guess(self, call, k, model):
        return []


class ForgetsTheResponse(Guesses):
    def observe(self, call):
        pass


WRAPPERS = pytest.mark.parametrize("wrapper", [SpeculativeWrapper, AsyncSpeculativeWrapper], ids=["sync", "async"])


@WRAPPERS
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("guessers", {"wrold": Guesses()}),
        ("prefetchers", {"pollicy": Prefetches()}),
        ("canonical", {"World": str}),
        ("limits", Limits(per_handler={"polizy": LIMIT})),
        ("limits", Limits(per_handler={"policy": LIMIT, "step": LIMIT})),  # its steps are no calls
        ("limits", Limits(per_handler={7: LIMIT})),  # type: ignore[dict-item]
    ],
    ids=["guessers", "prefetchers", "canonical", "policy", "step", "number"],
)
def test_a_name_that_no_handler_has_is_named(wrapper, option, value):
    with pytest.raises(
        UnknownHandler, match=r"(guessers|prefetchers|canonical|limits.per_handler) has .* but the calls"
    ):
        wrapper(FakeEnv(), choose, **{option: value})


@WRAPPERS
def test_steps_that_are_calls_can_be_limited(wrapper):
    def make(name: str) -> Any:
        return wrapper(gym.make("CartPole-v1"), choose, limits=Limits(per_handler={name: LIMIT}))

    assert make("step") is not None
    with pytest.raises(UnknownHandler, match=r"limits.per_handler has 'world', but the calls here are: policy, step"):
        make("world")


async def _awaited_form(response: Any) -> str:
    return str(response)


@WRAPPERS
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"canonical": {"world": 3}}, "canonical\\['world'\\] must be a function of a response, .* not 3"),
        ({"canonical": {"world": _awaited_form}}, "which awaits nothing"),
        ({"canonical": {"world": lambda: 1}}, "must be a function of a response"),
        ({"canonical": ["world"]}, "canonical must be a mapping from names of calls, .* not \\['world'\\]"),
        ({"guessers": {"world": Guesses}}, "guessers\\['world'\\] must be an object, not the class Guesses"),
        (
            {"guessers": {"world": WithoutK()}},
            "whose guess\\(\\) cannot be called: it has no parameter for the number k",
        ),
        ({"guessers": {"world": WantsMore()}}, "nobody gives its parameter 'model' a value"),
        ({"guessers": {"world": ForgetsTheResponse()}}, "whose observe\\(\\) cannot be called"),
        (
            {"prefetchers": {"world": Prefetches}},
            "prefetchers\\['world'\\] must be an object, not the class Prefetches",
        ),
        ({"prefetchers": {"world": Guesses()}}, "which has no method prefetch\\(situation, k\\)"),
        ({"policy": lambda: 0}, "it has no parameter for the query"),
        ({"policy": lambda observation, token: 0}, "nobody gives its parameter 'token' a value; .* named 'cancel'"),
        ({"policy": lambda observation, *, rng: 0}, "nobody gives its parameter 'rng' a value"),
        ({"rehearse": "no"}, "rehearse must be True or False, not 'no'"),
        ({"guard": "no"}, "guard must be True, False or None, not 'no'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_values_of_another_kind_are_refused_at_once(wrapper, options, message):
    with pytest.raises(InvalidConfiguration, match=message):
        wrapper(FakeEnv(), **{"policy": choose} | options)


@WRAPPERS
def test_what_can_be_called_is_taken(wrapper):
    def policy(observation, *more, cancel, **named):
        return 0

    env = wrapper(FakeEnv(), policy, guessers={"world": StaticGuesses, "policy": FrequencyGuesser()})
    assert env.action_space == FakeEnv().action_space


@pytest.mark.parametrize(
    "make", [SpeculativeWrapper, AsyncSpeculativeWrapper, LastWriteWins], ids=lambda kind: kind.__name__
)
@pytest.mark.parametrize(
    ("env", "message"),
    [
        ("SpecChess-v0", "not 'SpecChess-v0'; make it first: gym.make\\('SpecChess-v0'\\)"),
        (FakeEnv, "make one first: FakeEnv\\(…\\)"),
        (None, "env must be an environment \\(gymnasium.Env\\), not None"),
    ],
    ids=["id", "class", "none"],
)
def test_what_is_no_environment_is_named(make, env, message):
    with pytest.raises(InvalidConfiguration, match=message):
        make(env, choose)


@pytest.mark.parametrize(
    ("guesser", "message"),
    [
        ({"policy": Guesses()}, "guesser is .* which has no method guess\\(call, k\\)"),
        (Guesses, "guesser must be an object, not the class Guesses"),
        (WithoutK(), "no parameter for the number k"),
        (choose, "no method guess\\(call, k\\); CallableGuesser makes a guesser of a function"),
    ],
    ids=["mapping", "class", "parameters", "function"],
)
def test_guessers_of_live_systems_and_tools_are_checked_alike(guesser, message):
    with pytest.raises(InvalidConfiguration, match=message):
        LastWriteWins(FakeEnv(), choose, guesser=guesser)
    with pytest.raises(InvalidConfiguration, match=message):
        SpeculativeTools({}, guesser)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (["look"], "rules must be a mapping from names of tools, not \\['look'\\]"),
        ({3: Effect.READ}, "rules must be given by the names of tools, not by 3"),
    ],
    ids=["list", "number"],
)
def test_rules_of_tools_are_given_by_name(rules, message):
    with pytest.raises(InvalidConfiguration, match=message):
        SpeculativeTools(rules, NGramGuesser())


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"metered": 3}, "metered must be a HandlerLimit or None, not 3"),
        ({"private": "no"}, "private must be True or False, not 'no'"),
        ({"effect": Effect.READ, "shared": "no"}, "shared must be True or False, not 'no'"),
    ],
    ids=["metered", "private", "shared"],
)
def test_rules_hold_what_they_mean(rule, message):
    with pytest.raises(InvalidConfiguration, match=message):
        ToolRule(**rule)


@pytest.mark.parametrize("name", ["calibrate", "windows_ahead"])
@pytest.mark.parametrize("value", ["a", float("nan"), None, 2, [True]], ids=repr)
def test_switches_are_true_or_false(name, value):
    with pytest.raises(InvalidConfiguration, match=f"{name} must be True or False, not "):
        Limits(**{name: value})
    given: dict[str, Any] = {name: False}
    assert getattr(Limits(**given), name) is False


def test_nothing_is_left_of_a_wrapper_that_was_refused():
    async def main() -> set[Any]:
        with pytest.raises(UnknownHandler):
            AsyncSpeculativeWrapper(FakeEnv(), choose, guessers={"x": Guesses()})
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(main()) == set()


class OneAtATime:
    """A policy that takes one call at once, and says so."""

    max_inflight = 1

    def __call__(self, observation):
        return choose(observation)


@pytest.mark.parametrize(("most", "runs_ahead"), [(1, False), (None, True)], ids=["one at a time", "any number"])
def test_a_policy_that_says_how_many_calls_it_takes_is_kept_to_that(most, runs_ahead):
    policy: Any = OneAtATime()
    policy.max_inflight = most
    slow = with_latency(policy, 1.0)
    guessers = {"policy": Answers(choose), "world": Answers(pure_response)}
    with SpeculativeWrapper(slow_fake(), slow, guessers=guessers, runtime="simulation") as env:
        observation, _ = env.reset(seed=0)
        for _ in range(4):
            observation, *_ = env.step(env.act(observation))
        ahead = [each for each in env.trace if each.kind == "start" and each.handler == "policy" and each.speculative]
    assert bool(ahead) == runs_ahead


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: UnionGuesser(Guesses()), "guessers must hold at least one guesser, in a list, not <"),  # type: ignore[arg-type]
        (lambda: UnionGuesser([Guesses(), Guesses]), "guessers\\[1\\] must be an object, not the class Guesses"),  # type: ignore[list-item]
        (lambda: UnionGuesser([WithoutK()]), "guessers\\[0\\] is .* the number k"),  # type: ignore[list-item]
        (lambda: CallableGuesser(3), "calls function\\(call, k\\); 3 does not fit: it is no function"),  # type: ignore[arg-type]
        (lambda: CallableGuesser(choose), "calls function\\(call, k\\); .* no parameter for the number k"),  # type: ignore[arg-type]
        (lambda: with_latency(choose, lambda: 1.0), "seconds must be a number or a function of the query"),  # type: ignore[arg-type, misc]
    ],
    ids=["union of one", "class", "parameters", "number", "function", "latency"],
)
def test_what_guessers_and_handlers_are_made_of_is_checked(make, message):
    with pytest.raises(InvalidConfiguration, match=message):
        make()
