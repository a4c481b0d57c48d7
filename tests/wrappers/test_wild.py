"""Guessers, callbacks and environments that do what they should not, or what nobody thinks of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from spec_envs import Call, CallEnv, CancelToken, Effect, Guess
from spec_envs.testing import FakeEnv, pure_response
from spec_envs.wrappers import SpeculativeWrapper
from spec_envs.wrappers.quota import HandlerLimit
from spec_envs.wrappers.speculation.tree.limits import Limits
from tests.wrappers import guessers_for_tests as kinds
from tests.wrappers.loops import VIRTUAL, certify_on, choose


def holds_itself() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


class Unhashable:
    def __hash__(self) -> int:
        raise RuntimeError("no hash")


WILD: dict[str, Callable[[], list[Guess]]] = {
    "it holds itself": lambda: [Guess(holds_itself(), 0.5)],
    "it cannot be hashed": lambda: [Guess(Unhashable(), 0.5), Guess(Unhashable(), 0.4)],
    "its probability is a Decimal": lambda: [Guess(1, Decimal("0.5"))],  # type: ignore[arg-type]
    "its probability vanishes": lambda: [Guess(0, 1.0), Guess(1, 1.0), Guess(2, 5e-324)],
}


def slow_world(query: Any, cancel: CancelToken) -> int:
    cancel.sleep(1.0)
    return pure_response(query)


@pytest.mark.parametrize("runtime", VIRTUAL)
@pytest.mark.parametrize("name", WILD)
def test_no_guess_is_too_wild(name: str, runtime: str) -> None:
    guessers = {"world": kinds.Scripted(lambda call, k: WILD[name]())}
    assert certify_on(runtime, lambda: FakeEnv({"world": slow_world}, length=4), choose, guessers, range(2))


@pytest.mark.parametrize(
    "canonical",
    [lambda response: response // 2, lambda response: np.array([response, response])],
    ids=["raises", "array"],
)
def test_a_guess_without_canonical_form_matches_nothing(canonical: Any) -> None:
    guessers = {"world": kinds.Scripted(lambda call, k: [Guess(value, 0.4) for value in ("text", 1)])}
    plain, canonically = (
        SpeculativeWrapper(
            FakeEnv({"world": lambda query: 2}), choose, guessers=given, canonical=forms, runtime="simulation"
        )
        for given, forms in (({}, {}), (guessers, {"world": canonical}))
    )
    with plain, canonically:
        seen = [[env.reset(seed=0)[0], *(env.step(choice)[0] for choice in (0, 1, 2))] for env in (plain, canonically)]
    assert seen[0] == seen[1]


def test_a_callback_that_raises_disturbs_nobody() -> None:
    cancelled = []

    def interrupt() -> None:
        cancelled.append(1)
        raise RuntimeError("the connection is closed already")

    def world(query: Any, cancel: CancelToken) -> int:
        cancel.on_cancel(interrupt)
        return slow_world(query, cancel)

    def policy(observation: str, cancel: CancelToken) -> int:
        cancel.on_cancel(interrupt)
        cancel.sleep(1.0)
        return choose(observation)

    guessers = {"world": kinds.wrong(lambda call: pure_response(call.query))}
    assert certify_on("simulation", lambda: FakeEnv({"world": world}, length=4), policy, guessers, range(2))
    assert cancelled


class Sorting(CallEnv[str, Any]):
    """Changes in place what it is given: responses and actions."""

    def __init__(self, world: Callable[..., Any]) -> None:
        super().__init__({"world": world})
        self.observation_space = gym.spaces.Text(10_000)
        self.action_space: Any = gym.spaces.Box(0, 9, (1,), np.int64)
        self.log: list[int] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        super().reset(seed=seed)
        self.log = []
        return "", {}

    def step(self, action: Any) -> tuple[str, float, bool, bool, dict[str, Any]]:
        action += 1
        rows = self.ask(Call("world", len(self.log) // 4, Effect.READ))  # the same for several steps
        rows.append(int(action[0]))
        rows.append(self.ask(Call("world", "more", Effect.READ)).pop())
        self.log = [*self.log, len(rows)]
        self.action_space = gym.spaces.Box(0, 9 + len(self.log), (1,), np.int64)
        return f"{rows} {len(self.log)}", 0.0, len(self.log) >= 6, False, {}


def rows_of(query: Any, cancel: CancelToken) -> list[int]:
    cancel.sleep(1.0)
    return [1, 2, 3]


def array_of(observation: str, cancel: CancelToken) -> Any:
    cancel.sleep(1.0)
    return np.array([len(observation) % 4])


GUESSES: tuple[dict[str, Callable[[Call, int], Sequence[Guess]]], ...] = (
    {},
    {"world": lambda call, k: [Guess([1, 2, 3], 0.9)]},
    {"policy": lambda call, k: [Guess(np.array([len(call.query) % 4]), 0.9)]},
)


@pytest.mark.parametrize("runtime", VIRTUAL)
@pytest.mark.parametrize("guesses", GUESSES, ids=["no guesses", "world", "policy"])
def test_an_environment_may_change_in_place_what_it_is_given(guesses: Any, runtime: str) -> None:
    guessers = {name: kinds.Scripted(guess) for name, guess in guesses.items()}
    assert certify_on(runtime, lambda: Sorting(rows_of), array_of, guessers, range(2))


def test_an_action_is_what_the_policy_chose_also_where_a_branch_changes_it() -> None:
    with SpeculativeWrapper(Sorting(rows_of), array_of, runtime="simulation") as env:
        observation, _ = env.reset(seed=0)
        env.step(env.act(observation))
        assert env.statistics.divergences == 0


def test_spaces_that_change_are_those_of_the_environment() -> None:
    with SpeculativeWrapper(Sorting(rows_of), runtime="simulation") as env:
        env.reset(seed=0)
        env.step(np.array([1]))
        assert env.action_space == env.env.action_space == gym.spaces.Box(0, 10, (1,), np.int64)


def test_a_rate_limit_ends_where_rounding_has_it() -> None:
    started, per_s = 0.002, 0.02
    now = started + per_s
    assert started > now - per_s  # so it is in floating point: the wait is over by one sum, and not by the other

    def world(query: Any, cancel: CancelToken) -> int:
        cancel.sleep(0.001)
        return pure_response(query)

    def policy(observation: str, cancel: CancelToken) -> int:
        cancel.sleep(0.0 if ":" in observation else started)
        return choose(observation)

    limits = Limits(per_handler={"world": HandlerLimit(max_calls=1, per_s=per_s)})
    with SpeculativeWrapper(FakeEnv({"world": world}), policy, limits=limits, runtime="simulation") as env:
        observation, _ = env.reset(seed=0)
        for _ in range(2):
            observation, *_ = env.step(env.act(observation))
        assert env.statistics.waited_s == pytest.approx(now + 0.001)


class OneAtATime:
    effect = Effect.READ
    max_inflight = 1

    def __call__(self, query: Any) -> int:
        return pure_response(query)


def test_a_handler_without_a_token_keeps_its_own_limit() -> None:
    handler: Any = FakeEnv({"world": OneAtATime()}).handlers["world"]
    assert (handler.effect, handler.max_inflight) == (Effect.READ, 1)


class Vector(CallEnv[int, int]):
    """Returns an array for the reward, as environments with several aims do, and no info, which Gymnasium asks for."""

    observation_space: Any = gym.spaces.Discrete(99)
    action_space: Any = gym.spaces.Discrete(4)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        return 0, {}

    def step(self, action: int) -> Any:
        return self.ask(Call("world", action)), np.array([1.0, 0.5]), False, False, None


@pytest.mark.parametrize("runtime", VIRTUAL)
def test_rewards_that_are_arrays_and_infos_that_are_missing_are_passed_on(runtime: str) -> None:
    guessers = {"world": kinds.perfect(lambda call: pure_response(call.query))}
    assert certify_on(runtime, lambda: Vector({"world": slow_world}), choose, guessers, range(2), max_steps=4)
    with SpeculativeWrapper(Vector({"world": slow_world}), choose, guessers=guessers, runtime="simulation") as env:
        env.reset(seed=0)
        _, reward, *_, info = env.step(1)
        assert np.array_equal(np.asarray(reward), [1.0, 0.5]) and set(info) == {"speculation"}
